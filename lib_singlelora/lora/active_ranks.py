"""Which ranks of a LoRA act on a sample: all of them in little noise, fewer in much."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor

from ..settings.timesteps import TIMESTEPS


@dataclass(frozen=True)
class RankSchedule:
    """How many ranks act at each timestep.

    least: share of the ranks at the highest timestep, 0 to 1; one rank at least.
    power: α; 1 lets the ranks fall evenly.
    length: T, timesteps of the noise schedule.
    """

    least: float
    power: float = 1.0
    length: int = TIMESTEPS

    def counts(self, rank: int) -> list[int]:
        """r(t) = ⌊((T - t) / T)^α (R - r_min)⌋ + r_min for each timestep t; R is the whole rank.

        Source: Soboleva et al. 2025, "T-LoRA", arXiv 2507.05964, section 4.
        """
        least = max(1, round(self.least * rank))
        shares = (((self.length - t) / self.length) ** self.power for t in range(self.length))
        return [int(share * (rank - least)) + least for share in shares]

    def masks(self, rank: int) -> Tensor:
        """1 for the first r(t) ranks at each timestep, else 0, (T, rank)."""
        counts = torch.tensor(self.counts(rank))
        return (torch.arange(rank) < counts[:, None]).float()


@dataclass
class _Pass:
    """A pass of the U-Net.

    timesteps: (B,).
    masks: rank -> (B, rank), of the branches so far.
    """

    timesteps: Tensor
    masks: dict[int, Tensor] = field(default_factory=dict)


class ActiveRanks:
    """The ranks that act in the pass that the U-Net computes; all of them between passes."""

    def __init__(self, schedule: RankSchedule) -> None:
        self.schedule = schedule
        self.current: _Pass | None = None
        self._tables: dict[tuple[int, torch.device], Tensor] = {}

    def at(self, timesteps: Tensor) -> AbstractContextManager[None]:
        """While inside, a pass on samples at these timesteps, (B,)."""
        return _Inside(self, _Pass(timesteps))

    def again(self) -> AbstractContextManager[None]:
        """While inside, the pass of now once more."""
        return _Inside(self, self.current)

    def mask(self, rank: int) -> Tensor | None:
        """1 for each rank that acts on each sample of the pass, else 0, (B, rank); None for all."""
        now = self.current
        if now is None:
            return None
        if rank not in now.masks:
            now.masks[rank] = self._table(rank, now.timesteps.device)[now.timesteps]
        return now.masks[rank]

    def _table(self, rank: int, device: torch.device) -> Tensor:
        if (rank, device) not in self._tables:
            self._tables[rank, device] = self.schedule.masks(rank).to(device)
        return self._tables[rank, device]


class _Inside(AbstractContextManager[None]):
    """While inside, a pass is the current one; made as a block computes, entered on the way back.

    Not by @contextmanager: gradient checkpointing may enter it again for a second backward pass.
    """

    def __init__(self, ranks: ActiveRanks, then: _Pass | None) -> None:
        self._ranks = ranks
        self._then = then
        self._before: list[_Pass | None] = []

    def __enter__(self) -> None:
        self._before.append(self._ranks.current)
        self._ranks.current = self._then

    def __exit__(self, *error: object) -> None:
        self._ranks.current = self._before.pop()
