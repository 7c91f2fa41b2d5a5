"""Telling the character from the background."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image, ImageChops

from ..errors import PictureError, SettingsError
from .backdrop import COLOURS
from .backdrop_shape import BackdropShape
from .figure_count import only_one
from .figure_cut import Cut, cut_figure
from .flat_background import Colour, FlatBackground, find_flat_background
from .grabcut import grabcut, is_photographed_face
from .mask_refinement import refine

SURE = 0.85  # confidence from which on a mask may be trained on without a look at it
GRABCUT_CONFIDENCE = 0.3  # GrabCut gives none of its own
SHAPE_CONFIDENCE = 0.8  # at most, where a plain shape was taken from behind the figure


class MaskModel(Protocol):
    """A model that finds the mask by itself, such as `matting.MattingModel`."""

    def mask(self, image: Image.Image) -> Image.Image:
        """L, as large as the picture, 255 is the character."""
        ...


@dataclass(frozen=True)
class Foreground:
    """Where the character is.

    mask: L, as large as the picture, 255 is the character.
    method: how it was found, in words.
    reliable: True if the background may be replaced by it; else it only tells where the character
        is.
    background: the colour around the character, where that is known.
    notes: what the user should know of it.
    confidence: 0 to 1, how surely the mask is the character's outline.
    """

    mask: Image.Image
    method: str
    reliable: bool
    background: Colour | None = None
    notes: tuple[str, ...] = ()
    confidence: float = 1.0

    @property
    def sure(self) -> bool:
        """True if the mask may be trained on without a look at it."""
        return self.confidence >= SURE


def foreground_mask(
    image: Image.Image,
    alpha: Image.Image | None = None,
    method: str = "auto",
    model: MaskModel | None = None,
    estimate: bool = True,
) -> Foreground:
    """Where the character is.

    image: RGB.
    alpha: L of the same size, or None.
    method: auto (the file's transparency, else the model, else a flat background, else scenery
        region by region, else GrabCut, else a plain box), transparency, model, flat, scenery,
        grabcut, or none (everything is the character).
    estimate: False for a mask alone, whose confidence is left at 1: estimating it takes most of the
        time before scenery.
    Raises: PictureError, SettingsError, MissingPackageError, if the requested method does not work
        here.
    """
    if method == "none":
        everything = Image.new("L", image.size, 255)
        return Foreground(everything, "none: everything is the character", False)
    if alpha is not None and method in ("auto", "transparency"):
        mask, notes = only_one(alpha)
        # `load_picture` lays transparency over white.
        return Foreground(mask, "transparency of the file", True, COLOURS["white"], notes)
    if model is not None and method in ("auto", "model"):
        mask, notes = only_one(model.mask(image))
        return Foreground(mask, "matting model", True, None, notes)
    if method == "auto":
        return _by_kind_of_picture(image, estimate)
    if method == "flat" and (flat := find_flat_background(image)) is not None:
        return _from_flat(flat)
    if method == "scenery" and (scenery := _cut_from_scenery(image)) is not None:
        return _unsure(scenery.mask, "scenery, region by region", scenery.confidence, reliable=True)
    if method == "grabcut" and (cut := grabcut(image, required=True)) is not None:
        return _unsure(cut, "GrabCut", GRABCUT_CONFIDENCE, reliable=True)
    raise _nothing_found(method)


@dataclass(frozen=True)
class _SceneryCut:
    """A mask (L) cut out region by region."""

    mask: Image.Image
    cut: Cut

    @property
    def confidence(self) -> float:
        """0 to 1."""
        return self.cut.confidence


def _by_kind_of_picture(image: Image.Image, estimate: bool) -> Foreground:
    """The mask by the method that suits the picture."""
    flat = find_flat_background(image)
    if flat is not None and flat.whole:
        return _without_shape(image, flat) or _from_flat(flat)
    if flat is None and is_photographed_face(image):
        photograph = grabcut(image)
        if photograph is not None:
            return _from_grabcut(photograph)
    scenery = _cut_from_scenery(image)
    # Where the lower part of the border has other colours, the flat one may be a sky, or the lower
    # edge cuts the figure.
    if flat is not None and (scenery is None or not _is_sky(flat.mask, scenery)):
        return _from_flat(flat)
    if scenery is not None:
        method = "scenery, region by region (the background is kept)"
        return _unsure(scenery.mask, method, scenery.confidence if estimate else 1.0)
    mask = grabcut(image)
    if mask is not None:
        return _from_grabcut(mask)
    return _unsure(_middle(image.size), "a plain box, because the background is not flat", 0.0)


def _from_flat(flat: FlatBackground) -> Foreground:
    mask, notes = only_one(flat.mask)
    return Foreground(mask, "flat background", True, flat.colour, notes)


def _without_shape(image: Image.Image, flat: FlatBackground) -> Foreground | None:
    """The figure without the plain shape behind it, such as a wash of colour or a circle; None
    where there is none.
    """
    mask = BackdropShape(image, flat).figure()
    if mask is None:
        return None
    method = "before a plain shape on a flat background (which is kept)"
    return _unsure(ImageChops.darker(mask, flat.mask), method, SHAPE_CONFIDENCE)


def _from_grabcut(mask: Image.Image) -> Foreground:
    method = "GrabCut (approximate; the background is kept)"
    return _unsure(mask, method, GRABCUT_CONFIDENCE)


def _unsure(
    mask: Image.Image, method: str, confidence: float, reliable: bool = False
) -> Foreground:
    """A foreground with a warning if the confidence is low."""
    notes: tuple[str, ...] = ()
    if confidence < SURE:
        notes = (
            f"warning: the mask is unsure ({confidence:.0%}): look at source/mask.png before"
            " training; if it is wrong, paint it, or set prepare.matting_model=isnet-anime and"
            " call 'prepare' again",
        )
    return Foreground(mask, method, reliable, None, notes, confidence)


def _is_sky(flat: Image.Image, scenery: _SceneryCut) -> bool:
    """True if the flat background leaves much more than the figure that was cut out of it."""
    left = np.asarray(flat) > 127
    figure = np.asarray(scenery.mask) > 127
    both = float((left & figure).sum())
    # The confidence last: it takes the longest
    much_more = both > 0.7 * figure.sum() and both < 0.8 * left.sum()
    return bool(much_more and scenery.confidence >= 0.3)


def _cut_from_scenery(image: Image.Image) -> _SceneryCut | None:
    """The figure by regions; None where nothing stands out."""
    cut = cut_figure(image)
    if cut is None or not 0.003 < cut.mask.mean() < 0.97:
        return None
    coarse = Image.fromarray(np.where(cut.mask, 255, 0).astype(np.uint8)).resize(
        image.size, Image.Resampling.BICUBIC
    )
    return _SceneryCut(refine(coarse, image, 1 / cut.scale), cut)


def _nothing_found(method: str) -> PictureError | SettingsError:
    if method == "model":
        return SettingsError(
            "prepare.mask: found 'model' without a model, expected an ONNX file in"
            " prepare.matting_model; set it, or choose auto"
        )
    found, expected = {
        "transparency": ("an opaque file", "transparency"),
        "flat": ("several colours along the border", "a background of one colour"),
        "scenery": ("nothing that stands out", "a figure that differs from its surroundings"),
        "grabcut": ("nothing that GrabCut could cut out", "a figure"),
    }[method]
    return PictureError(
        f"prepare.mask={method}: found {found}, expected {expected}; choose another prepare.mask,"
        " or auto"
    )


def _middle(size: tuple[int, int]) -> Image.Image:
    """A box in the middle, down to the lower edge."""
    width, height = size
    mask = Image.new("L", size, 0)
    mask.paste(255, (round(width * 0.1), round(height * 0.05), round(width * 0.9), height))
    return mask
