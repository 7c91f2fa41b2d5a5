"""Tops, skirts, trousers, capelets and the held-out scarf."""

from __future__ import annotations

import skia

from .geometry import HIP, SIDE_WIDTH, WAIST, hem
from .palette import PALETTE, RGB, SKIN, light, shade
from .pen import Pen, mirror, oval, polygon, smooth
from .spec import Character


def _scaled(path: skia.Path, view: str) -> skia.Path:
    if view == "side":
        path.transform(skia.Matrix().setScale(SIDE_WIDTH, 1.0))
    return path


def dots(pen: Pen, path: skia.Path, rgb: RGB) -> None:
    """Polka dots over whatever the path covers."""
    box = path.getBounds()
    with pen.inside(path):
        step = 0.2
        row = 0
        y = box.top() + 0.08
        while y < box.bottom():
            x = box.left() + (0.1 if row % 2 else 0.0)
            while x < box.right():
                pen.fill(oval(x, y, 0.055, 0.055), rgb)
                x += step
            row = row + 1
            y = y + 0.15


def torso(pen: Pen, who: Character, view: str) -> None:
    outfit = who.outfit
    path = _scaled(
        smooth(
            mirror(
                [
                    (0.0, 0.6),
                    (0.16, 0.62),
                    (0.34, 0.7),
                    (0.3, 0.98),
                    (0.22, WAIST),
                    (0.31, HIP),
                    (0.26, HIP + 0.14),
                ]
            )
        ),
        view,
    )
    colour = PALETTE[outfit.top_colour]
    base = PALETTE["white"] if outfit.top == "corset" else colour
    pen.shape(path, base)
    spots = who.extra("polka dot")
    if spots and outfit.top == "dress":
        dots(pen, path, PALETTE[spots])
    if outfit.top == "shirt":
        if view == "front":
            pen.fill(polygon([(-0.12, 0.58), (0.12, 0.58), (0.0, 0.74)]), SKIN)
            pen.shape(polygon([(-0.15, 0.57), (0.0, 0.74), (-0.1, 0.83)]), light(colour), None)
            pen.shape(polygon([(0.15, 0.57), (0.0, 0.74), (0.1, 0.83)]), light(colour), None)
            pen.curve([(0.0, 0.76), (0.0, 1.4)])
    elif outfit.top == "sailor":
        _sailor(pen, who, view)
    elif outfit.top == "dress" and view == "front":
        pen.fill(smooth(mirror([(0.0, 0.74), (0.1, 0.7), (0.13, 0.58), (0.0, 0.58)])), SKIN)


def corset(pen: Pen, who: Character, view: str) -> None:
    """The corset lies over the skirt's waist."""
    if who.outfit.top != "corset":
        return
    colour = PALETTE[who.outfit.top_colour]
    path = _scaled(
        polygon(
            mirror(
                [
                    (0.0, 0.95),
                    (0.16, 0.9),
                    (0.31, 0.94),
                    (0.225, WAIST),
                    (0.31, HIP - 0.02),
                    (0.0, HIP + 0.1),
                ]
            )
        ),
        view,
    )
    pen.shape(path, colour)
    if not who.outfit.laces:
        return
    lace = PALETTE[who.outfit.laces]
    x = -0.12 if view == "side" else 0.0
    for k in range(4):
        y = 0.99 + 0.12 * k
        pen.curve([(x - 0.09, y), (x + 0.09, y + 0.1)], lace, 0.045)
        pen.curve([(x + 0.09, y), (x - 0.09, y + 0.1)], lace, 0.045)


def _sailor(pen: Pen, who: Character, view: str) -> None:
    collar = PALETTE[who.outfit.collar]
    if view == "behind":
        pen.shape(polygon([(-0.33, 0.62), (0.33, 0.62), (0.33, 1.02), (-0.33, 1.02)]), collar)
        pen.curve([(-0.27, 0.95), (0.27, 0.95)], PALETTE["white"], 0.04)
        return
    s = SIDE_WIDTH if view == "side" else 1.0
    pen.fill(polygon([(-0.13 * s, 0.58), (0.13 * s, 0.58), (0.0, 0.84)]), SKIN)
    for side in (-1, 1):
        pen.shape(
            polygon(
                [
                    (0.12 * side * s, 0.58),
                    (0.36 * side * s, 0.68),
                    (0.34 * side * s, 0.86),
                    (0.0, 1.0),
                    (0.0, 0.86),
                ]
            ),
            collar,
        )
    bow(pen, 0.0 if view == "front" else -0.12, 1.02, 0.17, PALETTE["red"])


def bow(pen: Pen, x: float, y: float, size: float, rgb: RGB, tails: bool = True) -> None:
    """A two-looped bow centred on (x, y); size is half its width."""
    if tails:
        for side in (-1, 1):
            pen.shape(
                polygon(
                    [
                        (x, y),
                        (x + 0.28 * side * size, y + 0.1 * size),
                        (x + 0.7 * side * size, y + 1.1 * size),
                        (x + 0.2 * side * size, y + 1.2 * size),
                    ]
                ),
                shade(rgb, 0.08),
                None,
            )
    for side in (-1, 1):
        pen.shape(
            smooth(
                [
                    (x, y),
                    (x + 0.75 * side * size, y - 0.62 * size),
                    (x + 1.05 * side * size, y - 0.1 * size),
                    (x + 0.75 * side * size, y + 0.55 * size),
                ]
            ),
            rgb,
        )
    pen.shape(oval(x, y, 0.22 * size, 0.25 * size), rgb)


def bottom(pen: Pen, who: Character, pose: str, view: str) -> None:
    """Skirt or the trousers' hips."""
    outfit = who.outfit
    if outfit.bottom == "pants":
        pen.shape(
            _scaled(
                polygon(
                    mirror(
                        [
                            (0.0, 1.26),
                            (0.25, 1.26),
                            (0.33, HIP + 0.02),
                            (0.31, HIP + 0.22),
                            (0.0, HIP + 0.22),
                        ]
                    )
                ),
                view,
            ),
            PALETTE[outfit.bottom_colour],
        )
        return
    colour = PALETTE[outfit.top_colour if outfit.top == "dress" else outfit.bottom_colour]
    end = hem(who, pose)
    spread = {"miniskirt": 0.46, "skirt": 0.52, "long skirt": 0.58}[outfit.bottom]
    if view == "side":
        spread *= 0.8
    top = WAIST if outfit.top == "dress" else WAIST + 0.06
    waist = 0.24 * (SIDE_WIDTH if view == "side" else 1.0)
    shift = -0.42 if view == "side" and pose == "sitting" else 0.0  # over the thighs
    right = [
        (0.0, top),
        (waist, top),
        (waist + 0.12, top + 0.22),
        (spread + shift * 0.2, end),
        (0.0 + shift, end + 0.05),
    ]
    left = [(-x + (shift if y >= end else 0.0), y) for x, y in reversed(right[1:-1])]
    path = polygon(right + left)
    if outfit.frills:
        n = 9
        y = end + 0.02
        for k in range(n):
            x = -spread + shift + (2 * spread) * (k + 0.5) / n
            pen.shape(oval(x, y, spread / n * 1.15, 0.085), light(colour, 0.6), (0.0, -0.03))
    pen.shape(path, colour, (-0.09, -0.02))
    spots = who.extra("polka dot")
    if spots:
        dots(pen, path, PALETTE[spots])
    with pen.inside(path):
        if half := who.extra("two-tone skirt"):
            side = -1 if view == "behind" else 1  # the character's left
            pen.fill(polygon([(0, 0), (3 * side, 0), (3 * side, 4), (0, 4)]), PALETTE[half])
            pen.stroke(path)
        if outfit.stripes:
            for k in range(2):
                y = end - 0.16 - 0.19 * k
                pen.fill(
                    polygon([(-1.2, y - 0.1), (1.2, y - 0.1), (1.2, y), (-1.2, y)]),
                    PALETTE[outfit.stripes],
                )
    for x in (-0.5, 0.0, 0.5):  # folds
        pen.curve(
            [
                (x * spread + shift * 0.8, end - 0.02),
                (x * spread * 0.75 + shift * 0.5, end - 0.35 * (end - top)),
            ],
            shade(colour, 0.3),
        )


def capelet(pen: Pen, who: Character, view: str) -> None:
    colour = who.outfit.capelet
    if not colour:
        return
    path = _scaled(
        smooth(
            mirror([(0.0, 0.54), (0.17, 0.56), (0.4, 0.66), (0.54, 0.93), (0.3, 1.0), (0.0, 1.03)])
        ),
        view,
    )
    pen.shape(path, PALETTE[colour])
    stripes = who.outfit.capelet_stripes
    if stripes:
        s = SIDE_WIDTH if view == "side" else 1.0
        with pen.inside(path):
            for y in (0.81, 0.95):
                pen.curve(
                    [
                        (-0.62 * s, y - 0.1),
                        (-0.3 * s, y - 0.02),
                        (0.0, y),
                        (0.3 * s, y - 0.02),
                        (0.62 * s, y - 0.1),
                    ],
                    PALETTE[stripes],
                    0.065,
                )
        pen.stroke(path)
    if view == "front":
        pen.curve([(0.0, 0.62), (0.0, 1.02)])
        pen.shape(oval(0.0, 0.64, 0.05, 0.05), PALETTE["yellow"], None)


def scarf(pen: Pen, who: Character) -> None:
    colour = who.extra("scarf")
    if not colour:
        return
    rgb = PALETTE[colour]
    pen.shape(polygon([(0.08, 0.6), (0.3, 0.58), (0.36, 1.3), (0.14, 1.34)]), rgb)
    pen.shape(
        smooth([(-0.33, 0.52), (0.0, 0.6), (0.33, 0.52), (0.36, 0.68), (0.0, 0.8), (-0.36, 0.68)]),
        rgb,
    )
