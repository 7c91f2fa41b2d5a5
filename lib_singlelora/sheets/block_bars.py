"""Pictures of block weights: bars, what the blocks carry, and where a LoRA has weights."""

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
NARROWEST = 360  # pixels of a sheet
TWO_COLUMNS = 700  # pixels of a sheet from which on facts stand in two columns


@dataclass(frozen=True)
class Bar:
    """One block.

    label: of the block.
    value: height of the bar.
    text: the value in words.
    carries: what the block carries, a key of HUES.
    held: True where the LoRA has weights; None where no LoRA is looked at.
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
        """The part of the network: BASE, IN, M or OUT."""
        return self.label.rstrip("0123456789")


def draw_preset(
    name: str,
    weights: BlockWeights,
    norms: Mapping[str, float] | None = None,
    text: str = "",
    width: int = 900,
) -> Image.Image:
    """The preset's factors as bars.

    norms: of a LoRA's weights by block; a dot under each block shows it, and a bar is hollow where
        there is nothing.
    text: below the name.
    width: pixels, at least NARROWEST.
    """
    known = norms or {}
    largest = max(known.values(), default=0.0) or 1.0
    bars = [
        Bar(
            label,
            value=weights[label],
            text=f"{weights[label]:.2f}".rstrip("0").rstrip("."),
            carries=carries(label, weights.layout),
            held=None if norms is None else known.get(label, 0.0) > 0,
            share=known.get(label, 0.0) / largest,
        )
        for label in shown_labels(weights.layout, known)
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
    pictures = [draw_preset(name, preset, norms, width=width) for name, preset in weights.items()]
    columns = min(2, len(pictures))
    heights = [
        max(picture.height for picture in pictures[i : i + columns])
        for i in range(0, len(pictures), columns)
    ]
    sheet = Image.new("RGB", (columns * width, sum(heights)), PAPER)
    for index, picture in enumerate(pictures):
        sheet.paste(picture, (index % columns * width, sum(heights[: index // columns])))
    return sheet


def draw_summary(summary: LoraSummary, layout: BlockLayout, width: int = 900) -> Image.Image:
    """A description of the file, and the norm of each block as a bar.

    width: pixels, at least NARROWEST.
    """
    norms = summary.norms
    largest = max(norms.values(), default=0.0) or 1.0
    bars = []
    for label in shown_labels(layout, norms):
        norm = norms.get(label, 0.0)
        hue = carries(label, layout)
        bars.append(Bar(label, norm, f"{norm:.2g}", hue, held=norm > 0, share=norm / largest))
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
            low, high = ends
            pieces.append(f"{name} {low:g}" if low == high else f"{name} {low:g} to {high:g}")
    pieces += [
        f"{summary.modules} modules",
        f"{summary.parameters:,} numbers in {summary.precision}",
        f"{summary.size / 1e6:.1f} MB",
    ]
    return " · ".join(pieces)


def shown_labels(layout: BlockLayout, held: Mapping[str, float]) -> tuple[str, ...]:
    """BASE and the blocks with transformers; all blocks once a LoRA has weights in another one.

    held: blocks in which the LoRA has weights.
    """
    usual = (BASE, *layout.attention_labels)
    return usual if set(held) <= set(usual) else (BASE, *layout.labels)


class _Sheet:
    """A page that grows downwards."""

    def __init__(self, width: int) -> None:
        self.width = max(NARROWEST, width)
        self.size = max(11, min(24, self.width // 56))
        self.face = font(self.size)
        self.small = font(max(10, int(self.size * 0.85)))
        self.line = int(self.size * 1.4)
        self.margin = max(2 * GAP, self.width // 40)
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
            if self.width >= TWO_COLUMNS
            else []
        )
        self.y += GAP
        rows = -(-len(short) // 2)
        for i, (name, value) in enumerate(short):
            x = self.margin + i // rows * half
            y = self.y + i % rows * self.line
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
        values = [bar.value for bar in bars]
        ticks = nice_ticks(min(0.0, *values), max(high, *values))
        low = ticks[0]
        high = ticks[-1]
        axis = max(length(f"{tick:g}", self.small) for tick in ticks) + GAP
        left = self.margin + axis
        places, pitch = self._places(bars, left)
        top = self.y + self.line + GAP
        height = int(max(110, min(320, self.width * 0.24)))

        def level(value: float) -> float:
            """The height on the page at which a value lies."""
            return top + height * (high - value) / (high - low)

        for tick in ticks:
            self.canvas.line(
                (left, level(tick), self.width - self.margin, level(tick)),
                LINE if tick == 0 else FAINT,
            )
            self.canvas.text(
                (left - GAP, level(tick) - self.line / 2), f"{tick:g}", SOFT, self.small, "right"
            )
        is_room = max(length(bar.text, self.small) for bar in bars) <= pitch - 2
        for bar, x in zip(bars, places, strict=True):
            self._bar(bar, x, pitch * 0.36, level, with_text=is_room)
        self.y = top + height + GAP
        self._labels(bars, places, pitch)
        self._groups(bars, places, pitch)
        self.y += self.margin

    def _places(self, bars: Sequence[Bar], left: float) -> tuple[list[float], float]:
        """(middle of each bar, distance of two); half a bar's room parts BASE, IN, M and OUT."""
        breaks = [0, *accumulate(left.side != right.side for left, right in pairwise(bars))]
        pitch = (self.width - self.margin - left) / (len(bars) + 0.5 * breaks[-1])
        return [left + pitch * (i + 0.5 + 0.5 * gaps) for i, gaps in enumerate(breaks)], pitch

    def _bar(
        self, bar: Bar, x: float, half: float, level: Callable[[float], float], with_text: bool
    ) -> None:
        zero = level(0)
        end = level(bar.value)
        if bar.value:
            self.canvas.bar(
                (x - half, min(zero, end), x + half, max(zero, end)),
                HUES[bar.carries],
                hollow=bar.held is False,
            )
        if with_text:
            above = min(zero, end) - self.line if bar.value >= 0 else max(zero, end) + 2
            self.canvas.text((x, above), bar.text, INK if bar.value else SOFT, self.small, "middle")

    def _labels(self, bars: Sequence[Bar], places: Sequence[float], pitch: float) -> None:
        """Each block's label, in as many lines as the room demands.

        In one line; else in two; else the numbers, and IN, M and OUT once below.
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
        """A strip under the blocks that carry the same, and its name.

        The name goes on a second line where the first one is taken.
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
            rows = max(rows, row + 1)
            ends[row] = middle + half
            self.canvas.text(
                (middle, self.y + GAP + 2 + row * self.line), hue, HUES[hue], self.small, "middle"
            )
        self.y += GAP + 2 + rows * self.line

    def legend(self) -> None:
        """The meaning of dots and hollow bars."""
        self.y -= self.margin - GAP
        radius = self.size * 0.45
        x = self.margin
        texts = (
            ("the LoRA has weights here; the larger, the stronger", SOFT),
            ("it has none: the bar does nothing", None),
        )
        for text, hue in texts:
            end = x + 4 * radius + length(text, self.small)
            if x > self.margin and end > self.width - self.margin:
                x = self.margin
                self.y += self.line
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
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(i * step, 12) for i in range(first, last + 1)]
