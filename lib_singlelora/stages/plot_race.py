"""The race of a sheet: the cells drawn first, and the further pictures of those in front."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..judge.cells import CellSpec
from ..judge.contest import BASE_PICTURES, Further
from ..judge.scale import positions_of
from ..settings.judge import JudgeSettings
from .context import StageContext
from .plot_cells import SheetCells, draw_further

MANY_EPOCHS = 4  # with more rows the first round may be coarse


@dataclass
class SheetRace:
    """The race of a planned sheet.

    cells: the sheet.
    racers: the cells that may be recommended.
    first: those that are drawn before the race, with all cells that do not race.
    drawn: further pictures of each cell, the file by the seed, as the race draws them.
    """

    cells: SheetCells
    racers: Sequence[CellSpec]
    first: Sequence[CellSpec]
    drawn: dict[CellSpec, dict[int, Path]] = field(default_factory=dict)

    @classmethod
    def of(cls, cells: SheetCells, options: JudgeSettings) -> SheetRace:
        """The race that the settings ask for; without one all cells are drawn first."""
        places = cells.layout.places
        main = [place for place in places if place in cells.layout.main]
        racers = [place for place in main if place.source.is_epoch and not place.refine]
        is_raced = options.race and options.budget > 0 and len(racers) > 1
        if not is_raced or cells.plan.seed_is_an_axis:
            return cls(cells, (), places)
        later = left_for_later(racers) if options.coarse else frozenset()
        return cls(cells, racers, [place for place in places if place not in later])

    def most(self, options: JudgeSettings) -> int:
        """The pictures that it draws at most, beside those of the first round."""
        alone = max(0, BASE_PICTURES - len(self.cells.plan.seeds))
        return options.budget + alone if self.racers else 0

    def further(self, context: StageContext) -> Further | None:
        """How the judge gets the pictures; None without a race."""
        if not self.racers:
            return None

        def draw(wanted: Sequence[tuple[CellSpec, int]]) -> list[Path]:
            asked = [(place, self.cells.seed_of(number)) for place, number in wanted]
            paths = draw_further(self.cells, context, asked)
            for (place, seed), path in zip(asked, paths, strict=True):
                self.drawn.setdefault(place, {})[seed] = path
            return paths

        return Further(self.racers, draw)

    def pictures(self, drawn: Mapping[CellSpec, Sequence[Path]]) -> dict[CellSpec, dict[int, Path]]:
        """Every picture of each cell by its seed, in the order of the sheet.

        drawn: those of the first round.
        """
        files = self.cells.files
        return {
            place: {**(dict(files[place]) if place in drawn else {}), **self.drawn.get(place, {})}
            for place in self.cells.layout.places
            if place in drawn or place in self.drawn
        }


def left_for_later(racers: Sequence[CellSpec]) -> frozenset[CellSpec]:
    """The cells that a coarse first round leaves out.

    Of a table with many epochs it draws every second one, from the last on, and in these every
    second strength, from the highest on in the first, from the next in the second.
    """
    positions = positions_of(racers)
    later = set()
    for table in {position[0] for position in positions.values()}:
        own = {spec: at for spec, at in positions.items() if at[0] == table}
        last = max(row for _, row, _ in own.values())
        right = max(column for _, _, column in own.values())
        if last + 1 > MANY_EPOCHS:
            later |= {
                spec
                for spec, (_, row, column) in own.items()
                if (last - row) % 2 or (right and ((last - row) // 2 + right - column) % 2)
            }
    return frozenset(later)
