"""The cells of a sheet against each other: their pictures, probes, and more of those in front."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..jobs import Job, Progress
from ..metrics.posterior import Floats
from ..metrics.ranking import expected_gain, expected_price, nearest_gain, next_to_probe
from ..settings.judge import JudgeSettings
from .cells import CellSpec, Judgement
from .first_round import FirstRound
from .probe_round import Prober
from .race import Key, Outlook, Race, Standings
from .scale import ELSEWHERE, Scale, positions_of

BASE_PICTURES = 3  # of the checkpoint alone, before a race: every cell is measured against them
LAST_PROBES = 2  # cells that the race has put in front and that were not probed before
INVALID = 2.0  # price of a cell with an invalid picture: more than any gain


@dataclass(frozen=True)
class Further:
    """Pictures that the judge may have drawn.

    cells: all that may be recommended, drawn or not.
    draw: draws the pictures of cells and of numbers of seeds, from 0; their files.
    """

    cells: Sequence[CellSpec]
    draw: Callable[[Sequence[tuple[CellSpec, int]]], Sequence[Path]]


class Contest:
    """Finds the best of the cells that may be recommended.

    drawn: the pictures of each cell, the checkpoint's own among them.
    prober: None probes nothing.
    further: None draws no further pictures.
    """

    def __init__(
        self,
        options: JudgeSettings,
        drawn: Mapping[CellSpec, Sequence[Path]],
        first: FirstRound,
        prober: Prober | None,
        further: Further | None,
        job: Job,
    ) -> None:
        self._options = options
        self._pictures = {spec: list(paths) for spec, paths in drawn.items()}
        self._first = first
        self._prober = prober
        self._further = further
        self._job = job
        self._raced = 0
        self._draw({spec: BASE_PICTURES for spec in drawn if not spec.has_lora})
        self.judged = first.judge(self._pictures)
        self.scale = Scale.of(options, self.judged, first.copying_is_probed)
        cells = further.cells if further else tuple(drawn)
        self.racers = [spec for spec in cells if spec.source.is_epoch and not spec.refine]
        self._positions = positions_of(self.racers)
        self._probed: dict[CellSpec, float] = {}

    def run(self) -> Standings | None:
        """The standings at the end; None where no cell may be recommended.

        Raises: JobCancelled, keeping what is drawn.
        """
        if not any(spec in self.judged for spec in self.racers):
            return None
        budget = self._options.budget if self._further else 0
        places = [self._positions[spec] for spec in self.racers]
        race = Race(places, self._known(), self._observe, self._options.confidence, budget)
        for _ in range(self._options.probes if self._prober else 0):
            now = race.standings(self._outlook())
            self._probe(now.worths.mean(axis=0) + self._prices())
        now = race.run(self._outlook)
        for _ in range(LAST_PROBES if self._further and self._probed else 0):
            leader = self.racers[now.leader]
            if leader in self._probed:
                break
            self._probe_cell(leader)
            now = race.standings(self._outlook())
        # The race goes by what further pictures of cells can tell; what is said at its end counts
        # the doubt in the probes too, of which there are few.
        return race.standings(replace(self._outlook(), doubts=self._doubts()))

    def _known(self) -> dict[Key, float]:
        """What the pictures are worth that are there."""
        return {
            (number, seed): value
            for number, spec in enumerate(self.racers)
            if spec in self.judged
            for seed, value in enumerate(self.scale.pictures(self.judged[spec]))
        }

    def _outlook(self) -> Outlook:
        """What the cells' pictures do not show, as the probed ones tell or let expect."""
        gains = self._gains_elsewhere()
        shares = [0.0 if gain is None else ELSEWHERE for gain in gains]
        weight = self.scale.weights["retention"]
        added = [
            0.0 if gain is None else ELSEWHERE * (weight * gain - harm)
            for gain, harm in zip(gains, self._harms(), strict=True)
        ]
        return Outlook(self._prices(), np.array(shares), np.array(added))

    def _harms(self) -> list[float]:
        """What each cell's own pictures cost: as drawn, else as its neighbours let expect."""
        known = {
            spec: self.scale.harm(self.judged[spec]) for spec in self.racers if spec in self.judged
        }
        harms = {self._positions[spec]: harm for spec, harm in known.items()}
        return [
            known[spec] if spec in known else expected_price(self._positions[spec], harms)
            for spec in self.racers
        ]

    def value_outside(self, spec: CellSpec, now: Standings | None) -> float:
        """What a cell is worth that does not race: what the leader is, and the difference.

        That is of their pictures of the same seeds, for another one is another chance.  What the
        cell keeps and costs in the probes is not known: it counts as the leader's does.
        """
        found = self.judged[spec]
        own = np.array(self.scale.pictures(found))
        leader = self.racers[now.leader] if now else None
        beside = self.judged.get(leader) if leader else None
        if now is None or leader is None or beside is None:
            return float(own.mean())
        if leader.seed != spec.seed or beside.pixels.invalid:
            return float(own.mean())
        both = min(len(own), len(self.scale.pictures(beside)))
        worth = own[:both] - self.scale.pictures(beside)[:both]
        gain = np.subtract(self.scale.gains(found)[:both], self.scale.gains(beside)[:both])
        share = 0.0 if self._gains_elsewhere()[now.leader] is None else ELSEWHERE
        differences = worth - share * self.scale.weights["retention"] * gain
        return float(now.worths[:, now.leader].mean() + differences.mean())

    def _gains_elsewhere(self) -> list[float | None]:
        """What each cell gains in the probes: as probed, else as its neighbours let expect."""
        alone = self._prober.kept_alone if self._prober else None
        known = {
            spec: gain
            for spec in self._probed
            if (gain := self.scale.gain_elsewhere(self.judged[spec], alone)) is not None
        }
        gains = {self._positions[spec]: (spec.strength, gain) for spec, gain in known.items()}
        return [
            known.get(spec, expected_gain(self._positions[spec], spec.strength, gains))
            for spec in self.racers
        ]

    def _doubts(self) -> Floats:
        """(cells, causes): how far what the probes add may lie beside.

        Each probed cell is a cause, which those share that it speaks for, as far as its gain is
        expected of them.  A cell that is not probed and is expected to gain is in as much doubt
        once more, for it might have shown something else.  What obedience, leak and copying cost
        is taken as sure.
        """
        alone = self._prober.kept_alone if self._prober else None
        probed = [spec for spec in self._probed if "elsewhere" in self.judged[spec].by_picture]
        if alone is None or not probed:
            return np.zeros((len(self.racers), 0))
        # Pictures of one probe are alike in what they ask for: a probe is one witness
        shape = (len(probed), -1, self._options.probe_seeds)
        kept = np.reshape([self.judged[s].by_picture["elsewhere"] for s in probed], shape).mean(2)
        doubt = self.scale.doubt_elsewhere(kept, alone)
        doubt *= ELSEWHERE * self.scale.weights["retention"]
        gains = {self._positions[spec]: (spec.strength, 0.0) for spec in probed}
        causes = list(gains)
        doubts = np.zeros((len(self.racers), len(causes) + len(self.racers)))
        for number, spec in enumerate(self.racers):
            position = self._positions[spec]
            if position in gains:
                doubts[number, causes.index(position)] = doubt
            elif nearest := nearest_gain(position, spec.strength, gains):
                doubts[number, causes.index(nearest[0])] = doubt * nearest[1]
                doubts[number, len(causes) + number] = doubt if nearest[1] else 0.0
        return doubts

    def _prices(self) -> Floats:
        """What each cell costs: as probed, else as its neighbours let expect."""
        probed = {self._positions[spec]: price for spec, price in self._probed.items()}
        prices = []
        for spec in self.racers:
            price = expected_price(self._positions[spec], probed)
            invalid = spec in self.judged and bool(self.judged[spec].pixels.invalid)
            prices.append(self._probed.get(spec, price) + (INVALID if invalid else 0.0))
        return np.array(prices, dtype=np.float64)

    def _probe(self, values: Floats) -> None:
        """Probe the drawn cell that promises most.  values: without what probes show."""
        promising = {
            spec: float(values[number])
            for number, spec in enumerate(self.racers)
            if spec in self.judged and not self.judged[spec].pixels.invalid
        }
        probed = {spec: price for spec, price in self._probed.items() if spec in promising}
        spec = next_to_probe(promising, probed, self._positions)
        if spec is not None:
            self._probe_cell(spec)

    def _probe_cell(self, spec: CellSpec) -> None:
        if self._prober:
            similarities = self._first.similarities if self._first.copying_is_probed else None
            self.judged[spec] = self._prober.probe(spec, self.judged[spec], similarities)
            self._probed[spec] = self.scale.probe_price(self.judged[spec])
            alone = self._prober.kept_alone
            for other in [each for each in self.judged if not each.has_lora]:
                if alone is not None:
                    found = self.judged[other]
                    scores = {**found.scores, "elsewhere": round(alone, 4)}
                    self.judged[other] = replace(found, scores=scores)

    def _observe(self, keys: Sequence[Key], now: Standings, number: int) -> Mapping[Key, float]:
        """Draw the pictures of a round of the race; what they are worth."""
        runners = list(dict.fromkeys(self.racers[cell] for cell, _ in keys))
        front = self.racers[now.leader].words
        sure = f"{now.confidence:.0%} sure"
        about = f"race, round {number}, {len(runners)} cells; in front {front}, {sure}"
        self._report(about)
        counts: dict[CellSpec, int] = {}
        for cell, seed in keys:
            spec = self.racers[cell]
            counts[spec] = max(counts.get(spec, 0), seed + 1)
        self._draw(counts)
        self._raced += len(keys)
        self._report(about)
        alone = [spec for spec in self._pictures if not spec.has_lora]
        seen = self._first.judge({spec: self._pictures[spec] for spec in (*alone, *runners)})
        for spec in runners:
            before = self.judged.get(spec)
            self.judged[spec] = (
                seen[spec] if before is None else self._seen_anew(before, seen[spec])
            )
        known = self._known()
        return {key: known[key] for key in keys}

    def _seen_anew(self, before: Judgement, seen: Judgement) -> Judgement:
        """What all of a cell's pictures show, and of before what the probes showed alone.

        A figure that is known of the first pictures and not of the next is known no more.
        """
        by_probes = (*self.scale.probed, "elsewhere")
        scores = {name: value for name, value in before.scores.items() if name in by_probes}
        pictures = {n: values for n, values in before.by_picture.items() if n in by_probes}
        return replace(
            before,
            pixels=seen.pixels,
            retention=seen.retention,
            scores={**scores, **seen.scores},
            nearest=seen.nearest,
            copy=seen.copy,
            damage=seen.damage,
            by_picture={**pictures, **seen.by_picture},
        )

    def _report(self, message: str) -> None:
        self._job.raise_if_cancelled()
        self._job.report(Progress("plot", self._raced, self._options.budget, message))

    def _draw(self, counts: Mapping[CellSpec, int]) -> None:
        """Draw until each cell has so many pictures."""
        wanted = [
            (spec, number)
            for spec, count in counts.items()
            for number in range(len(self._pictures.get(spec, ())), count)
        ]
        if self._further and wanted:
            self._job.raise_if_cancelled()
            for (spec, _), path in zip(wanted, self._further.draw(wanted), strict=True):
                self._pictures.setdefault(spec, []).append(path)
