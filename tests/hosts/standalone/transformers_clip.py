"""transformers' CLIP with the weights of ours, to compare with."""

from __future__ import annotations

from typing import Any

from lib_singlelora.embedded.paths import CLIP
from lib_singlelora.hosts.standalone.clip_text import ClipTextModel


def their_text_model(ours: ClipTextModel) -> Any:
    """transformers' text model with the weights of ours."""
    from transformers import CLIPTextConfig, CLIPTextModel

    theirs = CLIPTextModel(
        CLIPTextConfig(**vars(ours.config), bos_token_id=49406, eos_token_id=49407)
    )
    theirs.load_state_dict(ours.state_dict())
    return theirs.eval().requires_grad_(False)


def their_tokenizer() -> Any:
    """transformers' tokenizer."""
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(str(CLIP))
