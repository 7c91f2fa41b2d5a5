"""Prompts in the WebUI's language to what the U-Net is given at each step.

Chunks, weights and the order of things are those of AUTOMATIC1111's WebUI 1.10.1 with its default
options (modules/sd_hijack_clip.py, sd_emphasis.py "Original", sd_samplers_cfg_denoiser.py).
Captions in training are encoded by `hosts/clip.py`, as sd-scripts does.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ...captions.prompt_language import (
    BREAK,
    BREAK_WEIGHT,
    emphasized,
    phase_at,
    schedule,
    split_at_and,
)
from ...host import Conditioning
from ..clip import CHUNK, token_ids
from .bundled_embeddings import EmbeddingTokens, embedding_at
from .text_networks import TextNetwork

BACKTRACK = 20  # the WebUI's comma_padding_backtrack: tokens that move to the next chunk together

NO_EMBEDDINGS: EmbeddingTokens = {}
Chunk = list[tuple[int, float]]  # (token id, weight), CHUNK of them


@dataclass(frozen=True)
class ScheduledPrompt:
    """A prompt over the steps.

    phases: (last step, text).
    contexts: (77k, D), one a phase.
    pooled: (P,), one a phase, where the family has it.
    weight: of the prompt between AND.
    """

    phases: tuple[tuple[int, str], ...]
    contexts: tuple[Tensor, ...]
    pooled: tuple[Tensor, ...] = ()
    weight: float = 1.0

    def at(self, step: int) -> Tensor:
        """Context (77k, D) at a step, from 0."""
        return self.contexts[phase_at(self.phases, step)]

    def pooled_at(self, step: int) -> Tensor | None:
        """Pooled text (P,) at a step, from 0."""
        return self.pooled[phase_at(self.phases, step)] if self.pooled else None


@dataclass(frozen=True)
class Guidance:
    """The prompts of classifier-free guidance: towards `positive`, away from `negative`."""

    positive: tuple[ScheduledPrompt, ...]
    negative: ScheduledPrompt

    def rows(self, step: int) -> list[Conditioning]:
        """Its prompts' conditioning at a step, from 0: the negative one, then the positive ones.

        As one for a single pass, or as two where they differ in length: padding the shorter one
        would change its meaning.
        """
        negative = _stacked([self.negative], step)
        positive = _stacked(self.positive, step)
        if positive.context.shape[1] == negative.context.shape[1]:
            return [_joined([negative, positive])]
        return [negative, positive]

    def guided(self, noise: Tensor, cfg_scale: float) -> Tensor:
        """e_n + cfg · Σ w_i (e_i - e_n), (1, 4, h, w), of the noise of the rows (B, 4, h, w).

        Source: Liu et al. 2022, Compositional Visual Generation with Composable Diffusion Models,
        eq. 11.
        """
        negative = noise[:1]
        guided = negative
        for prompt, positive in zip(self.positive, noise[1:, None], strict=True):
            guided = guided + cfg_scale * prompt.weight * (positive - negative)
        return guided


def predict(
    pictures: Sequence[Guidance],
    unet: Callable[[Tensor, Conditioning, Sequence[int]], Tensor],
    latents: Tensor,
    step: int,
    cfg_scale: float,
) -> Tensor:
    """The guided noise of each picture, (B, 4, h, w), in as few passes as their lengths allow.

    unet: noise (N, 4, h, w) of latents (N, 4, h, w), conditioning of N prompts, and the number of
        the picture that each of them is for.
    latents: (B, 4, h, w).
    step: from 0.
    """
    parts = [
        (picture, part) for picture, guidance in enumerate(pictures) for part in guidance.rows(step)
    ]
    noise: dict[int, Tensor] = {}  # of each part, by its place
    for length in dict.fromkeys(part.context.shape[1] for _, part in parts):
        together = [n for n, (_, part) in enumerate(parts) if part.context.shape[1] == length]
        rows = [parts[n][0] for n in together for _ in parts[n][1].context]
        predicted = unet(latents[rows], _joined([parts[n][1] for n in together]), rows)
        counts = [len(parts[n][1].context) for n in together]
        noise |= dict(zip(together, predicted.split(counts), strict=True))
    return torch.cat(
        [
            guidance.guided(
                torch.cat([noise[n] for n, (owner, _) in enumerate(parts) if owner == picture]),
                cfg_scale,
            )
            for picture, guidance in enumerate(pictures)
        ]
    )


def guidance(
    encoders: Sequence[TextNetwork],
    tokenizer: Any,
    prompt: str,
    negative_prompt: str,
    clip_skip: int,
    steps: int,
    device: str,
    embeddings: EmbeddingTokens = NO_EMBEDDINGS,
    zero_empty: bool = False,
) -> Guidance:
    """The encoded prompts.  AND is read in the positive prompt only.

    prompt, negative_prompt: without comments and `<lora:…>`.
    zero_empty: an empty negative prompt is conditioning of zeros.

    Raises:
        SettingsError: a weight is not a number.
    """

    def encoded(part: str, weight: float) -> ScheduledPrompt:
        phases = schedule(part, steps)
        texts = [phase_text for _, phase_text in phases]
        texts_encoded = encode_weighted(encoders, tokenizer, texts, clip_skip, device, embeddings)
        pooled = texts_encoded.pooled
        return ScheduledPrompt(
            tuple(phases),
            tuple(texts_encoded.context),
            () if pooled is None else tuple(pooled),
            weight,
        )

    negative = encoded(negative_prompt, 1.0)
    if zero_empty and not negative_prompt:
        negative = replace(
            negative,
            contexts=tuple(map(torch.zeros_like, negative.contexts)),
            pooled=tuple(map(torch.zeros_like, negative.pooled)),
        )
    return Guidance(tuple(encoded(part, weight) for part, weight in split_at_and(prompt)), negative)


def encode_weighted(
    encoders: Sequence[TextNetwork],
    tokenizer: Any,
    texts: Sequence[str],
    clip_skip: int,
    device: str,
    embeddings: EmbeddingTokens = NO_EMBEDDINGS,
) -> Conditioning:
    """Texts with emphasis and BREAK encoded; shorter texts get empty chunks.

    Emphasis changes nothing of the pooled text.

    Raises:
        SettingsError: a weight is not a number.
    """
    texts_chunks = [chunks(tokenizer, part, embeddings) for part in texts]
    count = max(map(len, texts_chunks))
    start = tokenizer.bos_token_id
    end = tokenizer.eos_token_id
    empty = _padded([], end)
    contexts = []
    pooled = None
    for index in range(count):
        batch = [
            text_chunks[index] if index < len(text_chunks) else empty
            for text_chunks in texts_chunks
        ]
        ids = torch.tensor([[start, *(token for token, _ in chunk), end] for chunk in batch])
        weights = torch.tensor([[1.0, *(weight for _, weight in chunk), 1.0] for chunk in batch])
        parts = []
        for encoder in encoders:
            hidden, token = encoder.encode(ids.to(device), end, clip_skip)
            parts.append(_weighted(hidden, weights.to(hidden)))
            pooled = token if pooled is None else pooled
        contexts.append(torch.cat(parts, dim=-1))
    return Conditioning(torch.cat(contexts, dim=1), pooled)


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


def _stacked(prompts: Sequence[ScheduledPrompt], step: int) -> Conditioning:
    """The conditioning of the prompts between AND at a step, from 0.

    A shorter one repeats its last vector, as in the WebUI.
    """
    contexts = [prompt.at(step) for prompt in prompts]
    pooled = [vector for prompt in prompts if (vector := prompt.pooled_at(step)) is not None]
    longest = max(len(context) for context in contexts)
    stacked = torch.stack(
        [
            torch.cat([context, context[-1:].expand(longest - len(context), -1)])
            for context in contexts
        ]
    )
    return Conditioning(stacked, torch.stack(pooled) if pooled else None)


def _joined(parts: Sequence[Conditioning]) -> Conditioning:
    """One below the other; they are of one length."""
    context = torch.cat([part.context for part in parts])
    pooled = [part.pooled for part in parts if part.pooled is not None]
    return Conditioning(context, torch.cat(pooled) if pooled else None)
