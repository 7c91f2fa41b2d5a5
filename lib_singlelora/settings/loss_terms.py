"""Settings of the loss terms that compare with the frozen checkpoint, and of bounds on the LoRA."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting


@dataclass(frozen=True)
class LossTermSettings:
    """Loss terms."""

    dop_weight: float = setting(
        0.0,
        label="Output preservation",
        low=0,
        high=10,
        help=(
            "Weight of differential output preservation: each sample again with the class in the "
            "trigger's place, where the checkpoint's own prediction must stay; 1 is usual, 0 is "
            "off."
        ),
    )
    masked_prior_weight: float = setting(
        0.0,
        label="Masked prior",
        low=0,
        high=10,
        help=(
            "Weight of the checkpoint's own prediction outside the character's mask, while the "
            "inside is learned; 1 is usual, 0 is off."
        ),
    )
    prior_start: float = setting(
        0.0,
        label="Prior start",
        low=0,
        high=1,
        help=(
            "Share of the steps after which prior prediction and output preservation begin, until "
            "then they cost nothing; 0 from the first step."
        ),
    )
    prior_min_timestep: int = setting(
        0,
        label="Prior min timestep",
        low=0,
        high=999,
        help=(
            "Prior prediction and output preservation act at this timestep and above only: 500 "
            "preserves composition and leaves the detail to the character."
        ),
    )
