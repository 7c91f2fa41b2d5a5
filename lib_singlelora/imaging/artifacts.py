"""Artifacts: what does not belong to the drawing is found, named and cleaned.

Three kinds: stray colours (numbered 1, 2, …), 'ringing' beside edges, and 'jpeg' for JPEG's blocks
and noise.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from PIL import Image

from ..errors import MissingPackageError, SettingsError
from .boxes import PixelBox
from .colour import name_of
from .compression_artifacts import (
    BLOCKY,
    Debris,
    blockiness,
    clean_blocks,
    clean_ringing,
    find_ringing,
)
from .specks import Labels, find_specks
from .spot_removal import paint_over

RINGING = "ringing"
JPEG = "jpeg"
STRAY = "stray"
# A larger picture is reduced to this before it is searched, so that memory and time stay bounded.
MOST_PIXELS = 16_000_000


@dataclass(frozen=True)
class Artifact:
    """One artifact.

    name: what a setting calls it: a number, 'ringing' or 'jpeg'.
    kind: STRAY, RINGING or JPEG.
    area: pixels.
    contrast: ΔE from its surroundings, for stray colours.
    colour, around: names of its colour and of its surroundings', for stray colours.
    place: where on the figure.
    tags: what a tagger may take it for.
    """

    name: str
    kind: str
    box: PixelBox
    area: int
    contrast: float = 0.0
    colour: str = ""
    around: str = ""
    place: str = ""
    tags: tuple[str, ...] = ()

    @property
    def sentence(self) -> str:
        """One line for the user."""
        provoked = f"; may be tagged {', '.join(self.tags)}" if self.tags else ""
        if self.kind == STRAY:
            where = f" in the {self.place}" if self.place else ""
            return (
                f"{self.colour} on {self.around}, {self.area} px at"
                f" {self.box[0]},{self.box[1]}{where}{provoked}"
            )
        if self.kind == RINGING:
            return f"halos beside edges, {self.area} px{provoked}"
        return f"JPEG blocks and noise{provoked}"


@dataclass(frozen=True)
class Found:
    """The artifacts of one picture.

    labels: the number of the stray colour at each pixel, 0 for none; (H, W).
    ringing: where halos are; None without any.
    scale: how far the picture was enlarged since it was saved.
    """

    artifacts: tuple[Artifact, ...]
    labels: Labels
    ringing: Debris | None = None
    scale: float = 1.0


def opencv() -> Any:
    """The OpenCV module.  Raises: MissingPackageError."""
    try:
        import cv2
    except ImportError:
        raise MissingPackageError(
            "artifacts are found with OpenCV, which is missing; install it with python -m pip"
            " install 'opencv-python-headless<5', or set prepare.clean_artifacts to off"
        ) from None
    return cv2


def find_artifacts(
    image: Image.Image,
    saved: Image.Image | None = None,
    each: Callable[[int, int], None] | None = None,
) -> Found:
    """The artifacts of a picture, the most striking stray colour first.

    image: RGB, enlarged.
    saved: the picture as its file holds it, in which JPEG's grid is looked for; default the image.
    each: called with (done, total); may raise to stop.
    Raises: MissingPackageError, without OpenCV.
    """
    cv2 = opencv()
    saved = saved or image
    factor = min(1.0, (MOST_PIXELS / (image.width * image.height)) ** 0.5)
    size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
    searched = image if factor == 1 else image.resize(size, Image.Resampling.BOX)
    specks, labels = find_specks(cv2, searched, each)
    if factor != 1:
        labels = cv2.resize(labels, image.size, interpolation=cv2.INTER_NEAREST)
    specks.sort(key=lambda speck: -speck.contrast * speck.area**0.5)
    numbers = np.zeros(int(labels.max()) + 1, dtype=np.int32)
    artifacts = []
    for number, speck in enumerate(specks, 1):
        numbers[speck.number] = number
        colour, around = (
            name_of(np.asarray(lab, dtype=np.float32)) for lab in (speck.colour, speck.around)
        )
        left, top, right, bottom = (round(value / factor) for value in speck.box)
        artifacts.append(
            Artifact(
                str(number),
                STRAY,
                (left, top, right, bottom),
                round(speck.area / factor**2),
                round(speck.contrast, 1),
                colour,
                around,
            )
        )
    whole = (0, 0, *image.size)
    ringing = find_ringing(cv2, image)
    if ringing:
        area = int(ringing.mask.sum())
        artifacts.append(
            Artifact(RINGING, RINGING, whole, area, tags=("white outline", "chromatic aberration"))
        )
    if blockiness(saved) > BLOCKY:
        artifacts.append(
            Artifact(JPEG, JPEG, whole, image.width * image.height, tags=("jpeg artifacts",))
        )
    return Found(tuple(artifacts), numbers[labels], ringing, image.width / saved.width)


def chosen(found: Found, wish: str) -> tuple[str, ...]:
    """The names of the artifacts that a setting selects.

    wish: off, all, stray, ringing, jpeg, or several of these words and numbers with commas.
    Raises: SettingsError, for an unknown word or number.
    """
    known = {artifact.name: artifact.kind for artifact in found.artifacts}
    names: set[str] = set()
    for word in re.findall(r"[^\s,]+", wish.lower()):
        if word == "all":
            names |= known.keys()
        elif word == STRAY:
            names |= {name for name, kind in known.items() if kind == STRAY}
        elif word in known:
            names.add(word)
        elif word not in ("off", RINGING, JPEG):
            last = sum(kind == STRAY for kind in known.values())
            numbers = (
                f"or numbers from 1 to {last}"
                if last
                else "and no number, as this picture has no stray colours"
            )
            raise SettingsError(
                f"prepare.clean_artifacts: found {word}, expected off, all, stray, ringing, jpeg"
                f" {numbers}; source/artifacts.png shows what there is when it is off"
            )
    return tuple(artifact.name for artifact in found.artifacts if artifact.name in names)


def clean(image: Image.Image, found: Found, names: Collection[str]) -> Image.Image:
    """The picture without the named artifacts; everything else stays as it is."""
    cv2 = opencv()
    spots = [int(name) for name in names if name.isdecimal()]
    if spots:
        # A soft spot reaches a little further than it stands out.
        around = np.ones((5, 5), np.uint8)
        image = paint_over(
            cv2,
            image,
            cv2.dilate(np.isin(found.labels, spots).astype(np.uint8), around) > 0,
            found.labels > 0,
        )
    if JPEG in names:
        image = clean_blocks(cv2, image, found.scale)
    if RINGING in names and found.ringing:
        image = clean_ringing(cv2, image, found.ringing.mask)
    return image


def placed(found: Found, place_of: Callable[[PixelBox, str], str]) -> Found:
    """The same with the place of each spot, and the tags that it may provoke there.

    place_of: gives the place of a box with a colour around it.
    """
    artifacts = []
    for artifact in found.artifacts:
        if artifact.kind == STRAY:
            place = place_of(artifact.box, artifact.around)
            artifact = replace(artifact, place=place, tags=provoked(place, artifact.colour))
        artifacts.append(artifact)
    return replace(found, artifacts=tuple(artifacts))


def provoked(place: str, colour: str) -> tuple[str, ...]:
    """The tags that a tagger may give for a spot of a colour at a place."""
    if place == "hair":
        return ("multicolored hair", "streaked hair", f"{colour} hair")
    if place == "eyes":
        return ("heterochromia", "multicolored eyes", f"{colour} eyes")
    if place in ("face", "skin"):
        if colour == "red":
            return ("blood", "facial mark") if place == "face" else ("blood", "injury")
        if colour in ("black", "brown", "grey"):
            return ("mole", "freckles")
        return ("facial mark",) if place == "face" else ("tattoo",)
    if place == "background":
        return ("sparkle", "confetti")
    return ("print clothes", "stain", f"{colour} trim")
