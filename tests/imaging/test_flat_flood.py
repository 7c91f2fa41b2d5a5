"""The figure's edge before a flat background, against Pillow's filters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lib_singlelora.imaging import flat_background
from lib_singlelora.imaging.flat_background import (
    _filled_by_opencv,
    _filled_by_runs,
    _largest_difference,
    _largest_near,
    background_colour,
    find_flat_background,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture(params=["with OpenCV", "without"])
def opencv(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV is there, and is not."""
    if request.param == "without":
        monkeypatch.setattr(flat_background, "_opencv", lambda: None)
    else:
        pytest.importorskip("cv2")


@pytest.mark.usefixtures("opencv")
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (4, 3), (2, 30), (40, 33)])
@pytest.mark.parametrize("reach", [1, 2])
def test_the_largest_near_is_that_of_pillow(shape: tuple[int, int], reach: int) -> None:
    values = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    filtered = Image.fromarray(values).filter(ImageFilter.MaxFilter(2 * reach + 1))
    assert np.array_equal(_largest_near(values, reach), np.asarray(filtered))


def test_the_colour_alone_is_that_of_the_background() -> None:
    pixels = np.full((60, 40, 3), (200, 220, 240), np.uint8)
    image = Image.fromarray(pixels)
    assert background_colour(image) is None  # no figure
    pixels[20:50, 10:30] = 20
    image = Image.fromarray(pixels)
    found = find_flat_background(image)
    assert found and found.colour == background_colour(image) == (200, 220, 240)


@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (7, 1), (40, 33), (120, 200)])
def test_opencv_floods_what_runs_flood(shape: tuple[int, int]) -> None:
    cv2 = pytest.importorskip("cv2")
    rng = np.random.default_rng(0)
    for share in (0.0, 0.3, 0.55, 0.6, 0.65, 0.9, 1.0):
        passable = rng.random(shape) < share
        before = passable.copy()
        assert np.array_equal(_filled_by_opencv(cv2, passable), _filled_by_runs(passable))
        assert np.array_equal(_filled_by_opencv(cv2, passable.T), _filled_by_runs(passable.T))
        assert np.array_equal(passable, before)


def test_a_difference_is_that_of_the_farthest_channel() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    expected = np.abs(pixels.astype(np.int16) - (200, 9, 77)).max(axis=2)
    assert np.array_equal(_largest_difference(Image.fromarray(pixels), (200, 9, 77)), expected)


@pytest.mark.parametrize("name", ["isabella.png", "drawings/ines.png", "drawings/momo.png"])
def test_masks_and_colours_are_the_same_without_opencv(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("cv2")
    image = Image.open(EXAMPLES / name).convert("RGB")
    found = find_flat_background(image)
    monkeypatch.setattr(flat_background, "_opencv", lambda: None)
    again = find_flat_background(image)
    assert found and again
    assert found.mask.tobytes() == again.mask.tobytes()
    assert (found.colour, found.whole) == (again.colour, again.whole)
