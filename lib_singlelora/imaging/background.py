"""Telling the character from the background."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from ..errors import MissingPackageError, PictureError, SettingsError
from .face_by_colour import find_face
from .figure_count import only_one
from .figure_cut import cut_figure
from .mask_refinement import refine
from .segments import noise_of, to_lab

logger = logging.getLogger(__name__)

# Largest difference in any channel that still is the background's colour; JPEG noise is below.
FLAT_TOLERANCE = 16
FLAT_SHARE = 0.6  # Share of the picture's border that must have that colour.
WORKING_SIDE = 2048
GRABCUT_SIDE = 512
SURE = 0.85  # confidence from which on a mask may be trained on unseen
PHOTOGRAPHED = 0.8  # ΔE between neighbours, from which on a picture may be a photograph
GUESS = 0.3  # confidence of GrabCut, which says nothing of itself
COLOURS = {"white": (255, 255, 255), "grey": (128, 128, 128)}
Mask = NDArray[np.bool_]
Colour = tuple[int, int, int]


class MaskModel(Protocol):
    """What finds a mask by itself, such as `matting.MattingModel`."""

    def mask(self, image: Image.Image) -> Image.Image:
        """L, as large as the picture, 255 is the character."""
        ...


@dataclass(frozen=True)
class Foreground:
    """mask: L, as large as the picture, 255 is the character.  method: how it was found.

    reliable: good enough to replace the background by it; otherwise it only tells where the
        character is.
    background: the colour that it had around the character, where that is known.
    notes: what the user should know of it.
    confidence: 0 to 1, how sure it is that the mask is the character's outline.
    """

    mask: Image.Image
    method: str
    reliable: bool
    background: Colour | None = None
    notes: tuple[str, ...] = ()
    confidence: float = 1.0

    @property
    def sure(self) -> bool:
        """Whether the mask may be trained on without a look at it."""
        return self.confidence >= SURE


def foreground_mask(
    image: Image.Image,
    alpha: Image.Image | None = None,
    method: str = "auto",
    model: MaskModel | None = None,
) -> Foreground:
    """Where the character is.

    image: RGB.
    alpha: L of the same size, or None.
    method: auto (the file's transparency, else the model, else a flat background, else scenery
        region by region, else GrabCut, else a plain box), transparency, model, flat, scenery,
        grabcut, or none (all is the character).
    Raises: PictureError, SettingsError, MissingPackageError, when the method that was asked for
    does not work here.
    """
    if method == "none":
        return Foreground(
            Image.new("L", image.size, 255), "none: everything is the character", False
        )
    if alpha is not None and method in ("auto", "transparency"):
        mask, notes = only_one(alpha)
        # `load_picture` lays it over white.
        return Foreground(mask, "transparency of the file", True, COLOURS["white"], notes)
    if model is not None and method in ("auto", "model"):
        mask, notes = only_one(model.mask(image))
        return Foreground(mask, "matting model", True, None, notes)
    if method == "auto":
        return _found_out(image)
    if method == "flat" and (flat := _flat_background(image)) is not None:
        return _flat(flat)
    if method == "scenery" and (cut := _scenery(image)) is not None:
        return Foreground(cut[0], "scenery, region by region", True, None, _warned(cut[1]), cut[1])
    if method == "grabcut" and (found := _grabcut(image, True)) is not None:
        return Foreground(found, "GrabCut", True, None, _warned(GUESS), GUESS)
    raise _not_found(method)


def _found_out(image: Image.Image) -> Foreground:
    """The mask by what the picture is like."""
    flat = _flat_background(image)
    if flat is not None and flat[2]:
        return _flat(flat)
    if flat is None and _photographed(image) and (photograph := _grabcut(image)) is not None:
        return Foreground(
            photograph,
            "GrabCut (approximate; the background is kept)",
            False,
            None,
            _warned(GUESS),
            GUESS,
        )
    cut = _scenery(image)
    # Where the lower part of the border has other colours, the flat one may be a sky, or a figure
    # is cut by the lower edge.
    if flat is not None and (cut is None or not _sky(flat[0], cut)):
        return _flat(flat)
    if cut is not None:
        return Foreground(
            cut[0],
            "scenery, region by region (the background is kept)",
            False,
            None,
            _warned(cut[1]),
            cut[1],
        )
    found = _grabcut(image)
    if found is not None:
        return Foreground(
            found,
            "GrabCut (approximate; the background is kept)",
            False,
            None,
            _warned(GUESS),
            GUESS,
        )
    return Foreground(
        _box(image.size),
        "a plain box, because the background is not flat",
        False,
        None,
        _warned(0.0),
        0.0,
    )


def _photographed(image: Image.Image) -> bool:
    """Whether the picture is a photograph of a face: no flat surfaces, and OpenCV's cascade sees
    one.
    """
    try:
        import cv2
    except ImportError:
        return False
    small = image.convert("RGB")
    small.thumbnail((GRABCUT_SIDE, GRABCUT_SIDE))
    pixels = np.asarray(small)
    if noise_of(to_lab(pixels)) < PHOTOGRAPHED:
        return False
    return _largest_face(cv2, np.ascontiguousarray(pixels[..., ::-1])) is not None


def _flat(found: tuple[Image.Image, Colour, bool]) -> Foreground:
    mask, notes = only_one(found[0])
    return Foreground(mask, "flat background", True, found[1], notes)


def _warned(confidence: float) -> tuple[str, ...]:
    if confidence >= SURE:
        return ()
    return (
        (
            f"warning: the mask is unsure ({confidence:.0%}): look at source/mask.png before"
            " training; if it is wrong, paint it, or set prepare.matting_model=isnet-anime and"
            " call 'prepare' again"
        ),
    )


def _sky(flat: Image.Image, cut: tuple[Image.Image, float]) -> bool:
    """Whether what a flat background leaves is much more than the figure that was cut out of it."""
    left, figure = (np.asarray(mask) > 127 for mask in (flat, cut[0]))
    both = float((left & figure).sum())
    return cut[1] >= 0.3 and both > 0.7 * figure.sum() and both < 0.8 * left.sum()


def _scenery(image: Image.Image) -> tuple[Image.Image, float] | None:
    """(mask, confidence) by regions; None where nothing stands out."""
    cut = cut_figure(image)
    if cut is None or not 0.003 < cut.mask.mean() < 0.97:
        return None
    coarse = Image.fromarray(np.where(cut.mask, 255, 0).astype(np.uint8)).resize(
        image.size, Image.Resampling.BICUBIC
    )
    return refine(coarse, image, 1 / cut.scale), cut.confidence


def _not_found(method: str) -> PictureError | SettingsError:
    if method == "model":
        return SettingsError(
            "prepare.mask: found 'model' without one, expected an ONNX file in"
            " prepare.matting_model; give it, or choose auto"
        )
    what = {
        "transparency": "no transparency in the file",
        "flat": "no background of one colour along the border",
        "scenery": "nothing that stands out from its surroundings",
        "grabcut": "nothing that GrabCut could cut out",
    }[method]
    return PictureError(
        f"prepare.mask={method}: found {what}, expected it; choose another prepare.mask, or auto"
    )


def parse_colour(text: str) -> Colour:
    """The colour that a setting means: white, grey or #rrggbb.  Raises: SettingsError."""
    if text in COLOURS:
        return COLOURS[text]
    if not re.fullmatch(r"#[0-9a-fA-F]{6}", text):
        raise SettingsError(
            f"prepare.background: found {text!r}, expected white, grey, keep or a colour such as"
            " #8fc0a0"
        )
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def flatten(
    image: Image.Image,
    mask: Image.Image,
    colour: Colour = (255, 255, 255),
    background: Colour | None = None,
) -> Image.Image:
    """The character on a plain colour.

    mask: L, 255 keeps the picture.
    background: the colour that was around her.  Edge pixels are mixtures with it, so her own part
        of them is worked out, else they would be a rim of the old colour; without it, her colours
        nearby are taken.
    """
    share = np.asarray(mask, dtype=np.float32)[..., None] / 255
    pixels = np.asarray(image, dtype=np.float32)
    edge = (share[..., 0] > 0) & (share[..., 0] < 1)
    if edge.any():
        if background is not None:
            mixed = (pixels - (1 - share) * np.array(background, np.float32)) / np.maximum(
                share, 0.1
            )
            own = np.clip(mixed, 0, 255).astype(np.float32)
        else:
            own = _own_colours(image, mask)
        pixels = np.where(edge[..., None], own, pixels)
    return Image.fromarray(
        np.rint(pixels * share + np.array(colour, np.float32) * (1 - share)).astype(np.uint8)
    )


def _own_colours(image: Image.Image, mask: Image.Image) -> NDArray[np.float32]:
    """For each pixel the mean of the colours nearby that are surely hers, or its own where there
    are none.
    """
    radius = max(2, round(max(image.size) / 400))
    sure = mask.point(lambda value: 255 if value >= 250 else 0)
    black = Image.new("RGB", image.size)
    blur = ImageFilter.GaussianBlur(radius)
    weight = np.asarray(sure.filter(blur), dtype=np.float32)[..., None] / 255
    sums = np.asarray(Image.composite(image, black, sure).filter(blur), dtype=np.float32)
    found: NDArray[np.float32] = np.where(
        weight > 0.02, sums / np.maximum(weight, 0.02), np.asarray(image, dtype=np.float32)
    )
    return np.clip(found, 0, 255)


def background_colour(image: Image.Image) -> Colour | None:
    """The one colour along the picture's border, or None."""
    flat = _flat_background(image)
    return flat[1] if flat else None


def widened(
    image: Image.Image, alpha: Image.Image | None
) -> tuple[Image.Image, Image.Image | None, int] | None:
    """A tall RGB picture with its own background at both sides, square now; its alpha; and where
    its old left edge lies.

    None where it is not tall, or where what would be gone on with is not plain: no one colour
    around her, or she touches a side.
    """
    wide, high = image.size
    colour = (255, 255, 255) if alpha is not None else background_colour(image)
    edges = [(x, 0, x + 1, high) for x in (0, wide - 1)]
    if wide >= high or colour is None:
        return None
    if alpha is not None:
        plain = all(alpha.crop(edge).getextrema()[1] == 0 for edge in edges)
    else:
        plain = all(
            (
                np.abs(np.asarray(image.crop(edge), dtype=np.int16) - colour) <= 2 * FLAT_TOLERANCE
            ).all()
            for edge in edges
        )
    if not plain:
        return None
    left = (high - wide) // 2
    wider = Image.new("RGB", (high, high), colour)
    wider.paste(image, (left, 0))
    if alpha is None:
        return wider, None, left
    wider_alpha = Image.new("L", (high, high), 0)
    wider_alpha.paste(alpha, (left, 0))
    return wider, wider_alpha, left


def _flat_background(image: Image.Image) -> tuple[Image.Image, Colour, bool] | None:
    """Mask by flood from the border with antialiased edges, the colour, and whether all of the
    border has it.

    A figure that the lower edge cuts may stand on that edge.  None when the border has no one
    colour.
    """
    scale = min(1.0, WORKING_SIDE / max(image.size))
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    small = image.resize(size, Image.Resampling.BOX) if scale < 1 else image
    pixels = np.asarray(small, dtype=np.int16)
    border = np.concatenate(
        [
            pixels[:2].reshape(-1, 3),
            pixels[-2:].reshape(-1, 3),
            pixels[:, :2].reshape(-1, 3),
            pixels[:, -2:].reshape(-1, 3),
        ]
    )
    colour = np.median(border, axis=0).astype(np.int16)
    if (np.abs(border - colour).max(axis=1) <= FLAT_TOLERANCE).mean() < FLAT_SHARE:
        return None
    distance = np.abs(pixels - colour).max(axis=2)
    alike = distance <= FLAT_TOLERANCE
    background = flood_from_border(alike)
    if not 0.005 <= 1 - background.mean() <= 0.98:
        return None
    mask = Image.fromarray(_soft_edge(background, distance))
    found = (int(colour[0]), int(colour[1]), int(colour[2]))
    low = max(1, round(0.03 * size[1]))
    around = [alike[0], alike[:-low, 0], alike[:-low, -1]]
    whole = bool(np.concatenate(around).mean() > 0.97 and min(edge.mean() for edge in around) > 0.9)
    return (
        (mask if mask.size == image.size else mask.resize(image.size, Image.Resampling.BICUBIC)),
        found,
        whole,
    )


def _soft_edge(background: Mask, distance: NDArray[np.int16]) -> NDArray[np.uint8]:
    """0 in the background, 255 inside; near the edge the share of the colour that lies a little
    further inside.

    An edge pixel is a mixture: half as far from the background's colour as what is behind the edge
    is half of it.
    """
    hard = Image.fromarray(np.where(background, 0, 255).astype(np.uint8))
    inner = np.asarray(hard.filter(ImageFilter.MinFilter(5))) == 255
    # Its faintest pixels pass for background
    strip = np.asarray(hard.filter(ImageFilter.MaxFilter(3))) == 255
    far = Image.fromarray(np.clip(distance, 0, 255).astype(np.uint8)).filter(
        ImageFilter.MaxFilter(5)
    )
    whole = np.maximum(np.asarray(far, dtype=np.float32), 4 * FLAT_TOLERANCE)
    noise = FLAT_TOLERANCE / 4
    share = np.clip((distance - noise) / (whole - noise), 0, 1) * 255
    return np.where(inner, 255, np.where(strip, np.rint(share), 0)).astype(np.uint8)


def flood_from_border(passable: Mask) -> Mask:
    """The passable pixels that hang together with the border by their sides.

    Whole runs are filled at once, by rows and columns in turn, until nothing changes.
    """
    reached = np.zeros_like(passable)
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        reached[edge] = passable[edge]
    runs = [_run_numbers(passable), _run_numbers(passable.T)]
    found = -1
    while (now := int(reached.sum())) != found:
        found = now
        reached = _fill_runs(passable, reached, runs[0])
        reached = _fill_runs(passable.T, reached.T, runs[1]).T
    return reached


def _run_numbers(passable: Mask) -> NDArray[np.int64]:
    """A number for each horizontal run of passable pixels, the same within the run."""
    blocked: Mask = np.logical_not(passable)
    blocked[:, 0] = True  # A run never goes on from one row to the next.
    return np.cumsum(blocked, dtype=np.int64).reshape(passable.shape)


def _fill_runs(passable: Mask, reached: Mask, runs: NDArray[np.int64]) -> Mask:
    touched = np.zeros(int(runs[-1, -1]) + 1, dtype=bool)
    touched[runs[reached]] = True
    filled: Mask = passable & touched[runs]
    return filled


def _grabcut(image: Image.Image, asked: bool = False) -> Image.Image | None:
    """Mask by OpenCV's GrabCut, started from a face where one is found; None without a result, or
    without OpenCV unless asked.
    """
    try:
        import cv2
    except ImportError:
        if asked:
            raise MissingPackageError(
                "GrabCut needs OpenCV, which is missing; install it with python -m pip install "
                "'opencv-python-headless<5', or choose another prepare.mask"
            ) from None
        return None
    scale = min(1.0, GRABCUT_SIDE / max(image.size))
    size = max(8, round(image.width * scale)), max(8, round(image.height * scale))
    pixels: Any = np.ascontiguousarray(
        np.asarray(image.resize(size, Image.Resampling.BOX))[..., ::-1]
    )
    labels = _first_guess(cv2, pixels)
    cv2.setRNGSeed(0)
    try:
        cv2.grabCut(
            pixels, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK
        )
    except cv2.error as error:  # A picture of one colour has nothing to cut.
        logger.info("GrabCut failed: %s", error)
        return None
    mask = np.isin(labels, (cv2.GC_FGD, cv2.GC_PR_FGD)).astype(np.uint8)
    mask = cv2.morphologyEx(mask, cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    count, parts, stats, _ = cv2.connectedComponentsWithStats(mask)
    if count < 2:
        return None
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    body = ~flood_from_border(np.pad(parts != largest, ((1, 0), (1, 1)), constant_values=True))[
        1:, 1:-1
    ]
    if not 0.03 <= body.mean() <= 0.95:
        return None
    coarse = Image.fromarray(np.where(body, 255, 0).astype(np.uint8)).resize(
        image.size, Image.Resampling.BICUBIC
    )
    return refine(coarse, image, 1 / scale)


def _first_guess(cv2: Any, pixels: Any) -> NDArray[np.uint8]:
    """GrabCut's labels to start from: head and body below the largest face, else all but a margin.

    The lower edge is left open in both, because it may cut the character.
    """
    height, width = pixels.shape[:2]
    face = _largest_face(cv2, pixels) or _drawn_face(pixels)
    side, top = max(1, round(width * 0.06)), max(1, round(height * 0.03))
    if face is None:
        labels = np.full((height, width), cv2.GC_PR_FGD, np.uint8)
        labels[:top] = labels[:, :side] = labels[:, -side:] = cv2.GC_BGD
        return labels
    x, y, w, h = face
    labels = np.full((height, width), cv2.GC_BGD, np.uint8)

    def paint(left: float, upper: float, right: float, lower: float, label: int) -> None:
        labels[
            max(0, round(y + upper * h)) : max(0, round(y + lower * h)),
            max(0, round(x + left * w)) : max(0, round(x + right * w)),
        ] = label

    paint(-1.6, 0.9, 2.6, 99, cv2.GC_PR_BGD)
    paint(-0.6, -0.7, 1.6, 1.2, cv2.GC_PR_BGD)
    paint(-0.9, 1.5, 1.9, 99, cv2.GC_PR_FGD)
    paint(-0.25, -0.4, 1.25, 1.5, cv2.GC_PR_FGD)
    paint(0.1, 0.05, 0.9, 1.0, cv2.GC_FGD)
    paint(0.3, 1.0, 0.7, 3.0, cv2.GC_FGD)
    return labels


def _drawn_face(pixels: Any) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) by the skin's colours, as high as it is wide."""
    image = Image.fromarray(pixels[..., ::-1])
    face = find_face(image, Image.new("L", image.size, 255))
    if face is None:
        return None
    left, top, right, chin = face
    high = max(chin - top, round(0.95 * (right - left)))
    return left, chin - high, right - left, high


def _largest_face(cv2: Any, pixels: Any) -> tuple[int, int, int, int] | None:
    """(left, top, width, height) by the frontal-face cascade that comes with OpenCV (not with
    version 5).
    """
    if not hasattr(cv2, "CascadeClassifier"):
        return None
    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    smallest = max(20, min(pixels.shape[:2]) // 12)
    found = cascade.detectMultiScale(
        cv2.cvtColor(pixels, cv2.COLOR_BGR2GRAY), 1.1, 8, minSize=(smallest, smallest)
    )
    if not len(found):
        return None
    x, y, w, h = (int(value) for value in max(found, key=lambda face: int(face[2])))
    return x, y, w, h


def _box(size: tuple[int, int]) -> Image.Image:
    """A box in the middle, down to the lower edge."""
    width, height = size
    mask = Image.new("L", size, 0)
    mask.paste(255, (round(width * 0.1), round(height * 0.05), round(width * 0.9), height))
    return mask
