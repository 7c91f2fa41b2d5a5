"""Whether the character may be mirrored: how alike both sides are, as a whole and in each crop.

The head is compared place by place with its mirror image, about the axis that fits best and with
some play, because a drawing is never exact; the light may come from one side, so brightness counts
half.  Of the body only the colours of both sides are compared, because a pose is not the character.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..imaging.boxes import PixelBox
from ..imaging.colour import Lab, distance, to_lab
from ..imaging.face_by_colour import find_face
from .views import Figure, measure

WORKING_SIDE = 384  # long side, pixels
OTHER = 18.0  # ΔE, the lightness halved: a place that differs more from its mirror image is unlike
OUTSIDE = (0.0, 90.0, 90.0)  # stands for the background: no drawing has this colour
PLAY = 0.035  # of the head's width
SYMMETRIC = 0.95  # share of the head that must have its like on the other side
FACE_SYMMETRIC = 0.93
ONE_SIDED = 0.7  # (more - less) / (more + less) of a colour on both sides of the body
NOTEWORTHY = 0.02  # share of the body that a colour needs to be compared
EYES = "eyes or face"
HAIR = "hair or headwear"
CLOTHES = "clothes"


@dataclass(frozen=True)
class Symmetry:
    """The symmetry of what a crop shows of the character.

    score: 0 to 1, share of it that has its like on the other side.
    flip: True if mirroring does no harm.
    differs: the parts that are not alike.
    sentence: the same for the user.
    """

    score: float
    flip: bool
    differs: tuple[str, ...]
    sentence: str

    def as_dict(self) -> dict[str, object]:
        """For a stage's record."""
        return {
            "score": self.score,
            "flip": self.flip,
            "differs": list(self.differs),
            "sentence": self.sentence,
        }


@dataclass(frozen=True)
class Sides:
    """A picture with the places that differ from the other side.

    unlike, solid: the places that differ, and the character, (h, w), reduced by `scale`.
    scale: pixels of the picture for one of these.
    zones: the box of each part, in the picture.
    """

    unlike: NDArray[np.bool_]
    solid: NDArray[np.bool_]
    scale: float
    zones: Mapping[str, PixelBox]

    def of(self, box: PixelBox | None = None) -> Symmetry:
        """The symmetry of what a box of the picture shows, or of the whole."""
        shares = {name: self._share(_common(zone, box)) for name, zone in self.zones.items()}
        shown = {name: share for name, share in shares.items() if share is not None}
        limits = {EYES: FACE_SYMMETRIC, HAIR: SYMMETRIC, CLOTHES: 1 - NOTEWORTHY}
        differs = tuple(name for name, share in shown.items() if share < limits[name])
        score = round(self._share(box) or 0.0, 3)
        if not shown:
            sentence = "nothing shown here tells the character's left from right"
        elif not differs:
            sentence = f"symmetric ({score:.0%}): it may be mirrored"
        else:
            parts = ", ".join(f"{name} ({shown[name]:.0%} alike)" for name in differs)
            sentence = f"not symmetric: {parts} differ; mirroring would teach both sides"
        return Symmetry(score, not differs, differs, sentence)

    def _share(self, box: PixelBox | None) -> float | None:
        """Share of the figure in a box that is alike; None where hardly any of it lies there."""
        height, width = self.solid.shape
        left, top, right, bottom = (
            (round(value / self.scale) for value in box) if box else (0, 0, width, height)
        )
        part = np.s_[top : max(top, bottom), left : max(left, right)]
        count = int(self.solid[part].sum())
        if count < 0.01 * self.solid.sum():
            return None
        return 1 - float((self.unlike & self.solid)[part].sum()) / count


def compare_sides(image: Image.Image, mask: Image.Image) -> Sides:
    """Where the character's left differs from the right.

    mask: L, as large as the picture, 255 is the character.
    """
    scale = max(image.size) / WORKING_SIDE
    size = max(1, round(image.width / scale)), max(1, round(image.height / scale))
    face = find_face(image, mask)
    figure = measure(mask, face)
    lab = to_lab(image.resize(size, Image.Resampling.BOX)) * np.array((0.5, 1, 1), dtype=np.float32)
    solid = np.asarray(mask.convert("L").resize(size, Image.Resampling.BOX)) > 127
    lab[~solid] = OUTSIDE
    chin = min(size[1], max(1, round((figure.crown + figure.head) / scale)))
    crown = max(0, round(figure.crown / scale))
    play = max(1, round(PLAY * figure.head_width / scale))
    middle = (face[0] + face[2]) / 2 if face else figure.centre
    axis = _axis(lab[crown:chin], middle / scale, figure.head_width / scale)
    unlike = np.zeros(solid.shape, dtype=bool)
    unlike[crown:chin] = _unlike(lab[crown:chin], axis, play)
    unlike[chin:] = _one_sided(lab[chin:], solid[chin:], axis)
    return Sides(unlike, solid, scale, _zones(figure, face, image.size))


def _zones(figure: Figure, face: PixelBox | None, size: tuple[int, int]) -> dict[str, PixelBox]:
    """The box of each part in the picture: the face, the head around it, what lies below."""
    chin = min(size[1], round(figure.crown + figure.head))
    zones: dict[str, PixelBox] = {}
    if face:
        zones[EYES] = (face[0], face[1], face[2], chin)
    zones[HAIR] = (0, figure.crown, size[0], chin)
    if chin < figure.bottom:
        zones[CLOTHES] = (0, chin, size[0], figure.bottom)
    return zones


def _axis(lab: Lab, guess: float, width: float) -> float:
    """The column about which the head is most like its mirror image, in steps of half a pixel.

    guess: the column near which it is looked for.
    width: of the head.
    """
    reach = max(2, round(0.12 * width))
    columns = [round(2 * guess) / 2 + step / 2 for step in range(-2 * reach, 2 * reach + 1)]

    def cost(axis: float) -> float:
        unlike = float((distance(lab, _mirrored(lab, axis)) > OTHER).mean())
        return unlike + 1e-4 * abs(axis - guess)

    return min(columns, key=cost)


def _mirrored(lab: Lab, axis: float) -> Lab:
    """The picture mirrored about a column; what comes from outside is background."""
    columns = np.rint(2 * axis - 1 - np.arange(lab.shape[1])).astype(int)
    mirrored: Lab = lab[:, np.clip(columns, 0, lab.shape[1] - 1)].copy()
    mirrored[:, (columns < 0) | (columns >= lab.shape[1])] = OUTSIDE
    return mirrored


def _unlike(lab: Lab, axis: float, play: int) -> NDArray[np.bool_]:
    """Places without their like around their mirror image, (h, w).

    It works both ways: what is missing on one side counts on both.

    play: how far from the exact mirror image the like may be, pixels.
    """
    other = _mirrored(lab, axis)
    padded = np.pad(other, ((play, play), (play, play), (0, 0)), mode="edge")
    nearest = np.full(lab.shape[:2], np.inf, dtype=np.float32)
    for down in range(2 * play + 1):
        for right in range(2 * play + 1):
            np.minimum(
                nearest,
                distance(lab, padded[down : down + lab.shape[0], right : right + lab.shape[1]]),
                out=nearest,
            )
    unlike: NDArray[np.bool_] = nearest > OTHER
    return unlike


def _one_sided(lab: Lab, solid: NDArray[np.bool_], axis: float) -> NDArray[np.bool_]:
    """Places of the body whose colour is almost only on one side, (h, w)."""
    one_sided = np.zeros(solid.shape, dtype=bool)
    left = np.broadcast_to(np.arange(solid.shape[1]) + 0.5 < axis, solid.shape)
    rest = solid.copy()
    total = int(solid.sum())
    while rest.any():
        colours = lab[rest]
        sample = colours[:: max(1, len(colours) // 300)]
        middle = sample[
            int((distance(sample[:, None], sample[None]) < OTHER / 2).sum(axis=1).argmax())
        ]
        alike = rest & (distance(lab, middle) < OTHER)
        on_left = int((alike & left).sum())
        on_right = int((alike & ~left).sum())
        if on_left + on_right < NOTEWORTHY * total or not alike.any():
            break
        if abs(on_left - on_right) > ONE_SIDED * (on_left + on_right):
            one_sided |= alike
        rest &= ~alike
    return one_sided


def _common(zone: PixelBox, box: PixelBox | None) -> PixelBox:
    """The part of a zone that a box shows; all of it without a box."""
    if box is None:
        return zone
    return (max(zone[0], box[0]), max(zone[1], box[1]), min(zone[2], box[2]), min(zone[3], box[3]))
