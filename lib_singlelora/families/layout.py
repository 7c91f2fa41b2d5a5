"""Block layouts: how a U-Net is cut into IN, M and OUT blocks."""

from __future__ import annotations

from dataclasses import dataclass

BASE = "BASE"


@dataclass(frozen=True)
class BlockLayout:
    """One architecture of U-Net and text encoders.

    name: the family's.
    multipliers: channels of each resolution level over `channels`.
    depths: transformer blocks of each level, 0 for none.
    middle_depth: transformer blocks of the middle block.
    context: width of the text conditioning.
    text: for each text encoder (prefix in canonical names, kohya's prefix, layers, width).
    channels: of the first level.
    vector: width of the conditioning beside the context, 0 for none.
    linear_projections: True if proj_in and proj_out are Linear, not 1×1 Conv2d.
    kohya_middle: entries for the middle block in kohya's per-block lists.
    roles: (label, what the block decides) where that is known better than from its depth.
    ldm_stems: True if kohya names U-Net modules after ldm, not diffusers.
    """

    name: str
    multipliers: tuple[int, ...]
    depths: tuple[int, ...]
    middle_depth: int
    context: int
    text: tuple[tuple[str, str, int, int], ...]
    channels: int = 320
    vector: int = 0
    linear_projections: bool = False
    kohya_middle: int = 1
    ldm_stems: bool = False
    roles: tuple[tuple[str, str], ...] = ()

    @property
    def side(self) -> int:
        """Number of input blocks, and of output blocks: 12 for SD1, 9 for SDXL."""
        return 3 * len(self.multipliers)

    @property
    def labels(self) -> tuple[str, ...]:
        """The U-Net's blocks in the order of computation: IN00 …, M00, OUT00 …"""
        inputs = (f"IN{i:02d}" for i in range(self.side))
        return (*inputs, "M00", *(f"OUT{i:02d}" for i in range(self.side)))

    @property
    def attention_labels(self) -> tuple[str, ...]:
        """The blocks that hold a transformer, where a plain LoRA has its modules."""
        inputs = (f"IN{i:02d}" for i in range(1, self.side) if i % 3 and self.depths[i // 3])
        outputs = (f"OUT{i:02d}" for i in range(self.side) if self.depths[-1 - i // 3])
        return (*inputs, "M00", *outputs)

    @property
    def forms(self) -> dict[int, tuple[str, ...]]:
        """Number of values that LBW's block weights may have -> the labels they stand for.

        17 and 26 for SD1, 12 and 20 for SDXL: BASE, then the blocks with transformers, or all.
        """
        labels = ((BASE, *self.attention_labels), (BASE, *self.labels))
        return {len(form): form for form in labels}
