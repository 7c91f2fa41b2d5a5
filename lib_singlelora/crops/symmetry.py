"""Whether the character may be shown mirrored: how alike her two sides are, as a whole and in each
crop.

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

SIDE = 384
# CIELAB with half the lightness: a place that differs more from its mirror image is another
OTHER = 18.0
OUTSIDE = (0.0, 90.0, 90.0)  # stands for the background: no drawing has it
PLAY = 0.035  # of the head's width
SYMMETRIC = 0.95  # share of the head that has its like on the other side
FACE_SYMMETRIC = 0.93
ONE_SIDED = 0.7  # (more - less) / (more + less) of a colour on both sides of the body
NOTEWORTHY = 0.02  # share of the body that a colour needs to be looked at
EYES, HAIR, CLOTHES = "eyes or face", "hair or headwear", "clothes"


@dataclass(frozen=True)
class Symmetry:
    """score: 0 to 1, share of what is seen of her that has its like on the other side.  flip:
    whether mirroring is harmless.

    differs: what is not alike.
    sentence: for a person.
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
    """A picture with its unlike places.

    unlike, solid: (h, w), reduced by `scale`.
    zones: box of each part, in the picture.
    """

    unlike: NDArray[np.bool_]
    solid: NDArray[np.bool_]
    scale: float
    zones: Mapping[str, PixelBox]

    def of(self, box: PixelBox | None = None) -> Symmetry:
        """The symmetry of what a box shows (pixels of the picture), or of the whole."""
        parts = {name: self._share(_common(zone, box)) for name, zone in self.zones.items()}
        seen = {name: share for name, share in parts.items() if share is not None}
        limits = {EYES: FACE_SYMMETRIC, HAIR: SYMMETRIC, CLOTHES: 1 - NOTEWORTHY}
        differs = tuple(name for name, share in seen.items() if share < limits[name])
        score = round(self._share(box) or 0.0, 3)
        if not seen:
            return Symmetry(
                score, True, (), "nothing of her is seen here that tells left from right"
            )
        if not differs:
            return Symmetry(score, True, (), f"symmetric ({score:.0%}): it may be mirrored")
        told = ", ".join(f"{name} ({seen[name]:.0%} alike)" for name in differs)
        return Symmetry(
            score, False, differs, f"not symmetric: {told} differ; mirroring would teach both sides"
        )

    def _share(self, box: PixelBox | None) -> float | None:
        """Share of the figure in a box that is alike; None where hardly any of it lies there."""
        high, wide = self.solid.shape
        left, top, right, bottom = (
            (round(value / self.scale) for value in box) if box else (0, 0, wide, high)
        )
        part = np.s_[top : max(top, bottom), left : max(left, right)]
        count = int(self.solid[part].sum())
        if count < 0.01 * self.solid.sum():
            return None
        return 1 - float((self.unlike & self.solid)[part].sum()) / count


def compare_sides(image: Image.Image, mask: Image.Image) -> Sides:
    """Where her left differs from her right.

    mask: L, as large as the picture, 255 is the character.
    """
    scale = max(image.size) / SIDE
    size = max(1, round(image.width / scale)), max(1, round(image.height / scale))
    face = find_face(image, mask)
    figure = measure(mask, face)
    lab = to_lab(image.resize(size, Image.Resampling.BOX)) * np.array((0.5, 1, 1), dtype=np.float32)
    solid = np.asarray(mask.convert("L").resize(size, Image.Resampling.BOX)) > 127
    lab[~solid] = OUTSIDE
    chin = min(size[1], max(1, round((figure.crown + figure.head) / scale)))
    crown = max(0, round(figure.crown / scale))
    play = max(1, round(PLAY * figure.head_width / scale))
    axis = _axis(lab[crown:chin], _first_guess(figure, face) / scale, figure.head_width / scale)
    unlike = np.zeros(solid.shape, dtype=bool)
    unlike[crown:chin] = _unlike(lab[crown:chin], axis, play)
    unlike[chin:] = _one_sided(lab[chin:], solid[chin:], axis)
    return Sides(unlike, solid, scale, _zones(figure, face, image.size))


def _first_guess(figure: Figure, face: PixelBox | None) -> float:
    return (face[0] + face[2]) / 2 if face else figure.centre


def _zones(figure: Figure, face: PixelBox | None, size: tuple[int, int]) -> dict[str, PixelBox]:
    """The parts, as boxes of the picture: the face, what is around it, and what lies below."""
    chin = min(size[1], round(figure.crown + figure.head))
    zones: dict[str, PixelBox] = {}
    if face:
        zones[EYES] = (face[0], face[1], face[2], chin)
    zones[HAIR] = (0, figure.crown, size[0], chin)
    if chin < figure.bottom:
        zones[CLOTHES] = (0, chin, size[0], figure.bottom)
    return zones


def _axis(lab: Lab, guess: float, width: float) -> float:
    """Column of the axis about which the head is most like its mirror image, near a guess; in steps
    of half a pixel.
    """
    reach = max(2, round(0.12 * width))
    tried = [round(2 * guess) / 2 + step / 2 for step in range(-2 * reach, 2 * reach + 1)]
    return min(
        tried,
        key=lambda axis: (
            float((distance(lab, _mirrored(lab, axis)) > OTHER).mean()) + 1e-4 * abs(axis - guess)
        ),
    )


def _mirrored(lab: Lab, axis: float) -> Lab:
    """The picture mirrored about a column; what comes from outside is background."""
    columns = np.rint(2 * axis - 1 - np.arange(lab.shape[1])).astype(int)
    out: Lab = lab[:, np.clip(columns, 0, lab.shape[1] - 1)].copy()
    out[:, (columns < 0) | (columns >= lab.shape[1])] = OUTSIDE
    return out


def _unlike(lab: Lab, axis: float, play: int) -> NDArray[np.bool_]:
    """Places without their like within the play around their mirror image; either way, so that what
    is missing counts too.
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
    found: NDArray[np.bool_] = nearest > OTHER
    return found


def _one_sided(lab: Lab, solid: NDArray[np.bool_], axis: float) -> NDArray[np.bool_]:
    """Places of the body whose colour is on one side nearly alone."""
    out = np.zeros(solid.shape, dtype=bool)
    left = np.broadcast_to(np.arange(solid.shape[1]) + 0.5 < axis, solid.shape)
    open_ = solid.copy()
    total = int(solid.sum())
    while open_.any():
        colours = lab[open_]
        sample = colours[:: max(1, len(colours) // 300)]
        middle = sample[
            int((distance(sample[:, None], sample[None]) < OTHER / 2).sum(axis=1).argmax())
        ]
        alike = open_ & (distance(lab, middle) < OTHER)
        one, other = int((alike & left).sum()), int((alike & ~left).sum())
        if one + other < NOTEWORTHY * total or not alike.any():
            break
        if abs(one - other) > ONE_SIDED * (one + other):
            out |= alike
        open_ &= ~alike
    return out


def _common(one: PixelBox, other: PixelBox | None) -> PixelBox:
    if other is None:
        return one
    return (
        max(one[0], other[0]),
        max(one[1], other[1]),
        min(one[2], other[2]),
        min(one[3], other[3]),
    )
