"""Settings of the timesteps: which ones each crop is trained at, and how much they count."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import SettingsError
from .declare import setting

TIMESTEPS = 1000  # of Stable Diffusion's noise schedule
OFF = "off"
BY_VIEW = "by view"
# The more of the body a crop shows, the more of the composition it may teach; the first entry that
# names one of a crop's tags counts, so that lower_body, whose head is out of the frame, is its own.
RANGES_BY_VIEW = (
    "full body: 0-1000, cowboy shot: 0-1000, upper body: 0-850, lower body: 0-700,"
    " head out of frame: 0-700, portrait: 0-700, close-up: 0-500"
)

_ENTRY = r"[^:,]+:\s*\d{1,4}\s*-\s*\d{1,4}\s*"  # neighbours share no letter: linear in time


@dataclass(frozen=True)
class ViewRange:
    """The timesteps of crops with a tag.

    tag: of the crop, such as `close-up`.
    first: the lowest.
    end: one past the highest.
    """

    tag: str
    first: int
    end: int


@dataclass(frozen=True)
class TimestepSettings:
    """Timesteps."""

    view_timesteps: str = setting(
        OFF,
        label="Timesteps by view",
        choices=(OFF, BY_VIEW),
        pattern=rf"{_ENTRY}(,{_ENTRY})*",
        pattern_means="a list such as 'full body: 0-1000, portrait: 0-700, close-up: 0-500'",
        help=(
            "Trains a crop with one of these tags at these timesteps only, so that a close-up, low"
            " in the noise, teaches detail and no composition; the other crops keep all of them."
        ),
    )
    band_weights: tuple[float, ...] = setting(
        (),
        label="Timestep weights",
        low=0,
        high=100,
        help=(
            "Weights of the loss in equal bands of timesteps, from little noise to much, such as"
            " 1,1,1,0.5; only their ratios count, empty weights all alike."
        ),
    )

    timestep_rank: bool = setting(
        False,
        label="Rank by timestep",
        help=(
            "T-LoRA: in much noise only some ranks are trained, so that composition is learned"
            " less by heart; for LoRA and LoCon, saved as plain ones."
        ),
    )
    timestep_rank_min: float = setting(
        0.5,
        label="Least rank",
        low=0,
        high=1,
        help="Share of the ranks that is trained at the highest timestep, at least one rank.",
    )
    timestep_rank_power: float = setting(
        1.0,
        label="Rank power",
        low=0.1,
        high=10,
        help=(
            "How the ranks fall with the timestep: 1 evenly, above 1 faster, so that fewer are"
            " trained in between."
        ),
    )

    def check_timesteps(self, first: int, end: int, algorithm: str) -> None:
        """Check these settings against others.

        first, end: training.min_timestep and training.max_timestep.
        algorithm: training.algorithm.
        Raises: SettingsError.
        """
        if self.timestep_rank and algorithm not in ("LoRA", "LoCon"):
            raise SettingsError(
                f"training.timestep_rank: found training.algorithm={algorithm}, which has no ranks"
                " that can be left out, expected LoRA or LoCon; choose one, or switch it off"
            )
        for view in view_ranges(self.view_timesteps):
            if max(first, view.first) >= min(end, view.end):
                raise SettingsError(
                    f"training.view_timesteps: found '{view.tag}: {view.first}-{view.end}', of"
                    f" which nothing lies between training.min_timestep ({first}) and"
                    f" training.max_timestep ({end}), expected some; change one of them"
                )
        if self.band_weights and (len(self.band_weights) < 2 or not any(self.band_weights)):
            raise SettingsError(
                f"training.band_weights: found {list(self.band_weights)}, expected two numbers at"
                " least, one of them above 0; empty it to weight all timesteps alike"
            )


def view_ranges(text: str) -> tuple[ViewRange, ...]:
    """The entries of `training.view_timesteps`, in their order; none where it is off.

    Raises: SettingsError, for an entry twice, or one without timesteps.
    """
    if text == OFF:
        return ()
    ranges: dict[str, ViewRange] = {}
    for entry in (RANGES_BY_VIEW if text == BY_VIEW else text).split(","):
        tag, _, numbers = entry.partition(":")
        tag = " ".join(tag.replace("_", " ").split()).casefold()
        first, end = (int(number) for number in re.findall(r"\d+", numbers))
        if not first < end <= TIMESTEPS:
            raise SettingsError(
                f"training.view_timesteps: found '{entry.strip()}', expected a range within"
                f" 0-{TIMESTEPS}, the lower timestep first, such as 'close-up: 0-500'"
            )
        if tag in ranges:
            raise SettingsError(
                f"training.view_timesteps: found '{tag}' twice, expected it once; remove one"
            )
        ranges[tag] = ViewRange(tag, first, end)
    return tuple(ranges.values())


def range_of(tags: Sequence[str], ranges: Sequence[ViewRange]) -> tuple[int, int] | None:
    """(first, end) of the first range that names one of a crop's tags; None for all timesteps."""
    present = {tag.casefold() for tag in tags}
    return next(((entry.first, entry.end) for entry in ranges if entry.tag in present), None)
