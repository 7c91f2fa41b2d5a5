"""Settings of the judged loopback: what is drawn for the next version, and what it must pass."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting

SOURCES = ("inpaint", "img2img", "txt2img")


@dataclass(frozen=True)
class LoopbackSettings:
    """Judged loopback.

    Draws the character in new poses, views, expressions and places, and trains a next version on
    what the judge keeps.
    """

    count: int = setting(
        24, label="Candidates", low=1, high=1000, help="Pictures that are drawn and judged."
    )
    keep: int = setting(
        8,
        label="Most to keep",
        low=1,
        high=1000,
        help="Of those that pass, the best are kept, at most so many, as different as possible.",
    )
    rounds: int = setting(
        1,
        label="Rounds",
        low=1,
        high=10,
        help="Each round draws with the LoRA of the last one and trains a version of its own.",
    )
    sources: tuple[str, ...] = setting(
        SOURCES,
        label="Sources",
        choices=SOURCES,
        help=(
            "inpaint redraws a part of the original picture, img2img all of it, txt2img starts "
            "from the prompt; they take turns."
        ),
    )
    lora: str = setting(
        "",
        label="LoRA of the candidates",
        path="program",
        help="Number of an epoch, or a file. Empty: the recommended one, else the last.",
    )
    strength: float = setting(
        0.0,
        label="Strength of the candidates",
        low=0,
        high=4,
        help="LoRA strength; 0 takes the recommended one, or 1 where none is recommended.",
    )
    denoise: tuple[float, ...] = setting(
        (0.7, 0.85),
        label="Denoising strengths of the candidates",
        low=0,
        high=1,
        help="Taken in turn by img2img; inpaint draws expressions at the highest.",
    )
    seed: int = setting(
        1,
        label="Seed of the candidates",
        low=-1,
        high=2**32 - 1,
        seed=True,
        help="First seed; candidate n uses seed + n - 1.",
    )
    retention: float = setting(
        0.6,
        label="Least retention",
        low=0,
        high=1,
        help=(
            "Mean probability of the character's traits, by the tagger, that a candidate must "
            "reach; raise it when strangers are kept."
        ),
    )
    colours: float = setting(
        0.5,
        label="Least colours shared",
        low=0,
        high=1,
        help=(
            "Share of the figure's colours that must be the character's own; lower it for pictures "
            "in another light."
        ),
    )
    copying: float = setting(
        0.95,
        label="Most likeness to a crop",
        low=0,
        high=1,
        help="A candidate that is more like a crop than this shows nothing new and is rejected.",
    )
    damage: float = setting(
        0.2,
        label="Most damage",
        low=0,
        high=1,
        help="Burnt colours, noise, lost contrast or a missing subject beyond this reject it.",
    )
    repeats: int = setting(
        0,
        label="Repeats of the kept",
        low=0,
        high=1000,
        help="How often an epoch shows each kept picture; 0 for half of the crops' repeats.",
    )
