"""What the sheet's cells are judged by, and how much each of it counts."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting


@dataclass(frozen=True)
class JudgeSettings:
    """The judge of the sheet.  A criterion of weight 0 decides nothing."""

    probes: int = setting(
        3,
        label="Probed cells",
        low=0,
        high=240,
        help=(
            "So many of the best cells are tried with other poses, places and clothes, and without "
            "her trigger; 0 tries none and is faster."
        ),
    )
    probe_seeds: int = setting(
        1,
        label="Probes' seeds",
        low=1,
        high=20,
        help="Pictures of each probe; raise it when two runs recommend different cells.",
    )
    probe_steps: int = setting(
        12,
        label="Probes' steps",
        low=1,
        high=150,
        help=(
            "Fewer than the sheet's do, for only tags are read off them; raise it when they are"
            " blurred."
        ),
    )
    retention: float = setting(
        1.0,
        label="Weight of retention",
        low=0,
        high=10,
        help="How much it counts that her traits are there; raise it when she is not like herself.",
    )
    flexibility: float = setting(
        0.6,
        label="Weight of flexibility",
        low=0,
        high=10,
        help=(
            "How much it counts that prompts are obeyed; raise it when she always stands the same."
        ),
    )
    copying: float = setting(
        0.3,
        label="Weight of copying",
        low=0,
        high=10,
        help=(
            "How much it counts against a cell that it draws the crops again; at 0 the VAE is not"
            " asked."
        ),
    )
    leak: float = setting(
        0.2,
        label="Weight of leak",
        low=0,
        high=10,
        help=(
            "How much it counts against a cell that others change too; raise it to draw her beside"
            " others."
        ),
    )
    damage: float = setting(
        0.5,
        label="Weight of damage",
        low=0,
        high=10,
        help=(
            "How much burnt colours and noise count; raise it when the recommended cell looks"
            " harsh."
        ),
    )
