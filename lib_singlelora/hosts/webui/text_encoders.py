"""A checkpoint's text encoders in the WebUI: one in an ldm model, two in sgm's conditioner.

The WebUI wraps each for its prompts' syntax; captions have none, so what is wrapped is called here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ...families.family import Family, TextEncoder
from ...host import Conditioning
from ..clip import CHUNK, part_positions, token_ids
from ..open_clip import open_clip_targets

if TYPE_CHECKING:
    from modules.sd_hijack_clip import TextConditionalModel
    from modules.sd_models_types import WebuiSdModel


class TextEncoders:
    """The text encoders of the loaded checkpoint, in the order in which their outputs are joined.

    sd_model: an ldm model with its `cond_stage_model`, or sgm's with its `conditioner`, whose first
        embedders are the text encoders.
    """

    def __init__(self, sd_model: WebuiSdModel, family: Family) -> None:
        conditioner: Any = getattr(sd_model, "conditioner", None)
        stages = [sd_model.cond_stage_model] if conditioner is None else conditioner.embedders
        pairs = zip(family.text_encoders, stages, strict=False)
        self._encoders = [_Encoder(facts, stage) for facts, stage in pairs]
        self._targets: list[tuple[str, nn.Module]] = []

    def networks(self) -> nn.Module:
        """Their networks as one module."""
        networks = [encoder.network for encoder in self._encoders]
        return networks[0] if len(networks) == 1 else nn.ModuleList(networks)

    def token_ids(self, text: str) -> list[int]:
        """Tokens of a text of any length, without those of start and end.

        All of a checkpoint's text encoders have CLIP's one vocabulary.
        """
        return self._encoders[0].token_ids(text)

    def positions(self, prompt: str, part: str) -> list[int]:
        """Where the tokens of a part of a prompt first lie in its context; none if they do not."""
        [chunks] = self._chunks([prompt]).tolist()
        return part_positions(chunks, self.token_ids(part))

    def encode(self, prompts: Sequence[str], clip_skip: int, device: str) -> Conditioning:
        """Prompts without emphasis, as every trainer encodes captions; no sizes.

        Source: AUTOMATIC1111 1.10.1, modules/sd_hijack_clip.py and sd_hijack_open_clip.py.
        """
        tokens = self._chunks(prompts)
        batch, chunks, length = tokens.shape
        rows = tokens.view(batch * chunks, length)
        contexts = []
        pooled = None
        for encoder in self._encoders:
            hidden, projected = encoder.states(encoder.padded(rows).to(device), clip_skip)
            contexts.append(hidden.reshape(batch, chunks * length, hidden.shape[-1]))
            if encoder.facts.pooled and projected is not None:
                pooled = projected.view(batch, chunks, -1)[:, 0]  # of the first chunk
        return Conditioning(torch.cat(contexts, dim=-1), pooled)

    def _chunks(self, prompts: Sequence[str]) -> Tensor:
        """Token ids (B, k, 77); every prompt gets as many chunks as the longest one needs."""
        start, end = self._encoders[0].bounds
        ids = [self.token_ids(prompt) for prompt in prompts]
        count = max(1, *(-(-len(tokens) // CHUNK) for tokens in ids))
        rows = []
        for tokens in ids:
            chunks = [tokens[index * CHUNK : (index + 1) * CHUNK] for index in range(count)]
            rows.append([[start, *chunk, *[end] * (CHUNK + 1 - len(chunk))] for chunk in chunks])
        return torch.tensor(rows)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """While inside, `targets` gives every Linear as a module that takes hooks."""
        with ExitStack() as stack:
            for encoder in self._encoders:
                self._targets += stack.enter_context(encoder.opened())
            try:
                yield
            finally:
                self._targets.clear()

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        """(canonical name, module) of every Linear."""
        yield from self._targets

    def layers(self) -> Iterator[nn.Module]:
        """The layers, which may be computed again in the backward pass."""
        for encoder in self._encoders:
            yield from encoder.layers


@dataclass(frozen=True)
class _Encoder:
    """facts: what its family says of it.  stage: the WebUI's wrapper."""

    facts: TextEncoder
    stage: TextConditionalModel

    @property
    def _wrapped(self) -> Any:
        """ldm's or sgm's embedder."""
        return self.stage.wrapped

    @property
    def _is_open_clip(self) -> bool:
        return self.facts.dialect == "open_clip"

    @property
    def network(self) -> nn.Module:
        network: nn.Module = (
            self._wrapped.model if self._is_open_clip else self._wrapped.transformer
        )
        return network

    @property
    def layers(self) -> Iterator[nn.Module]:
        network: Any = self.network
        yield from (
            network.transformer.resblocks
            if self._is_open_clip
            else network.text_model.encoder.layers
        )

    @property
    def bounds(self) -> tuple[int, int]:
        """Token ids of start and end."""
        if self._is_open_clip:
            stage: Any = self.stage
            return stage.id_start, stage.id_end
        tokenizer = self._wrapped.tokenizer
        return tokenizer.bos_token_id, tokenizer.eos_token_id

    def token_ids(self, text: str) -> list[int]:
        if self._is_open_clip:
            return list(self.stage.tokenize([text])[0])
        return token_ids(self._wrapped.tokenizer, text)

    def padded(self, tokens: Tensor) -> Tensor:
        """Token ids (B, 77) with its own token behind the first end token."""
        if self.facts.pad is None:
            return tokens
        _, end = self.bounds
        return tokens.masked_fill((tokens == end).cumsum(dim=1) > 1, self.facts.pad)

    def states(self, tokens: Tensor, clip_skip: int) -> tuple[Tensor, Tensor | None]:
        """((B, 77, D), pooled (B, P) or None) of token ids (B, 77)."""
        if not self._is_open_clip:
            return self._clip_states(tokens, clip_skip), None
        # The embedder knows which layer; sgm's gives several by their names.
        made = self._wrapped.encode_with_transformer(tokens)
        if isinstance(made, Tensor):
            return made, None
        return made[self._wrapped.layer], made.get("pooled")

    def _clip_states(self, tokens: Tensor, clip_skip: int) -> Tensor:
        network: Any = self.network
        states: Sequence[Tensor] = network(tokens, output_hidden_states=True).hidden_states
        wanted = clip_skip if self.facts.follows_clip_skip else self.facts.skipped
        hidden = states[-max(1, min(wanted, len(states) - 1))]
        if self.facts.final_norm:
            hidden = network.text_model.final_layer_norm(hidden)
        return hidden

    @contextmanager
    def opened(self) -> Iterator[list[tuple[str, nn.Module]]]:
        """(canonical name, module) of its Linears, which take hooks while inside."""
        prefix = self.facts.prefix
        network: Any = self.network
        if self._is_open_clip:
            # Of what is never computed no trainer has a LoRA; the pooled text needs every layer.
            last = 0 if self.facts.pooled else self.facts.skipped - 1
            layers = len(network.transformer.resblocks) - last
            with open_clip_targets(network.transformer, prefix, layers) as targets:
                yield targets
            return
        yield [
            (prefix + name, module)
            for name, module in network.named_modules()
            if isinstance(module, nn.Linear) and name.startswith("text_model.")
        ]
