"""Scene -> picture, mask and boxes. The same scene and size always give the same bytes."""

from __future__ import annotations

import math
import random
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np
import skia
from numpy.typing import NDArray

from . import draw_background, draw_body, draw_clothes, draw_extras, draw_hair, draw_head
from .geometry import SITTING_SOLE, SOLE, Box, Window, clip, parts, window
from .look import PLAIN, Look, faded, washed
from .palette import BACKDROP
from .pen import Pen, oval
from .spec import Character, Scene

LINE_AT_128 = 1.0  # outline of a full-body figure at 128 pixels; it grows slower than the picture


@dataclass(frozen=True)
class Drawing:
    """pixels: (H, W, 3) uint8 RGB.  mask: (H, W) bool, the figures.  boxes: per figure, in pixels,
    clipped.

    window: what part of the body plane it shows.
    figure: (H, W, 4) uint8, the figures alone, premultiplied.
    """

    pixels: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    boxes: tuple[dict[str, Box], ...]
    window: Window
    figure: NDArray[np.uint8]


def render(
    scene: Scene, width: int = 128, height: int | None = None, look: Look = PLAIN
) -> Drawing:
    """Draws the scene.

    width, height: 64 to 4096 pixels; height defaults to width.
    look: the hand that draws it. Boxes are those of PLAIN alone.
    """
    height = height or width
    if not (64 <= width <= 4096 and 64 <= height <= 4096):
        raise ValueError(
            f"{width}×{height} pixels asked for; a drawing has 64 to 4096 on each side"
        )
    rng = random.Random(scene.seed)
    view = window(
        scene,
        width,
        height,
        rng.uniform(-0.06, 0.06),
        rng.uniform(-0.03, 0.03),
        rng.uniform(0.99, 1.05),
        look,
    )
    back = skia.Surface(width, height)
    front = skia.Surface(width, height)
    aspect = width / height
    with back as canvas:
        canvas.scale(height, height)
        draw_background.draw(Pen(canvas, 1.2 / 128, look), scene.background, aspect, scene.seed)
    boxes: list[dict[str, Box]] = []
    with front as canvas:
        line = _line_width(view, height)
        broad = max(look.head, look.breadth)
        for who, x, mirrored in _places(scene):
            canvas.save()
            canvas.translate(-view.left * view.scale, -view.top * view.scale)
            canvas.scale(view.scale, view.scale)
            canvas.translate(x * broad, 0.0)
            if mirrored:
                canvas.scale(-1.0, 1.0)
            draw_figure(Pen(canvas, line, look), who, scene.pose, scene.view)
            canvas.restore()
            boxes.append(_pixel_boxes(who, scene, view, x, mirrored, width, height))
    figure = washed(_array(front), look)
    behind = _array(back)
    if scene.background in BACKDROP:
        behind = faded(behind, look)
    alpha = figure[..., 3:].astype(np.float32) / 255  # premultiplied
    pixels = figure[..., :3] + behind[..., :3] * (1 - alpha)
    return Drawing(
        np.clip(pixels + 0.5, 0, 255).astype(np.uint8),
        figure[..., 3] > 127,
        tuple(boxes),
        view,
        figure,
    )


def _line_width(view: Window, height: int) -> float:
    """The outline in body units: it grows slower than the figure."""
    magnified = view.scale / height * 3.7  # 1 for full body
    return float(
        LINE_AT_128
        * (height / 128) ** 0.8
        * (1 + 0.45 * math.log2(max(magnified, 0.5)))
        / view.scale
    )


def _places(scene: Scene) -> list[tuple[Character, float, bool]]:
    if len(scene.characters) == 2:
        return [
            (scene.characters[0], -0.66, scene.mirrored),
            (scene.characters[1], 0.66, not scene.mirrored),
        ]
    return [(who, 0.0, scene.mirrored) for who in scene.characters]


def _pixel_boxes(
    who: Character, scene: Scene, view: Window, x: float, mirrored: bool, width: int, height: int
) -> dict[str, Box]:
    found = {}
    for name, (left, top, right, bottom) in parts(who, scene.pose, scene.view).items():
        if mirrored:
            left, right = -right, -left
        box = clip(view.to_pixels((left + x, top, right + x, bottom)), width, height)
        if box:
            found[name] = box
    return found


def draw_figure(pen: Pen, who: Character, pose: str, view: str) -> None:
    """One figure, back to front."""
    behind = view == "behind"
    early_arms = pose == "arms behind back" and not behind and view != "side"
    look = pen.look

    def head() -> AbstractContextManager[None]:
        return pen.scaled(look.head, look.head)

    def body() -> AbstractContextManager[None]:
        return pen.scaled(look.breadth, look.height)

    if look.ground:
        with body():
            sole = SITTING_SOLE if pose == "sitting" else SOLE
            pen.fill(oval(0.0, sole + 0.02, 0.55, 0.06), (110, 100, 104), 90)
    if not behind:
        with body():
            draw_extras.behind_body(pen, who, view)
        with head():
            draw_hair.back(pen, who, view)
    with body():
        if pose == "sitting":
            draw_body.seat(pen, view)
        if early_arms:
            draw_body.arms(pen, who, pose, view)
        draw_body.legs(pen, who, pose, view)
        draw_body.neck(pen)
        draw_clothes.torso(pen, who, view)
        draw_clothes.bottom(pen, who, pose, view)
        draw_clothes.corset(pen, who, view)
        draw_extras.over_body(pen, who, view)
        over = pose in ("arms up", "waving")
        if not early_arms and not over:
            draw_body.arms(pen, who, pose, view)
        draw_clothes.capelet(pen, who, view)
        if over:
            draw_body.arms(pen, who, pose, view)
        draw_clothes.scarf(pen, who)
        draw_extras.striped_scarf(pen, who)
        if behind:
            draw_extras.behind_body(pen, who, view)
    with head():
        if behind:
            draw_hair.back(pen, who, view)
            draw_hair.cap_behind(pen, who)
            draw_hair.ponytail_over(pen, who)
        else:
            draw_head.head(pen, who, view)
            draw_extras.glasses(pen, who, view)
            draw_hair.front(pen, who, view)
        draw_extras.on_head(pen, who, view)
        draw_head.hair_ornament(pen, who, view)
        draw_head.hat(pen, who, view)


def _array(surface: skia.Surface) -> NDArray[np.uint8]:
    """(H, W, 4) premultiplied RGBA."""
    info = skia.ImageInfo.Make(
        surface.width(), surface.height(), skia.kRGBA_8888_ColorType, skia.kPremul_AlphaType
    )
    out = np.empty((surface.height(), surface.width(), 4), np.uint8)
    surface.readPixels(info, out)
    return out
