"""CLIP's text encoder, narrow."""

from __future__ import annotations

import torch
from torch import nn

from .sizes import TEXT


def text_config():
    from transformers import CLIPTextConfig

    return CLIPTextConfig(**TEXT, bos_token_id=49406, eos_token_id=49407, pad_token_id=1)


def new_text_encoder() -> nn.Module:
    """CLIP's text model.

    Its final layer norm gets a bias: with a mean of 0 the WebUI's emphasis divides by zero.
    """
    from transformers import CLIPTextModel

    model = CLIPTextModel(text_config())
    with torch.no_grad():
        nn.init.normal_(model.get_input_embeddings().weight, std=0.15)
        final = dict(model.named_modules())
        layer = next(m for name, m in final.items() if name.endswith("final_layer_norm"))
        layer.bias.fill_(0.2)
    return model
