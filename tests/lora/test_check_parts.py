"""Tensors of a module that fit one another, and those that do not."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lib_singlelora.errors import LoraFileError
from lib_singlelora.lora.functional import check_parts, module_change, natural_delta
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
            fits = natural_delta(parts).numel() > 0 and len(up) > 1 and len(down) > 1
        except (RuntimeError, ValueError, IndexError):
            fits = False
        if fits:
            check_parts(parts)
        else:
            with pytest.raises(LoraFileError, match="do not fit one another"):
                check_parts(parts)


NAMES = (
    ("lora_up.weight", "lora_down.weight", "lora_mid.weight"),
    ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
    ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b", "hada_t1", "hada_t2"),
    ("lokr_w1", "lokr_w2"),
    ("lokr_w1_a", "lokr_w1_b", "lokr_w2"),
    ("lokr_w1", "lokr_w2_a", "lokr_w2_b"),
    ("lokr_w1", "lokr_t2", "lokr_w2_a", "lokr_w2_b"),
    ("diff",),
    ("w_norm", "b_norm"),
)


@pytest.mark.parametrize("names", NAMES, ids="-".join)
def test_what_passes_can_be_computed_and_all_else_is_refused_in_words(
    names: tuple[str, ...],
) -> None:
    chosen = random.Random(4)
    for _ in range(200):
        alike = chosen.choice(SHAPES)
        parts = {
            name: torch.ones(alike if chosen.random() < 0.7 else chosen.choice(SHAPES))
            for name in names
        }
        parts |= {"alpha": torch.ones(())} if chosen.random() < 0.5 else {}
        try:
            check_parts(parts)
        except LoraFileError:
            with pytest.raises((RuntimeError, ValueError, IndexError, ZeroDivisionError)):
                natural_delta(parts)
        else:
            natural_delta(parts)


@pytest.mark.parametrize(
    ("shapes", "weight"),
    [
        ({"w_norm": (8,), "b_norm": (8,), "dora_scale": (1, 8)}, (8,)),
        ({"oft_blocks": (4,)}, (8, 8)),
        ({"oft_diag": ()}, (8, 8)),
        ({"oft_blocks": (2, 4, 4), "alpha": (2,)}, (8, 8)),
        ({"weight": (8,), "on_input": (2,)}, (8, 8)),
        ({"a1.weight": (2,), "a2.weight": (2,), "b1.weight": (2,), "b2.weight": (2,)}, (8, 8)),
    ],
    ids=str,
)
def test_what_only_its_weight_can_tell_is_refused_in_words_when_they_meet(
    shapes: dict[str, Shape], weight: Shape
) -> None:
    parts = {name: torch.ones(shape) for name, shape in shapes.items()}
    check_parts(parts)
    with pytest.raises(LoraFileError, match=r"expected none|do not fit a weight"):
        module_change(parts, torch.ones(weight))


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
