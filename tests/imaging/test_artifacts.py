"""Artifacts: planted in a drawing whose truth is known, found, placed, painted over."""

from __future__ import annotations

import io
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from lib_singlelora.errors import SettingsError
from lib_singlelora.imaging.artifact_location import place_finder
from lib_singlelora.imaging.artifacts import chosen, clean, find_artifacts, placed
from lib_singlelora.imaging.background import foreground_mask
from lib_singlelora.imaging.colour import name_of, to_lab
from lib_singlelora.sheets.artifact_sheet import draw_artifacts

pytest.importorskip("cv2", reason="needs OpenCV")
EXAMPLES = Path(__file__).parents[2] / "examples"
BLUE = (40, 70, 230)
# Where on the drawing, its size, the place, and one tag that it provokes.
SPOTS = (
    ((232, 600, 5, 5), "hair", "multicolored hair"),
    ((240, 350, 4, 2), "hair", "multicolored hair"),
    ((400, 350, 3, 2), "face", "facial mark"),
    ((350, 110, 2, 4), "clothes", "stain"),
    ((100, 500, 4, 3), "background", "sparkle"),
    ((300, 420, 5, 5), "face", "facial mark"),
)


@cache
def isabella() -> Image.Image:
    with Image.open(EXAMPLES / "isabella.png") as image:
        return image.convert("RGB")


@cache
def specked() -> Image.Image:
    image = isabella().copy()
    pen = ImageDraw.Draw(image)
    for (x, y, wide, high), _, _ in SPOTS:
        pen.rectangle((x, y, x + wide - 1, y + high - 1), fill=BLUE)
    return image


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    data = io.BytesIO()
    image.save(data, "JPEG", quality=quality)
    return Image.open(data).convert("RGB")


def test_a_clean_drawing_has_none() -> None:
    assert find_artifacts(isabella()).artifacts == ()


def test_planted_spots_are_found_with_their_place_and_what_they_provoke() -> None:
    image = specked()
    found = placed(find_artifacts(image), place_finder(image, foreground_mask(image).mask))
    assert [artifact.name for artifact in found.artifacts] == [
        str(number) for number in range(1, len(SPOTS) + 1)
    ]
    by_corner = {artifact.box[:2]: artifact for artifact in found.artifacts}
    for (x, y, wide, high), place, tag in SPOTS:
        artifact = by_corner[x, y]
        assert (artifact.area, artifact.colour, artifact.place) == (wide * high, "blue", place)
        assert tag in artifact.tags


def test_cleaning_brings_the_drawing_back_and_touches_nothing_else() -> None:
    image = specked()
    found = find_artifacts(image)
    mended = np.asarray(clean(image, found, chosen(found, "all")), dtype=int)
    truth = np.asarray(isabella(), dtype=int)
    given = np.asarray(image, dtype=int)
    error = np.abs(mended - truth).max(axis=2)
    assert error.mean() < 0.01 and (error > 30).sum() <= 12  # one spot lies across an outline
    changed = np.abs(mended - given).max(axis=2) > 0
    planted = np.abs(given - truth).max(axis=2) > 0
    near = np.asarray(Image.fromarray(planted).convert("L").filter(ImageFilter.MaxFilter(9))) > 0
    assert not (changed & ~near).any()


def test_chosen_ones_alone_are_cleaned() -> None:
    image = specked()
    found = find_artifacts(image)
    names = chosen(found, "1, 3")
    assert names == ("1", "3")
    left = find_artifacts(clean(image, found, names)).artifacts
    assert {artifact.box for artifact in left} == {
        artifact.box for artifact in found.artifacts if artifact.name not in names
    }


def test_the_words_of_the_setting_mean_what_they_say() -> None:
    found = find_artifacts(specked())
    assert chosen(found, "off") == () == chosen(found, "ringing,jpeg")
    assert (
        chosen(found, "all")
        == chosen(found, "stray")
        == tuple(str(n) for n in range(1, len(SPOTS) + 1))
    )
    with pytest.raises(SettingsError, match=rf"found 9, .*numbers from 1 to {len(SPOTS)}"):
        chosen(found, "1,9")
    with pytest.raises(SettingsError, match="no stray colours"):
        chosen(find_artifacts(isabella()), "1")


def kinds(image: Image.Image, saved: Image.Image | None = None) -> set[str]:
    return {artifact.kind for artifact in find_artifacts(image, saved).artifacts}


def test_halos_of_sharpening_and_of_enlarging_are_found_and_cleaned() -> None:
    for image in (
        isabella().filter(ImageFilter.UnsharpMask(2, 100, 0)),
        isabella()
        .resize((256, 384), Image.Resampling.LANCZOS)
        .resize((768, 1152), Image.Resampling.LANCZOS),
    ):
        assert "ringing" in kinds(image)
        found = find_artifacts(image)
        mended = clean(image, found, ["ringing"])
        truth = np.asarray(isabella(), dtype=int)
        assert found.ringing is not None
        before, after = (
            np.abs(np.asarray(i, dtype=int) - truth)[found.ringing.mask].mean()
            for i in (image, mended)
        )
        assert after < 0.65 * before


@pytest.mark.parametrize("quality", [90, 75, 50])
def test_jpeg_s_traces_are_found_on_any_grid_and_smoothed(quality: int) -> None:
    image = jpeg(isabella(), quality)
    assert "jpeg" in kinds(image)
    assert "jpeg" in kinds(image.crop((3, 5, 700, 1000)))
    found = find_artifacts(image)
    truth = np.asarray(isabella(), dtype=int)
    before, after = (
        np.abs(np.asarray(i, dtype=int) - truth).mean()
        for i in (image, clean(image, found, ["jpeg"]))
    )
    assert after < 0.8 * before


def test_jpeg_s_grid_is_looked_for_in_the_picture_as_it_was_saved() -> None:
    small = jpeg(isabella().resize((384, 576), Image.Resampling.LANCZOS), 70)
    large = small.resize((768, 1152), Image.Resampling.LANCZOS)
    assert "jpeg" in kinds(large, small)


def test_the_sheet_shows_rings_and_the_after_beside_the_before() -> None:
    image = specked()
    found = placed(find_artifacts(image), lambda box, around: "hair")
    plain = draw_artifacts(image, found)
    both = draw_artifacts(
        image, found, clean(image, found, chosen(found, "all")), chosen(found, "all")
    )
    assert both.width > plain.width
    red = (np.abs(np.asarray(plain, dtype=int) - (220, 38, 38)).max(axis=2) < 10).sum()
    assert red > 200


def test_a_search_can_be_stopped() -> None:
    def each(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        find_artifacts(isabella(), each=each)


@pytest.mark.parametrize(
    ("colour", "name"),
    [
        ("#000000", "black"),
        ("#ffffff", "white"),
        ("#808080", "grey"),
        ("#2846e6", "blue"),
        ("#d03030", "red"),
        ("#f8d978", "yellow"),
        ("#409a55", "green"),
        ("#875a3c", "brown"),
        ("#f8a0c0", "pink"),
        ("#7030a0", "purple"),
        ("#ffe0cc", "beige"),
        ("#ff8c00", "orange"),
    ],
)
def test_colours_have_their_plain_names(colour: str, name: str) -> None:
    assert name_of(to_lab(Image.new("RGB", (1, 1), colour))[0, 0]) == name
