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
