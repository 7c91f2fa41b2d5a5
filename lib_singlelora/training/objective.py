"""The loss of a batch on a model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from ..errors import TrainingError
from ..host import Conditioning, TrainingModel
from ..lora.network import LoraNetwork
from ..naming.blocks import is_text
from ..settings.training import TrainingSettings
from .batch import TrainingBatch
from .losses import Loss, elementwise, huber_c, weighted_loss
from .noise import Prediction, add_noise, debiased_weight, min_snr_weight, target, zero_terminal_snr

KEPT_TEXTS = 512
TENSORS = ("latents", "noise", "timesteps", "weights", "mask")  # of what is drawn


class Objective:
    """What a network is trained to lower.

    Raises: TrainingError, for options that cannot go together.
    """

    def __init__(
        self, model: TrainingModel, network: LoraNetwork, settings: TrainingSettings
    ) -> None:
        self.model, self.network, self.settings = model, network, settings
        self.prediction = cast(
            Prediction, model.prediction if settings.prediction == "auto" else settings.prediction
        )
        if settings.zero_terminal_snr and self.prediction == "epsilon":
            raise TrainingError(
                "training.zero_terminal_snr: found an epsilon checkpoint, expected v-prediction:"
                " the last step is pure noise, from which epsilon can learn nothing; switch it off"
            )
        alphas = (
            zero_terminal_snr(model.alphas_cumprod)
            if settings.zero_terminal_snr
            else model.alphas_cumprod
        )
        self.alphas_cumprod = alphas.to(model.device)
        self.trains_text = bool(settings.text_encoder_lr) and any(
            is_text(name) for name, _ in network.items()
        )
        self._texts: OrderedDict[str, Conditioning] = OrderedDict()
        self._ahead: dict[str, Conditioning] = {}

    def loss(self, drawn: TrainingBatch) -> Tensor:
        """Mean loss of a batch, fp32.  Sources: the formulas in noise.py and losses.py."""
        device = self.model.device
        own = replace(drawn, **{name: getattr(drawn, name).to(device) for name in TENSORS})
        return self.loss_of(own, self.encode(own.captions))

    def loss_of(self, drawn: TrainingBatch, conditioning: Conditioning) -> Tensor:
        """Mean loss of a batch whose tensors lie where the model computes.

        Without prior rows it is kernels only.
        """
        settings, timesteps = self.settings, drawn.timesteps
        alpha_bar = self.alphas_cumprod[timesteps]
        noisy = add_noise(drawn.latents, drawn.noise, alpha_bar)
        wanted = target(drawn.latents, drawn.noise, alpha_bar, self.prediction)
        if drawn.prior:
            wanted = self._with_prior(wanted, noisy, timesteps, drawn)
        predicted = self.model.predict(noisy, timesteps, conditioning)
        c = huber_c(
            settings.huber_schedule,
            settings.huber_c,
            timesteps,
            alpha_bar,
            len(self.alphas_cumprod),
        )
        losses = elementwise(cast(Loss, settings.loss), predicted, wanted, c)
        return weighted_loss(losses, drawn.weights * self._balance(alpha_bar), drawn.mask)

    def _balance(self, alpha_bar: Tensor) -> Tensor:
        weights = torch.ones_like(alpha_bar)
        if self.settings.min_snr_gamma:
            weights = weights * min_snr_weight(
                alpha_bar, self.settings.min_snr_gamma, self.prediction
            )
        if self.settings.debiased_estimation:
            weights = weights * debiased_weight(alpha_bar, self.prediction)
        return weights

    def _with_prior(
        self, wanted: Tensor, noisy: Tensor, timesteps: Tensor, drawn: TrainingBatch
    ) -> Tensor:
        rows = drawn.prior
        with torch.no_grad(), self.network.switched_off():
            texts = self._plain_texts([drawn.captions[row] for row in rows])
            own = self.model.predict(noisy[rows], timesteps[rows], texts)
        wanted = wanted.clone()
        wanted[rows] = own.to(wanted)
        return wanted

    def _plain_texts(self, captions: list[str]) -> Conditioning:
        """Without the LoRA, which must be off if the text encoder learns."""
        if self.trains_text:
            return self.model.encode_prompts(captions, self.settings.clip_skip)
        return self.encode(captions)

    def encode_ahead(self, batches: Iterable[list[str]]) -> None:
        """Encode what an epoch will ask for, so that the text encoder may leave the GPU.

        The encodings wait on the CPU: some 120 KB a batch of one in half precision.
        """
        self._ahead.clear()
        if self.trains_text:
            return
        self._texts.clear()
        for captions in batches:
            texts = self.encode(captions)
            vector = None if texts.vector is None else texts.vector.cpu()
            self._ahead["\n".join(self._cut(c) for c in captions)] = Conditioning(
                texts.context.cpu(), vector
            )
        self._texts.clear()

    def encode(self, captions: list[str]) -> Conditioning:
        """Conditioning of captions; kept for when the same ones come again, unless the text encoder
        learns.
        """
        captions = [self._cut(caption) for caption in captions]
        if self.trains_text:
            return self.model.encode_prompts(captions, self.settings.clip_skip)
        key = "\n".join(captions)
        if key in self._ahead:
            vector, device = self._ahead[key].vector, self.model.device
            return Conditioning(
                self._ahead[key].context.to(device), None if vector is None else vector.to(device)
            )
        if key not in self._texts:
            with torch.no_grad():
                self._texts[key] = self.model.encode_prompts(captions, self.settings.clip_skip)
            if len(self._texts) > KEPT_TEXTS:
                self._texts.popitem(last=False)
        return self._texts[key]

    def _cut(self, caption: str) -> str:
        # Hosts encode any length; a caption has at most one token a character, so only long ones
        # need counting.
        longest = self.settings.max_token_length
        return (
            caption
            if len(caption) <= longest
            else cut_caption(caption, longest, self.model.count_tokens)
        )


def cut_caption(caption: str, longest: int, count: Callable[[str], int]) -> str:
    """The caption without the comma pieces at its end that go beyond a number of tokens."""
    pieces = caption.split(",")
    while len(pieces) > 1 and count(",".join(pieces)) > longest:
        pieces.pop()
    return ",".join(pieces)
