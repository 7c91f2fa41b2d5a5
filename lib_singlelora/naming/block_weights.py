"""Block weights: one factor for each block, written as a preset's name, LBW's values or kohya's
lists.

Vectors and lengths: sd-webui-lora-block-weight, scripts/lora_block_weight.py; kohya's lists:
sd-scripts networks/lora.py.
"""

from __future__ import annotations

import difflib
import math
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from ..errors import PresetError
from .blocks import BASE, SD1, SDXL, BlockLayout

SHORT = (BASE, *SD1.attention_labels)
LONG = (BASE, *SD1.labels)
XL_SHORT = (BASE, *SDXL.attention_labels)
XL_LONG = (BASE, *SDXL.labels)
FORMS = {17: SHORT, 26: LONG, 12: XL_SHORT, 20: XL_LONG}

LBW_PRESETS = {
    "NONE": "0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0",
    "ALL": "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1",
    "INS": "1,1,1,1,0,0,0,0,0,0,0,0,0,0,0,0,0",
    "IND": "1,0,0,0,1,1,1,0,0,0,0,0,0,0,0,0,0",
    "INALL": "1,1,1,1,1,1,1,0,0,0,0,0,0,0,0,0,0",
    "MIDD": "1,0,0,0,1,1,1,1,1,1,1,1,0,0,0,0,0",
    "OUTD": "1,0,0,0,0,0,0,0,1,1,1,1,0,0,0,0,0",
    "OUTS": "1,0,0,0,0,0,0,0,0,0,0,0,1,1,1,1,1",
    "OUTALL": "1,0,0,0,0,0,0,0,1,1,1,1,1,1,1,1,1",
    "ALL0.5": "0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5,0.5",
}
# What the article trained: a malformed 18-value OUTD row, cut 7/1/10 and padded with 1.0 as kohya
# pads.  Not OUTD.
ARTICLE = "1,0,0,0,0,0,0,1,1,1,1,1/0/0,1,1,1,1,1,0,0,0,0,1,1"
PRESETS: Mapping[str, str] = MappingProxyType({**LBW_PRESETS, "article": ARTICLE})
UNIFORM = {"NONE": 0.0, "ALL": 1.0, "ALL0.5": 0.5}
# kohya's shapes over the blocks of one side, from 0 (the first) to 1 (the last).
SHAPES: Mapping[str, Callable[[float], float]] = MappingProxyType(
    {
        "cosine": lambda place: math.sin(math.pi * (1 - place) / 2),
        "sine": lambda place: math.sin(math.pi * place / 2),
        "linear": lambda place: place,
        "reverse_linear": lambda place: 1 - place,
        "zeros": lambda place: 0.0,
    }
)
_FROM_PROMPT = re.compile(r"X(?:([+-])(\d+\.?\d*|\.\d+))?")


@dataclass(frozen=True)
class BlockWeights:
    """Factor of each block, BASE first; a label without one has 1 (as kohya pads) unless it was
    written as 0.
    """

    layout: BlockLayout
    factors: tuple[tuple[str, float], ...]

    def __getitem__(self, label: str) -> float:
        return dict(self.factors).get(label, 1.0)

    def as_dict(self) -> dict[str, float]:
        """Label -> factor, for BASE and every block of the layout."""
        return {label: self[label] for label in (BASE, *self.layout.labels)}

    def values(self, short: bool = True) -> tuple[float, ...]:
        """LBW's values: 17 or 26 for SD1, 12 or 20 for SDXL."""
        labels = self.layout.attention_labels if short else self.layout.labels
        return tuple(self[label] for label in (BASE, *labels))

    def as_kohya(self) -> dict[str, tuple[float, ...]]:
        """sd-scripts' down_lr_weight, mid_lr_weight and up_lr_weight; the text encoder is not among
        them.
        """
        labels, n = self.layout.labels, self.layout.side
        middle = 3 if self.layout.name == "sdxl" else 1
        return {
            "down_lr_weight": tuple(self[label] for label in labels[:n]),
            "mid_lr_weight": (self["M00"],) * middle,
            "up_lr_weight": tuple(self[label] for label in labels[n + 1 :]),
        }

    def trained(self) -> tuple[str, ...]:
        """The blocks with transformers whose factor is not 0: those that a plain LoRA trains."""
        return tuple(label for label in self.layout.attention_labels if self[label])

    def __str__(self) -> str:
        return ",".join(f"{value:g}" for value in self.values(short=False))


def parse_block_weights(
    text: str,
    layout: BlockLayout,
    presets: Mapping[str, str] = PRESETS,
    chance: random.Random | None = None,
    x: float = 1.0,
) -> BlockWeights:
    """A preset's name, 12, 17, 20 or 26 values, or kohya's `down/mid/up` lists, shapes among them
    (`cosine/1/sine+.25`).

    R is a random value in 0 to 1, U in -0.5 to 1.5 (both from `chance`); X is `x`, X+0.2 and X-0.2
    are that much beside it (LBW takes X from the prompt, and 1 where it has none).  A name in the
    preset's own letters goes before one in others.
    Raises: PresetError, for an unknown name (with the nearest), a wrong number of values or a value
    that is no number.
    """
    text, names = text.strip(), {name.upper(): name for name in presets}
    if text.upper() in UNIFORM and presets.get(text, "").replace(" ", "") in (
        "",
        LBW_PRESETS[text.upper()],
    ):
        return BlockWeights(
            layout, tuple((label, UNIFORM[text.upper()]) for label in (BASE, *layout.labels))
        )
    if text in presets or text.upper() in names:
        text = written_out(text, presets)
    elif _is_number(text):
        raise PresetError(
            f"block weights {text!r}: found one value, expected a name, or 17 or more; in a list of"
            ' presets the values of one stand in double quotes: ALL,"1,0,0, …"'
        )
    elif "," not in text and "/" not in text:
        near = difflib.get_close_matches(text.upper(), names, n=1, cutoff=0.0)
        raise PresetError(
            f"unknown block preset {text!r}; did you mean '{names[near[0]]}'? There are:"
            f" {', '.join(presets)}"
        )
    if "/" in text:
        return _from_kohya(text, layout)
    chance = chance or random.Random(0)
    values = [_number(piece, text, chance, x) for piece in text.split(",")]
    if not fits(text, layout):
        wanted = "12 or 20" if layout.name == "sdxl" else "17 or 26"
        raise PresetError(
            f"block weights {text!r}: found {len(values)} values, expected {wanted} for"
            f" {layout.name}"
        )
    given = dict(zip(FORMS[len(values)], values, strict=True))
    # A block that the form has no value for (those without transformers) gets 0, as in LBW's to26.
    return BlockWeights(
        layout, tuple((label, given.get(label, 0.0)) for label in (BASE, *layout.labels))
    )


def written_out(text: str, presets: Mapping[str, str]) -> str:
    """The values of a preset's name, in its own letters first; what is no name is given back."""
    names = {name.upper(): name for name in presets}
    return presets.get(text) or presets.get(names.get(text.upper(), ""), text)


def fits(text: str, layout: BlockLayout) -> bool:
    """Whether values in this form are those of a layout: 17, 26 or kohya's lists for SD1, 12 or 20
    for SDXL.
    """
    if "/" in text:
        return layout.name != "sdxl"
    form = FORMS.get(text.count(",") + 1)
    return form is not None and (form in (XL_SHORT, XL_LONG)) == (layout.name == "sdxl")


def _number(piece: str, text: str, chance: random.Random, x: float) -> float:
    piece = piece.strip()
    special = {
        "R": lambda: round(chance.random(), 3),
        "U": lambda: round(chance.uniform(-0.5, 1.5), 3),
    }
    if piece in special:
        return special[piece]()
    if inherited := _FROM_PROMPT.fullmatch(piece):
        return x + float(f"{inherited[1] or '+'}{inherited[2] or 0}")
    try:
        value = float(piece)
        if math.isfinite(value):
            return value
        raise ValueError
    except ValueError:
        raise PresetError(
            f"block weights {text!r}: found {piece!r}, expected numbers (or R, U, X, X+0.2)"
        ) from None


def _from_kohya(text: str, layout: BlockLayout) -> BlockWeights:
    parts = text.split("/")
    if len(parts) != 3:
        raise PresetError(
            f"block weights {text!r}: found {len(parts)} lists, expected three: down/mid/up"
        )
    if layout.name == "sdxl":
        raise PresetError(
            f"block weights {text!r}: found the 12/1/12 lists of SD1, expected 12 or 20 values for"
            " sdxl"
        )
    counts = (layout.side, 1, layout.side)
    # As kohya: a list that is too short is padded with 1, one that is too long is cut, what is not
    # above 0 is not trained.
    lists = [
        (_list(part, text, count) + [1.0] * count)[:count]
        for part, count in zip(parts, counts, strict=True)
    ]
    values = [1.0, *(max(0.0, value) for own in lists for value in own)]
    return BlockWeights(layout, tuple(zip((BASE, *layout.labels), values, strict=True)))


def _list(part: str, text: str, count: int) -> list[float]:
    """One of kohya's three lists: numbers, or a shape's name, such as `cosine+.25`, that gives as
    many as there are blocks.
    """
    name, plus, base = part.strip().partition("+")
    if name not in SHAPES:
        if any(letter.isalpha() for letter in name) and name not in ("R", "U", "X"):
            raise PresetError(
                f"block weights {text!r}: found {part.strip()!r}, expected numbers, or one of"
                f" {', '.join(SHAPES)} with or without a base such as +0.25"
            )
        return [_number(piece, text, random.Random(0), 1.0) for piece in part.split(",")]
    if count == 1:
        raise PresetError(
            f"block weights {text!r}: found {part.strip()!r} for the one middle block, expected a"
            " number"
        )
    lift = _number(base, text, random.Random(0), 1.0) if plus else 0.0
    return [SHAPES[name](index / (count - 1)) + lift for index in range(count)]


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def remarks(text: str, layout: BlockLayout, presets: Mapping[str, str] = PRESETS) -> list[str]:
    """What a person should know of weights that are read otherwise than they are written; one
    sentence each.
    """
    own = presets.get(text.strip(), text)
    if own.count("/") != 2:
        return []
    found = []
    for name, part, count in zip(
        ("down", "mid", "up"), own.split("/"), (layout.side, 1, layout.side), strict=True
    ):
        given = len(_list(part, own, count))
        if given != count:
            done = "the rest is cut" if given > count else f"{count - given} are taken to be 1"
            found.append(
                f"block weights: {name} has {given} values, expected {count}; as with kohya {done}"
            )
    return found


def with_blocks(weights: BlockWeights, blocks: str, value: float) -> BlockWeights:
    """The weights with a value for some blocks, written as in LBW's plot: `IN05-OUT05 BASE`, or
    `NOT M00` for all others.

    A range holds both of its ends, in whatever order they stand.
    Raises: PresetError, for a label that the layout does not have.
    """
    if not math.isfinite(value):
        raise PresetError(f"blocks {blocks!r}: found {value:g}, expected a number such as 0.5")
    labels = (BASE, *weights.layout.labels)
    first, *rest = blocks.upper().split() or [""]
    pieces = rest if first == "NOT" else [first, *rest]
    named: set[str] = set()
    for piece in pieces or [""]:
        ends = [end.strip() for end in piece.split("-")]
        if len(ends) > 2 or any(end not in labels for end in ends):
            raise PresetError(
                f"blocks {blocks!r}: found {piece!r}, expected labels such as IN04, ranges such as"
                f" IN05-OUT05, or NOT before them; {weights.layout.name} has {labels[0]} and"
                f" {labels[1]} to {labels[-1]}"
            )
        low, high = sorted((labels.index(ends[0]), labels.index(ends[-1])))
        named.update(labels[low : high + 1])
    chosen = set(labels) - named if first == "NOT" else named
    return replace(
        weights,
        factors=tuple((label, value if label in chosen else weights[label]) for label in labels),
    )
