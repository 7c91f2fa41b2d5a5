"""The characters of the examples. Each wears something that training never shows."""

from __future__ import annotations

from .spec import Character, Face, Hair, Headwear, Outfit

ISABELLA = Character(
    hair=Hair("blonde", "long", "straight", "swept"),
    face=Face("teal", mouth="smile"),
    headwear=Headwear("hat", "white", bow="green"),
    outfit=Outfit(
        top="corset",
        top_colour="black",
        laces="green",
        bottom="long skirt",
        bottom_colour="white",
        frills=True,
        stripes="green",
        capelet="white",
        capelet_stripes="green",
        cuffs="blue",
        cuff_stripes="white",
        boots="brown",
        boot_laces="green",
    ),
)

HELD_OUT: dict[str, Character] = {
    "pearl": Character(  # a pattern
        hair=Hair("brown", "medium", "straight", "blunt"),
        face=Face("green", mouth="smile"),
        headwear=Headwear("hair bow", "red"),
        outfit=Outfit(top="dress", top_colour="red", bottom="skirt", boots="white"),
        extras=(("polka dot", "white"),),
    ),
    "wren": Character(  # a garment
        hair=Hair("black", "short", "bob", "parted"),
        face=Face("brown", mouth="neutral"),
        outfit=Outfit(
            top="shirt", top_colour="grey", bottom="pants", bottom_colour="blue", boots="brown"
        ),
        extras=(("scarf", "red"),),
    ),
    "morgan": Character(  # an asymmetric accessory
        hair=Hair("red", "long", "ponytail", "swept"),
        face=Face("yellow", mouth="neutral", angry=True),
        outfit=Outfit(
            top="shirt",
            top_colour="white",
            bottom="pants",
            bottom_colour="black",
            boots="black",
            gloves="brown",
        ),
        extras=(("eyepatch", "black"),),
    ),
    "luna": Character(  # two-tone hair
        hair=Hair("white", "long", "twintails", "blunt", second="black"),
        face=Face("red", mouth="smile"),
        outfit=Outfit(
            top="sailor",
            top_colour="white",
            collar="purple",
            bottom="miniskirt",
            bottom_colour="purple",
        ),
    ),
    "mika": Character(  # ears
        hair=Hair("pink", "medium", "straight", "parted"),
        face=Face("purple", mouth="open", blush=True),
        outfit=Outfit(
            top="dress",
            top_colour="yellow",
            bottom="miniskirt",
            frills=True,
            cuffs="pink",
            cuff_stripes="white",
        ),
        extras=(("cat ears", "pink"),),
    ),
}

# For the laboratory only: no file of theirs is shipped, nothing of theirs stands in the docs.
LABORATORY: dict[str, Character] = {
    "vesper": Character(  # horns, a cape, hair of a colour that the checkpoint never saw
        hair=Hair("purple", "long", "straight", "swept"),
        face=Face("yellow", mouth="smile"),
        outfit=Outfit(top="dress", top_colour="black", bottom="skirt", stripes="red", boots="grey"),
        extras=(("horns", "brown"), ("cape", "red")),
    ),
    "ariel": Character(  # wings and a halo
        hair=Hair("green", "medium", "twintails", "parted"),
        face=Face("blue", mouth="smile", blush=True),
        outfit=Outfit(
            top="dress", top_colour="pink", bottom="long skirt", frills=True, boots="white"
        ),
        extras=(("wings", "white"), ("halo", "yellow")),
    ),
    "tess": Character(  # glasses, a striped scarf
        hair=Hair("brown", "short", "bob", "blunt"),
        face=Face("green", mouth="neutral"),
        outfit=Outfit(
            top="shirt",
            top_colour="brown",
            bottom="skirt",
            bottom_colour="grey",
            boots="black",
            gloves="purple",
        ),
        extras=(("scarf", "yellow"), ("scarf stripes", "red"), ("glasses", "black")),
    ),
    "juno": Character(  # two sleeves and two halves of a skirt in different colours
        hair=Hair("blue", "long", "ponytail", "swept"),
        face=Face("red", mouth="smile"),
        headwear=Headwear("hair ribbon", "yellow"),
        outfit=Outfit(
            top="shirt",
            top_colour="green",
            bottom="skirt",
            bottom_colour="white",
            boots="brown",
            boot_laces="yellow",
        ),
        extras=(("odd sleeve", "yellow"), ("two-tone skirt", "purple")),
    ),
    "olive": Character(  # an apron, striped stockings
        hair=Hair("red", "medium", "straight", "blunt"),
        face=Face("brown", mouth="open", blush=True),
        headwear=Headwear("hair bow", "green"),
        outfit=Outfit(top="dress", top_colour="green", bottom="skirt", frills=True),
        extras=(("apron", "yellow"), ("striped legwear", "red")),
    ),
    "kit": Character(  # ears with a tail, cuffs with a pattern
        hair=Hair("white", "long", "straight", "parted"),
        face=Face("purple", mouth="smile"),
        outfit=Outfit(
            top="shirt",
            top_colour="red",
            bottom="miniskirt",
            bottom_colour="black",
            cuffs="white",
            cuff_stripes="red",
            boots="red",
        ),
        extras=(("cat ears", "white"), ("tail", "brown")),
    ),
    "rowan": Character(  # capelet with cuffs, in colours that the checkpoint never saw
        hair=Hair("black", "medium", "straight", "swept"),
        face=Face("teal", mouth="frown", angry=True),
        headwear=Headwear("hat", "purple", bow="yellow"),
        outfit=Outfit(
            top="shirt",
            top_colour="grey",
            bottom="pants",
            bottom_colour="brown",
            capelet="purple",
            capelet_stripes="yellow",
            cuffs="yellow",
            cuff_stripes="purple",
            boots="black",
        ),
    ),
    "saffron": Character(  # split hair, eyepatch, a corset with laces, a skirt in two colours
        hair=Hair("blonde", "long", "twintails", "blunt", second="pink"),
        face=Face("green", mouth="smile"),
        outfit=Outfit(
            top="corset",
            top_colour="purple",
            laces="yellow",
            bottom="long skirt",
            bottom_colour="grey",
            gloves="purple",
            boots="white",
        ),
        extras=(("eyepatch", "white"), ("two-tone skirt", "blue")),
    ),
}


def all_characters() -> dict[str, Character]:
    """Every character that training never shows, by name: the examples first."""
    return {"isabella": ISABELLA, **HELD_OUT, **LABORATORY}
