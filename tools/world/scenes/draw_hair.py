"""Hair: what falls behind the body, the cap on the skull, the bangs and the side locks."""

from __future__ import annotations

import skia

from .geometry import HAIR_END
from .palette import HAIR, light
from .pen import Pen, Point, mirror, polygon, smooth
from .spec import Character


def _piece(pen: Pen, who: Character, path: skia.Path) -> None:
    """One outlined piece of hair, in two colours when the hair is split."""
    pen.shape(path, HAIR[who.hair.colour])
    if who.hair.second:
        with pen.inside(path):
            pen.fill(
                polygon([(0.0, -2.0), (3.0, -2.0), (3.0, 4.0), (0.0, 4.0)]), HAIR[who.hair.second]
            )
        pen.stroke(path)


def back(pen: Pen, who: Character, view: str) -> None:
    """The hair that hangs behind head and body (in front of the body when seen from behind)."""
    hair = who.hair
    end = HAIR_END[hair.length]
    if hair.style == "twintails":
        _twintails(pen, who, end, view)
        end = 0.34
    elif hair.style == "ponytail":
        _ponytail(pen, who, end, view)
        end = 0.34
    if hair.style == "bob":
        path = smooth(
            mirror(
                [
                    (0.0, -0.58),
                    (0.4, -0.46),
                    (0.58, -0.06),
                    (0.62, 0.3),
                    (0.5, 0.52),
                    (0.2, 0.5),
                    (0.0, 0.48),
                ]
            )
        )
    elif end < 0.6:
        path = smooth(
            mirror(
                [
                    (0.0, -0.58),
                    (0.38, -0.48),
                    (0.54, -0.1),
                    (0.52, 0.2),
                    (0.42, end),
                    (0.2, end - 0.02),
                    (0.0, end),
                ]
            )
        )
    else:
        tips: list[Point] = [
            (0.6, end - 0.22),
            (0.52, end),
            (0.4, end - 0.1),
            (0.3, end + 0.05),
            (0.15, end - 0.08),
            (0.0, end + 0.06),
        ]
        path = smooth(mirror([(0.0, -0.58), (0.38, -0.48), (0.54, -0.1), (0.56, 0.4), *tips]))
    if view == "side":
        path.transform(skia.Matrix().setScale(0.72, 1.0).postTranslate(0.17, 0.0))
    _piece(pen, who, path)


def _twintails(pen: Pen, who: Character, end: float, view: str) -> None:
    end = max(end, 0.62)
    for side in (1,) if view == "side" else (-1, 1):
        x = 0.12 if view == "side" else 0.46 * side
        out = 1 if view == "side" else side
        _piece(
            pen,
            who,
            smooth(
                [
                    (x, -0.3),
                    (x + 0.24 * out, -0.32),
                    (x + 0.42 * out, 0.05),
                    (x + 0.4 * out, end * 0.6),
                    (x + 0.28 * out, end),
                    (x + 0.16 * out, end * 0.7),
                    (x + 0.1 * out, 0.1),
                ]
            ),
        )


def _ponytail(pen: Pen, who: Character, end: float, view: str) -> None:
    end = max(end, 0.7)
    x = 0.34 if view == "side" else (0.0 if view == "behind" else 0.24)
    if view == "behind":
        points = [
            (0.0, -0.45),
            (0.16, -0.3),
            (0.24, end * 0.5),
            (0.1, end),
            (-0.06, end * 0.95),
            (-0.22, end * 0.5),
            (-0.16, -0.3),
        ]
    else:
        points = [
            (x, -0.5),
            (x + 0.24, -0.62),
            (x + 0.5, -0.34),
            (x + 0.52, end * 0.5),
            (x + 0.36, end),
            (x + 0.27, end * 0.55),
            (x + 0.22, -0.1),
        ]
    _piece(pen, who, smooth(points))


def ponytail_over(pen: Pen, who: Character) -> None:
    """Seen from behind, the tail lies over the head."""
    if who.hair.style == "ponytail":
        _ponytail(pen, who, HAIR_END[who.hair.length], "behind")


def front(pen: Pen, who: Character, view: str) -> None:
    """Bangs and side locks; from the side also the hair over the ear."""
    rgb = HAIR[who.hair.colour]
    if view == "side":
        _side_cap(pen, who, rgb)
        return
    lock_end = (
        0.5
        if who.hair.style == "bob"
        else {"short": 0.3, "medium": 0.56, "long": 0.78}[who.hair.length]
    )
    for side in (-1, 1):
        _piece(
            pen,
            who,
            smooth(
                [
                    (0.36 * side, -0.36),
                    (0.52 * side, -0.2),
                    (0.56 * side, 0.15),
                    (0.51 * side, lock_end),
                    (0.43 * side, lock_end * 0.75),
                    (0.43 * side, 0.1),
                ]
            ),
        )
    crown: list[Point] = [
        (-0.51, -0.08),
        (-0.46, -0.34),
        (-0.26, -0.55),
        (0.0, -0.6),
        (0.26, -0.55),
        (0.46, -0.34),
        (0.51, -0.08),
    ]
    match who.hair.bangs:
        case "blunt":
            fringe: list[Point] = [
                (0.42, -0.02),
                (0.38, -0.05),
                (0.28, -0.02),
                (0.14, -0.05),
                (0.0, -0.02),
                (-0.14, -0.05),
                (-0.28, -0.02),
                (-0.38, -0.05),
                (-0.42, -0.02),
            ]
        case "parted":
            fringe = [
                (0.45, 0.06),
                (0.36, -0.12),
                (0.18, -0.26),
                (0.0, -0.45),
                (-0.18, -0.26),
                (-0.36, -0.12),
                (-0.45, 0.06),
            ]
        case _:
            fringe = [
                (0.46, 0.1),
                (0.34, -0.14),
                (0.26, -0.3),
                (0.14, -0.16),
                (-0.06, -0.06),
                (-0.28, -0.01),
                (-0.45, 0.02),
            ]
    path = smooth(crown + fringe)
    _piece(pen, who, path)
    with pen.inside(path):
        pen.curve([(-0.34, -0.3), (-0.12, -0.4), (0.12, -0.41)], light(rgb, 0.45), 0.05)
    if who.hair.bangs == "blunt":
        for x in (-0.2, 0.0, 0.2):
            pen.curve([(x, -0.06), (x * 0.85, -0.2)])


def _side_cap(pen: Pen, who: Character, rgb: tuple[int, int, int]) -> None:
    fringe: dict[str, list[Point]] = {
        "blunt": [(-0.5, -0.02), (-0.36, -0.05), (-0.18, -0.02)],
        "parted": [(-0.47, -0.2), (-0.38, -0.26), (-0.2, -0.1)],
        "swept": [(-0.52, 0.06), (-0.4, -0.1), (-0.2, -0.12)],
    }
    end = {"short": 0.36, "medium": 0.56, "long": 0.6}[who.hair.length]
    path = smooth(
        [
            (0.1, -0.6),
            (-0.26, -0.53),
            (-0.47, -0.3),
            *fringe[who.hair.bangs],
            (-0.15, 0.15),
            (-0.1, end),
            (0.05, end * 0.9),
            (0.34, 0.4),
            (0.52, 0.1),
            (0.5, -0.22),
            (0.36, -0.48),
        ]
    )
    _piece(pen, who, path)
    with pen.inside(path):
        pen.curve([(-0.3, -0.36), (-0.1, -0.45), (0.14, -0.45)], light(rgb, 0.45), 0.05)


def cap_behind(pen: Pen, who: Character) -> None:
    """The back of the head."""
    path = smooth(
        mirror(
            [
                (0.0, -0.6),
                (0.3, -0.53),
                (0.51, -0.25),
                (0.54, 0.1),
                (0.46, 0.4),
                (0.2, 0.5),
                (0.0, 0.52),
            ]
        )
    )
    _piece(pen, who, path)
    with pen.inside(path):
        pen.curve(
            [(-0.34, -0.26), (-0.12, -0.38), (0.12, -0.38), (0.34, -0.26)],
            light(HAIR[who.hair.colour], 0.4),
            0.05,
        )
