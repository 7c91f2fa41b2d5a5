"""What only the characters of the laboratory wear: wings, tail, cape, horns, halo, glasses, apron.

Each function draws nothing for a character without the trait, so that all others stay as they are.
"""

from __future__ import annotations

from .geometry import HIP, SIDE_WIDTH, WAIST, hem
from .palette import PALETTE, RGB, light, shade
from .pen import Pen, mirror, oval, polygon, smooth
from .spec import Character

GOLD: RGB = (250, 214, 92)


def behind_body(pen: Pen, who: Character, view: str) -> None:
    """Wings, tail and cape; before the body, or over it when seen from behind."""
    if wings := who.extra("wings"):
        for side in (1,) if view == "side" else (-1, 1):
            _wing(pen, PALETTE[wings], side)
    if tail := who.extra("tail"):
        _tail(pen, PALETTE[tail], -1 if view == "behind" else 1)
    if cape := who.extra("cape"):
        _cape(pen, PALETTE[cape], view)


def _wing(pen: Pen, rgb: RGB, side: int) -> None:
    for k, tone in ((0, shade(rgb, 0.12)), (1, rgb)):
        drop = 0.1 * k
        outline = [
            (0.12, 0.9 + drop),
            (0.5, 0.56 + drop),
            (1.02 - 0.1 * k, 0.2 + 2 * drop),
            (1.1 - 0.14 * k, 0.62 + drop),
            (0.94 - 0.1 * k, 0.98 + drop),
            (0.66, 1.22 + drop),
            (0.36, 1.24),
        ]
        path = smooth([(x * side, y) for x, y in outline])
        pen.shape(path, tone)
    for x, y in ((0.9, 0.62), (0.76, 0.86), (0.6, 1.04)):
        pen.curve([(x * side, y), ((x - 0.1) * side, y + 0.14)])


def _tail(pen: Pen, rgb: RGB, side: int) -> None:
    outline = [
        (0.05, HIP + 0.1),
        (0.42, HIP + 0.18),
        (0.72, 1.4),
        (0.74, 1.06),
        (0.96, 1.3),
        (0.92, 1.72),
        (0.56, 1.96),
        (0.1, 1.84),
    ]
    path = smooth([(x * side, y) for x, y in outline])
    pen.shape(path, rgb)
    with pen.inside(path):
        pen.fill(oval(0.8 * side, 1.04, 0.26, 0.22), light(rgb, 0.75))
    pen.stroke(path)


def _cape(pen: Pen, rgb: RGB, view: str) -> None:
    if view == "side":
        outline = [(-0.05, 0.6), (0.24, 0.66), (0.46, 1.4), (0.62, 2.3), (0.1, 2.36), (0.0, 1.3)]
        pen.shape(polygon(outline), rgb)
        return
    end = 2.34
    path = polygon(
        mirror([(0.0, 0.58), (0.36, 0.66), (0.6, 1.3), (0.84, end - 0.1), (0.42, end), (0.0, end)])
    )
    pen.shape(path, rgb if view == "behind" else shade(rgb, 0.08))
    for x in (-0.6, 0.6):
        pen.curve([(x, end - 0.06), (x * 0.72, 1.3)], shade(rgb, 0.35))


def over_body(pen: Pen, who: Character, view: str) -> None:
    """The apron over the skirt, the clasp of the cape."""
    if view == "behind":
        return
    if apron := who.extra("apron"):
        _apron(pen, who, PALETTE[apron], SIDE_WIDTH if view == "side" else 1.0)
    if cape := who.extra("cape"):
        w = SIDE_WIDTH if view == "side" else 1.0
        for side in (-1, 1):
            pen.shape(
                polygon([(0.06 * side * w, 0.6), (0.38 * side * w, 0.66), (0.32 * side * w, 0.82)]),
                PALETTE[cape],
            )
        pen.shape(oval(0.0, 0.64, 0.06, 0.06), GOLD, None)


def _apron(pen: Pen, who: Character, rgb: RGB, width: float) -> None:
    end = min(hem(who, "standing"), 2.0) - 0.14
    bib = [(0.0, 0.8), (0.17 * width, 0.8), (0.19 * width, WAIST)]
    cloth = [(0.26 * width, WAIST + 0.1), (0.34 * width, end - 0.08), (0.22 * width, end)]
    path = polygon(mirror([*bib, *cloth, (0.0, end + 0.03)]))
    pen.shape(path, rgb)
    pen.curve([(-0.22 * width, WAIST + 0.03), (0.22 * width, WAIST + 0.03)], shade(rgb, 0.3), 0.05)
    pen.shape(oval(0.0, 1.52, 0.12 * width, 0.08), light(rgb, 0.3), None)  # a pocket


def striped_scarf(pen: Pen, who: Character) -> None:
    """Stripes across the scarf and its end, which draw_clothes has just drawn."""
    stripes = who.extra("scarf stripes")
    if not stripes:
        return
    rgb = PALETTE[stripes]
    for y in (0.84, 1.02, 1.2):
        pen.curve([(0.16, y + 0.02), (0.29, y)], rgb, 0.075)
    for x in (-0.27, -0.1, 0.08, 0.25):
        top = 0.58 - 0.14 * abs(x)
        pen.curve([(x, top + 0.04), (x * 1.04, top + 0.14)], rgb, 0.075)


def glasses(pen: Pen, who: Character, view: str) -> None:
    """Round frames over the eyes."""
    frame = who.extra("glasses")
    if not frame or view == "behind":
        return
    rgb = PALETTE[frame]
    if view == "side":
        pen.stroke(oval(-0.33, 0.13, 0.12, 0.17), rgb, 0.045)
        pen.curve([(-0.22, 0.1), (0.1, 0.06)], rgb, 0.045)
        return
    for side in (-1, 1):
        pen.stroke(oval(0.205 * side, 0.13, 0.165, 0.175), rgb, 0.045)
    pen.curve([(-0.04, 0.11), (0.0, 0.09), (0.04, 0.11)], rgb, 0.045)


def on_head(pen: Pen, who: Character, view: str) -> None:
    """Horns and halo, over the hair."""
    if horns := who.extra("horns"):
        for side in (1,) if view == "side" else (-1, 1):
            outline = [(0.14, -0.46), (0.2, -0.7), (0.44, -0.94), (0.42, -0.7), (0.36, -0.38)]
            path = smooth([(x * side, y) for x, y in outline])
            pen.shape(path, PALETTE[horns])
            pen.curve([(0.2 * side, -0.56), (0.37 * side, -0.5)])
            pen.curve([(0.25 * side, -0.69), (0.41 * side, -0.65)])
    if halo := who.extra("halo"):
        ring = oval(0.08 if view == "side" else 0.0, -0.8, 0.36, 0.1)
        pen.stroke(ring, shade(PALETTE[halo], 0.3), 0.07 + pen.line)
        pen.stroke(ring, PALETTE[halo], 0.07 - pen.line)
