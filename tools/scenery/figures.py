"""Figures of our own making, drawn with plain shapes: any proportion, any colours, with and without
outlines.

Units: one head from the crown (0) to the chin (1), the soles at `heads`; x from the body's axis.
"""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, field

from PIL import Image, ImageDraw

RGB = tuple[int, int, int]
Box = tuple[float, float, float, float]

SKINS: tuple[RGB, ...] = (
    (252, 226, 202),
    (247, 214, 186),
    (255, 219, 190),
    (240, 200, 165),
    (226, 180, 140),
    (141, 94, 62),
)
HAIRS: tuple[RGB, ...] = (
    (40, 30, 34),
    (110, 66, 40),
    (232, 200, 110),
    (176, 50, 40),
    (70, 110, 200),
    (240, 150, 190),
    (236, 236, 240),
    (90, 160, 90),
    (130, 84, 170),
    (120, 200, 210),
    (230, 130, 50),
)
CLOTHS: tuple[RGB, ...] = (
    (250, 250, 250),
    (30, 30, 36),
    (200, 40, 50),
    (40, 80, 180),
    (60, 140, 80),
    (240, 210, 80),
    (240, 150, 190),
    (120, 70, 160),
    (130, 90, 60),
    (140, 140, 150),
    (60, 190, 190),
    (240, 130, 40),
    (140, 200, 240),
    (160, 210, 130),
)
DARK: RGB = (34, 26, 32)


@dataclass
class Figure:
    """A drawn figure.

    layer: RGBA, the picture's size.
    parts: boxes in pixels.
    rows: of places of the body, pixels.
    """

    layer: Image.Image
    parts: dict[str, Box]
    rows: dict[str, float]


@dataclass(frozen=True)
class Looks:
    """What is drawn.  heads: height in heads.  outline: its width in heads, 0 for none."""

    heads: float
    skin: RGB
    hair: RGB
    hair_end: float
    top: RGB
    bottom: RGB
    legs: RGB
    shoes: RGB
    outline: float
    arms: str
    clothes: str
    hat: RGB | None
    bow: RGB | None
    ink: RGB = DARK
    stripes: RGB | None = field(default=None)


def some_looks(rng: random.Random, outlined: bool) -> Looks:
    heads = rng.choice((2.8, 3.5, 4.5, 5.5, 6.2, 6.8, 7.4))
    skin = rng.choices(SKINS, (4, 4, 4, 3, 2, 1))[0]
    hair = rng.choice(HAIRS)
    top, bottom = rng.sample(CLOTHS, 2)
    if rng.random() < 0.25:
        bottom = top
    end = rng.choice((0.95, 1.2, 1.8, 0.45 * heads))
    return Looks(
        heads,
        skin,
        hair,
        min(end, 0.7 * heads),
        top,
        bottom,
        rng.choice((skin, skin, rng.choice(CLOTHS))),
        rng.choice(CLOTHS),
        rng.choice((0.018, 0.03, 0.045)) if outlined else 0.0,
        rng.choice(("down", "down", "out", "hip", "up")),
        rng.choice(("skirt", "skirt", "dress", "trousers")),
        rng.choice(CLOTHS) if rng.random() < 0.25 else None,
        rng.choice(CLOTHS) if rng.random() < 0.3 else None,
        rng.choice((DARK, DARK, (90, 50, 40), (60, 60, 100))),
        rng.choice(CLOTHS) if rng.random() < 0.2 else None,
    )


class _Pen:
    """Shapes in heads; drawn at twice the size."""

    def __init__(
        self, size: tuple[int, int], x: float, crown: float, head: float, looks: Looks
    ) -> None:
        self.layer = Image.new("RGBA", (2 * size[0], 2 * size[1]))
        self.draw = ImageDraw.Draw(self.layer)
        self.x = 2 * x
        self.crown = 2 * crown
        self.head = 2 * head
        self.looks = looks
        self.line = round(looks.outline * self.head)

    def at(self, x: float, y: float) -> tuple[float, float]:
        return self.x + x * self.head, self.crown + y * self.head

    def oval(self, x: float, y: float, rx: float, ry: float, fill: RGB, line: bool = True) -> None:
        box = (*self.at(x - rx, y - ry), *self.at(x + rx, y + ry))
        self.draw.ellipse(
            box, fill=fill, outline=self.looks.ink if line and self.line else None, width=self.line
        )

    def shape(self, points: list[tuple[float, float]], fill: RGB) -> None:
        corners = [self.at(*point) for point in points]
        self.draw.polygon(corners, fill=fill)
        if self.line:
            self.draw.line(
                [*corners, corners[0], corners[1]],
                fill=self.looks.ink,
                width=self.line,
                joint="curve",
            )

    def limb(self, points: list[tuple[float, float]], width: float, fill: RGB) -> None:
        corners = [self.at(*point) for point in points]
        for wide, colour in (
            (width * self.head, self.looks.ink),
            (width * self.head - 2 * self.line, fill),
        ):
            if wide <= 0 or (colour == self.looks.ink and not self.line):
                continue
            self.draw.line(corners, fill=colour, width=round(wide), joint="curve")
            for x, y in corners:
                self.draw.ellipse(
                    (x - wide / 2, y - wide / 2, x + wide / 2, y + wide / 2), fill=colour
                )


def draw_figure(size: tuple[int, int], x: float, crown: float, head: float, looks: Looks) -> Figure:
    """x: column of the axis.  crown: row of the head's top.  head: its height, pixels."""
    pen = _Pen(size, x, crown, head, looks)
    n = looks.heads
    body = n - 1
    waist, hip, thigh, knee = (1 + share * body for share in (0.28, 0.42, 0.57, 0.72))
    wide = 0.62 if n > 5 else 0.5
    pen.shape(
        [(-0.5, 0.5), (-0.56, looks.hair_end), (0.56, looks.hair_end), (0.5, 0.5)], looks.hair
    )
    pen.oval(0, 0.5, 0.52, 0.52, looks.hair)
    for side in (-1, 1):
        leg = looks.bottom if looks.clothes == "trousers" else looks.legs
        pen.limb([(0.22 * side, hip), (0.24 * side, n - 0.12)], 0.3, leg)
        pen.shape(
            [(0.08 * side, n - 0.18), (0.42 * side, n - 0.16), (0.44 * side, n), (0.06 * side, n)],
            looks.shoes,
        )
    pen.limb([(0, 0.9), (0, 1.2)], 0.22, looks.skin)
    hands = _arms(pen, looks, wide, hip)
    pen.shape(
        [
            (-wide, 1.16),
            (-0.2, 1.08),
            (0.2, 1.08),
            (wide, 1.16),
            (wide * 0.72, waist),
            (0.5, hip),
            (-0.5, hip),
            (-wide * 0.72, waist),
        ],
        looks.top,
    )
    if looks.clothes != "trousers":
        hem = thigh if looks.clothes == "skirt" else knee
        fill = looks.top if looks.clothes == "dress" else looks.bottom
        pen.shape([(-0.42, waist), (0.42, waist), (0.75, hem), (-0.75, hem)], fill)
        if looks.stripes:
            pen.shape(
                [(-0.68, hem - 0.2), (0.68, hem - 0.2), (0.7, hem - 0.1), (-0.7, hem - 0.1)],
                looks.stripes,
            )
    else:
        pen.shape(
            [(-0.42, waist), (0.42, waist), (0.42, hip + 0.2), (-0.42, hip + 0.2)], looks.bottom
        )
    _head(pen, looks)
    layer = pen.layer.resize(size, Image.Resampling.BOX)
    rows = {
        "brow": 0.46,
        "mouth": 0.84,
        "chin": 1.0,
        "chest": 1 + 0.16 * body,
        "waist": waist,
        "hip": hip,
        "thigh": thigh,
        "knee": knee,
        "sole": n,
    }
    parts: dict[str, Box] = {
        "head": (-0.5, 0, 0.5, 1.0),
        "face": (-0.36, 0.35, 0.36, 1.0),
        "eyes": (-0.26, 0.54, 0.26, 0.74),
        "bangs": (-0.42, 0.05, 0.42, 0.42),
        "torso": (-wide, 1.1, wide, hip),
        "legs": (-0.4, thigh, 0.4, n),
        "feet": (-0.44, n - 0.2, 0.44, n),
    }
    if looks.hat:
        parts["hat"] = (-0.75, -0.3, 0.75, 0.22)
    xs = [p[0] for p in hands]
    ys = [p[1] for p in hands]
    parts["hands"] = (min(xs) - 0.1, min(ys) - 0.1, max(xs) + 0.1, max(ys) + 0.1)
    boxes = {
        name: (x + box[0] * head, crown + box[1] * head, x + box[2] * head, crown + box[3] * head)
        for name, box in parts.items()
    }
    return Figure(layer, boxes, {name: crown + row * head for name, row in rows.items()})


def _arms(pen: _Pen, looks: Looks, wide: float, hip: float) -> list[tuple[float, float]]:
    hands = []
    for side in (-1, 1):
        shoulder = (side * (wide - 0.06), 1.28)
        elbow, hand = {
            "down": ((side * (wide + 0.12), (1.28 + hip) / 2), (side * (wide + 0.16), hip + 0.05)),
            "out": ((side * (wide + 0.4), (1.5 + hip) / 2), (side * (wide + 0.75), hip - 0.1)),
            "hip": ((side * (wide + 0.4), (1.28 + hip) / 2 + 0.1), (side * 0.45, hip - 0.1)),
            "up": ((side * (wide + 0.4), 1.2), (side * (wide + 0.35), 0.35)),
        }[looks.arms if side == 1 or looks.arms != "hip" else "down"]
        pen.limb([shoulder, elbow], 0.24, looks.top)
        pen.limb([elbow, hand], 0.19, looks.skin)
        pen.oval(*hand, 0.12, 0.12, looks.skin)
        hands.append(hand)
    return hands


def _head(pen: _Pen, looks: Looks) -> None:
    pen.oval(0, 0.6, 0.38, 0.4, looks.skin)
    for side in (-1, 1):
        pen.oval(0.17 * side, 0.64, 0.075, 0.1, (250, 250, 250), False)
        pen.oval(
            0.17 * side,
            0.65,
            0.06,
            0.085,
            (60, 80, 150) if looks.hair != HAIRS[4] else (150, 60, 60),
            False,
        )
        pen.oval(0.17 * side, 0.66, 0.03, 0.05, DARK, False)
        pen.draw.line(
            [pen.at(0.08 * side, 0.5), pen.at(0.26 * side, 0.49)],
            fill=DARK,
            width=max(2, round(0.025 * pen.head)),
        )
    pen.draw.arc(
        (*pen.at(-0.09, 0.76), *pen.at(0.09, 0.86)),
        20,
        160,
        fill=(150, 60, 60),
        width=max(2, round(0.03 * pen.head)),
    )
    top = [
        (0.46 * math.cos(math.radians(a)), 0.5 - 0.5 * math.sin(math.radians(a)))
        for a in range(0, 181, 12)
    ]
    bangs = [
        (-0.44, 0.62),
        (-0.36, 0.42),
        (-0.2, 0.46),
        (-0.1, 0.38),
        (0.05, 0.46),
        (0.2, 0.4),
        (0.36, 0.46),
        (0.44, 0.62),
    ]
    pen.shape([*top, *bangs], looks.hair)
    if looks.bow:
        pen.shape([(0.3, 0.05), (0.62, -0.1), (0.62, 0.28), (0.34, 0.13)], looks.bow)
    if looks.hat:
        pen.shape([(-0.42, 0.12), (-0.34, -0.3), (0.34, -0.3), (0.42, 0.12)], looks.hat)
        pen.oval(0, 0.14, 0.75, 0.1, looks.hat)
