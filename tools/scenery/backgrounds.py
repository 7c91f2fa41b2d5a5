"""Scenery: flat, graded and patterned, drawn with plain shapes."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw

RGB = tuple[int, int, int]
SKIES: tuple[RGB, ...] = (
    (142, 204, 250),
    (120, 184, 244),
    (250, 196, 150),
    (176, 220, 248),
    (200, 230, 255),
    (100, 150, 220),
)
GREENS: tuple[RGB, ...] = (
    (120, 190, 92),
    (146, 200, 100),
    (98, 168, 88),
    (80, 150, 70),
    (170, 200, 90),
)
WALLS: tuple[RGB, ...] = (
    (238, 222, 190),
    (214, 196, 224),
    (196, 214, 206),
    (230, 200, 186),
    (180, 200, 220),
    (240, 240, 236),
)
FLOORS: tuple[RGB, ...] = ((170, 122, 84), (146, 108, 90), (190, 150, 104), (120, 120, 130))


def vertical(size: tuple[int, int], top: RGB, bottom: RGB) -> Image.Image:
    share = np.linspace(0, 1, size[1])[:, None, None]
    rows = (1 - share) * np.array(top) + share * np.array(bottom)
    return Image.fromarray(np.broadcast_to(rows, (size[1], size[0], 3)).round().astype(np.uint8))


def _shade(colour: RGB, by: float) -> RGB:
    r, g, b = (max(0, min(255, round(value * (1 - by)))) for value in colour)
    return r, g, b


def _cloud(draw: ImageDraw.ImageDraw, x: float, y: float, r: float, fill: RGB) -> None:
    for dx, k in ((-1.2, 0.8), (0.0, 1.1), (1.2, 0.8)):
        draw.ellipse(
            (x + (dx - k) * r, y - 0.75 * k * r, x + (dx + k) * r, y + 0.75 * k * r), fill=fill
        )


def meadow(size: tuple[int, int], rng: random.Random, line: int) -> Image.Image:
    w, h = size
    sky = rng.choice(SKIES)
    grass = rng.choice(GREENS)
    graded = rng.random() < 0.4
    image = (
        vertical(size, _shade(sky, 0.2), _shade(sky, -0.15))
        if graded
        else Image.new("RGB", size, sky)
    )
    draw = ImageDraw.Draw(image)
    outline = _shade(grass, 0.5) if line else None
    for _ in range(rng.randint(2, 4)):
        _cloud(
            draw,
            rng.uniform(0, w),
            rng.uniform(0.05, 0.35) * h,
            rng.uniform(0.04, 0.1) * h,
            (255, 255, 255),
        )
    if rng.random() < 0.3:
        x = rng.uniform(0.05, 0.95) * w
        y = rng.uniform(0.05, 0.2) * h
        r = 0.06 * h
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(255, 226, 110))
    horizon = rng.uniform(0.55, 0.8) * h
    if rng.random() < 0.5:
        for _ in range(3):
            x = rng.uniform(-0.2, 1.2) * w
            r = rng.uniform(0.2, 0.5) * w
            draw.ellipse(
                (x - r, horizon - 0.12 * h, x + r, horizon + 0.4 * h),
                fill=_shade(grass, 0.2),
                outline=outline,
                width=line,
            )
    draw.rectangle((-9, horizon, w + 9, h + 9), fill=grass, outline=outline, width=line)
    for _ in range(rng.randint(1, 2)):
        x = rng.choice((rng.uniform(0.02, 0.25), rng.uniform(0.75, 0.98))) * w
        tall = rng.uniform(0.2, 0.4) * h
        r = rng.uniform(0.08, 0.14) * h
        foot = horizon + rng.uniform(0, 0.1) * h
        draw.rectangle(
            (x - 0.02 * h, foot - tall, x + 0.02 * h, foot),
            fill=(130, 92, 64),
            outline=DARKER if line else None,
            width=line,
        )
        draw.ellipse(
            (x - r, foot - tall - r, x + r, foot - tall + r),
            fill=_shade(grass, 0.35),
            outline=outline,
            width=line,
        )
    for _ in range(rng.choice((0, 0, 12))):
        x = rng.uniform(0, w)
        y = rng.uniform(horizon / h, 1) * h
        draw.ellipse(
            (x - 4, y - 4, x + 4, y + 4),
            fill=rng.choice(((255, 255, 255), (250, 210, 80), (240, 120, 150))),
        )
    return image


DARKER: RGB = (60, 40, 30)


def room(size: tuple[int, int], rng: random.Random, line: int) -> Image.Image:
    w, h = size
    wall = rng.choice(WALLS)
    floor = rng.choice(FLOORS)
    image = Image.new("RGB", size, wall)
    draw = ImageDraw.Draw(image)
    level = rng.uniform(0.68, 0.85) * h
    ink = (50, 44, 48) if line else None
    draw.rectangle((-9, level, w + 9, h + 9), fill=floor, outline=ink, width=line)
    draw.rectangle(
        (-9, level - 0.04 * h, w + 9, level), fill=_shade(wall, 0.25), outline=ink, width=line
    )
    x = rng.choice((0.18, 0.82, 0.3)) * w
    draw.rectangle(
        (x - 0.16 * w, 0.1 * h, x + 0.16 * w, 0.42 * h),
        fill=(190, 226, 250),
        outline=(250, 250, 250),
        width=max(6, line),
    )
    draw.line((x, 0.1 * h, x, 0.42 * h), fill=(250, 250, 250), width=6)
    x = w - x
    thing = rng.choice(("shelf", "picture", "lamp"))
    if thing == "shelf":
        draw.rectangle(
            (x - 0.14 * w, 0.2 * h, x + 0.14 * w, level),
            fill=(140, 96, 66),
            outline=ink,
            width=line,
        )
        for row in range(3):
            for k in range(5):
                left = x - 0.12 * w + k * 0.048 * w
                draw.rectangle(
                    (left, (0.24 + 0.15 * row) * h, left + 0.04 * w, (0.35 + 0.15 * row) * h),
                    fill=rng.choice(
                        ((200, 80, 80), (90, 120, 190), (220, 190, 90), (110, 160, 110))
                    ),
                )
    elif thing == "picture":
        draw.rectangle(
            (x - 0.12 * w, 0.15 * h, x + 0.12 * w, 0.35 * h),
            fill=rng.choice(SKIES),
            outline=(190, 150, 80),
            width=8,
        )
    else:
        draw.rectangle((x - 0.01 * w, 0.35 * h, x + 0.01 * w, level), fill=(110, 90, 80))
        draw.polygon(
            [
                (x - 0.05 * w, 0.22 * h),
                (x + 0.05 * w, 0.22 * h),
                (x + 0.1 * w, 0.36 * h),
                (x - 0.1 * w, 0.36 * h),
            ],
            fill=(250, 226, 150),
            outline=ink,
        )
    return image


def city(size: tuple[int, int], rng: random.Random, line: int) -> Image.Image:
    w, h = size
    image = Image.new("RGB", size, rng.choice(SKIES))
    draw = ImageDraw.Draw(image)
    ground = rng.uniform(0.7, 0.85) * h
    x = -0.05 * w
    while x < w:
        wide = rng.uniform(0.12, 0.25) * w
        tall = rng.uniform(0.25, 0.6) * h
        tone = rng.choice(
            ((206, 170, 150), (190, 190, 200), (226, 206, 160), (150, 150, 170), (170, 120, 110))
        )
        draw.rectangle(
            (x, ground - tall, x + wide, ground),
            fill=tone,
            outline=_shade(tone, 0.6) if line else None,
            width=line,
        )
        for row in range(int(tall / (0.07 * h))):
            for k in range(3):
                left = x + wide * (0.15 + 0.27 * k)
                top = ground - tall + (0.02 + 0.07 * row) * h
                draw.rectangle(
                    (left, top, left + wide * 0.16, top + 0.035 * h), fill=_shade(tone, 0.3)
                )
        x += wide
    draw.rectangle(
        (-9, ground, w + 9, h + 9),
        fill=(130, 130, 136),
        outline=(60, 60, 64) if line else None,
        width=line,
    )
    draw.rectangle((-9, ground + 0.06 * h, w + 9, ground + 0.075 * h), fill=(230, 230, 220))
    return image


def night(size: tuple[int, int], rng: random.Random, line: int) -> Image.Image:
    w, h = size
    image = vertical(size, (14, 18, 50), (50, 50, 110))
    draw = ImageDraw.Draw(image)
    for _ in range(60):
        x = rng.uniform(0, w)
        y = rng.uniform(0, 0.6) * h
        r = rng.choice((1, 1.5, 2.5))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(240, 240, 220))
    x = rng.choice((0.15, 0.85)) * w
    y = 0.13 * h
    r = 0.07 * h
    draw.ellipse((x - r, y - r, x + r, y + r), fill=(250, 244, 200))
    draw.rectangle(
        (-9, rng.uniform(0.7, 0.82) * h, w + 9, h + 9),
        fill=(30, 40, 50),
        outline=(10, 14, 20) if line else None,
        width=line,
    )
    return image


def beach(size: tuple[int, int], rng: random.Random, line: int) -> Image.Image:
    w, h = size
    image = vertical(size, rng.choice(SKIES), (230, 240, 250))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.randint(0, 2)):
        _cloud(
            draw,
            rng.uniform(0, w),
            rng.uniform(0.05, 0.25) * h,
            rng.uniform(0.05, 0.09) * h,
            (255, 255, 255),
        )
    sea = rng.uniform(0.4, 0.55) * h
    sand = rng.uniform(0.68, 0.78) * h
    draw.rectangle(
        (-9, sea, w + 9, sand),
        fill=(64, 140, 200),
        outline=(40, 80, 120) if line else None,
        width=line,
    )
    draw.polygon(
        [(0, sand), (w * 0.4, sand + 0.03 * h), (w, sand - 0.02 * h), (w, h), (0, h)],
        fill=(238, 214, 160),
    )
    for k in range(4):
        y = sea + (sand - sea) * (0.2 + 0.2 * k)
        draw.line(
            (rng.uniform(0, 0.5) * w, y, rng.uniform(0.5, 1) * w, y), fill=(150, 200, 230), width=3
        )
    return image


def forest(size: tuple[int, int], rng: random.Random, line: int) -> Image.Image:
    w, h = size
    image = vertical(size, (170, 210, 170), (110, 160, 110))
    draw = ImageDraw.Draw(image)
    for depth in (0.35, 0.1):
        for _ in range(7):
            x = rng.uniform(0, 1) * w
            wide = rng.uniform(0.015, 0.04) * w
            tone = _shade((120, 90, 66), -depth)
            draw.rectangle(
                (x - wide, -9, x + wide, 0.85 * h),
                fill=tone,
                outline=DARKER if line else None,
                width=line,
            )
    for _ in range(14):
        x = rng.uniform(0, w)
        y = rng.uniform(-0.05, 0.12) * h
        r = rng.uniform(0.06, 0.14) * h
        draw.ellipse(
            (x - r, y - r, x + r, y + r), fill=_shade(rng.choice(GREENS), rng.uniform(0.2, 0.45))
        )
    draw.rectangle((-9, 0.82 * h, w + 9, h + 9), fill=_shade(rng.choice(GREENS), 0.3))
    return image


def pattern(size: tuple[int, int], rng: random.Random, line: int) -> Image.Image:
    del line
    w, h = size
    one = rng.choice(WALLS)
    other = _shade(one, rng.choice((0.12, 0.25, -0.12)))
    step = rng.randint(30, 80)
    image = Image.new("RGB", size, one)
    draw = ImageDraw.Draw(image)
    kind = rng.choice(("stripes", "checks", "dots"))
    for i in range(0, w, step):
        if kind == "stripes":
            draw.rectangle((i, 0, i + step // 2, h), fill=other)
            continue
        for j in range(0, h, step):
            if kind == "checks" and (i // step + j // step) % 2:
                draw.rectangle((i, j, i + step - 1, j + step - 1), fill=other)
            elif kind == "dots":
                draw.ellipse(
                    (i + step * 0.3, j + step * 0.3, i + step * 0.7, j + step * 0.7), fill=other
                )
    return image


def graded(size: tuple[int, int], rng: random.Random, line: int) -> Image.Image:
    del line
    colours = rng.sample((*SKIES, *WALLS, (90, 60, 120), (230, 120, 120), (40, 60, 80)), 2)
    return vertical(size, colours[0], colours[1])


KINDS: dict[str, Callable[[tuple[int, int], random.Random, int], Image.Image]] = {
    "meadow": meadow,
    "room": room,
    "city": city,
    "night": night,
    "beach": beach,
    "forest": forest,
    "pattern": pattern,
    "gradient": graded,
}
