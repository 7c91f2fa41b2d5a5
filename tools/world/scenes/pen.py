"""A pen over skia: outlined shapes with one flat shade, in body units (one unit = one head)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import skia

from .look import CHIN, PLAIN, Look
from .palette import LINE, RGB, light, shade

Point = tuple[float, float]


def colour4(rgb: RGB, alpha: int = 255) -> int:
    return int(skia.Color(*rgb, alpha))


def polygon(points: Sequence[Point]) -> skia.Path:
    """A closed straight-sided path."""
    builder = skia.PathBuilder()
    builder.moveTo(*points[0])
    for p in points[1:]:
        builder.lineTo(*p)
    builder.close()
    return builder.detach()


def smooth(points: Sequence[Point], closed: bool = True) -> skia.Path:
    """A Catmull-Rom curve through the points."""
    n = len(points)
    builder = skia.PathBuilder()
    builder.moveTo(*points[0])
    for i in range(n if closed else n - 1):
        if closed:
            p0, p1, p2, p3 = (points[(i + k) % n] for k in (-1, 0, 1, 2))
        else:
            p0 = points[max(i - 1, 0)]
            p1 = points[i]
            p2 = points[i + 1]
            p3 = points[min(i + 2, n - 1)]
        builder.cubicTo(
            p1[0] + (p2[0] - p0[0]) / 6,
            p1[1] + (p2[1] - p0[1]) / 6,
            p2[0] - (p3[0] - p1[0]) / 6,
            p2[1] - (p3[1] - p1[1]) / 6,
            p2[0],
            p2[1],
        )
    if closed:
        builder.close()
    return builder.detach()


def oval(x: float, y: float, rx: float, ry: float) -> skia.Path:
    builder = skia.PathBuilder()
    builder.addOval(skia.Rect.MakeLTRB(x - rx, y - ry, x + rx, y + ry))
    return builder.detach()


def mirror(points: Sequence[Point]) -> list[Point]:
    """The points and their mirror images, as one closed outline (given from top centre down the
    right side).
    """
    return list(points) + [(-x, y) for x, y in reversed(points) if abs(x) > 1e-6]


class Pen:
    """Draws on a canvas that is already in body units.

    line: width of the outline in body units.
    look: the hand.
    """

    def __init__(self, canvas: skia.Canvas, line: float, look: Look = PLAIN) -> None:
        self.canvas = canvas
        self.line = line * look.line
        self.look = look

    def fill(self, path: skia.Path, rgb: RGB, alpha: int = 255) -> None:
        self._paint(path, self.look.colour(rgb), alpha)

    def _paint(self, path: skia.Path, rgb: RGB, alpha: int = 255) -> None:
        self.canvas.drawPath(path, skia.Paint(Color=colour4(rgb, alpha), AntiAlias=True))

    def stroke(self, path: skia.Path, rgb: RGB = LINE, width: float | None = None) -> None:
        """A line; features that are drawn in the outlines' colour stay where there are none."""
        own = (self.look.ink or LINE) if rgb == LINE else self.look.colour(rgb)
        self._line(path, own, width)

    def outline(self, path: skia.Path, width: float | None = None) -> None:
        """The outline of a shape."""
        if self.look.ink:
            self._line(path, self.look.ink, width)

    def _line(self, path: skia.Path, rgb: RGB, width: float | None = None) -> None:
        self.canvas.drawPath(
            path,
            skia.Paint(
                Color=colour4(rgb),
                AntiAlias=True,
                Style=skia.Paint.kStroke_Style,
                StrokeWidth=self.line if width is None else width,
                StrokeCap=skia.Paint.kRound_Cap,
                StrokeJoin=skia.Paint.kRound_Join,
            ),
        )

    def shape(self, path: skia.Path, rgb: RGB, shift: Point | None = (-0.055, -0.03)) -> None:
        """An outlined shape; shift moves the lit part off the shaded one (None: flat)."""
        rgb, dark = self.look.colour(rgb), self.look.shading
        if self.look.blended and dark:
            self._blend(path, light(rgb, dark / 2), shade(rgb, dark))
        elif shift is None or not dark:
            self._paint(path, rgb)
        else:
            self._paint(path, shade(rgb, dark))
            with self.inside(path):
                self.canvas.translate(*shift)
                self._paint(path, rgb)
        self.outline(path)

    def _blend(self, path: skia.Path, lit: RGB, dark: RGB) -> None:
        """Filled from the lit side to the shaded one."""
        box = path.getBounds()
        across = skia.GradientShader.MakeLinear(
            points=[(box.left(), box.top()), (box.right(), box.bottom())],
            colors=[colour4(lit), colour4(dark)],
        )
        self.canvas.drawPath(path, skia.Paint(Shader=across, AntiAlias=True))

    def limb(self, points: Sequence[Point], width: float, rgb: RGB) -> None:
        """A rounded limb along the points."""
        path = smooth(points, closed=False)
        rgb = self.look.colour(rgb)
        self.outline(path, width + self.line)
        self._line(path, shade(rgb, self.look.shading * 0.625), width - self.line)
        self.canvas.save()
        self.canvas.translate(-width * 0.12, -width * 0.04)
        self._line(path, rgb, width * 0.8 - self.line)
        self.canvas.restore()

    def curve(self, points: Sequence[Point], rgb: RGB = LINE, width: float | None = None) -> None:
        self.stroke(smooth(points, closed=False), rgb, width)

    @contextmanager
    def scaled(self, across: float, down: float) -> Iterator[None]:
        """Everything drawn meanwhile is scaled about the chin."""
        if across == down == 1:
            yield
            return
        self.canvas.save()
        self.canvas.translate(0.0, CHIN)
        self.canvas.scale(across, down)
        self.canvas.translate(0.0, -CHIN)
        try:
            yield
        finally:
            self.canvas.restore()

    @contextmanager
    def inside(self, path: skia.Path) -> Iterator[None]:
        """Everything drawn meanwhile is clipped to the path."""
        self.canvas.save()
        self.canvas.clipPath(path, True)
        try:
            yield
        finally:
            self.canvas.restore()
