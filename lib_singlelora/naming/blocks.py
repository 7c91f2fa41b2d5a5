"""Which block of a layout holds a module."""

from __future__ import annotations

import re

from ..errors import LoraKeyError
from ..families import sd1, sd2, sdxl
from ..families.layout import BASE, BlockLayout
from ..families.registry import FAMILIES

__all__ = ["BASE", "LAYOUTS", "SD1", "SD2", "SDXL", "BlockLayout", "block_of", "is_text"]

_TEXT = re.compile(r"(?:te[12]\.)?text_model\.")
_BLOCK = re.compile(r"(input|output)_blocks\.(\d+)(?:\.|$)")
_MIDDLE = re.compile(r"middle_block(?:\.|$)")


SD1 = sd1.SD1.layout
SD2 = sd2.SD2.layout
SDXL = sdxl.SDXL.layout
LAYOUTS = tuple(family.layout for family in FAMILIES)


def is_text(canonical: str) -> bool:
    """True if a canonical name is a text encoder's."""
    return _TEXT.match(canonical) is not None


def text_encoder_of(canonical: str, layout: BlockLayout) -> int:
    """Index of the text encoder that a text encoder's module belongs to, in the layout's order."""
    prefixes = [f"{prefix}text_model." for prefix, *_ in layout.text]
    return next(i for i, prefix in enumerate(prefixes) if canonical.startswith(prefix))


def block_of(canonical: str, layout: BlockLayout) -> str:
    """Label of the block that holds a module: IN04, M00, OUT11, or BASE for a text encoder.

    The embeddings of time and label feed the first block and count as IN00; the last convolution
    (`out.`) counts to the last OUT block.  (LBW leaves these alone; kohya never trains them.)
    Raises: LoraKeyError, when the name belongs to no block of the layout.
    """
    if is_text(canonical):
        return BASE
    if match := _BLOCK.match(canonical):
        index = int(match[2])
        if index < layout.side:
            return f"{'IN' if match[1] == 'input' else 'OUT'}{index:02d}"
    elif _MIDDLE.match(canonical):
        return "M00"
    elif canonical.startswith(("time_embed.", "label_emb.")):
        return "IN00"
    elif canonical.startswith("out."):
        return f"OUT{layout.side - 1:02d}"
    raise LoraKeyError(
        f"{canonical!r}: found no such block in {layout.name}, expected {layout.labels[0]} to "
        f"{layout.labels[-1]}; was it made for another base model?"
    )
