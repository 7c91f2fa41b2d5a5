"""A page to draw on: shapes and texts with smooth edges."""

from __future__ import annotations

from typing import Literal

from PIL import Image, ImageDraw

from .grid import LINE, PAPER, Face, length, write

FINER = 3  # Pillow draws without smoothing, so shapes are drawn this much larger and made smaller
Colour = tuple[int, int, int]
Point = tuple[float, float]
Box = tuple[float, float, float, float]


class Canvas:
    """Things to draw, kept until the height is known.  All measures are pixels."""

    def __init__(self, width: int) -> None:
        self.width = width
        self._lines: list[tuple[Box, Colour]] = []
        self._bars: list[tuple[Box, Colour, bool]] = []
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
        wide = length(text, face)
        x = at[0] - {"left": 0.0, "middle": wide / 2, "right": wide}[side]
        self._texts.append(((round(x), round(at[1])), text, colour, face))

    def line(self, ends: Box, colour: Colour) -> None:
        """A thin line."""
        self._lines.append((ends, colour))

    def bar(self, box: Box, colour: Colour, hollow: bool = False) -> None:
        """A bar with round corners; a hollow one has a rim only."""
        self._bars.append((box, colour, hollow))

    def dot(self, middle: Point, radius: float, colour: Colour | None) -> None:
        """A dot, or a ring without a colour."""
        self._dots.append((middle, radius, colour))

    def picture(self, height: float) -> Image.Image:
        """Everything on white paper."""
        size = (self.width, int(height))
        large = Image.new("RGB", (size[0] * FINER, size[1] * FINER), PAPER)
        pen = ImageDraw.Draw(large)
        for ends, colour in self._lines:
            pen.line([value * FINER for value in ends], fill=colour, width=FINER)
        for box, colour, hollow in self._bars:
            self._draw_bar(pen, box, colour, hollow)
        for (x, y), radius, hue in self._dots:
            around = [value * FINER for value in (x - radius, y - radius, x + radius, y + radius)]
            pen.ellipse(around, fill=hue or PAPER, outline=hue or LINE, width=int(1.5 * FINER))
        sheet = large.resize(size, Image.Resampling.LANCZOS)
        for at, text, colour, face in self._texts:
            write(sheet, at, text, colour, face)
        return sheet

    @staticmethod
    def _draw_bar(pen: ImageDraw.ImageDraw, box: Box, colour: Colour, hollow: bool) -> None:
        left, top, right, bottom = (round(value * FINER) for value in box)
        bottom = max(bottom, top + FINER)
        # Before Pillow 10 a radius of half the side leaves no room for what it draws between the
        # corners, and fails.
        radius = max(0, int(min(4 * FINER, (right - left) / 2 - 2, (bottom - top) / 2 - 2)))
        pale: Colour = tuple((value + 4 * 255) // 5 for value in colour)  # type: ignore[assignment]
        fill, rim = (pale, colour) if hollow else (colour, None)
        pen.rounded_rectangle(
            (left, top, right, bottom), radius, fill=fill, outline=rim, width=int(1.3 * FINER)
        )
