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
from ..clip import CHUNK, hidden_states
from .bundled_embeddings import EmbeddingTokens, embedding_at

# Tokens after a comma that move to the next chunk together; the WebUI's comma_padding_backtrack
BACKTRACK = 20

NO_EMBEDDINGS: EmbeddingTokens = {}
Row = list[tuple[int, float]]  # (token, weight), CHUNK of them


@dataclass(frozen=True)
class ScheduledPrompt:
    """A prompt over the steps.

    phases: (last step, text).
    contexts: (77k, D), one a phase.
    weight: of the prompt.
    """

    phases: tuple[tuple[int, str], ...]
    contexts: tuple[Tensor, ...]
    weight: float = 1.0

    def at(self, index: int) -> Tensor:
        """Context (77k, D) at a step, counted from 0."""
        return self.contexts[phase_at(self.phases, index)]


@dataclass(frozen=True)
class Guidance:
    """What a picture is drawn towards, and away from."""

    positive: tuple[ScheduledPrompt, ...]
    negative: ScheduledPrompt

    def predict(
        self,
        unet: Callable[[Tensor, Tensor], Tensor],
        latents: Tensor,
        index: int,
        cfg_scale: float,
    ) -> Tensor:
        """The guided answer of the U-Net: e_n + cfg · Σ w_i (e_i - e_n).

        unet(latents, context): (B, 4, h, w), (B, 77k, D) to (B, 4, h, w).  latents: (1, 4, h, w).
        index: of the step, from 0.
        latents: (1, 4, h, w).
        index: of the step, from 0.
        Source: Liu et al. 2022, Compositional Visual Generation with Composable Diffusion Models,
        eq. 11.
        """
        positive = _stacked([part.at(index) for part in self.positive])
        negative = self.negative.at(index)[None]
        if positive.shape[1] == negative.shape[1]:
            contexts = torch.cat([negative, positive])
            answers = unet(latents.expand(len(contexts), -1, -1, -1), contexts)
            without, within = answers[:1], answers[1:]
        else:  # Padding the shorter one would change what it says.
            without = unet(latents, negative)
            within = unet(latents.expand(len(positive), -1, -1, -1), positive)
        guided = without
        for part, answer in zip(self.positive, within[:, None], strict=True):
            guided = guided + cfg_scale * part.weight * (answer - without)
        return guided


def guidance(
    text: nn.Module,
    tokenizer: Any,
    prompt: str,
    negative_prompt: str,
    clip_skip: int,
    steps: int,
    device: str,
    words: EmbeddingTokens = NO_EMBEDDINGS,
) -> Guidance:
    """The encoded prompts; comments and `<lora:…>` are taken out before.  AND is read in the
    positive prompt only.

    Raises: SettingsError, for a weight that is no number.
    """

    def encoded(part: str, weight: float) -> ScheduledPrompt:
        phases = schedule(part, steps)
        contexts = encode_weighted(
            text, tokenizer, [shown for _, shown in phases], clip_skip, device, words
        )
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
    words: EmbeddingTokens = NO_EMBEDDINGS,
) -> Tensor:
    """Context (B, 77k, D) of texts with emphasis and BREAK; a shorter text is filled with empty
    chunks.

    Raises: SettingsError.
    """
    rows = [chunks(tokenizer, each, words) for each in texts]
    count = max(map(len, rows))
    end = tokenizer.eos_token_id
    parts = []
    for number in range(count):
        chunk = [own[number] if number < len(own) else _filled([], end) for own in rows]
        tokens = torch.tensor(
            [[tokenizer.bos_token_id, *(token for token, _ in row), end] for row in chunk]
        )
        weights = torch.tensor([[1.0, *(weight for _, weight in row), 1.0] for row in chunk])
        hidden = hidden_states(text, tokens.to(device), clip_skip)
        parts.append(_weighted(hidden, weights.to(hidden)))
    return torch.cat(parts, dim=1)


def _weighted(hidden: Tensor, weights: Tensor) -> Tensor:
    """Each token's vector by its weight, then all scaled so that their mean stays.

    A mean of 0, as untrained norms give, would make NaN of it; then it is left out.
    """
    if bool((weights == 1).all()):
        return hidden
    scaled = hidden * weights[..., None]
    ratio = hidden.mean() / scaled.mean()
    return scaled * ratio if bool(torch.isfinite(ratio)) else scaled


def chunks(tokenizer: Any, text: str, words: EmbeddingTokens = NO_EMBEDDINGS) -> list[Row]:
    """The text in rows of 75 (token, weight), one at least.

    words: names of embeddings, see `bundled_embeddings`.
    """
    end = tokenizer.eos_token_id
    comma = tokenizer.convert_tokens_to_ids(",</w>")
    rows: list[Row] = []
    row: Row = []
    last_comma = -1  # position after which the row may be broken

    def finish() -> None:
        nonlocal row, last_comma
        rows.append(_filled(row, end))
        row = []
        last_comma = -1

    for piece, weight in emphasized(text):
        if piece == BREAK and weight == BREAK_WEIGHT:
            finish()
            continue
        tokens = tokenizer(
            piece, add_special_tokens=False, truncation=False, verbose=False
        ).input_ids
        place = 0
        while place < len(tokens):
            token = tokens[place]
            if token == comma:
                last_comma = len(row)
            elif len(row) == CHUNK and last_comma != -1 and CHUNK - last_comma <= BACKTRACK:
                moved = row[last_comma + 1 :]
                row = row[: last_comma + 1]
                finish()
                row = moved
            if len(row) == CHUNK:
                finish()
            name = embedding_at(tokens, place, words)
            own = words[name] if name else (token,)
            if len(row) + len(own) > CHUNK:
                finish()
            row += [(each, weight) for each in own]
            place += len(name) or 1
    if row or not rows:
        finish()
    return rows


def _filled(row: Row, end: int) -> Row:
    return [*row, *[(end, 1.0)] * (CHUNK - len(row))]


def _stacked(contexts: Sequence[Tensor]) -> Tensor:
    """(B, 77k, D); of prompts between AND the shorter one repeats its last vector, as in the WebUI."""
    longest = max(len(context) for context in contexts)
    return torch.stack(
        [
            torch.cat([context, context[-1:].expand(longest - len(context), -1)])
            for context in contexts
        ]
    )
