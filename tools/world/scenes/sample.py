"""Seed -> scene: what the training pictures show, and what they never show."""

from __future__ import annotations

import random

from .spec import (
    BACKGROUNDS,
    BANGS,
    BOTTOMS,
    CLOTH_COLOURS,
    EYE_COLOURS,
    HAIR_COLOURS,
    HAIR_LENGTHS,
    HAIR_STYLES,
    HELD_OUT_EXTRAS,
    LABORATORY_EXTRAS,
    MOUTHS,
    POSES,
    TOPS,
    Character,
    Face,
    Hair,
    Headwear,
    Outfit,
    Scene,
)

# The checkpoint's world: fewer colours than the renderer knows, each seen more often.
WORLD_HAIR = ("black", "blonde", "brown", "red", "blue", "pink", "white")
WORLD_CLOTH = ("white", "black", "red", "blue", "green", "yellow", "pink")


def is_held_out(character: Character) -> bool:
    """Whether training must never show this: striped capelets or cuffs, capelet with cuffs, any
    held-out extra, split hair.
    """
    outfit = character.outfit
    return bool(
        outfit.capelet_stripes
        or outfit.cuff_stripes
        or (outfit.capelet and outfit.cuffs)
        or character.hair.second
        or character.face.eyes not in EYE_COLOURS
        or any(name in HELD_OUT_EXTRAS + LABORATORY_EXTRAS for name, _ in character.extras)
    )


def sample_character(rng: random.Random, world: bool = True) -> Character:
    """A character of the training distribution; world=False draws from every colour the renderer
    has.
    """
    hairs, cloths = (WORLD_HAIR, WORLD_CLOTH) if world else (HAIR_COLOURS, CLOTH_COLOURS)
    style = rng.choices(HAIR_STYLES, (5, 2, 2, 2))[0]
    length = (
        rng.choice(("short", "medium"))
        if style == "bob"
        else rng.choices(HAIR_LENGTHS, (1, 1, 1.3))[0]
    )
    if style in ("twintails", "ponytail") and length == "short":
        length = "medium"
    hair = Hair(rng.choice(hairs), "short" if style == "bob" else length, style, rng.choice(BANGS))
    angry = rng.random() < 0.15
    mouth = rng.choices(MOUTHS, (1, 2, 1.5, 2 if angry else 0.8))[0]
    face = Face(rng.choice(EYE_COLOURS), rng.random() < 0.1, mouth, angry, rng.random() < 0.2)
    kind = rng.choices(("none", "hat", "hair bow", "hair ribbon"), (4, 3, 1.5, 1))[0]
    colour = rng.choice(cloths)
    bow = (
        rng.choice([c for c in cloths if c != colour])
        if kind == "hat" and rng.random() < 0.45
        else None
    )
    return Character(hair, face, Headwear(kind, colour, bow), _sample_outfit(rng, cloths))


def _sample_outfit(rng: random.Random, cloths: tuple[str, ...]) -> Outfit:
    def other(*colours: str | None) -> str:
        return rng.choice([c for c in cloths if c not in colours])

    top = rng.choices(TOPS, (3, 3, 1.5, 1.5))[0]
    top_colour = rng.choice(cloths) if top != "sailor" else "white"
    bottom = rng.choices(BOTTOMS, (2, 2.5, 2.5, 2 if top != "dress" else 0))[0]
    bottom_colour = other(top_colour) if top != "dress" else top_colour
    skirt = bottom != "pants"
    capelet = other(top_colour) if rng.random() < 0.12 else None
    cuffs = other(top_colour) if not capelet and rng.random() < 0.15 else None
    boots = rng.choice(cloths) if rng.random() < 0.5 else None
    return Outfit(
        top=top,
        top_colour=top_colour,
        bottom=bottom,
        bottom_colour=bottom_colour,
        frills=skirt and rng.random() < 0.3,
        stripes=other(bottom_colour) if skirt and rng.random() < 0.25 else None,
        collar=rng.choice(("blue", "black", "red", "green")),
        laces=other(top_colour) if top == "corset" and rng.random() < 0.6 else None,
        capelet=capelet,
        cuffs=cuffs,
        gloves=other(top_colour) if not cuffs and rng.random() < 0.15 else None,
        boots=boots,
        boot_laces=other(boots) if boots and rng.random() < 0.35 else None,
    )


def sample_scene(seed: int, world: bool = True, framing: str | None = None) -> Scene:
    """The training scene of a seed: one figure in 92 %, two in 4 %, none in 4 %."""
    rng = random.Random(seed * 2654435761 % (1 << 31))
    count = rng.choices((1, 2, 0), (92, 4, 4))[0]
    figures = tuple(sample_character(rng, world) for _ in range(count))
    frame = (
        framing
        or rng.choices(
            (
                "full body",
                "cowboy shot",
                "upper body",
                "lower body",
                "portrait",
                "close-up",
                "head out of frame",
            ),
            (26, 20, 22, 5, 14, 7, 6),
        )[0]
    )
    if count == 2:
        frame = rng.choice(("full body", "cowboy shot", "upper body"))
    pose = rng.choices(POSES, (30, 14, 14, 14, 14, 14))[0]
    view = rng.choices(("front", "side", "behind"), (74, 15, 11))[0]
    if frame == "close-up":
        view = "front"
    background = rng.choices(BACKGROUNDS, (22, 10, 9, 6, 6, 6, 20, 21))[0]
    if count == 0:
        background = rng.choice(("indoors", "outdoors"))
    return Scene(figures, pose, view, frame, background, rng.random() < 0.5, rng.randrange(1 << 30))
