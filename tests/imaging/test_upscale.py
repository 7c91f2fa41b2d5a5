from __future__ import annotations

from PIL import Image

from lib_singlelora.imaging.upscale import enlarge


class Doubler:
    """An upscaler of fixed scale, as most model files are."""

    name = "doubler"

    def upscale(self, image: Image.Image, scale: float) -> Image.Image:
        return image.resize((image.width * 2, image.height * 2), Image.Resampling.NEAREST)


def test_the_long_side_reaches_the_asked_length_and_the_alpha_goes_along() -> None:
    image, alpha, note = enlarge(Image.new("RGB", (100, 60)), Image.new("L", (100, 60), 255), 250)
    assert image.size == (250, 150)
    assert alpha is not None
    assert alpha.size == (250, 150)
    assert "Lanczos" in note


def test_a_picture_that_is_large_enough_is_left_alone() -> None:
    given = Image.new("RGB", (100, 60))
    image, alpha, note = enlarge(given, None, 100)
    assert image is given
    assert alpha is None
    assert note == ""


def test_an_upscaler_of_fixed_scale_is_brought_to_the_asked_size() -> None:
    image, _, note = enlarge(Image.new("RGB", (100, 60), "red"), None, 250, Doubler())
    assert image.size == (250, 150)
    assert image.getpixel((9, 9)) == (255, 0, 0)
    assert "doubler" in note
