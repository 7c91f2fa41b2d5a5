"""open_clip's text transformer for training: Stable Diffusion 2's, and SDXL's second one."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from ..ops.packed_attention import open_projections

MLP = {"c_fc": "mlp.fc1", "c_proj": "mlp.fc2"}  # open_clip's names -> transformers'


@contextmanager
def open_clip_targets(
    transformer: nn.Module, prefix: str = "", layers: int | None = None
) -> Iterator[list[tuple[str, nn.Module]]]:
    """(canonical name, module) of a text transformer's Linears, which take hooks while inside.

    Six a layer: q_proj, k_proj, v_proj and out_proj of the attention, fc1 and fc2 of the MLP, as in
    transformers' CLIP.  After the exit the transformer is what it was.
    transformer: open_clip's Transformer, with its `resblocks`.
    prefix: of the canonical names, "" for SD 2 and "te2." for SDXL.
    layers: how many of the first are taken; None for all.
    """
    blocks: Any = list(transformer.resblocks)[:layers]  # type: ignore[arg-type]
    with open_projections(block.attn for block in blocks) as opened:
        targets: list[tuple[str, nn.Module]] = []
        for index, (block, projections) in enumerate(zip(blocks, opened, strict=True)):
            layer = f"{prefix}text_model.encoder.layers.{index}"
            targets += [(f"{layer}.self_attn.{name}", each) for name, each in projections.items()]
            targets += [
                (f"{layer}.{ours}", block.mlp.get_submodule(own)) for own, ours in MLP.items()
            ]
        yield targets
