"""What each block of a U-Net mostly decides, roughly.

The deeper a block, the coarser what it decides: the inner ones the place and shape of things, the
outer ones their look.

Sources: Voynov et al. 2023 (P+) for SD 1.x; Frenkel et al. 2024 (B-LoRA) and
Wang et al. 2024 (InstantStyle) for SDXL.
"""

from __future__ import annotations

from .blocks import BASE, BlockLayout

WORDS = "words"
COMPOSITION = "composition"
OUTLINE = "outline"
STYLE = "style"
COLOUR = "colour"
_BY_LEVEL = (COLOUR, STYLE, OUTLINE, COMPOSITION)  # from the full resolution down


def carries(label: str, layout: BlockLayout) -> str:
    """What a block mostly decides: words, composition, outline, style or colour."""
    if label == BASE:
        return WORDS
    if label in dict(layout.roles):
        return dict(layout.roles)[label]
    deepest = len(layout.multipliers) - 1
    if label == "M00":
        return _BY_LEVEL[deepest]
    index = int(label[-2:]) // 3
    return _BY_LEVEL[index if label.startswith("IN") else deepest - index]
