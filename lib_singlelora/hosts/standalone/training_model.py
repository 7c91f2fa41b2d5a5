"""The standalone host's networks as a TrainingModel."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ...host import Conditioning, Part
from ...naming.blocks import BlockLayout
from ...naming.keys import diffusers_to_canonical
from ...ops.allocator import give_back
from ...ops.conv_layout import channels_last_convs
from ...ops.upsample_conv import upsample_convs
from ...ops.winograd import winograd_convs
from ..clip import count_tokens, token_positions
from ..placement import Placement
from ..precision import autocast, checked_vae
from ..size_vector import sizes_of
from .checkpoint_loader import CheckpointNetworks
from .text_networks import encode_captions

DAMAGED_VAE = "choose another checkpoint: this one's VAE is damaged"


def targets_of(networks: CheckpointNetworks) -> Iterator[tuple[str, nn.Module]]:
    """(canonical name, module) of every Linear and Conv2d of the text encoder and the U-Net."""
    for encoder in networks.encoders:
        for name, module in encoder.model.named_modules():
            if isinstance(module, nn.Linear):
                yield f"{encoder.facts.prefix}text_model.{name}", module
    for name, module in networks.unet.named_modules():
        if isinstance(module, nn.Linear | nn.Conv2d):
            yield diffusers_to_canonical(name, networks.layout), module


def weighted_modules(networks: CheckpointNetworks) -> Iterator[tuple[str, nn.Module]]:
    """(canonical name, module) of all that a LoRA file may change: `targets_of`, and the norms."""
    yield from targets_of(networks)
    for encoder in networks.encoders:
        for name, module in encoder.model.named_modules():
            if isinstance(module, nn.LayerNorm):
                yield f"{encoder.facts.prefix}text_model.{name}", module
    for name, module in networks.unet.named_modules():
        if isinstance(module, nn.GroupNorm | nn.LayerNorm):
            yield diffusers_to_canonical(name, networks.layout), module


class StandaloneTrainingModel:
    """A TrainingModel on diffusers' networks."""

    recording_obstacle = ""

    def __init__(
        self,
        networks: CheckpointNetworks,
        device: str,
        dtype: torch.dtype | None = None,
        places: Placement | None = None,
    ) -> None:
        self._networks = networks
        self._device = device
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
        """The dtype of a pass."""
        return self._dtype

    def set_aside(self, *parts: Part) -> None:
        """Parts to the CPU until they are needed."""
        self._places.set_aside(*parts)

    @contextmanager
    def _autocast(self) -> Iterator[None]:
        """bf16 weights on a GPU need no autocast; fp16's norms and sums are safer with it."""
        all_bf16 = self._dtype == torch.bfloat16 == weights_dtype(self._networks)
        if self._dtype == torch.float32 or all_bf16:
            yield
            return
        with autocast(self._device, self._dtype):
            yield

    def encode_images(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to scaled latents (B, 4, H/8, W/8).

        Raises:
            TrainingError: the VAE gives NaN.
        """
        mode: Tensor = self._networks.vae.encode(self._for_vae(pixels)).latent_dist.mode()
        return checked_vae(mode, pixels, DAMAGED_VAE) * self._networks.scale

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, 4, h, w) to (B, 3, 8h, 8w) in [-1, 1].

        Raises:
            TrainingError: the VAE gives NaN.
        """
        unscaled = self._for_vae(latents) / self._networks.scale
        pixels: Tensor = self._networks.vae.decode(unscaled).sample
        return checked_vae(pixels, latents, DAMAGED_VAE).clamp(-1, 1)

    def _for_vae(self, values: Tensor) -> Tensor:
        """Values on the VAE's device and in its dtype; it is brought there if it was set aside."""
        self._places.bring("vae")
        return values.to(self._device, next(self._networks.vae.parameters()).dtype)

    def count_tokens(self, prompt: str) -> int:
        """CLIP tokens of a prompt, without those of start and end."""
        return count_tokens(self._networks.tokenizer, prompt)

    def token_positions(self, prompt: str, part: str) -> list[int]:
        """Where a part of a prompt first lies in its context; none if it is not there."""
        return token_positions(self._networks.tokenizer, prompt, part)

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int) -> Conditioning:
        """Prompts to context (B, 77k, D), and pooled text where the family has it."""
        self._places.bring("text encoder")
        networks = self._networks
        with self._autocast():
            return encode_captions(
                networks.encoders, networks.tokenizer, prompts, clip_skip, self._device
            )

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """The U-Net's output for latents (B, 4, h, w) at timesteps (B,)."""
        self._places.bring("unet")
        dtype = weights_dtype(self._networks)
        with self._autocast():
            return predicted(self._networks.unet, noisy.to(dtype), timesteps, conditioning)

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        """(canonical name, module) of every Linear and Conv2d."""
        return targets_of(self._networks)

    def blocks(self) -> Iterator[nn.Module]:
        """Residual and attention blocks of the U-Net, layers of the text encoder."""
        unet: Any = self._networks.unet
        for part in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
            yield from part.resnets
            yield from getattr(part, "attentions", None) or ()
        for encoder in self._networks.encoders:
            text: Any = encoder.model
            yield from text.encoder.layers


def predicted(
    unet: nn.Module, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning
) -> Tensor:
    """The U-Net's output (B, 4, h, w) for latents (B, 4, h, w), in their dtype."""
    further = {}
    if conditioning.pooled is not None:
        further["added_cond_kwargs"] = {
            "text_embeds": conditioning.pooled.to(noisy.dtype),
            "time_ids": sizes_of(conditioning, noisy),
        }
    output: Tensor = unet(noisy, timesteps, conditioning.context.to(noisy.dtype), **further).sample
    return output


def weights_dtype(networks: CheckpointNetworks) -> torch.dtype:
    """The dtype of the U-Net's weights."""
    return next(networks.unet.parameters()).dtype


def placement(networks: CheckpointNetworks, device: str) -> Placement:
    """A Placement of the parts of a checkpoint."""
    return Placement(
        {
            "unet": networks.unet,
            "vae": networks.vae,
            "text encoder": nn.ModuleList(networks.text_modules()),
        },
        device,
    )


def channels_last(networks: CheckpointNetworks) -> AbstractContextManager[None]:
    """The convolutions' weights in the layout that a CPU computes fastest, while inside.

    Values and Parameters stay the same.
    Measured at full size on two cores: encoding a picture takes 0.82, a pass of the U-Net and back
    0.83 to 0.93 of the time.
    """
    return channels_last_convs(
        module for network in (networks.unet, networks.vae) for module in network.modules()
    )


@contextmanager
def faster_convs(networks: CheckpointNetworks) -> Iterator[None]:
    """Faster convolutions on a CPU while inside.

    Channels-last weights, Winograd's algorithm in the VAE, and upsampling joined with the
    convolution after it.
    """
    modules = (module for network in (networks.unet, networks.vae) for module in network.modules())
    with channels_last(networks), winograd_convs(networks.vae.modules()), upsample_convs(modules):
        yield


@contextmanager
def fast_drawing(networks: CheckpointNetworks) -> Iterator[None]:
    """Faster convolutions on a CPU while pictures are drawn inside, where the weights lie.

    Measured at full size on two cores, 512 × 512 pixels: decoding a picture takes 0.6 to 0.8 of the
    time, a pass of the U-Net the same.  Layers that an extension or a LoRA takes part in stay as
    they are.
    """
    modules = [module for network in (networks.unet, networks.vae) for module in network.modules()]
    with frozen(networks), winograd_convs(modules), upsample_convs(modules):
        yield


@contextmanager
def frozen(networks: CheckpointNetworks) -> Iterator[None]:
    """Freeze every parameter while inside; flags and modes are what they were after the exit.

    The networks stay in evaluation mode: SD's U-Net has no dropout, CLIP's is 0.
    """
    modules: list[nn.Module] = [networks.unet, networks.vae, *networks.text_modules()]
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
    """The networks ready to train LoRA branches; after the exit everything is what it was."""
    places = placement(networks, device)
    try:
        with (
            frozen(networks),
            places.kept(),
            faster_convs(networks) if device == "cpu" else nullcontext(),
        ):
            give_back()  # what loading them and laying them out anew left over
            yield places
    finally:
        give_back()  # a page that stays open must not keep what only the training needed
