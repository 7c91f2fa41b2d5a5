"""The loss of a batch on a model."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import cast

import torch
from torch import Tensor

from ..errors import TrainingError
from ..host import Conditioning, TrainingModel
from ..lora.network import LoraNetwork
from ..naming.blocks import is_text, text_encoder_of
from ..ops.transfer import sent
from ..settings.training import TrainingSettings
from .apt import AptWeights
from .attention import AttentionLoss, Products
from .batch import Attended, TrainingBatch
from .loss_terms import dco_loss
from .losses import Loss, elementwise, huber_c, per_sample_loss, weighted_mean
from .noise import (
    Prediction,
    add_noise,
    band_weights,
    debiased_weight,
    min_snr_weight,
    target,
    zero_terminal_snr,
)

MAX_CACHED_TEXTS = 512


class Objective:
    """The loss that a network is trained to lower.

    prediction: epsilon or v_prediction, the checkpoint's unless the settings say otherwise.
    alphas_cumprod: (T,), on the model's device.
    trains_text: True if the network has branches on the text encoder that learn.
    apt: APT's weights, where the settings ask for them.
    Raises: TrainingError, for options that cannot go together.
    """

    def __init__(
        self, model: TrainingModel, network: LoraNetwork, settings: TrainingSettings
    ) -> None:
        self.model = model
        self.network = network
        self.settings = settings
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
        self.band_weights = (
            band_weights(settings.band_weights, len(alphas)).to(model.device)
            if settings.band_weights
            else None
        )
        rates = settings.text_encoder_rates(len(model.layout.text))
        self.trains_text = any(
            rates[text_encoder_of(name, model.layout)]
            for name, _ in network.items()
            if is_text(name)
        )
        self.apt = AptWeights(settings.apt, len(alphas)) if settings.apt else None
        self.attention = AttentionLoss(model) if settings.attention_loss else None
        self._cached_texts: OrderedDict[str, Conditioning] = OrderedDict()
        self._ahead: dict[str, Conditioning] = {}

    def loss(self, batch: TrainingBatch) -> Tensor:
        """Mean loss of a batch, an fp32 scalar.

        Sources: the formulas in noise.py and losses.py.
        """
        batch = batch.on(self.model.device)
        return self.loss_of(batch, self.encode(batch.captions))

    def loss_of(self, batch: TrainingBatch, conditioning: Conditioning) -> Tensor:
        """Mean loss of a batch whose tensors are on the model's device, an fp32 scalar.

        Without frozen rows it consists of kernels only, so that a CUDA graph can record it.
        """
        settings = self.settings
        timesteps = batch.timesteps
        alpha_bar = self.alphas_cumprod[timesteps]
        noisy = add_noise(batch.latents, batch.noise, alpha_bar)
        expected = target(batch.latents, batch.noise, alpha_bar, self.prediction)
        frozen = self._frozen_prediction(noisy, batch) if batch.frozen_rows else None
        if frozen is not None and batch.prior:
            expected = expected.clone()
            expected[batch.prior] = frozen[batch.prior]
        with self.attention.recorded() if self.attention else nullcontext() as products:
            sized = replace(conditioning, sizes=batch.sizes)
            predicted = self.predict(noisy, timesteps, sized)
        loss = self._data_loss(predicted, expected, frozen, batch)
        if products and batch.attended:
            losses = self._attention_losses(batch, batch.attended, products)
            loss = loss + settings.attention_loss * (losses * batch.weights).mean()
        return loss

    def _data_loss(
        self, predicted: Tensor, expected: Tensor, frozen: Tensor | None, batch: TrainingBatch
    ) -> Tensor:
        """Mean loss of a batch by the network's prediction, its target, and the frozen model's."""
        settings = self.settings
        timesteps = batch.timesteps
        alpha_bar = self.alphas_cumprod[timesteps]
        c = huber_c(
            settings.huber_schedule,
            settings.huber_c,
            timesteps,
            alpha_bar,
            len(self.alphas_cumprod),
        )

        def distance(prediction: Tensor, wanted: Tensor, mask: Tensor) -> Tensor:
            losses = elementwise(cast(Loss, settings.loss), prediction, wanted, c)
            return per_sample_loss(losses, mask)

        losses = distance(predicted, expected, batch.mask)
        by_timestep = self._timestep_weights(timesteps, alpha_bar)
        weights = batch.weights * by_timestep
        if frozen is None or not batch.compared:
            return weighted_mean(losses, weights)
        reference = distance(frozen, expected, batch.mask)
        total = self._compared_loss(losses, reference, by_timestep, batch)
        if settings.masked_prior_weight:
            # Rows that are not compared have a mask of ones: nothing of them is outside.
            outside = distance(predicted, frozen, 1 - batch.mask)
            total = total + settings.masked_prior_weight * weighted_mean(outside, weights)
        return total

    def _compared_loss(
        self, losses: Tensor, reference: Tensor, by_timestep: Tensor, batch: TrainingBatch
    ) -> Tensor:
        """Mean loss of a batch after DCO and APT, which change the compared rows alone.

        losses, reference: (B,), of the network and of the frozen model.
        by_timestep: (B,), the timesteps' weights.
        """
        rows = torch.tensor(batch.compared, device=losses.device)
        own, frozen, timesteps = losses[rows], reference[rows], batch.timesteps[rows]
        weights = batch.weights * by_timestep
        if self.settings.dco_beta:
            # The timesteps' weights are part of the losses that are compared, as in DCO's program
            inside = by_timestep[rows]
            dco = dco_loss(own * inside, frozen * inside, self.settings.dco_beta)
            losses = losses.index_put((rows,), dco)
            weights = weights.index_put((rows,), batch.weights[rows])
        if self.apt:
            weights = weights.index_put((rows,), weights[rows] * self.apt.weights(timesteps))
            if torch.is_grad_enabled():
                self.apt.observe(timesteps, own, frozen)
        return weighted_mean(losses, weights)

    def _attention_losses(
        self, batch: TrainingBatch, attended: Attended, products: Sequence[Products]
    ) -> Tensor:
        """(B,), not yet weighted."""
        assert self.attention
        captions = [self._shortened(caption) for caption in batch.captions]
        masks = attended.masks.to(batch.latents.device)
        return self.attention.losses(products, captions, attended.triggers, masks)

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """The U-Net's output with the LoRA as it is trained at these timesteps."""
        with self.network.at(timesteps):
            return self.model.predict(noisy, timesteps, conditioning)

    def _timestep_weights(self, timesteps: Tensor, alpha_bar: Tensor) -> Tensor:
        """(B,), of the settings' weightings."""
        weights = torch.ones_like(alpha_bar)
        if self.settings.min_snr_gamma:
            weights = weights * min_snr_weight(
                alpha_bar, self.settings.min_snr_gamma, self.prediction
            )
        if self.settings.debiased_estimation:
            weights = weights * debiased_weight(alpha_bar, self.prediction)
        if self.band_weights is not None:
            weights = weights * self.band_weights[timesteps]
        return weights

    def _frozen_prediction(self, noisy: Tensor, batch: TrainingBatch) -> Tensor:
        """The frozen model's prediction of the frozen rows, in one pass; zeros elsewhere.

        Gives (B, 4, h, w), fp32, without a gradient: what every loss term reads.
        """
        rows = batch.frozen_rows
        with torch.no_grad(), self.network.switched_off():
            texts = self._frozen_texts([batch.captions[row] for row in rows])
            texts = replace(texts, sizes=batch.sizes[rows])
            predicted = self.model.predict(noisy[rows], batch.timesteps[rows], texts)
        frozen = torch.zeros_like(noisy)
        frozen[rows] = predicted.to(frozen)
        return frozen

    def _frozen_texts(self, captions: list[str]) -> Conditioning:
        """Conditioning without the LoRA, which must be switched off."""
        if self.trains_text:
            return self.model.encode_prompts(captions, self.settings.clip_skip)
        return self.encode(captions)

    def encode_ahead(self, batches: Iterable[list[str]]) -> None:
        """Encode an epoch's captions, batch by batch, so that the text encoder may leave the GPU.

        The encodings wait on the CPU: some 120 KB for a batch of one in half precision.
        """
        self._ahead.clear()
        if self.trains_text:
            return
        self._cached_texts.clear()
        for captions in batches:
            texts = self.encode(captions)
            key = "\n".join(self._shortened(c) for c in captions)
            self._ahead[key] = texts.mapped(lambda value: value.cpu())
        self._cached_texts.clear()

    def encode(self, captions: list[str]) -> Conditioning:
        """Conditioning of a batch's captions; cached unless the text encoder learns."""
        captions = [self._shortened(caption) for caption in captions]
        if self.trains_text:
            return self.model.encode_prompts(captions, self.settings.clip_skip)
        key = "\n".join(captions)
        if key in self._ahead:
            return self._ahead[key].mapped(lambda value: sent(value, self.model.device))
        if key not in self._cached_texts:
            with torch.no_grad():
                self._cached_texts[key] = self.model.encode_prompts(
                    captions, self.settings.clip_skip
                )
            if len(self._cached_texts) > MAX_CACHED_TEXTS:
                self._cached_texts.popitem(last=False)
        return self._cached_texts[key]

    def _shortened(self, caption: str) -> str:
        # Hosts encode any length; a caption has at most one token a character, so only long ones
        # need counting.
        longest = self.settings.max_token_length
        return (
            caption
            if len(caption) <= longest
            else cut_caption(caption, longest, self.model.count_tokens)
        )


def cut_caption(caption: str, longest: int, count: Callable[[str], int]) -> str:
    """The caption without the tags at its end that go beyond a number of tokens.

    longest: tokens.
    count: gives the number of tokens of a text.
    """
    tags = caption.split(",")
    while len(tags) > 1 and count(",".join(tags)) > longest:
        tags.pop()
    return ",".join(tags)
