"""Settings of the judge: which cells it probes, and how it weighs the criteria."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting


@dataclass(frozen=True)
class JudgeSettings:
    """Judge.

    Decides which cell of the sheet is recommended.  A criterion of weight 0 decides nothing.
    """

    race: bool = setting(
        True,
        label="Race",
        help=(
            "Draws further pictures of the cells that may be the best, until it is known; off "
            "judges every cell by its own pictures alone."
        ),
    )
    budget: int = setting(
        24,
        label="Pictures of the race",
        low=0,
        high=1000,
        help="How many pictures the race may add; raise it when the best cell is not told apart.",
    )
    confidence: float = setting(
        0.9,
        label="Confidence",
        low=0.5,
        high=0.99,
        help="How sure the best cell must be before the race ends; also that of every interval.",
    )
    coarse: bool = setting(
        True,
        label="Coarse first round",
        help=(
            "With a race, a sheet of more than four epochs begins with a quarter of its cells, and "
            "the race draws others near the best; off draws all of them first."
        ),
    )
    probes: int = setting(
        3,
        label="Probed cells",
        low=0,
        high=240,
        help=(
            "How many of the best cells are tried with other poses, backgrounds and outfits, and "
            "without the trigger; 0 probes none and is faster."
        ),
    )
    probe_seeds: int = setting(
        1,
        label="Probe seeds",
        low=1,
        high=20,
        help="Pictures per probe prompt; raise it when two runs recommend different cells.",
    )
    probe_steps: int = setting(
        12,
        label="Probe steps",
        low=1,
        high=150,
        help=(
            "Sampling steps of the probes: fewer than the sheet's, as they are only tagged; raise "
            "it when they are blurry."
        ),
    )
    retention: float = setting(
        1.0,
        label="Weight of retention",
        low=0,
        high=10,
        help="Rewards that the character's traits show; raise it when the likeness is poor.",
    )
    flexibility: float = setting(
        0.6,
        label="Weight of flexibility",
        low=0,
        high=10,
        help="Rewards that prompts are followed; raise it when the pose is always the same.",
    )
    copying: float = setting(
        0.3,
        label="Weight of copying",
        low=0,
        high=10,
        help=(
            "Penalizes pictures that reproduce the crops; 0 also skips the VAE encoding that "
            "measures it."
        ),
    )
    leak: float = setting(
        0.2,
        label="Weight of leak",
        low=0,
        high=10,
        help=(
            "Penalizes changes to everyone else; raise it to show the character together with "
            "others."
        ),
    )
    damage: float = setting(
        0.5,
        label="Weight of damage",
        low=0,
        high=10,
        help="Penalizes burnt colours and noise; raise it when the recommended cell looks harsh.",
    )
