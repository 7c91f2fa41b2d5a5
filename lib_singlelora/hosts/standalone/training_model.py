"""The standalone host's networks, lent for training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...host import Conditioning, Part
from ...naming.blocks import BlockLayout
from ...naming.keys import diffusers_to_canonical
from ...ops.allocator import give_back
from ...ops.upsample_conv import upsample_convs
from ...ops.winograd import winograd_convs
from ..clip import count_tokens, encode
from ..placement import Placement
from ..precision import autocast, checked_vae
from .checkpoint_loader import CheckpointNetworks


def targets_of(networks: CheckpointNetworks) -> Iterator[tuple[str, nn.Module]]:
    """(canonical name, module) of every Linear and Conv2d of the text encoder and the U-Net."""
    for name, module in networks.text.named_modules():
        if isinstance(module, nn.Linear):
            yield f"text_model.{name}", module
    for name, module in networks.unet.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            yield diffusers_to_canonical(name, networks.layout), module


def weighted_modules(networks: CheckpointNetworks) -> Iterator[tuple[str, nn.Module]]:
    """(canonical name, module) of all that a LoRA file may change: `targets_of`, and the norms."""
    yield from targets_of(networks)
    for name, module in networks.text.named_modules():
        if isinstance(module, nn.LayerNorm):
            yield f"text_model.{name}", module
    for name, module in networks.unet.named_modules():
        if isinstance(module, nn.GroupNorm | nn.LayerNorm):
            yield diffusers_to_canonical(name, networks.layout), module


class StandaloneTrainingModel:
    """A TrainingModel on diffusers' networks."""

    recordable = True

    def __init__(
        self,
        networks: CheckpointNetworks,
        device: str,
        dtype: torch.dtype | None = None,
        places: Placement | None = None,
    ) -> None:
        self._networks, self._device = networks, device
        self._dtype = dtype or weights_dtype(networks)
        self._places = places or placement(networks, device)
        self.layout: BlockLayout = networks.layout
        self.prediction: Literal["epsilon", "v_prediction"] = networks.prediction
        self.alphas_cumprod = networks.alphas_cumprod

    @property
    def device(self) -> str:
        """Where the networks compute."""
        return self._device

    @property
    def compute_dtype(self) -> torch.dtype:
        """What a pass computes in."""
        return self._dtype

    def set_aside(self, *parts: Part) -> None:
        """Parts to the CPU until they are asked for."""
        self._places.set_aside(*parts)

    @contextmanager
    def _pass(self) -> Iterator[None]:
        """bf16 weights on a GPU need no autocast; fp16's norms and sums are safer with it."""
        if self._dtype == torch.float32 or (
            self._dtype == torch.bfloat16 == weights_dtype(self._networks)
        ):
            yield
            return
        with autocast(self._device, self._dtype):
            yield

    def encode_images(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to scaled latents (B, 4, H/8, W/8).  Raises: TrainingError."""
        self._places.bring("vae")
        own = pixels.to(self._device, next(self._networks.vae.parameters()).dtype)
        mode: Tensor = self._networks.vae.encode(own).latent_dist.mode()
        return (
            checked_vae(mode, pixels, "choose another checkpoint: this one's VAE is damaged")
            * self._networks.scale
        )

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, 4, h, w) to (B, 3, 8h, 8w) in [-1, 1].  Raises: TrainingError."""
        self._places.bring("vae")
        own = latents.to(self._device, next(self._networks.vae.parameters()).dtype)
        pixels: Tensor = self._networks.vae.decode(own / self._networks.scale).sample
        return checked_vae(
            pixels, latents, "choose another checkpoint: this one's VAE is damaged"
        ).clamp(-1, 1)

    def count_tokens(self, prompt: str) -> int:
        """CLIP tokens of a prompt, without those of start and end."""
        return count_tokens(self._networks.tokenizer, prompt)

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int) -> Conditioning:
        """Prompts to context (B, 77k, D)."""
        self._places.bring("text encoder")
        with self._pass():
            return Conditioning(
                encode(
                    self._networks.text, self._networks.tokenizer, prompts, clip_skip, self._device
                )
            )

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """The U-Net's noise for latents (B, 4, h, w) at timesteps (B,)."""
        dtype = weights_dtype(self._networks)
        with self._pass():
            answer: Tensor = self._networks.unet(
                noisy.to(dtype), timesteps, conditioning.context.to(dtype)
            ).sample
        return answer

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        """(canonical name, module) of every Linear and Conv2d."""
        return targets_of(self._networks)

    def blocks(self) -> Iterator[nn.Module]:
        """Residual and attention blocks of the U-Net, layers of the text encoder."""
        unet: Any = self._networks.unet
        for part in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
            yield from part.resnets
            yield from getattr(part, "attentions", None) or ()
        text: Any = self._networks.text
        yield from text.encoder.layers


def weights_dtype(networks: CheckpointNetworks) -> torch.dtype:
    """What the U-Net's weights lie in."""
    return next(networks.unet.parameters()).dtype


def placement(networks: CheckpointNetworks, device: str) -> Placement:
    """Where the parts of a checkpoint lie."""
    return Placement(
        {"unet": networks.unet, "vae": networks.vae, "text encoder": networks.text}, device
    )


@contextmanager
def channels_last(networks: CheckpointNetworks) -> Iterator[None]:
    """Lay the convolutions' weights out as the CPU computes fastest while inside; values and
    Parameters stay the same.

    Measured at full size on two cores: encoding a picture takes 0.82, a pass of the U-Net and back
    0.83 to 0.93 of the time.
    """
    modules = (module for network in (networks.unet, networks.vae) for module in network.modules())
    weights = [module.weight for module in modules if isinstance(module, nn.Conv2d)]
    try:
        for weight in weights:
            weight.data = weight.data.contiguous(memory_format=torch.channels_last)
        yield
    finally:
        for weight in weights:
            weight.data = weight.data.contiguous()


@contextmanager
def on_a_cpu(networks: CheckpointNetworks) -> Iterator[None]:
    """What a CPU computes fastest while inside: layouts, fewer multiplications in the VAE and where
    pictures are enlarged.
    """
    enlargers = (
        module for network in (networks.unet, networks.vae) for module in network.modules()
    )
    with channels_last(networks), winograd_convs(networks.vae.modules()), upsample_convs(enlargers):
        yield


@contextmanager
def frozen(networks: CheckpointNetworks) -> Iterator[None]:
    """Freeze every parameter while inside; flags and modes are what they were after the exit.

    The weights stay in the mode for evaluation: SD's U-Net has no dropout, CLIP's is 0.
    """
    modules: list[nn.Module] = [networks.unet, networks.vae, networks.text]
    flags = [
        (parameter, parameter.requires_grad)
        for module in modules
        for parameter in module.parameters()
    ]
    modes = [(child, child.training) for module in modules for child in module.modules()]
    try:
        for module in modules:
            module.requires_grad_(False)
            module.eval()
        with torch.enable_grad():
            yield
    finally:
        for parameter, flag in flags:
            parameter.requires_grad_(flag)
            parameter.grad = None
        for child, mode in modes:
            child.training = mode


@contextmanager
def borrowed_networks(networks: CheckpointNetworks, device: str) -> Iterator[Placement]:
    """The networks as a training wants them; all is as it was after the exit."""
    places = placement(networks, device)
    try:
        with (
            frozen(networks),
            places.kept(),
            on_a_cpu(networks) if device == "cpu" else nullcontext(),
        ):
            give_back()  # what loading them and laying them out anew left over
            yield places
    finally:
        give_back()  # a page that stays open must not keep what only the training needed
