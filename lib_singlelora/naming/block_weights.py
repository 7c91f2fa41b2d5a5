"""Block weights: a factor for each block, written as a preset, LBW's values or kohya's lists.

Sources: sd-webui-lora-block-weight, scripts/lora_block_weight.py, for values and their numbers;
sd-scripts networks/lora.py, for kohya's lists.
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
from .blocks import BASE, LAYOUTS, SD1, BlockLayout

# Numbers of values that LBW's block weights may have in some layout
FORMS = frozenset(count for layout in LAYOUTS for count in layout.forms)

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
    """A factor for each block.

    factors: (label, factor), BASE first; a label that is missing counts as 1, as kohya pads.
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
        """sd-scripts' down_lr_weight, mid_lr_weight and up_lr_weight, which leave BASE out."""
        labels = self.layout.labels
        n = self.layout.side
        return {
            "down_lr_weight": tuple(self[label] for label in labels[:n]),
            "mid_lr_weight": (self["M00"],) * self.layout.kohya_middle,
            "up_lr_weight": tuple(self[label] for label in labels[n + 1 :]),
        }

    def trained(self) -> tuple[str, ...]:
        """The blocks that a plain LoRA trains: with transformers, and a factor that is not 0."""
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
    """Block weights from a preset's name, a list of values or kohya's lists.

    text: a name; or 12, 17, 20 or 26 values; or `down/mid/up` lists, which may be shapes
        (`cosine/1/sine+.25`).  A name with the same case goes before one that differs in it.
    chance: for the values R, uniform in 0 to 1, and U, uniform in -0.5 to 1.5.
    x: for the values X, X+0.2 and X-0.2; LBW takes it from the prompt, 1 where that has none.
    Raises: PresetError, for an unknown name (with the nearest), a wrong number of values or a value
        that is not a number.
    """
    text = text.strip()
    names = {name.upper(): name for name in presets}
    if text.upper() in UNIFORM and presets.get(text, "").replace(" ", "") in (
        "",
        LBW_PRESETS[text.upper()],
    ):
        return BlockWeights(
            layout, tuple((label, UNIFORM[text.upper()]) for label in (BASE, *layout.labels))
        )
    if text in presets or text.upper() in names:
        text = expand_preset(text, presets)
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
    if not fits_layout(text, layout):
        wanted = " or ".join(map(str, layout.forms))
        raise PresetError(
            f"block weights {text!r}: found {len(values)} values, expected {wanted} for"
            f" {layout.name}"
        )
    factors = dict(zip(layout.forms[len(values)], values, strict=True))
    # A block that the form has no value for (those without transformers) gets 0, as in LBW's to26.
    return BlockWeights(
        layout, tuple((label, factors.get(label, 0.0)) for label in (BASE, *layout.labels))
    )


def expand_preset(text: str, presets: Mapping[str, str]) -> str:
    """The values behind a preset's name, exact case first; any other text as it is."""
    names = {name.upper(): name for name in presets}
    return presets.get(text) or presets.get(names.get(text.upper(), ""), text)


def fits_layout(text: str, layout: BlockLayout) -> bool:
    """True if a layout takes so many values: SD1 17, 26 or kohya's lists, SDXL 12 or 20."""
    if "/" in text:
        return layout.side == SD1.side
    return text.count(",") + 1 in layout.forms


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
    if not fits_layout(text, layout):
        raise PresetError(
            f"block weights {text!r}: found the 12/1/12 lists of SD1, expected"
            f" {' or '.join(map(str, layout.forms))} values for {layout.name}"
        )
    counts = (layout.side, 1, layout.side)
    # As kohya: a list that is too short is padded with 1, one that is too long is cut, what is not
    # above 0 is not trained.
    lists = [
        (_kohya_list(part, text, count) + [1.0] * count)[:count]
        for part, count in zip(parts, counts, strict=True)
    ]
    values = [1.0, *(max(0.0, value) for factors in lists for value in factors)]
    return BlockWeights(layout, tuple(zip((BASE, *layout.labels), values, strict=True)))


def _kohya_list(part: str, text: str, count: int) -> list[float]:
    """One of kohya's three lists: numbers, or `count` values of a shape such as `cosine+.25`."""
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
    """Warnings about kohya lists that are cut or padded, a sentence each."""
    text = presets.get(text.strip(), text)
    if text.count("/") != 2:
        return []
    sentences = []
    for name, part, count in zip(
        ("down", "mid", "up"), text.split("/"), (layout.side, 1, layout.side), strict=True
    ):
        length = len(_kohya_list(part, text, count))
        if length != count:
            change = "the rest is cut" if length > count else f"{count - length} are taken to be 1"
            sentences.append(
                f"block weights: {name} has {length} values, expected {count}; as with kohya"
                f" {change}"
            )
    return sentences


def with_blocks(weights: BlockWeights, blocks: str, value: float) -> BlockWeights:
    """The weights with another value for some blocks.

    blocks: as in LBW's plot: `IN05-OUT05 BASE`, or `NOT M00` for all others; a range includes both
        of its ends, in either order.
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
