"""A page to draw on: shapes and texts with smooth edges."""

from __future__ import annotations

from typing import Literal

from PIL import Image, ImageDraw

from .grid import LINE, PAPER, Face, length, write

# Pillow draws shapes without smoothing, so they are drawn this much larger and made smaller
OVERSAMPLING = 3
Colour = tuple[int, int, int]
Point = tuple[float, float]
Rectangle = tuple[float, float, float, float]  # left, top, right, bottom


class Canvas:
    """Things to draw, kept until the height is known.  All measures are pixels."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._lines: list[tuple[Rectangle, Colour]] = []
        self._bars: list[tuple[Rectangle, Colour, bool]] = []
        self._dots: list[tuple[Point, float, Colour | None]] = []
        self._texts: list[tuple[Point, str, Colour, Face]] = []

    def text(
        self,
        at: Point,
        text: str,
        colour: Colour,
        face: Face,
        side: Literal["left", "middle", "right"] = "left",
    ) -> None:
        """A line of text.

        at: its upper left corner, the middle of its upper edge, or its upper right corner.
        """
        width = length(text, face)
        x = at[0] - {"left": 0.0, "middle": width / 2, "right": width}[side]
        self._texts.append(((round(x), round(at[1])), text, colour, face))

    def line(self, ends: Rectangle, colour: Colour) -> None:
        """A thin line."""
        self._lines.append((ends, colour))

    def bar(self, box: Rectangle, colour: Colour, hollow: bool = False) -> None:
        """A bar with round corners; a hollow one has a rim and a pale inside."""
        self._bars.append((box, colour, hollow))

    def dot(self, middle: Point, radius: float, colour: Colour | None) -> None:
        """A dot; without a colour, a ring."""
        self._dots.append((middle, radius, colour))

    def picture(self, height: float) -> Image.Image:
        """Everything on white paper."""
        size = (self.width, int(height))
        large = Image.new("RGB", (size[0] * OVERSAMPLING, size[1] * OVERSAMPLING), PAPER)
        pen = ImageDraw.Draw(large)
        for ends, colour in self._lines:
            pen.line([value * OVERSAMPLING for value in ends], fill=colour, width=OVERSAMPLING)
        for box, colour, hollow in self._bars:
            self._draw_bar(pen, box, colour, hollow)
        for (x, y), radius, hue in self._dots:
            around = [
                value * OVERSAMPLING for value in (x - radius, y - radius, x + radius, y + radius)
            ]
            pen.ellipse(
                around, fill=hue or PAPER, outline=hue or LINE, width=int(1.5 * OVERSAMPLING)
            )
        sheet = large.resize(size, Image.Resampling.LANCZOS)
        for at, text, colour, face in self._texts:
            write(sheet, at, text, colour, face)
        return sheet

    @staticmethod
    def _draw_bar(pen: ImageDraw.ImageDraw, box: Rectangle, colour: Colour, hollow: bool) -> None:
        left, top, right, bottom = (round(value * OVERSAMPLING) for value in box)
        bottom = max(bottom, top + OVERSAMPLING)
        # Before Pillow 10 a radius of half the side leaves no room for what it draws between the
        # corners, and fails.
        radius = max(0, int(min(4 * OVERSAMPLING, (right - left) / 2 - 2, (bottom - top) / 2 - 2)))
        pale: Colour = tuple((value + 4 * 255) // 5 for value in colour)  # type: ignore[assignment]
        fill, rim = (pale, colour) if hollow else (colour, None)
        pen.rounded_rectangle(
            (left, top, right, bottom),
            radius,
            fill=fill,
            outline=rim,
            width=int(1.3 * OVERSAMPLING),
        )
