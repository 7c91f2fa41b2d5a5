"""Block layouts: how a U-Net is cut into IN, M and OUT blocks."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import LoraKeyError

BASE = "BASE"

_TEXT = re.compile(r"(?:te[12]\.)?text_model\.")
_BLOCK = re.compile(r"(input|output)_blocks\.(\d+)(?:\.|$)")
_MIDDLE = re.compile(r"middle_block(?:\.|$)")


@dataclass(frozen=True)
class BlockLayout:
    """One architecture of U-Net and text encoders.

    multipliers: channels of each resolution level over `channels`.
    depths: transformer blocks of each level, 0 for none.
    middle_depth: transformer blocks of the middle block.
    context: width of the text conditioning.
    text: for each text encoder (prefix in canonical names, kohya's prefix, layers, width).
    channels: of the first level.
    vector: width of SDXL's pooled conditioning, 0 for none.
    linear_projections: True if proj_in and proj_out are Linear, not 1×1 Conv2d.
    kohya_middle: entries for the middle block in kohya's per-block lists.
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


SD1 = BlockLayout("sd1", (1, 2, 4, 4), (1, 1, 1, 0), 1, 768, (("", "lora_te_", 12, 768),))
SD2 = BlockLayout(
    "sd2",
    (1, 2, 4, 4),
    (1, 1, 1, 0),
    1,
    1024,
    (("", "lora_te_", 23, 1024),),
    linear_projections=True,
)
SDXL = BlockLayout(
    "sdxl",
    (1, 2, 4),
    (0, 2, 10),
    10,
    2048,
    (("te1.", "lora_te1_", 12, 768), ("te2.", "lora_te2_", 32, 1280)),
    vector=2816,
    linear_projections=True,
    kohya_middle=3,
    ldm_stems=True,
)
LAYOUTS = (SD1, SD2, SDXL)


def is_text(canonical: str) -> bool:
    """True if a canonical name is a text encoder's."""
    return _TEXT.match(canonical) is not None


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
