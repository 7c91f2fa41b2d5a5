"""Legs, boots, arms, hands, cuffs and gloves."""

from __future__ import annotations

from .geometry import HIP, SHOULDER, SITTING_SOLE, SOLE, hands
from .palette import PALETTE, RGB, SKIN
from .pen import Pen, Point, oval, polygon, smooth
from .spec import Character

ARM = 0.17
LEG = 0.23


def legs(pen: Pen, who: Character, pose: str, view: str) -> None:
    """Both legs with shoes or boots; drawn before the skirt."""
    outfit = who.outfit
    trousers = PALETTE[outfit.bottom_colour] if outfit.bottom == "pants" else None
    if pose == "sitting":
        knee = 1.78
        sole = SITTING_SOLE
        spread = 0.17
    else:
        knee = 2.05
        sole = SOLE
        spread = 0.16
    for side in (1, -1):
        if view == "side":
            x = 0.03 * side
            knee_x, foot_x = (x - 0.5, x - 0.5) if pose == "sitting" else (x, x + 0.02)
        else:
            x = spread * side
            knee_x, foot_x = (x + 0.05 * side, x + 0.06 * side) if pose == "sitting" else (x, x)
        start = HIP + 0.02
        ankle = sole - 0.14
        points = [(x, start), (knee_x, knee), (foot_x, ankle)]
        pen.limb(points, LEG if trousers is None else LEG + 0.06, trousers or SKIN)
        if bands := who.extra("striped legwear"):
            _stockings(pen, points, PALETTE[bands])
        _foot(pen, who, foot_x, sole, view, side)


def _stockings(pen: Pen, points: list[Point], rgb: RGB) -> None:
    """Bands over both shins; points are hip, knee and ankle."""
    (_, _), (knee_x, knee), (ankle_x, ankle) = points
    for k in range(5):
        share = (k + 0.2) / 5
        x = knee_x + (ankle_x - knee_x) * share
        y = knee - 0.12 + (ankle - knee + 0.12) * share
        pen.fill(
            polygon([(x - 0.1, y), (x + 0.1, y), (x + 0.1, y + 0.07), (x - 0.1, y + 0.07)]), rgb
        )


def _foot(pen: Pen, who: Character, x: float, sole: float, view: str, side: int) -> None:
    boots = who.outfit.boots
    colour: RGB = PALETTE[boots] if boots else PALETTE["black"]
    toe = -0.13 if view == "side" else 0.03 * side
    top = sole - (0.56 if boots else 0.16)
    shaft = [
        (x - 0.135, top),
        (x + 0.135, top),
        (x + 0.12, sole - 0.1),
        (x + 0.13 + max(toe, 0), sole - 0.02),
        (x + 0.1 + max(toe, 0), sole + 0.03),
        (x - 0.1 + min(toe, 0), sole + 0.03),
        (x - 0.13 + min(toe, 0), sole - 0.02),
        (x - 0.12, sole - 0.12),
    ]
    if not boots:
        shaft = [(x - 0.12, top + 0.02), (x + 0.12, top + 0.02), *shaft[3:7]]
    pen.shape(polygon(shaft), colour)
    if boots and who.outfit.boot_laces and view != "behind":
        lace = PALETTE[who.outfit.boot_laces]
        for k in range(3):
            y = top + 0.08 + 0.12 * k
            pen.curve([(x - 0.07, y), (x + 0.07, y + 0.09)], lace, 0.045)
            pen.curve([(x + 0.07, y), (x - 0.07, y + 0.09)], lace, 0.045)


def seat(pen: Pen, view: str) -> None:
    """The stool that a sitting figure sits on."""
    x = 0.1 if view == "side" else 0.0
    pen.shape(
        polygon(
            [(x - 0.42, 1.62), (x + 0.42, 1.62), (x + 0.46, SITTING_SOLE), (x - 0.46, SITTING_SOLE)]
        ),
        (176, 140, 104),
    )


def arm_lines(pose: str, view: str) -> list[list[Point]]:
    """Shoulder, elbow, hand of the arms that can be seen, in drawing order."""
    y = SHOULDER + 0.1
    seen = hands(pose, view)
    if view == "side":
        elbow = {
            "standing": (0.07, 1.2),
            "arms up": (-0.3, 0.2),
            "hand on hip": (0.3, 1.15),
            "waving": (-0.32, 1.08),
            "arms behind back": (0.25, 1.12),
            "sitting": (0.02, 1.22),
        }[pose]
        return [[(0.02, y), elbow, seen[0]]]
    if not seen:  # behind the back: the elbows still show
        return [[(0.33 * s, y), (0.48 * s, 1.12), (0.2 * s, 1.34)] for s in (-1, 1)]
    lines = []
    for hand, side in zip(seen, (-1, 1), strict=True):
        elbow = {
            "standing": (0.46, 1.18),
            "arms up": (0.66, 0.2),
            "hand on hip": (0.68, 1.08),
            "waving": (0.64, 0.94),
            "arms behind back": (0.46, 1.14),
            "sitting": (0.46, 1.18),
        }[pose]
        if side < 0 and pose in ("hand on hip", "waving"):
            elbow = (0.46, 1.18)
        lines.append([(0.32 * side, y), (elbow[0] * side, elbow[1]), hand])
    return lines


def arms(pen: Pen, who: Character, pose: str, view: str) -> None:
    """Both arms with sleeves, cuffs, gloves and hands."""
    outfit = who.outfit
    sleeve = SKIN if outfit.top == "corset" else PALETTE[outfit.top_colour]
    odd = who.extra("odd sleeve")
    lines = arm_lines(pose, view)
    left = 0 if view == "behind" else len(lines) - 1  # the character's left arm
    for number, (shoulder, elbow, hand) in enumerate(lines):
        pen.limb([shoulder, elbow, hand], ARM, PALETTE[odd] if odd and number == left else sleeve)
        ux = hand[0] - elbow[0]
        uy = hand[1] - elbow[1]
        n = max((ux * ux + uy * uy) ** 0.5, 1e-6)
        ux = ux / n
        uy = uy / n
        palm = PALETTE[outfit.gloves] if outfit.gloves else SKIN
        pen.shape(oval(hand[0] + ux * 0.05, hand[1] + uy * 0.05, 0.1, 0.1), palm)
        if outfit.gloves:
            _band(pen, hand, (ux, uy), -0.24, 0.0, 0.1, palm)
        if outfit.cuffs:
            cuff = PALETTE[outfit.cuffs]
            _band(pen, hand, (ux, uy), -0.3, -0.02, 0.13, cuff)
            if outfit.cuff_stripes:
                for k in range(3):
                    at = -0.265 + 0.09 * k
                    _band(
                        pen,
                        hand,
                        (ux, uy),
                        at,
                        at + 0.045,
                        0.125,
                        PALETTE[outfit.cuff_stripes],
                        outlined=False,
                    )


def _band(
    pen: Pen,
    hand: Point,
    u: Point,
    start: float,
    end: float,
    half: float,
    rgb: RGB,
    outlined: bool = True,
) -> None:
    """A sleeve-like band across the forearm, from start to end along u, measured from the hand."""
    (x, y), (ux, uy) = hand, u
    px = -uy * half
    py = ux * half
    path = polygon(
        [
            (x + ux * start + px, y + uy * start + py),
            (x + ux * end + px, y + uy * end + py),
            (x + ux * end - px, y + uy * end - py),
            (x + ux * start - px, y + uy * start - py),
        ]
    )
    if outlined:
        pen.shape(path, rgb)
    else:
        pen.fill(path, rgb)


def neck(pen: Pen) -> None:
    pen.shape(smooth([(-0.1, 0.4), (0.1, 0.4), (0.11, 0.72), (-0.11, 0.72)]), SKIN)
