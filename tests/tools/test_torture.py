"""The tools that attack the product see what they are to see."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import safetensors.torch
import torch
from PIL import Image

pytest.importorskip("hypothesis")
pytest.importorskip("diffusers")

from hypothesis import strategies as st

from lib_singlelora.errors import SettingsError
from tools.torture.fuzz import feed
from tools.torture.kill import _difference, contents
from tools.torture.readers import Reader


def workspace(
    folder: Path,
    hash: str = "0a1b2c3d4e5f",
    started: str = "1",
    weight: float = 1.0,
    pixel: int = 0,
    caption: str = "isa, girl",
) -> Path:
    """A few files as a job leaves them."""
    for name in ("model", "plots/cells", "image", "log"):
        (folder / name).mkdir(parents=True)
    safetensors.torch.save_file(
        {"a": torch.full((2,), weight)},
        folder / "model" / "isa.safetensors",
        {"ss_training_started_at": started, "ss_epoch": "2"},
    )
    image = Image.new("L", (4, 4))
    image.putpixel((1, 1), pixel)
    image.save(folder / "plots" / "cells" / f"{hash}-1.png")
    (folder / "image" / "a.txt").write_text(caption, encoding="utf-8")
    record = {
        "fingerprint": hash,
        "complete": True,
        "files": {f"plots/cells/{hash}-1.png": "x"},
        "data": {},
    }
    (folder / "log" / "plot.json").write_text(json.dumps(record), encoding="utf-8")
    (folder / "log" / "events.jsonl").write_text(started, encoding="utf-8")
    return folder


def test_times_and_names_made_of_them_are_no_difference(tmp_path: Path) -> None:
    one = workspace(tmp_path / "1")
    other = workspace(tmp_path / "2", hash="ffffffffffff", started="2")
    assert _difference(contents(one), contents(other)) == []


@pytest.mark.parametrize("values", [{"weight": 2.0}, {"pixel": 1}, {"caption": "isa"}], ids=str)
def test_another_weight_pixel_or_caption_is_a_difference(
    values: dict[str, object], tmp_path: Path
) -> None:
    one, other = workspace(tmp_path / "1"), workspace(tmp_path / "2", **values)
    assert _difference(contents(one), contents(other))


def test_a_file_too_many_or_too_few_is_a_difference(tmp_path: Path) -> None:
    one = workspace(tmp_path / "1")
    other = workspace(tmp_path / "2")
    (other / "image" / ".left.tmp").write_bytes(b"")
    (other / "image" / "a.txt").unlink()
    assert _difference(contents(one), contents(other)) == [
        "image/a.txt is missing",
        "image/.left.tmp should not be there",
    ]


def refuse(value: int, folder: Path) -> None:
    raise SettingsError(f"found {value}")


def break_at_large(value: int, folder: Path) -> None:
    if value > 40:
        raise KeyError(value)


def print_lines(value: int, folder: Path) -> None:
    error = SettingsError("one")
    error.args = ("two\nlines",)
    raise error


@pytest.mark.parametrize(
    ("read", "expected"),
    [(refuse, None), (break_at_large, KeyError), (print_lines, AssertionError)],
)
def test_the_fuzz_tells_our_errors_from_all_others(
    read: Callable[[int, Path], None], expected: type[Exception] | None
) -> None:
    reader = Reader("planted", lambda: st.integers(0, 100), read)
    if expected is None:
        assert feed(reader, 30) == 30
    else:
        with pytest.raises(expected):
            feed(reader, 30)
