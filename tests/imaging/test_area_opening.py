"""Small extrema, beside labelling the whole picture at every level."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from lib_singlelora.imaging import area_opening
from lib_singlelora.imaging.area_opening import small_extrema
from lib_singlelora.imaging.colour import to_lab

cv2: Any = pytest.importorskip("cv2")
EXAMPLES = Path(__file__).parents[2] / "examples"
STEP = 4.0
LEAST = 10.0
Channel = NDArray[np.float32]


def by_whole_pictures(channel: Channel, largest: int, brighter: bool) -> Channel:
    """The same, slowly."""
    height = np.zeros(channel.shape, dtype=np.float32)
    for level in np.arange(float(channel.min()) + STEP / 2, float(channel.max()), STEP):
        beyond = (channel > level) if brighter else (channel < level)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(
            beyond.astype(np.uint8), connectivity=8
        )
        small = stats[:, cv2.CC_STAT_AREA] <= largest
        small[0] = False
        height[small[labels]] += STEP
    return height


def assert_the_same(channel: Channel, largest: int) -> int:
    """Returns how many pixels stand out."""
    count = 0
    for brighter in (True, False):
        found = small_extrema(cv2, channel, largest, brighter, STEP, LEAST)
        expected = by_whole_pictures(channel, largest, brighter)
        stands_out = expected >= LEAST
        assert np.array_equal(found >= LEAST, stands_out)
        assert np.array_equal(found[stands_out], expected[stands_out])
        count += int(stands_out.sum())
    return count


def drawn(name: str, long_side: int) -> NDArray[np.float32]:
    """(3, H, W), L*a*b*, enlarged or reduced as `prepare` does."""
    picture = Image.open(EXAMPLES / name).convert("RGB")
    factor = long_side / max(picture.size)
    size = (round(picture.width * factor), round(picture.height * factor))
    lab = to_lab(picture.resize(size, Image.Resampling.LANCZOS))
    channels: NDArray[np.float32] = np.ascontiguousarray(lab.transpose(2, 0, 1))
    return channels


@pytest.mark.parametrize(
    ("name", "long_side", "largest"),
    [
        ("isabella.png", 1100, 50),
        ("isabella.png", 400, 143),  # squares of an even side
        ("drawings/ines.png", 800, 40),
        ("drawings/fern.png", 640, 168),
    ],
)
def test_drawings_have_the_same_spots(name: str, long_side: int, largest: int) -> None:
    assert sum(assert_the_same(channel, largest) for channel in drawn(name, long_side)) > 0


@pytest.mark.parametrize("spread", [0.5, 3.0, 12.0, 40.0])
def test_noise_has_the_same_spots(spread: float) -> None:
    rng = np.random.default_rng(3)
    for blur in (1, 5, 11):
        noise = cv2.blur(rng.normal(50, spread * blur, (120, 90)).astype(np.float32), (blur, blur))
        assert_the_same(noise, 40)


@pytest.mark.parametrize("worth", [0.0, 1e9])
def test_windows_and_the_whole_picture_agree(worth: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(area_opening, "WORTH", worth)
    channel = drawn("drawings/ines.png", 500)[0]
    assert assert_the_same(channel, 40) > 0


def test_a_long_line_that_leaves_the_first_window_is_measured() -> None:
    channel = np.full((200, 400), 20, dtype=np.float32)
    channel[50, 20:120] = 60  # 100 pixels
    channel[90, 20:320] = 60  # 300
    channel[150, 395:] = 60  # a dot at the picture's edge
    assert assert_the_same(channel, 168) == 100 + 5
    assert assert_the_same(channel, 99) == 5


def test_levels_are_told_apart_to_the_last_bit() -> None:
    low = np.float32(0.1)
    channel = np.full((40, 40), low, dtype=np.float32)
    for row, count in enumerate(range(1, 9)):
        level = np.float32(float(low) + STEP / 2 + STEP * (count - 1))
        around = (np.nextafter(level, np.float32(0)), level, np.nextafter(level, np.float32(99)))
        for column, value in enumerate(around):
            channel[2 + 4 * row, 4 + 6 * column] = value
    channel[-1, -1] = 80
    assert assert_the_same(channel, 40) > 0


@pytest.mark.parametrize("shape", [(1, 1), (1, 30), (30, 1), (13, 13)])
def test_pictures_smaller_than_a_spot(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(1)
    assert_the_same(rng.uniform(0, 100, shape).astype(np.float32), 168)
    assert_the_same(np.full(shape, 7, np.float32), 168)
