"""open_clip's names of a text encoder's tensors, for the canonical ones, which are transformers'.

open_clip keeps q, k and v of an attention in one tensor, `attn.in_proj_weight`: each is a third of
its rows.  `text_projection` lies transposed there.

Source: mlfoundations/open_clip, src/open_clip/transformer.py; transformers' CLIPTextModel.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

_LAYER = re.compile(r"(?:te\d\.)?text_model\.encoder\.layers\.(\d+)\.(.+)")
_PARTS = {
    "self_attn.out_proj": "attn.out_proj",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
}
_THIRDS = {"self_attn.q_proj": 0, "self_attn.k_proj": 1, "self_attn.v_proj": 2}


@dataclass(frozen=True)
class OpenClipName:
    """Where open_clip keeps a module.

    module: such as transformer.resblocks.0.mlp.c_fc; of q, k and v their attention's,
        transformer.resblocks.0.attn.
    third: 0, 1 or 2 for q, k and v, which are rows of its `in_proj_weight` and `in_proj_bias`.
    """

    module: str
    third: int | None = None

    def tensor(self, kind: str) -> str:
        """Key of the module's tensor; kind: weight or bias."""
        return f"{self.module}.{kind}" if self.third is None else f"{self.module}.in_proj_{kind}"


def open_clip_name(name: str) -> OpenClipName | None:
    """open_clip's name of a text encoder's module; None for one that it has not."""
    if name.endswith("text_model.final_layer_norm"):
        return OpenClipName("ln_final")
    match = _LAYER.fullmatch(name)
    if match is None:
        return None
    block = f"transformer.resblocks.{match[1]}"
    if match[2] in _THIRDS:
        return OpenClipName(f"{block}.attn", _THIRDS[match[2]])
    return OpenClipName(f"{block}.{_PARTS[match[2]]}") if match[2] in _PARTS else None
