"""What the blocks of a U-Net are known to carry, roughly.

The deeper a block, the coarser what it decides: the inner ones the place and shape of things, the
outer ones their look. Sources: Voynov et al. 2023 (P+) for SD 1.x; Frenkel et al. 2024 (B-LoRA) and
Wang et al. 2024 (InstantStyle) for SDXL.
"""

from __future__ import annotations

from .blocks import BASE, BlockLayout

WORDS, COMPOSITION, OUTLINE, STYLE, COLOUR = "words", "composition", "outline", "style", "colour"
_BY_LEVEL = (COLOUR, STYLE, OUTLINE, COMPOSITION)  # from the full resolution down
_XL = {
    "IN07": COMPOSITION,
    "IN08": COMPOSITION,
    "M00": COMPOSITION,
    "OUT00": OUTLINE,
    "OUT01": STYLE,
    "OUT02": STYLE,
}


def carries(label: str, layout: BlockLayout) -> str:
    """words, composition, outline, style or colour: what a block mostly decides."""
    if label == BASE:
        return WORDS
    if layout.vector and label in _XL:
        return _XL[label]
    deepest = len(layout.multipliers) - 1
    if label == "M00":
        return _BY_LEVEL[deepest]
    index = int(label[-2:]) // 3
    return _BY_LEVEL[index if label.startswith("IN") else deepest - index]
