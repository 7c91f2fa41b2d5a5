"""From a cell's figures to one number, and where cells lie beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..metrics.posterior import Floats
from ..metrics.ranking import CRITERIA, TablePosition, price, worth
from ..settings.judge import JudgeSettings
from .cells import NO_LORA, CellSpec, Judgement

# Of a gain by the figure's colours at their places; the rest is the tagger's.  So the benchmark's
# characters agree best with the truth (docs/recipes.md).
LIKENESS = 2 / 3
# Of a probed cell's gain by the traits it keeps in the probes that ask for something new; the rest
# is by its own pictures (docs/recipes.md)
ELSEWHERE = 1 / 2
PROBED = ("flexibility", "leak")  # criteria that only probes show; copying where it is probed


def criterion_weights(options: JudgeSettings) -> dict[str, float]:
    """How much each criterion counts."""
    return {name: getattr(options, name) for name in CRITERIA}


@dataclass(frozen=True)
class Scale:
    """What turns figures into a number.

    weights: of the criteria.
    base: retention of the checkpoint alone.
    base_likeness: of its figures to the source's; None where that is not known.
    least, most: the colours shared that stand for no and all traits where no tagger sees them.
    probed: criteria that only probes show.
    """

    weights: Mapping[str, float]
    base: float
    base_likeness: float | None
    least: float
    most: float
    probed: tuple[str, ...] = PROBED

    @classmethod
    def of(
        cls,
        options: JudgeSettings,
        judged: Mapping[CellSpec, Judgement],
        copying_is_probed: bool = False,
    ) -> Scale:
        """The scale of a sheet after its first round."""
        alone = [found for spec, found in judged.items() if not spec.has_lora]
        known = [found.scores["retention"] for found in alone if "retention" in found.scores]
        alike = [found.scores["likeness"] for found in alone if "likeness" in found.scores]
        return cls(
            criterion_weights(options),
            sum(known) / len(known) if known else 0.0,
            sum(alike) / len(alike) if alike else None,
            max((found.pixels.similarity for found in alone), default=0.0),
            max((j.pixels.similarity for s, j in judged.items() if s.has_lora), default=0.0),
            (*PROBED, "copying") if copying_is_probed else PROBED,
        )

    def pictures(self, judgement: Judgement) -> tuple[float, ...]:
        """What each picture of a cell is worth by what it shows itself."""
        figures = judgement.by_picture
        values = []
        for number, kept in enumerate(self._kept(judgement)):
            scores = {"retention": kept}
            for name in ("copying", "damage"):
                if name in figures:
                    scores[name] = figures[name][number]
            values.append(worth(scores, self.weights, self.base))
        return tuple(values)

    def _kept(self, judgement: Judgement) -> tuple[float, ...]:
        """The retention of each picture of a cell."""
        figures = judgement.by_picture
        retained = figures.get("retention") or tuple(map(self._by_colours, figures["colours"]))
        alike: Sequence[float | None] = figures.get("likeness") or (None,) * len(retained)
        return tuple(map(self.retention_of, retained, alike))

    def retention_of(self, retention: float, likeness: float | None) -> float:
        """The retention that traits and likeness stand for together.

        Each counts by its gain over the checkpoint's own.  likeness: None where it is not known.
        """
        if self.base_likeness is None or likeness is None or self.base >= 1:
            return retention
        by_traits = (retention - self.base) / (1 - self.base)
        by_figure = (likeness - self.base_likeness) / max(1 - self.base_likeness, 1e-9)
        gain = (1 - LIKENESS) * by_traits + LIKENESS * by_figure
        return self.base + gain * (1 - self.base)

    def _by_colours(self, similarity: float) -> float:
        """0 for what the checkpoint alone shares with the picture, 1 for the most of a cell."""
        if self.most <= self.least:
            return 0.0
        return max(0.0, (similarity - self.least) / (self.most - self.least))

    def gains(self, judgement: Judgement) -> tuple[float, ...]:
        """The gain in retention of each picture over the checkpoint alone, at most 1."""
        if self.base >= 1:
            return tuple(0.0 for _ in self._kept(judgement))
        return tuple((kept - self.base) / (1 - self.base) for kept in self._kept(judgement))

    def harm(self, judgement: Judgement) -> float:
        """The price of what a cell's own pictures show beside the character."""
        own = self.pictures(judgement)
        return (self.weights["retention"] * sum(self.gains(judgement)) - sum(own)) / len(own)

    def gain_elsewhere(self, judgement: Judgement, alone: float | None) -> float | None:
        """The same gain in the probes that ask for something new; None where it is not known.

        alone: what the checkpoint alone shows there.
        """
        kept = judgement.scores.get("elsewhere")
        if kept is None or alone is None or alone >= 1:
            return None
        return (kept - alone) / (1 - alone)

    def doubt_elsewhere(self, kept: Floats, alone: float) -> float:
        """Standard error of a cell's gain in the probes beside another cell's.

        That is by what the cells' pictures differ beyond what each cell and each probe is better
        than others, for cells are compared by the same probes and seeds.  A cell alone is doubted
        by all that its probes differ by; 0 where it has a single one.
        kept: (cells, probes), what each probed cell shows in each probe.
        alone: what the checkpoint alone shows in the mean.
        """
        cells, probes = kept.shape
        if probes < 2 or alone >= 1:
            return 0.0
        rest = kept - kept.mean(axis=1, keepdims=True)
        if cells > 1:
            rest = rest - rest.mean(axis=0)
        freedom = max(1, cells - 1) * (probes - 1)
        return float((np.square(rest).sum() / freedom / probes) ** 0.5 / (1 - alone))

    def probe_price(self, judgement: Judgement) -> float:
        """The price of what only probes show."""
        shown = {name: judgement.scores[name] for name in self.probed if name in judgement.scores}
        return price(shown, self.weights)


def positions_of(specs: Iterable[CellSpec]) -> dict[CellSpec, TablePosition]:
    """(table, row of its source, column of its strength) of each cell with a LoRA.

    Cells of one table differ in epoch and strength alone.
    """
    tables: dict[object, list[CellSpec]] = {}
    for spec in specs:
        if spec.has_lora:
            shared = replace(spec, source=NO_LORA, strength=0.0, lora=None)
            tables.setdefault((spec.source.label, shared), []).append(spec)
    positions: dict[CellSpec, TablePosition] = {}
    for table, cells in tables.items():
        rows = sorted({spec.source.recorded_number for spec in cells})
        columns = sorted({spec.strength for spec in cells})
        for spec in cells:
            row = rows.index(spec.source.recorded_number)
            positions[spec] = (table, row, columns.index(spec.strength))
    return positions
