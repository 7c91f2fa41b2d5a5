"""Seed -> a picture of one figure in scenery, with its truth."""

from __future__ import annotations

import io
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .backgrounds import KINDS
from .figures import Box, Figure, draw_figure, some_looks

STYLES = ("flat", "outlined", "painted", "noisy", "outlined", "flat")
PLACES = ("middle", "middle", "off centre", "small", "cut")
SIZES = ((640, 960), (768, 768), (720, 960), (960, 720), (600, 1000))


@dataclass(frozen=True)
class Scene:
    """name: what it shows.

    mask: (H, W), the figure.
    parts: boxes, pixels.
    rows: of places of the body, pixels.
    """

    name: str
    image: Image.Image
    mask: NDArray[np.bool_]
    parts: dict[str, Box]
    rows: dict[str, float]


def make_scene(seed: int) -> Scene:
    """The same seed gives the same picture.

    Every background comes in every style; each third figure is the renderer's.
    """
    rng = random.Random(seed * 9176 + 5)
    kind = list(KINDS)[seed // 2 % len(KINDS)]
    style = rng.choice(STYLES)
    place = rng.choice(PLACES)
    size = rng.choice(SIZES)
    own = rng.random() < 0.7
    figure = _own_figure(size, place, style, rng) if own else _world_figure(size, place, rng)
    line = rng.choice((2, 3)) if style == "outlined" or not own else 0
    back = KINDS[kind](size, rng, line)
    if style == "painted":
        back = back.filter(ImageFilter.GaussianBlur(rng.choice((1.5, 3))))
    picture = Image.alpha_composite(back.convert("RGBA"), figure.layer).convert("RGB")
    mask = np.asarray(figure.layer.getchannel("A")) > 127
    name = f"{seed} {kind}, {style}, {place}, {'own' if own else 'world'}"
    return Scene(name, _styled(picture, style, rng), mask, figure.parts, figure.rows)


def _own_figure(size: tuple[int, int], place: str, style: str, rng: random.Random) -> Figure:
    looks = some_looks(rng, style == "outlined" or (style == "painted" and rng.random() < 0.5))
    x, crown, high = _placed(size, place, rng)
    shown = looks.heads if place != "cut" else rng.uniform(1.9, min(3.4, 0.6 * looks.heads + 0.5))
    head = high / (shown + (0.35 if looks.hat else 0.05))
    head = min(head, size[0] / 2.4)
    return draw_figure(size, x, crown + (0.3 * head if looks.hat else 0), head, looks)


def _placed(size: tuple[int, int], place: str, rng: random.Random) -> tuple[float, float, float]:
    """(column of the axis, row of the crown, height down to the soles or the lower edge)."""
    width, height = size
    if place == "small":
        high = rng.uniform(0.5, 0.62) * height
        return rng.uniform(0.4, 0.6) * width, height * 0.95 - high, high
    top = rng.uniform(0.04, 0.1) * height
    x = width * (rng.choice((0.34, 0.66)) if place == "off centre" else rng.uniform(0.46, 0.54))
    return x, top, height - top if place == "cut" else 0.96 * height - top


def _world_figure(size: tuple[int, int], place: str, rng: random.Random) -> Figure:
    """A figure of tools/world's renderer."""
    from tools.accuracy.crops import PLACES as UNITS
    from tools.accuracy.crops import SITTING_KNEE
    from tools.world.scenes.geometry import parts
    from tools.world.scenes.sample import sample_scene
    from tools.world.scenes.scene import render

    framing = "upper body" if place == "cut" else "full body"
    seed = rng.randrange(10**6)
    while len((scene := sample_scene(seed, world=False, framing=framing)).characters) != 1:
        seed += 1
    drawing = render(scene, *size)
    found: dict[str, Box] = {}
    for part, (left, top, right, bottom) in parts(
        scene.characters[0], scene.pose, scene.view
    ).items():
        sides = (-right, -left) if scene.mirrored else (left, right)
        box = drawing.window.to_pixels((sides[0], top, sides[1], bottom))
        if part in ("hat", "hands"):
            box = (
                max(0.0, box[0]),
                max(0.0, box[1]),
                min(float(size[0]), box[2]),
                min(float(size[1]), box[3]),
            )
        if box[2] > box[0] and box[3] > box[1]:
            found[part] = box
    units = {**UNITS, "knee": SITTING_KNEE if scene.pose == "sitting" else UNITS["knee"]}
    rows = {
        name: (unit - drawing.window.top) * drawing.window.scale for name, unit in units.items()
    }
    layer = drawing.figure.astype(np.float32)
    share = np.maximum(layer[..., 3:], 1) / 255
    layer[..., :3] = np.minimum(layer[..., :3] / share, 255)
    return Figure(Image.fromarray(layer.round().astype(np.uint8)), found, rows)


def _styled(image: Image.Image, style: str, rng: random.Random) -> Image.Image:
    if style in ("flat", "outlined"):
        return image
    noise = np.random.default_rng(rng.randrange(1 << 30))
    pixels = np.asarray(image, dtype=np.float32)
    if style == "painted":
        grid = noise.normal(1, 0.07, (6, 5)).astype(np.float32)
        light = np.asarray(Image.fromarray(grid).resize(image.size, Image.Resampling.BICUBIC))
        pixels = pixels * light[..., None] + noise.normal(0, 2, pixels.shape)
        return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).filter(
            ImageFilter.GaussianBlur(0.7)
        )
    pixels = pixels + noise.normal(0, 7, pixels.shape)
    data = io.BytesIO()
    Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(data, "JPEG", quality=60)
    with Image.open(data) as opened:
        return opened.convert("RGB")
