"""Other hands: proportions, lines, tones and shading that a drawing may have beside the renderer's
own, so that the tagger does not take one hand's habits for what a tag means.
"""

from __future__ import annotations

import colorsys
import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .palette import LINE, RGB, SKIN

CHIN = 0.5  # where head and body meet, in body units; each is scaled about it
PLAIN_SHARE = 0.4  # of drawings that stay in the renderer's own hand
SKINS: tuple[RGB, ...] = ((255, 236, 222), (250, 214, 188), (236, 192, 160), (206, 154, 118))


@dataclass(frozen=True)
class Look:
    """One hand.

    head, height, breadth: of the head, of the body's height and of its breadth, 1 = the renderer's.
    ink: the outlines' colour; None for none.
    line: their width, 1 = the renderer's.
    shading: how much darker the shaded side is, 0 to 0.4.
    blended: shading runs smoothly instead of with an edge.
    skin: its colour.
    drift: how far hues may lie from the palette's, in turns of the colour circle.
    vivid, bright: saturation and value beside the palette's.
    wash: strength of the blotches of a wash, 0 to 0.3.
    ground: a shadow lies under the feet.
    fade: how far a plain background fades into another tone, 0 to 1.
    seed: of drift and wash.
    """

    head: float = 1.0
    height: float = 1.0
    breadth: float = 1.0
    ink: RGB | None = LINE
    line: float = 1.0
    shading: float = 0.16
    blended: bool = False
    skin: RGB = SKIN
    drift: float = 0.0
    vivid: float = 1.0
    bright: float = 1.0
    wash: float = 0.0
    ground: bool = False
    fade: float = 0.0
    seed: int = 0

    def colour(self, rgb: RGB) -> RGB:
        """The palette's colour in this hand."""
        if rgb == SKIN:
            return self.skin
        if self.drift == 0 and self.vivid == 1 and self.bright == 1:
            return rgb
        hue, saturation, value = colorsys.rgb_to_hsv(*(part / 255 for part in rgb))
        own = random.Random(f"{self.seed}/{rgb}").uniform(-self.drift, self.drift)
        mixed = colorsys.hsv_to_rgb(
            (hue + own) % 1, min(1.0, saturation * self.vivid), min(1.0, value * self.bright)
        )
        r, g, b = (round(255 * part) for part in mixed)
        return r, g, b

    def tags(self) -> list[str]:
        """What a caption calls this hand; nothing for the renderer's own."""
        told = [
            ("chibi", self.head / self.height >= 1.4),
            ("tall", self.head / self.height <= 0.7),
            ("no lineart", self.ink is None),
            ("thick outlines", self.ink is not None and self.line >= 1.6),
            ("flat color", self.shading == 0),
            ("gradient", self.blended and self.shading > 0),
            ("watercolor (medium)", self.wash > 0.1),
            ("dark skin", self.skin in SKINS[2:]),
        ]
        return [tag for tag, is_so in told if is_so]

    def at(self, y: float) -> float:
        """Where a height of the body plane comes to lie."""
        return CHIN + (y - CHIN) * (self.head if y < CHIN else self.height)


PLAIN = Look()


def sample_look(seed: int) -> Look:
    """The hand of a seed; PLAIN for PLAIN_SHARE of them."""
    rng = random.Random(f"look/{seed}")
    if rng.random() < PLAIN_SHARE:
        return PLAIN
    kind = rng.choice(("own", "small", "tall", "any"))
    head = {"own": (0.9, 1.1), "small": (1.3, 1.9), "tall": (0.5, 0.75), "any": (0.6, 1.7)}[kind]
    body = {"own": (0.9, 1.1), "small": (0.7, 1.0), "tall": (1.0, 1.5), "any": (0.75, 1.4)}[kind]
    height = rng.uniform(*body)
    outline = rng.random()
    tinted = rng.choice(((122, 74, 58), (90, 70, 120), (60, 60, 72), (150, 92, 84), (20, 18, 22)))
    return Look(
        head=rng.uniform(*head),
        height=height,
        breadth=max(0.6, min(1.3, height * rng.uniform(0.75, 1.1))),
        ink=None if outline < 0.25 else tinted if outline < 0.75 else LINE,
        line=rng.uniform(0.5, 2.2),
        shading=rng.choice((0.0, 0.1, 0.16, 0.3)),
        blended=rng.random() < 0.35,
        skin=rng.choice((SKIN, SKIN, *SKINS)),
        drift=rng.uniform(0, 0.04),
        vivid=rng.uniform(0.75, 1.25),
        bright=rng.uniform(0.85, 1.1),
        wash=rng.choice((0.0, 0.0, rng.uniform(0.05, 0.25))),
        ground=rng.random() < 0.3,
        fade=rng.choice((0.0, rng.uniform(0.2, 1.0))),
        seed=seed,
    )


def washed(figure: NDArray[np.uint8], look: Look) -> NDArray[np.uint8]:
    """A figure, (H, W, 4) premultiplied, in blotches as a wash of watercolour leaves them."""
    if not look.wash:
        return figure
    import cv2

    chance = np.random.default_rng(look.seed)
    high, wide = figure.shape[:2]
    blotches = sum(
        cv2.resize(chance.standard_normal((n, n)).astype(np.float32), (wide, high)) for n in (7, 19)
    )
    factor = 1 + look.wash * np.clip(blotches, -2, 2)[..., None] / 2
    alpha = figure[..., 3:].astype(np.float32)
    rgb = np.clip(figure[..., :3] * factor, 0, alpha)
    return np.concatenate([rgb, alpha], axis=2).astype(np.uint8)


def faded(back: NDArray[np.uint8], look: Look) -> NDArray[np.uint8]:
    """A plain background, (H, W, 4), that runs into another tone from top to bottom."""
    if not look.fade:
        return back
    rng = random.Random(f"fade/{look.seed}")
    other = np.array([rng.randint(190, 255) for _ in range(3)], np.float32)
    share = np.linspace(0, look.fade * 0.7, back.shape[0], dtype=np.float32)[:, None, None]
    if rng.random() < 0.5:
        share = share[::-1]
    mixed = back[..., :3] * (1 - share) + other * share
    return np.concatenate([mixed, back[..., 3:]], axis=2).astype(np.uint8)
