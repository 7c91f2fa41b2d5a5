"""Block weights: a factor for each block, written as a preset, LBW's values or kohya's lists.

Sources: sd-webui-lora-block-weight, scripts/lora_block_weight.py, for values and their numbers;
sd-scripts networks/lora.py, for kohya's lists.
"""

from __future__ import annotations

import difflib
import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from ..errors import PresetError
from .blocks import BASE, LAYOUTS, BlockLayout
from .kohya_lists import list_remarks, number, read_lists

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
# One block of SDXL each: of a single picture OUT00 learns what is shown, OUT01 how it is drawn.
# Frenkel et al. 2024, "Implicit Style-Content Separation using B-LoRA", ECCV.
BLORA = {"BLORA content": "0,0,0,0,0,0,1,0,0,0,0,0", "BLORA style": "0,0,0,0,0,0,0,1,0,0,0,0"}
PRESETS: Mapping[str, str] = MappingProxyType({**LBW_PRESETS, "article": ARTICLE, **BLORA})
UNIFORM = {"NONE": 0.0, "ALL": 1.0, "ALL0.5": 0.5}


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
        (`cosine/1/sine+.25`).  A name with the same case goes before one that differs in it.  A
        name whose values are another layout's counts by the blocks' labels, as in LBW.
    chance: for the values R, uniform in 0 to 1, and U, uniform in -0.5 to 1.5.
    x: for the values X, X+0.2 and X-0.2; LBW takes it from the prompt, 1 where that has none.
    Raises: PresetError, for an unknown name (with the nearest), a wrong number of values or a value
        that is not a number.
    """
    text = name = text.strip()
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
    values = [number(piece, text, chance, x) for piece in text.split(",")]
    form = layout.forms.get(len(values))
    if form is None and name != text:
        form = _foreign_form(name, values, layout)
    if form is None:
        raise PresetError(
            f"block weights {text!r}: found {len(values)} values, expected"
            f" {' or '.join(map(str, layout.forms))} for {layout.name}"
        )
    factors = dict(zip(form, values, strict=True))
    # A block that the form has no value for (those without transformers) gets 0, as in LBW's to26.
    return BlockWeights(
        layout, tuple((label, factors.get(label, 0.0)) for label in (BASE, *layout.labels))
    )


def _foreign_form(
    name: str, values: Sequence[float], layout: BlockLayout
) -> tuple[str, ...] | None:
    """The labels of a preset's values that are another layout's.

    Raises: PresetError, where it would leave nothing: all its blocks have no transformer here.
    """
    found = form_of_count(len(values))
    if found is None:
        return None
    owner, form = found
    weighed = {label for label, value in zip(form, values, strict=True) if value}
    if weighed and not weighed & {BASE, *layout.attention_labels}:
        raise PresetError(
            f"block weights {name!r}: found a preset for {owner.name}, whose blocks"
            f" {', '.join(sorted(weighed))} hold nothing to train in {layout.name}; choose another"
        )
    return form


def form_of_count(count: int) -> tuple[BlockLayout, tuple[str, ...]] | None:
    """The first layout that takes so many values, and the labels that they stand for."""
    return next(
        ((layout, layout.forms[count]) for layout in LAYOUTS if count in layout.forms), None
    )


def expand_preset(text: str, presets: Mapping[str, str]) -> str:
    """The values behind a preset's name, exact case first; any other text as it is."""
    names = {name.upper(): name for name in presets}
    return presets.get(text) or presets.get(names.get(text.upper(), ""), text)


def fits_layout(text: str, layout: BlockLayout) -> bool:
    """True if a layout takes so many values: SD1 17 or 26, SDXL 12 or 20; all take lists."""
    return "/" in text or text.count(",") + 1 in layout.forms


def names_for(layout: BlockLayout, presets: Mapping[str, str]) -> list[str]:
    """The presets to show for a layout: with its numbers of values, and LBW's where they count."""

    def shown(name: str, text: str) -> bool:
        if fits_layout(text, layout):
            return True
        try:
            return name in PRESETS and bool(parse_block_weights(name, layout, presets))
        except PresetError:
            return False

    return [name for name, text in presets.items() if shown(name, text)]


def _from_kohya(text: str, layout: BlockLayout) -> BlockWeights:
    down, middle, up = read_lists(text, layout)
    # SDXL's three are those of ResBlock, transformer and ResBlock; the transformer's is M00's
    values = [1.0, *(max(0.0, each) for each in (*down, middle[len(middle) // 2], *up))]
    return BlockWeights(layout, tuple(zip((BASE, *layout.labels), values, strict=True)))


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def remarks(text: str, layout: BlockLayout, presets: Mapping[str, str] = PRESETS) -> list[str]:
    """What happens to block weights that are another layout's, a sentence each.

    kohya's lists are cut or padded; a preset's values count by the blocks' labels.
    """
    name = text.strip()
    text = expand_preset(name, presets)
    if text.count("/") != 2:
        return _foreign_remarks(name, text, layout, presets)
    return list_remarks(text, layout)


def _foreign_remarks(
    name: str, text: str, layout: BlockLayout, presets: Mapping[str, str]
) -> list[str]:
    count = text.count(",") + 1
    found = form_of_count(count)
    if name == text or name.upper() in UNIFORM or count in layout.forms or found is None:
        return []
    trained = ", ".join(parse_block_weights(name, layout, presets).trained()) or "none"
    return [
        f"block weights {name} are of {found[0].name}; in {layout.name} each value counts for the"
        f" block of its name, as in LBW: {trained}"
    ]


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
