"""From a cell's figures to one number, and where cells lie beside each other."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from ..metrics.ranking import CRITERIA, TablePosition, price, worth
from ..settings.judge import JudgeSettings
from .cells import NO_LORA, CellSpec, Judgement

PROBED = ("flexibility", "leak")  # criteria that only probes show


def criterion_weights(options: JudgeSettings) -> dict[str, float]:
    """How much each criterion counts."""
    return {name: getattr(options, name) for name in CRITERIA}


@dataclass(frozen=True)
class Scale:
    """What turns figures into a number.

    weights: of the criteria.
    base: retention of the checkpoint alone.
    least, most: the colours shared that stand for no and all traits where no tagger sees them.
    """

    weights: Mapping[str, float]
    base: float
    least: float
    most: float

    @classmethod
    def of(cls, options: JudgeSettings, judged: Mapping[CellSpec, Judgement]) -> Scale:
        """The scale of a sheet after its first round."""
        alone = [found for spec, found in judged.items() if not spec.has_lora]
        known = [found.scores["retention"] for found in alone if "retention" in found.scores]
        return cls(
            criterion_weights(options),
            sum(known) / len(known) if known else 0.0,
            max((found.pixels.similarity for found in alone), default=0.0),
            max((j.pixels.similarity for s, j in judged.items() if s.has_lora), default=0.0),
        )

    def pictures(self, judgement: Judgement) -> tuple[float, ...]:
        """What each picture of a cell is worth by what it shows itself."""
        figures = judgement.by_picture
        retained = figures.get("retention") or tuple(map(self._by_colours, figures["colours"]))
        values = []
        for number, retention in enumerate(retained):
            scores = {"retention": retention}
            for name in ("copying", "damage"):
                if name in figures:
                    scores[name] = figures[name][number]
            values.append(worth(scores, self.weights, self.base))
        return tuple(values)

    def _by_colours(self, similarity: float) -> float:
        """0 for what the checkpoint alone shares with the picture, 1 for the most of a cell."""
        if self.most <= self.least:
            return 0.0
        return max(0.0, (similarity - self.least) / (self.most - self.least))

    def probe_price(self, judgement: Judgement) -> float:
        """The price of what only probes show."""
        shown = {name: judgement.scores[name] for name in PROBED if name in judgement.scores}
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
