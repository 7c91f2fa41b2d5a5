"""Prompts in the WebUI's language to what the U-Net is given at each step.

Chunks, weights and the order of things are those of AUTOMATIC1111's WebUI 1.10.1 with its default
options (modules/sd_hijack_clip.py, sd_emphasis.py "Original", sd_samplers_cfg_denoiser.py).
Captions in training are encoded by `hosts/clip.py`, as sd-scripts does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ...captions.prompt_language import (
    BREAK,
    BREAK_WEIGHT,
    emphasized,
    phase_at,
    schedule,
    split_at_and,
)
from ..clip import CHUNK, hidden_states, token_ids
from .bundled_embeddings import EmbeddingTokens, embedding_at

BACKTRACK = 20  # the WebUI's comma_padding_backtrack: tokens that move to the next chunk together

NO_EMBEDDINGS: EmbeddingTokens = {}
Chunk = list[tuple[int, float]]  # (token id, weight), CHUNK of them


@dataclass(frozen=True)
class ScheduledPrompt:
    """A prompt over the steps.

    phases: (last step, text).
    contexts: (77k, D), one a phase.
    weight: of the prompt between AND.
    """

    phases: tuple[tuple[int, str], ...]
    contexts: tuple[Tensor, ...]
    weight: float = 1.0

    def at(self, step: int) -> Tensor:
        """Context (77k, D) at a step, from 0."""
        return self.contexts[phase_at(self.phases, step)]


@dataclass(frozen=True)
class Guidance:
    """The prompts of classifier-free guidance: towards `positive`, away from `negative`."""

    positive: tuple[ScheduledPrompt, ...]
    negative: ScheduledPrompt

    def predict(
        self, unet: Callable[[Tensor, Tensor], Tensor], latents: Tensor, step: int, cfg_scale: float
    ) -> Tensor:
        """The guided noise e_n + cfg · Σ w_i (e_i - e_n), (1, 4, h, w).

        unet: noise (B, 4, h, w) of latents (B, 4, h, w) and context (B, 77k, D).
        latents: (1, 4, h, w).
        step: from 0.

        Source: Liu et al. 2022, Compositional Visual Generation with Composable Diffusion Models,
        eq. 11.
        """
        positive = _stacked([prompt.at(step) for prompt in self.positive])
        negative = self.negative.at(step)[None]
        if positive.shape[1] == negative.shape[1]:
            contexts = torch.cat([negative, positive])
            noise = unet(latents.expand(len(contexts), -1, -1, -1), contexts)
            negative_noise = noise[:1]
            positive_noise = noise[1:]
        else:  # Padding the shorter one would change its meaning.
            negative_noise = unet(latents, negative)
            positive_noise = unet(latents.expand(len(positive), -1, -1, -1), positive)
        guided = negative_noise
        for prompt, noise in zip(self.positive, positive_noise[:, None], strict=True):
            guided = guided + cfg_scale * prompt.weight * (noise - negative_noise)
        return guided


def guidance(
    text: nn.Module,
    tokenizer: Any,
    prompt: str,
    negative_prompt: str,
    clip_skip: int,
    steps: int,
    device: str,
    embeddings: EmbeddingTokens = NO_EMBEDDINGS,
) -> Guidance:
    """The encoded prompts.  AND is read in the positive prompt only.

    prompt, negative_prompt: without comments and `<lora:…>`.

    Raises:
        SettingsError: a weight is not a number.
    """

    def encoded(part: str, weight: float) -> ScheduledPrompt:
        phases = schedule(part, steps)
        texts = [phase_text for _, phase_text in phases]
        contexts = encode_weighted(text, tokenizer, texts, clip_skip, device, embeddings)
        return ScheduledPrompt(tuple(phases), tuple(contexts), weight)

    return Guidance(
        tuple(encoded(part, weight) for part, weight in split_at_and(prompt)),
        encoded(negative_prompt, 1.0),
    )


def encode_weighted(
    text: nn.Module,
    tokenizer: Any,
    texts: Sequence[str],
    clip_skip: int,
    device: str,
    embeddings: EmbeddingTokens = NO_EMBEDDINGS,
) -> Tensor:
    """Context (B, 77k, D) of texts with emphasis and BREAK; shorter texts get empty chunks.

    Raises:
        SettingsError: a weight is not a number.
    """
    texts_chunks = [chunks(tokenizer, part, embeddings) for part in texts]
    count = max(map(len, texts_chunks))
    start = tokenizer.bos_token_id
    end = tokenizer.eos_token_id
    empty = _padded([], end)
    contexts = []
    for index in range(count):
        batch = [
            text_chunks[index] if index < len(text_chunks) else empty
            for text_chunks in texts_chunks
        ]
        ids = torch.tensor([[start, *(token for token, _ in chunk), end] for chunk in batch])
        weights = torch.tensor([[1.0, *(weight for _, weight in chunk), 1.0] for chunk in batch])
        hidden = hidden_states(text, ids.to(device), clip_skip)
        contexts.append(_weighted(hidden, weights.to(hidden)))
    return torch.cat(contexts, dim=1)


def _weighted(hidden: Tensor, weights: Tensor) -> Tensor:
    """Each token's vector times its weight, then all scaled so that their mean stays.

    A mean of 0, as untrained norms give, would make NaN of the ratio; then it is left out.
    """
    if bool((weights == 1).all()):
        return hidden
    scaled = hidden * weights[..., None]
    ratio = hidden.mean() / scaled.mean()
    return scaled * ratio if bool(torch.isfinite(ratio)) else scaled


def chunks(tokenizer: Any, text: str, embeddings: EmbeddingTokens = NO_EMBEDDINGS) -> list[Chunk]:
    """The text in chunks of 75 (token id, weight), at least one.

    embeddings: names of textual inversions, see `bundled_embeddings`.

    Source: AUTOMATIC1111 1.10.1, modules/sd_hijack_clip.py, tokenize_line.
    """
    end = tokenizer.eos_token_id
    comma = tokenizer.convert_tokens_to_ids(",</w>")
    finished: list[Chunk] = []
    chunk: Chunk = []
    last_comma = -1  # position after which the chunk may be broken

    def finish() -> None:
        nonlocal chunk, last_comma
        finished.append(_padded(chunk, end))
        chunk = []
        last_comma = -1

    for part, weight in emphasized(text):
        if part == BREAK and weight == BREAK_WEIGHT:
            finish()
            continue
        ids = token_ids(tokenizer, part)
        position = 0
        while position < len(ids):
            token = ids[position]
            if token == comma:
                last_comma = len(chunk)
            elif len(chunk) == CHUNK and last_comma != -1 and CHUNK - last_comma <= BACKTRACK:
                moved = chunk[last_comma + 1 :]
                chunk = chunk[: last_comma + 1]
                finish()
                chunk = moved
            if len(chunk) == CHUNK:
                finish()
            name = embedding_at(ids, position, embeddings)
            tokens = embeddings[name] if name else (token,)
            if len(chunk) + len(tokens) > CHUNK:  # an embedding is not torn
                finish()
            chunk += [(token, weight) for token in tokens]
            position += len(name) or 1
    if chunk or not finished:
        finish()
    return finished


def _padded(chunk: Chunk, end: int) -> Chunk:
    return [*chunk, *[(end, 1.0)] * (CHUNK - len(chunk))]


def _stacked(contexts: Sequence[Tensor]) -> Tensor:
    """(B, 77k, D) of the prompts between AND.

    A shorter one repeats its last vector, as in the WebUI.
    """
    longest = max(len(context) for context in contexts)
    return torch.stack(
        [
            torch.cat([context, context[-1:].expand(longest - len(context), -1)])
            for context in contexts
        ]
    )
