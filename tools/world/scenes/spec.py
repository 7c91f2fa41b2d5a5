"""What a drawing shows, as plain frozen data: nothing here knows how it is drawn or named."""

from __future__ import annotations

from dataclasses import dataclass, field

Colour = str  # a key of palette.PALETTE

HAIR_COLOURS = ("black", "blonde", "brown", "red", "blue", "pink", "white", "green", "purple")
EYE_COLOURS = ("blue", "green", "brown", "red", "purple", "yellow")
CLOTH_COLOURS = (
    "white",
    "black",
    "red",
    "blue",
    "green",
    "yellow",
    "pink",
    "purple",
    "brown",
    "grey",
)
HAIR_LENGTHS = ("short", "medium", "long")
HAIR_STYLES = ("straight", "twintails", "ponytail", "bob")
BANGS = ("blunt", "parted", "swept")
MOUTHS = ("neutral", "smile", "open", "frown")
TOPS = ("shirt", "dress", "sailor", "corset")
BOTTOMS = ("miniskirt", "skirt", "long skirt", "pants")
POSES = ("standing", "arms up", "hand on hip", "waving", "arms behind back", "sitting")
VIEWS = ("front", "side", "behind")
FRAMINGS = (
    "full body",
    "cowboy shot",
    "upper body",
    "lower body",
    "portrait",
    "close-up",
    "head out of frame",
)
BACKGROUNDS = ("white", "grey", "blue", "green", "pink", "yellow", "indoors", "outdoors")

# Never in training: what a LoRA has to teach. See sample.HELD_OUT for the combinations.
HELD_OUT_EXTRAS = ("polka dot", "scarf", "eyepatch", "split hair", "cat ears")

# Worn by the characters of the laboratory only: neither checkpoint nor tagger was shown them.
LABORATORY_EXTRAS = (
    "wings",
    "tail",
    "cape",
    "horns",
    "halo",
    "glasses",
    "apron",
    "scarf stripes",
    "odd sleeve",
    "two-tone skirt",
    "striped legwear",
)


@dataclass(frozen=True)
class Hair:
    colour: Colour = "brown"
    length: str = "long"
    style: str = "straight"
    bangs: str = "blunt"
    second: Colour | None = None  # the other half of split-colour hair


@dataclass(frozen=True)
class Face:
    eyes: Colour = "blue"
    closed: bool = False
    mouth: str = "smile"
    angry: bool = False
    blush: bool = False


@dataclass(frozen=True)
class Headwear:
    """hat, hair bow, hair ribbon or nothing; a hat may carry a bow in another colour."""

    kind: str = "none"
    colour: Colour = "red"
    bow: Colour | None = None


@dataclass(frozen=True)
class Outfit:
    top: str = "shirt"
    top_colour: Colour = "white"
    bottom: str = "skirt"
    bottom_colour: Colour = "blue"
    frills: bool = False
    stripes: Colour | None = None  # two bands above the hem
    collar: Colour = "blue"  # of a sailor top
    laces: Colour | None = None  # of a corset
    capelet: Colour | None = None
    capelet_stripes: Colour | None = None
    cuffs: Colour | None = None
    cuff_stripes: Colour | None = None
    gloves: Colour | None = None
    boots: Colour | None = None  # None: plain shoes
    boot_laces: Colour | None = None


@dataclass(frozen=True)
class Character:
    hair: Hair = field(default_factory=Hair)
    face: Face = field(default_factory=Face)
    headwear: Headwear = field(default_factory=Headwear)
    outfit: Outfit = field(default_factory=Outfit)
    extras: tuple[tuple[str, Colour], ...] = ()  # (an extra above, its colour)

    def extra(self, name: str) -> Colour | None:
        """The colour of a held-out extra, or None without it."""
        return dict(self.extras).get(name)


@dataclass(frozen=True)
class Scene:
    """characters: none, one or two.

    seed: only what no tag tells (furniture, clouds, slight shifts).
    """

    characters: tuple[Character, ...] = ()
    pose: str = "standing"
    view: str = "front"
    framing: str = "full body"
    background: str = "white"
    mirrored: bool = False
    seed: int = 0
