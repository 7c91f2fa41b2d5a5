"""Whether a LoRA file is for a checkpoint, told from the file's header."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from ..errors import LoraKeyError
from ..files.fileio import file_state
from ..files.weights import UnreadableWeights, read_header
from ..naming.blocks import BlockLayout
from ..naming.dialects import layout_of, parse_key
from ..naming.keys import stems


def require_fit(path: Path, layout: BlockLayout) -> None:
    """Do nothing if a LoRA's modules are a checkpoint's, or the file is no safetensors file.

    A program that adds what it finds and passes over the rest would draw without the LoRA.
    layout: of the checkpoint, with its own widths.

    Raises:
        LoraKeyError: it was trained for another base model.
    """
    try:
        reason = _misfit(path, file_state(path), layout)
    except (OSError, UnreadableWeights):
        return  # whoever loads it says what is wrong with it
    if reason:
        raise LoraKeyError(f"{path.name}: {reason}. Was it trained for another base model?")


@lru_cache(maxsize=256)
def _misfit(path: Path, state: tuple[int, ...], layout: BlockLayout) -> str:
    """Why it does not fit, "" where it does.  state: the file's, for the cache."""
    header = read_header(path)
    shapes = {
        found: shape
        for key, shape in header.shapes.items()
        if (found := parse_key(key)) is not None
    }
    unknown = sorted({stem for key in shapes if (stem := key.stem(layout)) not in stems(layout)})
    told = layout_of(shapes, shapes, header.metadata)
    if unknown:
        return (
            f"found a LoRA for {told.name}, {len(unknown)} of whose modules are not in this"
            f" checkpoint (first: {unknown[0]!r}), expected one for {layout.name}"
        )
    for key, shape in shapes.items():
        is_source = key.part == "lora_down.weight" and key.module.endswith("attn2_to_k")
        if is_source and shape[1:2] != (layout.context,):
            return (
                f"found a LoRA for text of {shape[1]} numbers a token, expected {layout.context} as"
                f" in this checkpoint ({layout.name})"
            )
    return ""
