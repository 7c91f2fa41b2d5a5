"""Where things are: the body in head units, the window each framing shows, and the boxes of the
parts.

Body units: x to the right, y down, the head's centre at (0, 0), the chin at 0.5, the soles near
2.6.
"""

from __future__ import annotations

from dataclasses import dataclass

from .look import CHIN, PLAIN, Look
from .spec import Character, Scene

Box = tuple[float, float, float, float]  # left, top, right, bottom

SHOULDER = 0.68
WAIST = 1.2
HIP = 1.48
SOLE = 2.62
SITTING_SOLE = 2.3
HEM = {"miniskirt": 1.72, "skirt": 1.96, "long skirt": 2.34}
SITTING_HEM = {"miniskirt": 1.7, "skirt": 1.86, "long skirt": 2.08}
HAIR_END = {"short": 0.42, "medium": 0.86, "long": 1.62}
RAISED = -0.85  # how high raised hands are drawn
SIDE_WIDTH = 0.62  # how much narrower the body is from the side

# top and bottom of what a framing shows, in body units
WINDOWS = {
    "full body": (-0.97, 2.74),
    "cowboy shot": (-0.93, 1.82),
    "upper body": (-0.92, 1.28),
    "lower body": (1.12, 2.76),
    "portrait": (-0.86, 0.82),
    "close-up": (-0.5, 0.62),
    "head out of frame": (0.46, 2.3),
}


@dataclass(frozen=True)
class Window:
    """The part of the body plane that the picture shows."""

    left: float
    top: float
    scale: float  # pixels per body unit

    def to_pixels(self, box: Box) -> Box:
        left, top, right, bottom = box
        return (
            (left - self.left) * self.scale,
            (top - self.top) * self.scale,
            (right - self.left) * self.scale,
            (bottom - self.top) * self.scale,
        )


def window(
    scene: Scene,
    width: int,
    height: int,
    dx: float = 0.0,
    dy: float = 0.0,
    zoom: float = 1.0,
    look: Look = PLAIN,
) -> Window:
    """The window of a scene's framing in a picture of width × height pixels."""
    top, bottom = WINDOWS[scene.framing]
    if scene.pose == "sitting" and scene.framing == "full body":
        bottom = SITTING_SOLE + 0.15
    if scene.pose == "arms up" and scene.framing in ("full body", "cowboy shot", "upper body"):
        top -= 0.1
    top, bottom = look.at(top), look.at(bottom)
    if scene.pose == "arms up" and scene.framing in ("full body", "cowboy shot", "upper body"):
        top = min(top, CHIN + (RAISED - CHIN) * look.height)  # a long body's hands pass the head
    span = (bottom - top) * zoom
    broad = max(look.head, look.breadth)
    if len(scene.characters) == 2:
        span = max(span, 2.75 * broad * height / width)
    least = {"portrait": 1.3, "close-up": 1.0, "upper body": 1.6}.get(scene.framing, 1.5) * broad
    scale = min(height / span, width / least)
    middle = (top + bottom) / 2 + dy
    return Window(dx - width / scale / 2, middle - height / scale / 2, scale)


def hem(character: Character, pose: str) -> float:
    """The lower edge of the skirt, or the crotch for trousers."""
    bottom = character.outfit.bottom
    if bottom == "pants":
        return HIP + 0.2
    return (SITTING_HEM if pose == "sitting" else HEM)[bottom]


def hands(pose: str, view: str) -> tuple[tuple[float, float], ...]:
    """The centres of the hands that can be seen."""
    if view == "side":
        return {
            "standing": ((0.02, 1.56),),
            "arms up": ((-0.3, -0.66),),
            "hand on hip": ((0.0, 1.36),),
            "waving": ((-0.62, 0.42),),
            "arms behind back": ((0.34, 1.42),),
            "sitting": ((-0.3, 1.5),),
        }[pose]
    return {
        "standing": ((-0.46, 1.58), (0.46, 1.58)),
        "arms up": ((-0.72, -0.62), (0.72, -0.62)),
        "hand on hip": ((-0.46, 1.58), (0.27, 1.32)),
        "waving": ((-0.46, 1.58), (0.86, 0.2)),
        "arms behind back": ((-0.06, 1.36), (0.06, 1.36)) if view == "behind" else (),
        "sitting": ((-0.2, 1.58), (0.2, 1.58)),
    }[pose]


def parts(character: Character, pose: str, view: str) -> dict[str, Box]:
    """The boxes of one figure's parts in body units; a part that cannot be seen is missing."""
    w = SIDE_WIDTH if view == "side" else 1.0
    sole = SITTING_SOLE if pose == "sitting" else SOLE
    boxes: dict[str, Box] = {
        "head": (-0.58, -0.62, 0.58, 0.52),
        "torso": (-0.36 * w, 0.6, 0.36 * w, HIP),
        "legs": (-0.34, hem(character, pose), 0.34, sole),
        "feet": (-0.36, sole - 0.3, 0.36, sole),
    }
    if view == "front":
        boxes |= {
            "face": (-0.44, -0.16, 0.44, 0.5),
            "eyes": (-0.36, -0.02, 0.36, 0.26),
            "bangs": (-0.5, -0.52, 0.5, 0.02),
        }
    elif view == "side":
        boxes |= {
            "face": (-0.5, -0.16, -0.02, 0.5),
            "eyes": (-0.42, -0.02, -0.18, 0.26),
            "bangs": (-0.5, -0.52, 0.1, 0.02),
        }
    if character.headwear.kind == "hat":
        boxes["hat"] = (-0.8, -0.9, 0.8, -0.14)
    elif character.headwear.kind != "none":
        boxes["hat"] = (-0.4, -0.75, 0.55, -0.3)
    if character.outfit.bottom != "pants":
        boxes["skirt"] = (-0.62, WAIST, 0.62, hem(character, pose))
    seen = hands(pose, view)
    if seen:
        xs = [x for x, _ in seen]
        ys = [y for _, y in seen]
        boxes["hands"] = (min(xs) - 0.1, min(ys) - 0.1, max(xs) + 0.1, max(ys) + 0.1)
    return boxes


def clip(box: Box, width: float, height: float) -> Box | None:
    """The part of a box that lies in the picture, or None."""
    left = max(box[0], 0.0)
    top = max(box[1], 0.0)
    right = min(box[2], width)
    bottom = min(box[3], height)
    return (left, top, right, bottom) if right - left >= 1 and bottom - top >= 1 else None
