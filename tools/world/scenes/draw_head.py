"""The head: face, eyes, brows, mouth, and what is worn on it."""

from __future__ import annotations

from .draw_clothes import bow
from .palette import EYES, HAIR, LINE, PALETTE, SKIN, light, shade
from .pen import Pen, mirror, oval, polygon, smooth
from .spec import Character

WHITE = (255, 255, 255)


def head(pen: Pen, who: Character, view: str) -> None:
    """The bare head with its face (none from behind)."""
    if view == "behind":
        pen.shape(oval(0.0, 0.0, 0.47, 0.5), HAIR[who.hair.colour])
        return
    if view == "side":
        pen.shape(
            smooth(
                [
                    (0.0, -0.52),
                    (-0.34, -0.4),
                    (-0.47, -0.05),
                    (-0.5, 0.16),
                    (-0.46, 0.3),
                    (-0.38, 0.44),
                    (-0.26, 0.5),
                    (0.0, 0.42),
                    (0.3, 0.2),
                    (0.42, -0.1),
                    (0.3, -0.42),
                ]
            ),
            SKIN,
        )
        _eye(pen, who, -0.31, 0.12, 0.7, 1)
        _cheek(pen, who, -0.32, 0.3)
        _mouth(pen, who, -0.38, 0.36, 0.6)
        return
    for side in (-1, 1):
        pen.shape(oval(0.45 * side, 0.12, 0.07, 0.1), SKIN, None)
    pen.shape(
        smooth(
            mirror(
                [
                    (0.0, -0.5),
                    (0.3, -0.42),
                    (0.47, -0.1),
                    (0.45, 0.18),
                    (0.33, 0.38),
                    (0.12, 0.49),
                    (0.0, 0.51),
                ]
            )
        ),
        SKIN,
    )
    for side in (-1, 1):
        _cheek(pen, who, 0.3 * side, 0.3)
        _eye(pen, who, 0.2 * side, 0.12, 1.0, side)
    pen.curve([(-0.012, 0.255), (0.012, 0.265)])
    _mouth(pen, who, 0.0, 0.37, 1.0)
    if patch := who.extra("eyepatch"):
        pen.curve([(-0.48, -0.14), (0.2, 0.06), (0.47, 0.1)], PALETTE[patch], 0.045)
        pen.shape(
            smooth([(0.06, 0.02), (0.34, 0.02), (0.33, 0.2), (0.2, 0.29), (0.07, 0.2)]),
            PALETTE[patch],
        )


def _cheek(pen: Pen, who: Character, x: float, y: float) -> None:
    if who.face.blush:
        pen.fill(oval(x, y, 0.1, 0.06), (250, 140, 140), 200)


def _eye(pen: Pen, who: Character, x: float, y: float, narrow: float, side: int) -> None:
    """One large eye; narrow squeezes it for the side view, side says which way its outer corner
    points.
    """
    rx = 0.115 * narrow
    ry = 0.15
    brow_out = x + 0.13 * side * narrow
    brow_in = x - 0.1 * side * narrow
    rise = (-0.045, 0.05) if who.face.angry else (0.015, -0.01)
    pen.curve(
        [(brow_out, y - 0.23 + rise[0]), (brow_in, y - 0.23 + rise[1])],
        LINE,
        0.04 if who.face.angry else 0.03,
    )
    if who.face.closed:
        pen.curve([(x - rx, y + 0.03), (x, y + 0.1), (x + rx, y + 0.03)], LINE, 0.045)
        return
    iris = EYES[who.face.eyes]
    white = oval(x, y, rx, ry)
    pen.fill(white, WHITE)
    with pen.inside(white):
        pen.fill(oval(x, y + 0.015, rx * 0.86, ry * 0.93), shade(iris, 0.35))
        pen.fill(oval(x, y + 0.05, rx * 0.74, ry * 0.72), iris)
        pen.fill(oval(x, y + 0.09, rx * 0.5, ry * 0.3), light(iris, 0.4))
        pen.fill(oval(x, y + 0.0, rx * 0.36, ry * 0.42), shade(iris, 0.75))
    pen.fill(oval(x - 0.035 * narrow, y - 0.055, 0.034 * narrow, 0.042), WHITE)
    pen.curve(
        [
            (x - rx * 1.1, y - 0.06),
            (x - rx * 0.5, y - ry * 0.98),
            (x + rx * 0.5, y - ry * 0.98),
            (x + rx * 1.1, y - 0.06),
        ],
        LINE,
        0.05,
    )
    pen.curve([(x - rx * 0.5, y + ry), (x + rx * 0.5, y + ry)], LINE, 0.02)


def _mouth(pen: Pen, who: Character, x: float, y: float, narrow: float) -> None:
    w = 0.1 * narrow
    match who.face.mouth:
        case "smile":
            pen.curve([(x - w, y - 0.02), (x, y + 0.04), (x + w, y - 0.02)], LINE, 0.032)
        case "frown":
            pen.curve([(x - w, y + 0.035), (x, y - 0.025), (x + w, y + 0.035)], LINE, 0.032)
        case "open":
            pen.shape(
                smooth(
                    [
                        (x - w, y - 0.03),
                        (x + w, y - 0.03),
                        (x + w * 0.6, y + 0.07),
                        (x - w * 0.6, y + 0.07),
                    ]
                ),
                (190, 60, 70),
                None,
            )
        case _:
            pen.curve([(x - w * 0.45, y), (x + w * 0.45, y)], LINE, 0.026)


def hat(pen: Pen, who: Character, view: str) -> None:
    """A brimmed hat with a band; the bow, if any, sits on its side."""
    wear = who.headwear
    if wear.kind != "hat":
        return
    rgb = PALETTE[wear.colour]
    pen.shape(
        smooth(mirror([(0.0, -0.9), (0.26, -0.87), (0.42, -0.68), (0.47, -0.36), (0.0, -0.26)])),
        rgb,
    )
    band = PALETTE[wear.bow] if wear.bow else shade(rgb, 0.35)
    pen.shape(
        polygon(
            [
                (-0.46, -0.46),
                (-0.2, -0.39),
                (0.2, -0.39),
                (0.46, -0.46),
                (0.48, -0.34),
                (0.2, -0.26),
                (-0.2, -0.26),
                (-0.48, -0.34),
            ]
        ),
        band,
        None,
    )
    pen.shape(
        smooth(
            [
                (-0.78, -0.26),
                (-0.45, -0.36),
                (0.0, -0.3),
                (0.45, -0.36),
                (0.78, -0.26),
                (0.6, -0.17),
                (0.0, -0.13),
                (-0.6, -0.17),
            ]
        ),
        rgb,
    )
    if wear.bow:
        bow(pen, 0.36 if view == "front" else 0.2, -0.42, 0.24, PALETTE[wear.bow])


def hair_ornament(pen: Pen, who: Character, view: str) -> None:
    """Hair bow (on top), hair ribbon (a band with a small knot) and cat ears."""
    wear = who.headwear
    if who.extra("cat ears"):
        rgb = HAIR[who.hair.colour]
        for side in (-1, 1):
            pen.shape(
                polygon([(0.14 * side, -0.5), (0.46 * side, -0.26), (0.47 * side, -0.84)]), rgb
            )
            if view == "front":
                pen.fill(
                    polygon([(0.24 * side, -0.5), (0.41 * side, -0.38), (0.42 * side, -0.72)]),
                    (250, 170, 180),
                )
    if wear.kind == "hair bow":
        bow(pen, 0.16 if view == "side" else 0.0, -0.56, 0.32, PALETTE[wear.colour], tails=False)
    elif wear.kind == "hair ribbon":
        rgb = PALETTE[wear.colour]
        pen.stroke(
            smooth(
                [(-0.5, -0.16), (-0.36, -0.4), (0.0, -0.5), (0.36, -0.4), (0.5, -0.16)],
                closed=False,
            ),
            LINE,
            0.13 + pen.line,
        )
        pen.stroke(
            smooth(
                [(-0.5, -0.16), (-0.36, -0.4), (0.0, -0.5), (0.36, -0.4), (0.5, -0.16)],
                closed=False,
            ),
            rgb,
            0.13 - pen.line,
        )
        bow(pen, 0.4, -0.34, 0.18, rgb, tails=True)
