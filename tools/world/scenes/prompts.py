"""Captions to CLIP tokens: one chunk of 77, padded with the end token as SD 1 does."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from lib_singlelora.embedded.paths import CLIP

from .spec import (
    BACKGROUNDS,
    BANGS,
    BOTTOMS,
    CLOTH_COLOURS,
    EYE_COLOURS,
    FRAMINGS,
    HAIR_COLOURS,
    HAIR_LENGTHS,
    POSES,
    Scene,
)
from .tags import SIMPLE, VIEW_TAGS

LENGTH = 77


def vocabulary() -> list[str]:
    """Every tag the training captions can hold, sorted."""
    things = (
        "hat",
        "bow",
        "ribbon",
        "shirt",
        "dress",
        "corset",
        "skirt",
        "pants",
        "capelet",
        "cuffs",
        "gloves",
        "boots",
        "collar",
        "laces",
        "stripes",
    )
    out = {f"{c} {t}" for c in CLOTH_COLOURS for t in things}
    out |= (
        {f"{c} hair" for c in HAIR_COLOURS}
        | {f"{c} eyes" for c in EYE_COLOURS}
        | {f"{b} bangs" for b in BANGS}
    )
    out |= (
        {f"{length} hair" for length in HAIR_LENGTHS}
        | set(FRAMINGS)
        | set(VIEW_TAGS.values())
        | set(POSES)
    )
    out |= {f"{c} background" for c in SIMPLE}
    out |= {b for b in BACKGROUNDS if b not in SIMPLE} | {
        b for b in BOTTOMS if b not in ("skirt", "pants")
    }
    out |= {
        "1girl",
        "2girls",
        "solo",
        "no humans",
        "scenery",
        "simple background",
        "bob cut",
        "twintails",
        "ponytail",
        "hat",
        "hat bow",
        "hair bow",
        "hair ribbon",
        "closed eyes",
        "smile",
        "open mouth",
        "frown",
        "angry",
        "blush",
        "sailor collar",
        "frills",
        "striped skirt",
        "cross-laced footwear",
        "shoes",
    }
    return sorted(out)


@cache
def tokenizer() -> Any:
    from transformers import CLIPTokenizer

    return CLIPTokenizer.from_pretrained(CLIP)


@cache
def tag_tokens(tag: str) -> tuple[int, ...]:
    return tuple(tokenizer()(tag, add_special_tokens=False).input_ids)


def token_rows(captions: Sequence[str]) -> list[list[int]]:
    """77 token numbers a caption; what does not fit is cut off."""
    comma = tag_tokens(",")
    rows = []
    for caption in captions:
        own: list[int] = []
        for i, tag in enumerate(filter(None, caption.split(", "))):
            own += (*comma, *tag_tokens(tag)) if i else tag_tokens(tag)
        own = [49406, *own[: LENGTH - 2]]
        rows.append(own + [49407] * (LENGTH - len(own)))
    return rows


def tokens(captions: Sequence[str]) -> Tensor:
    """(B, 77) token numbers."""
    return torch.tensor(token_rows(captions))


def encode(text: nn.Module, numbers: Tensor, clip_skip: int = 1) -> Tensor:
    """Context (B, 77, D): the hidden state clip_skip from the end, then the final layer norm."""
    hidden = text(numbers, output_hidden_states=True).hidden_states[-clip_skip]
    return getattr(text, "text_model", text).final_layer_norm(hidden)


def count_tokens(scene: Scene, tags: Sequence[str]) -> int:
    """Tokens of a full caption, without start and end."""
    return sum(len(tag_tokens(t)) + 1 for t in tags) - 1
