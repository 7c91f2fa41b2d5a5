"""Tensors of a module that fit one another, and those that do not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lib_singlelora.errors import LoraFileError
from lib_singlelora.lora.functional import check_parts, natural_delta
from tests.tiny_lora import written

Shape = tuple[int, ...]
SHAPES: tuple[Shape, ...] = (
    *((), (0,), (4,), (1,), (4, 2), (2, 4), (4, 4), (0, 2), (2, 0), (2, 1, 1, 1)),
    *((4, 2, 1, 1), (4, 2, 3, 3), (2, 6, 3, 3), (4, 3, 1, 1), (2, 3, 2), (4, 1), (1, 7)),
)


@pytest.mark.parametrize("up", SHAPES, ids=str)
def test_a_plain_lora_fits_where_it_can_be_multiplied(up: Shape) -> None:
    for down in SHAPES:
        parts = {"lora_up.weight": torch.ones(up), "lora_down.weight": torch.ones(down)}
        try:
            fits = natural_delta(parts).numel() > 0
        except (RuntimeError, ValueError, IndexError):
            fits = False
        if fits:
            check_parts(parts)
        else:
            with pytest.raises(LoraFileError, match="do not fit one another"):
                check_parts(parts)


def test_an_alpha_of_several_numbers_is_refused() -> None:
    parts = {
        "lora_up.weight": torch.ones(4, 2),
        "lora_down.weight": torch.ones(2, 3),
        "alpha": torch.ones(2),
    }
    with pytest.raises(LoraFileError, match="do not fit one another"):
        check_parts(parts)


def test_a_plain_file_is_read_without_the_seconds_of_imports_of_a_meta_product(
    tmp_path: Path,
) -> None:
    path = written(tmp_path / "a.safetensors", "lora")
    code = (
        "import sys; from pathlib import Path; from lib_singlelora.lora.files import read_lora;"
        f"before = set(sys.modules); read_lora(Path({str(path)!r}));"
        "print(sorted({name.split('.')[1] for name in set(sys.modules) - before"
        " if name.startswith(('torch.', 'sympy.'))}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "_decomp" not in done.stdout and "_inductor" not in done.stdout, done.stdout
    assert "distributed" not in done.stdout, done.stdout
