"""Backgrounds: one colour, a room, or the open air.

Drawn in picture units: width 1 (more when wide), height 1.
"""

from __future__ import annotations

import random
from typing import Any

from .palette import BACKDROP, RGB, shade
from .pen import Pen, oval, polygon, smooth

WALLS: tuple[RGB, ...] = ((238, 222, 190), (214, 196, 224), (196, 214, 206), (230, 200, 186))
FLOORS: tuple[RGB, ...] = ((170, 122, 84), (146, 108, 90), (190, 150, 104))
SKIES: tuple[RGB, ...] = ((142, 204, 250), (120, 184, 244), (250, 196, 150), (176, 220, 248))
GRASS: tuple[RGB, ...] = ((120, 190, 92), (146, 200, 100), (98, 168, 88))


def draw(pen: Pen, kind: str, aspect: float, seed: int) -> None:
    """Fills the picture; aspect is width / height."""
    if kind in BACKDROP:
        pen.fill(_rect(-0.1, -0.1, aspect + 0.1, 1.1), BACKDROP[kind])
        return
    rng = random.Random(seed * 7919 + 13)
    (_room if kind == "indoors" else _landscape)(pen, aspect, rng)


def _rect(left: float, top: float, right: float, bottom: float) -> Any:
    return polygon([(left, top), (right, top), (right, bottom), (left, bottom)])


def _room(pen: Pen, aspect: float, rng: random.Random) -> None:
    wall = rng.choice(WALLS)
    floor = rng.choice(FLOORS)
    line = rng.uniform(0.7, 0.82)
    pen.fill(_rect(-0.1, -0.1, aspect + 0.1, 1.1), wall)
    pen.shape(_rect(-0.1, line, aspect + 0.1, 1.2), floor, None)
    pen.shape(_rect(-0.1, line - 0.05, aspect + 0.1, line), shade(wall, 0.25), None)
    for k in range(1, 6):
        x = aspect * k / 6
        pen.curve([(x, line), (aspect / 2 + (x - aspect / 2) * 1.8, 1.1)], shade(floor, 0.2))
    things = rng.sample((_window, _shelf, _picture, _lamp), 2)
    for thing, x in zip(things, (0.17, 0.83), strict=True):
        thing(pen, aspect * (x + rng.uniform(-0.03, 0.03)), rng)


def _window(pen: Pen, x: float, rng: random.Random) -> None:
    pen.shape(_rect(x - 0.13, 0.12, x + 0.13, 0.48), (190, 226, 250), None)
    pen.curve([(x, 0.12), (x, 0.48)])
    pen.curve([(x - 0.13, 0.3), (x + 0.13, 0.3)])
    curtain = rng.choice(((214, 110, 110), (110, 140, 210), (240, 240, 240)))
    for side in (-1, 1):
        pen.shape(_rect(x + 0.15 * side - 0.04, 0.08, x + 0.15 * side + 0.04, 0.54), curtain)


def _shelf(pen: Pen, x: float, rng: random.Random) -> None:
    pen.shape(_rect(x - 0.13, 0.2, x + 0.13, 0.78), (140, 96, 66))
    for y in (0.24, 0.42, 0.6):
        pen.shape(_rect(x - 0.105, y, x + 0.105, y + 0.14), (96, 66, 50), None)
        for k in range(4):
            pen.fill(
                _rect(x - 0.1 + 0.05 * k, y + 0.03, x - 0.06 + 0.05 * k, y + 0.14),
                rng.choice(((200, 80, 80), (90, 120, 190), (220, 190, 90), (110, 160, 110))),
            )


def _picture(pen: Pen, x: float, rng: random.Random) -> None:
    pen.shape(_rect(x - 0.12, 0.16, x + 0.12, 0.4), (190, 150, 80), None)
    pen.shape(_rect(x - 0.095, 0.185, x + 0.095, 0.375), rng.choice(SKIES), None)
    pen.fill(
        polygon(
            [
                (x - 0.09, 0.37),
                (x - 0.02, 0.25),
                (x + 0.03, 0.31),
                (x + 0.06, 0.27),
                (x + 0.09, 0.37),
            ]
        ),
        (110, 150, 110),
    )


def _lamp(pen: Pen, x: float, rng: random.Random) -> None:
    pen.shape(_rect(x - 0.015, 0.36, x + 0.015, 0.84), (110, 90, 80), None)
    pen.shape(
        polygon([(x - 0.06, 0.2), (x + 0.06, 0.2), (x + 0.11, 0.38), (x - 0.11, 0.38)]),
        rng.choice(((250, 226, 150), (240, 180, 150), (200, 226, 180))),
    )


def _landscape(pen: Pen, aspect: float, rng: random.Random) -> None:
    sky = rng.choice(SKIES)
    grass = rng.choice(GRASS)
    line = rng.uniform(0.62, 0.76)
    pen.fill(_rect(-0.1, -0.1, aspect + 0.1, 1.1), sky)
    for _ in range(rng.randint(1, 3)):
        x = rng.uniform(0, aspect)
        y = rng.uniform(0.08, 0.3)
        r = rng.uniform(0.05, 0.09)
        for dx, k in ((-1.2, 0.8), (0.0, 1.2), (1.2, 0.8)):
            pen.fill(oval(x + dx * r, y, r * 1.2 * k, r * 0.8 * k), (255, 255, 255))
    far = rng.choice(("hills", "town", "sea"))
    if far == "hills":
        tone = shade(grass, 0.18)
        pen.shape(
            smooth(
                [
                    (-0.3, 1.3),
                    (-0.2, line - 0.05),
                    (aspect * 0.2, line - 0.18),
                    (aspect * 0.5, line - 0.04),
                    (aspect * 0.8, line - 0.16),
                    (aspect + 0.2, line - 0.02),
                    (aspect + 0.3, 1.3),
                ]
            ),
            tone,
            None,
        )
    elif far == "town":
        x = -0.05
        while x < aspect:
            w = rng.uniform(0.12, 0.2)
            h = rng.uniform(0.15, 0.34)
            pen.shape(
                _rect(x, line - h, x + w, line + 0.05),
                rng.choice(((206, 170, 150), (190, 190, 200), (226, 206, 160))),
                None,
            )
            for k in range(2):
                pen.fill(
                    _rect(
                        x + 0.03 + 0.05 * k, line - h + 0.05, x + 0.055 + 0.05 * k, line - h + 0.1
                    ),
                    (120, 130, 160),
                )
            x += w
    else:
        pen.shape(_rect(-0.1, line - 0.12, aspect + 0.1, line + 0.1), (84, 140, 210), None)
    pen.shape(_rect(-0.1, line, aspect + 0.1, 1.2), grass, None)
    for _ in range(rng.randint(1, 2)):
        x = rng.choice((rng.uniform(0.0, 0.2), rng.uniform(0.8, 1.0))) * aspect
        pen.shape(_rect(x - 0.025, line - 0.16, x + 0.025, line + 0.08), (130, 92, 64), None)
        pen.shape(oval(x, line - 0.26, 0.12, 0.16), shade(grass, 0.3), (-0.02, -0.03))
