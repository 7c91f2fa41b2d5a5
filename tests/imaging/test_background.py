"""Finding the character: in drawings with a known outline."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lib_singlelora.imaging.backdrop import flatten, widened
from lib_singlelora.imaging.background import foreground_mask
from lib_singlelora.imaging.flat_background import flood_from_border

ASTRONAUT = Path(__file__).parent.parent / "data" / "astronaut.png"


def disc(background: str = "white", noise: float = 0.0) -> tuple[Image.Image, np.ndarray]:
    """An antialiased disc, and its share of every pixel (0 to 1)."""
    large = Image.new("L", (800, 800), 0)
    ImageDraw.Draw(large).ellipse((200, 200, 600, 600), fill=255)
    share = large.resize((200, 200), Image.Resampling.BOX)
    image = Image.composite(
        Image.new("RGB", (200, 200), (20, 60, 160)), Image.new("RGB", (200, 200), background), share
    )
    if noise:
        pixels = np.asarray(image) + np.random.default_rng(0).normal(0, noise, (200, 200, 3))
        image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
    return image, np.asarray(share) / 255


@pytest.mark.parametrize(
    ("background", "noise"), [("white", 0), ("#8fc0a0", 0), ("black", 0), ("white", 3)]
)
def test_a_flat_background_is_found_with_antialiased_edges(background: str, noise: float) -> None:
    image, share = disc(background, noise)
    found = foreground_mask(image)
    assert (found.method, found.reliable) == ("flat background", True)
    mask = np.asarray(found.mask) / 255
    assert np.abs(mask - share).mean() < 0.01
    assert ((mask > 0.05) & (mask < 0.95)).any()


def test_what_the_character_encloses_belongs_to_it() -> None:
    image, _ = disc()
    ImageDraw.Draw(image).ellipse((90, 90, 110, 110), fill="white")
    assert foreground_mask(image).mask.getpixel((100, 100)) == 255


def test_the_file_s_transparency_goes_before_everything() -> None:
    alpha = Image.new("L", (200, 200), 0)
    alpha.paste(255, (0, 0, 50, 50))
    found = foreground_mask(disc()[0], alpha)
    assert found.mask is alpha
    assert found.reliable


def test_a_background_of_many_colours_gives_a_mask_that_says_it_is_approximate() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (120, 90, 3), dtype=np.uint8)
    found = foreground_mask(Image.fromarray(noise))
    assert found.mask.size == (90, 120)
    assert not found.reliable


def test_a_mask_without_an_estimate_is_the_same() -> None:
    """A figure before bands of colour, which is cut out region by region."""
    image = Image.new("RGB", (160, 160), "navy")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 100, 160, 160), fill="darkgreen")
    draw.rectangle((100, 0, 160, 60), fill="gray")
    draw.ellipse((50, 20, 110, 90), fill="wheat")
    draw.rectangle((60, 88, 100, 160), fill="crimson")
    full = foreground_mask(image)
    quick = foreground_mask(image, estimate=False)
    assert "scenery" in full.method and full.confidence < 1 == quick.confidence
    assert quick.mask.tobytes() == full.mask.tobytes() and quick.reliable == full.reliable


def test_one_colour_and_nothing_else_is_no_failure() -> None:
    found = foreground_mask(Image.new("RGB", (80, 60), "white"))
    assert found.mask.size == (80, 60)
    assert not found.reliable


@pytest.mark.skipif(not ASTRONAUT.exists(), reason="the photograph is not here")
def test_a_portrait_s_mask_holds_the_face_and_leaves_the_corners() -> None:
    cv2 = pytest.importorskip("cv2", reason="needs OpenCV")
    if not hasattr(cv2, "CascadeClassifier"):
        pytest.skip("this OpenCV has no face cascade")
    mask = np.asarray(foreground_mask(Image.open(ASTRONAUT).convert("RGB")).mask) > 127
    assert mask[60:160, 190:260].mean() > 0.95
    assert mask[:100, :100].mean() < 0.05
    assert mask[:100, -100:].mean() < 0.05


def test_flatten_puts_the_character_on_the_colour() -> None:
    image, share = disc("black")
    flat = flatten(image, Image.fromarray((share * 255).astype(np.uint8)), (128, 128, 128))
    assert flat.getpixel((0, 0)) == (128, 128, 128)
    assert flat.getpixel((100, 100)) == (20, 60, 160)


def test_a_flood_goes_around_corners_and_not_through_diagonals() -> None:
    passable = np.array(
        [
            [1, 0, 0, 0, 0, 0],
            [1, 0, 1, 1, 1, 0],
            [1, 1, 1, 0, 1, 0],
            [0, 0, 0, 0, 0, 0],
            [0, 0, 1, 0, 0, 0],
            [0, 0, 0, 0, 0, 1],
        ],
        dtype=bool,
    )
    expected = passable.copy()
    expected[4, 2] = False
    assert np.array_equal(flood_from_border(passable), expected)


@pytest.mark.parametrize("background", ["white", "#8fc0a0", "black"])
@pytest.mark.parametrize("new", [(255, 255, 255), (0, 0, 0), (128, 128, 128)])
def test_no_rim_of_the_old_background_is_left(background: str, new: tuple[int, int, int]) -> None:
    image, share = disc(background)
    found = foreground_mask(image)
    made = np.asarray(flatten(image, found.mask, new, found.background), dtype=float)
    truth = share[..., None] * np.array((20, 60, 160)) + (1 - share[..., None]) * np.array(new)
    edge = (share > 0) & (share < 1)
    assert np.abs(made - truth).max(axis=2)[edge].mean() < 6


def test_without_a_known_background_the_edge_takes_the_figures_colours() -> None:
    image, share = disc("white")
    mask = Image.fromarray((share * 255).round().astype(np.uint8))
    edge = (share > 0) & (share < 1)
    made = np.asarray(flatten(image, mask, (0, 0, 0)), dtype=float)
    assert np.abs(made - share[..., None] * np.array((20, 60, 160))).max(axis=2)[edge].mean() < 6


def test_a_sky_that_fades_goes_on_row_by_row_and_a_cut_figure_does_not() -> None:
    rows = np.linspace((90, 140, 220), (250, 220, 200), 300).astype(np.uint8)
    rows[200:] = (60, 130, 70)  # hills
    sky = Image.fromarray(rows[:, None].repeat(200, axis=1))
    sky.paste("firebrick", (70, 60, 130, 280))
    made = widened(sky, None)
    assert made is not None
    wider, alpha, left = made
    assert wider.size == (300, 300) and alpha is None and left == 50
    assert np.array_equal(np.asarray(wider)[:, 50:250], np.asarray(sky))
    assert np.array_equal(np.asarray(wider)[:, 0], rows) and np.array_equal(
        np.asarray(wider)[:, -1], rows
    )
    sky.paste("firebrick", (197, 60, 200, 120))  # a hand at the edge, an outline before it
    assert widened(sky, None) is None


def test_a_tall_picture_is_widened_with_its_own_background_and_others_are_left() -> None:
    tall = disc("#8fc0a0", 0)[0].crop((40, 0, 160, 200))
    made = widened(tall, None)
    assert made is not None
    image, alpha, left = made
    assert (image.size, alpha, left) == ((200, 200), None, 40)
    assert image.crop((40, 0, 160, 200)).tobytes() == tall.tobytes() and image.getpixel(
        (3, 100)
    ) == (0x8F, 0xC0, 0xA0)
    assert widened(disc()[0], None) is None, "it is square"
    assert widened(disc()[0].crop((60, 0, 140, 200)), None) is None, "the figure touches the sides"
    lively = Image.fromarray(
        np.random.default_rng(0).integers(0, 255, (200, 100, 3), dtype=np.uint8)
    )
    assert widened(lively, None) is None
    clear = Image.new("L", (100, 200), 0)
    ImageDraw.Draw(clear).ellipse((20, 20, 80, 180), fill=255)
    made = widened(lively, clear)
    assert made is not None and made[1] is not None
    assert made[1].getbbox() == (70, 20, 131, 181) and made[1].size == (200, 200)
