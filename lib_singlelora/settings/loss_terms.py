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
    class_prediction: bool = setting(
        False,
        label="Class by prediction",
        help=(
            "Pictures of the class keep the checkpoint's own prediction of them, instead of being "
            "learned: what the LoRA has not changed costs nothing, a change of the class does."
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
    dco_beta: float = setting(
        0.0,
        label="DCO beta",
        low=0,
        high=100_000,
        help=(
            "Direct consistency optimization: a sample teaches less the further its loss has "
            "fallen below the checkpoint's own, at a difference of 1 / beta half as much; 1000 for "
            "SDXL, far less for small checkpoints, 0 is off."
        ),
    )
    apt: float = setting(
        0.0,
        label="Adaptive weights",
        low=0,
        high=100_000,
        help=(
            "APT: timesteps whose loss has fallen below the checkpoint's own count less, by "
            "exp(-value x difference), so that at 10 a loss 0.07 lower counts half; 0 is off."
        ),
    )
    delta_penalty: float = setting(
        0.0,
        label="Weight penalty",
        low=0,
        high=10,
        help=(
            "Adds this times the sum of all modules' squared weight norms to the loss, so that "
            "only what pays for itself is changed; 0.00001 to 0.001, 0 is off."
        ),
    )
