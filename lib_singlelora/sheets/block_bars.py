"""Pictures of block weights: a bar for each block, what the blocks carry, and where a LoRA has
weights.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise

from PIL import Image

from ..lora.summary import LoraSummary
from ..naming.block_roles import COLOUR, COMPOSITION, OUTLINE, STYLE, WORDS, carries
from ..naming.block_weights import BlockWeights
from ..naming.blocks import BASE, BlockLayout
from .canvas import Canvas
from .grid import GAP, INK, LINE, PAPER, SOFT, font, length, wrap

HUES = {
    WORDS: (100, 116, 139),
    COMPOSITION: (79, 70, 229),
    OUTLINE: (2, 132, 199),
    STYLE: (217, 119, 6),
    COLOUR: (219, 39, 119),
}
FAINT = (241, 241, 244)
NARROWEST, WIDE = 360, 700


@dataclass(frozen=True)
class Bar:
    """One block.  text: its value in words.  held: whether the LoRA has weights there, None where
    none is looked at.

    share: of the largest norm, 0 to 1.
    """

    label: str
    value: float
    text: str
    carries: str
    held: bool | None = None
    share: float = 0.0

    @property
    def side(self) -> str:
        """BASE, IN, M or OUT."""
        return self.label.rstrip("0123456789")


def draw_preset(
    name: str,
    weights: BlockWeights,
    norms: Mapping[str, float] | None = None,
    text: str = "",
    width: int = 900,
) -> Image.Image:
    """The preset's factors as bars.

    norms: block -> norm of what a LoRA has there; a dot under each block tells it, and a bar over
        nothing is hollow.
    text: below the name.
    width: pixels, at least 360.
    """
    layout, own = weights.layout, norms or {}
    largest = max(own.values(), default=0.0) or 1.0
    bars = [
        Bar(
            label,
            weights[label],
            f"{weights[label]:.2f}".rstrip("0").rstrip("."),
            carries(label, layout),
            None if norms is None else own.get(label, 0.0) > 0,
            own.get(label, 0.0) / largest,
        )
        for label in shown_labels(layout, own)
    ]
    sheet = _Sheet(width)
    sheet.head(name, text)
    sheet.chart(bars, 1.0)
    if norms is not None:
        sheet.legend()
    return sheet.picture()


def draw_presets(
    weights: Mapping[str, BlockWeights], norms: Mapping[str, float] | None = None, width: int = 620
) -> Image.Image:
    """The picture of each preset, by its name, in two columns.

    width: of a column, pixels.
    norms: as `draw_preset`.
    """
    pictures = [draw_preset(name, own, norms, width=width) for name, own in weights.items()]
    columns = min(2, len(pictures))
    heights = [
        max(own.height for own in pictures[i : i + columns])
        for i in range(0, len(pictures), columns)
    ]
    sheet = Image.new("RGB", (columns * width, sum(heights)), PAPER)
    for index, own in enumerate(pictures):
        sheet.paste(own, (index % columns * width, sum(heights[: index // columns])))
    return sheet


def draw_summary(summary: LoraSummary, layout: BlockLayout, width: int = 900) -> Image.Image:
    """What the file is, in words, and the norm of each block as bars.

    width: pixels, at least 360.
    """
    norms = summary.norms
    largest = max(norms.values(), default=0.0) or 1.0
    bars = [
        Bar(
            label,
            norms.get(label, 0.0),
            f"{norms.get(label, 0.0):.2g}",
            carries(label, layout),
            norms.get(label, 0.0) > 0,
            norms.get(label, 0.0) / largest,
        )
        for label in shown_labels(layout, norms)
    ]
    sheet = _Sheet(width)
    sheet.head(summary.name, describe_file(summary))
    sheet.facts(
        [
            *summary.highlights.items(),
            ("tags", ", ".join(summary.tags)),
            *(("then", step) for step in summary.history),
        ]
    )
    sheet.head("", "How strongly each block changes the weights (mean norm of its modules):")
    sheet.chart(bars, largest)
    return sheet.picture()


def describe_file(summary: LoraSummary) -> str:
    """One line: LoRA for sd1, rank 16, alpha 8, 264 modules …"""
    pieces = [f"{summary.algorithm} for {summary.architecture}"]
    for name, ends in (("rank", summary.ranks), ("alpha", summary.alphas)):
        if ends:
            pieces.append(
                f"{name} {ends[0]:g}"
                if ends[0] == ends[1]
                else f"{name} {ends[0]:g} to {ends[1]:g}"
            )
    pieces += [
        f"{summary.modules} modules",
        f"{summary.parameters:,} numbers in {summary.precision}",
    ]
    return " · ".join([*pieces, f"{summary.size / 1e6:.1f} MB"])


def shown_labels(layout: BlockLayout, held: Mapping[str, float]) -> tuple[str, ...]:
    """BASE and the blocks with transformers, and all others too once a LoRA has weights in one of
    them.
    """
    short = (BASE, *layout.attention_labels)
    return short if set(held) <= set(short) else (BASE, *layout.labels)


class _Sheet:
    """A page that grows downwards."""

    def __init__(self, width: int) -> None:
        self.width = max(NARROWEST, width)
        self.size = max(11, min(24, self.width // 56))
        self.face, self.small = font(self.size), font(max(10, int(self.size * 0.85)))
        self.line, self.margin = int(self.size * 1.4), max(2 * GAP, self.width // 40)
        self.y = self.margin
        self.canvas = Canvas(self.width)

    def head(self, title: str, text: str) -> None:
        """A title and a text under it, wrapped."""
        large = font(int(self.size * 1.5))
        room = self.width - 2 * self.margin
        for line in wrap(title, room, large):
            self.canvas.text((self.margin, self.y), line, INK, large)
            self.y += int(self.line * 1.5)
        for line in wrap(text, room, self.small):
            self.canvas.text((self.margin, self.y), line, SOFT, self.small)
            self.y += self.line

    def facts(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Names and values in a table; short ones in two columns where there is room."""
        pairs = [(name, value) for name, value in pairs if value]
        indent = max((length(name, self.small) for name, _ in pairs), default=0) + 3 * GAP
        half = (self.width - 2 * self.margin) // 2
        short = (
            [pair for pair in pairs if indent + length(pair[1], self.small) < half - GAP]
            if self.width >= WIDE
            else []
        )
        self.y += GAP
        rows = -(-len(short) // 2)
        for i, (name, value) in enumerate(short):
            x, y = self.margin + i // rows * half, self.y + i % rows * self.line
            self.canvas.text((x, y), name, SOFT, self.small)
            self.canvas.text((x + indent, y), value, INK, self.small)
        self.y += rows * self.line
        for name, value in pairs:
            if (name, value) in short:
                continue
            self.canvas.text((self.margin, self.y), name, SOFT, self.small)
            for line in wrap(value, self.width - 2 * self.margin - indent, self.small):
                self.canvas.text((self.margin + indent, self.y), line, INK, self.small)
                self.y += self.line
        self.y += 2 * GAP

    def chart(self, bars: Sequence[Bar], high: float) -> None:
        """Bars over their labels, dots and the names of what the blocks carry.

        high: what the scale reaches at least.
        """
        low, high = min(0.0, *(bar.value for bar in bars)), max(high, *(bar.value for bar in bars))
        ticks = nice_ticks(low, high)
        low, high = ticks[0], ticks[-1]
        axis = max(length(f"{tick:g}", self.small) for tick in ticks) + GAP
        left = self.margin + axis
        places, pitch = self._places(bars, left)
        top, tall = self.y + self.line + GAP, int(max(110, min(320, self.width * 0.24)))

        def level(value: float) -> float:
            return top + tall * (high - value) / (high - low)

        for tick in ticks:
            self.canvas.line(
                (left, level(tick), self.width - self.margin, level(tick)),
                LINE if tick == 0 else FAINT,
            )
            self.canvas.text(
                (left - GAP, level(tick) - self.line / 2), f"{tick:g}", SOFT, self.small, "right"
            )
        told = max(length(bar.text, self.small) for bar in bars) <= pitch - 2
        for bar, x in zip(bars, places, strict=True):
            self._bar(bar, x, pitch * 0.36, level, told)
        self.y = top + tall + GAP
        self._labels(bars, places, pitch)
        self._groups(bars, places, pitch)
        self.y += self.margin

    def _places(self, bars: Sequence[Bar], left: float) -> tuple[list[float], float]:
        """Middle of each bar, with half a bar's room between text encoder, IN, M and OUT; and the
        distance of two.
        """
        breaks = [0, *accumulate(one.side != other.side for one, other in pairwise(bars))]
        pitch = (self.width - self.margin - left) / (len(bars) + 0.5 * breaks[-1])
        return [left + pitch * (i + 0.5 + 0.5 * gaps) for i, gaps in enumerate(breaks)], pitch

    def _bar(
        self, bar: Bar, x: float, half: float, level: Callable[[float], float], told: bool
    ) -> None:
        zero, end = level(0), level(bar.value)
        if bar.value:
            self.canvas.bar(
                (x - half, min(zero, end), x + half, max(zero, end)),
                HUES[bar.carries],
                hollow=bar.held is False,
            )
        if told:
            above = min(zero, end) - self.line if bar.value >= 0 else max(zero, end) + 2
            self.canvas.text((x, above), bar.text, INK if bar.value else SOFT, self.small, "middle")

    def _labels(self, bars: Sequence[Bar], places: Sequence[float], pitch: float) -> None:
        """Each block's label: in one line, else in two, else the numbers and a line that names IN,
        M and OUT once.
        """
        one, two = (
            max(length(getattr(bar, name), self.small) for bar in bars[1:]) <= pitch - 4
            for name in ("label", "side")
        )
        second = self.line * 0.85
        for bar, x in zip(bars, places, strict=True):
            number = bar.label[len(bar.side) :]
            pieces = [bar.label] if one or not number else [bar.side, number] if two else [number]
            for i, piece in enumerate(pieces):
                ink = SOFT if bar.held is False else INK
                self.canvas.text((x, self.y + i * second), piece, ink, self.small, "middle")
        if not one and not two:
            for side, run in groupby(zip(bars, places, strict=True), key=lambda pair: pair[0].side):
                xs = [x for _, x in run]
                if side != BASE:
                    self.canvas.text(
                        ((xs[0] + xs[-1]) / 2, self.y + second), side, SOFT, self.small, "middle"
                    )
        self.y += int(self.line if one else self.line + second) + GAP
        if bars[0].held is not None:
            self._dots(bars, places, pitch)

    def _dots(self, bars: Sequence[Bar], places: Sequence[float], pitch: float) -> None:
        radius = min(pitch * 0.3, self.size * 0.55)
        for bar, x in zip(bars, places, strict=True):
            size = radius * (0.35 + 0.65 * math.sqrt(bar.share)) if bar.held else radius * 0.6
            self.canvas.dot((x, self.y + radius), size, HUES[bar.carries] if bar.held else None)
        self.y += int(2 * radius) + GAP

    def _groups(self, bars: Sequence[Bar], places: Sequence[float], pitch: float) -> None:
        """A strip under the blocks that carry the same, and its name, on a second line where the
        first is taken.
        """
        ends = [-math.inf, -math.inf]
        rows = 1
        for hue, run in groupby(zip(bars, places, strict=True), key=lambda pair: pair[0].carries):
            xs = [x for _, x in run]
            self.canvas.bar(
                (xs[0] - pitch * 0.36, self.y, xs[-1] + pitch * 0.36, self.y + 4), HUES[hue]
            )
            half = length(hue, self.small) / 2
            middle = min(
                max((xs[0] + xs[-1]) / 2, self.margin + half), self.width - self.margin - half
            )
            row = 0 if middle - half > ends[0] + GAP else 1
            rows, ends[row] = max(rows, row + 1), middle + half
            self.canvas.text(
                (middle, self.y + GAP + 2 + row * self.line), hue, HUES[hue], self.small, "middle"
            )
        self.y += GAP + 2 + rows * self.line

    def legend(self) -> None:
        """What dots and hollow bars mean."""
        self.y -= self.margin - GAP
        radius, x = self.size * 0.45, self.margin
        texts = (
            ("the LoRA has weights here; the larger, the stronger", SOFT),
            ("it has none: the bar does nothing", None),
        )
        for text, hue in texts:
            if (
                x > self.margin
                and x + 4 * radius + length(text, self.small) > self.width - self.margin
            ):
                x, self.y = self.margin, self.y + self.line
            self.canvas.dot(
                (x + radius, self.y + self.line / 2), radius if hue else radius * 0.8, hue
            )
            self.canvas.text((x + 3 * radius, self.y), text, SOFT, self.small)
            x += int(5 * radius + length(text, self.small) + 2 * GAP)
        self.y += self.line + self.margin

    def picture(self) -> Image.Image:
        """The page so far."""
        return self.canvas.picture(self.y)


def nice_ticks(low: float, high: float) -> list[float]:
    """Three to six round numbers that hold the range and 0."""
    raw = (high - low) / 4
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]
