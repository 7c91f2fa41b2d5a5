"""The colours of the world, far enough apart that a tag can name each of them."""

from __future__ import annotations

RGB = tuple[int, int, int]

PALETTE: dict[str, RGB] = {
    "white": (247, 246, 244),
    "black": (56, 53, 64),
    "red": (208, 58, 58),
    "blue": (66, 106, 208),
    "green": (62, 152, 86),
    "yellow": (244, 206, 84),
    "pink": (246, 160, 192),
    "purple": (142, 92, 190),
    "brown": (134, 90, 58),
    "grey": (152, 154, 162),
    "blonde": (248, 218, 118),
}
HAIR: dict[str, RGB] = {
    **PALETTE,
    "black": (58, 54, 70),
    "brown": (142, 92, 58),
    "red": (206, 64, 52),
    "blue": (84, 122, 218),
    "pink": (248, 164, 196),
    "white": (234, 234, 244),
    "green": (92, 176, 104),
    "purple": (152, 102, 198),
}
EYES: dict[str, RGB] = {
    "blue": (52, 120, 232),
    "green": (44, 164, 84),
    "brown": (132, 82, 44),
    "red": (216, 40, 52),
    "purple": (152, 76, 204),
    "yellow": (238, 182, 36),
    "teal": (30, 150, 160),
}
BACKDROP: dict[str, RGB] = {
    "white": (255, 255, 255),
    "grey": (186, 188, 194),
    "blue": (150, 190, 240),
    "green": (164, 216, 164),
    "pink": (250, 196, 212),
    "yellow": (250, 232, 156),
}
SKIN: RGB = (255, 226, 206)
LINE: RGB = (62, 46, 52)


def shade(colour: RGB, amount: float = 0.16) -> RGB:
    """A darker, slightly cooler tone of a colour; amount in 0..1."""
    r, g, b = colour
    return int(r * (1 - amount * 1.1)), int(g * (1 - amount * 1.15)), int(b * (1 - amount * 0.8))


def light(colour: RGB, amount: float = 0.35) -> RGB:
    """A lighter tone of a colour; amount in 0..1."""
    r, g, b = (int(c + (255 - c) * amount) for c in colour)
    return r, g, b
