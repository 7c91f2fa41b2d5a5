"""The checkpoint in the WebUI's memory as a TrainingModel, given back bit for bit."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import networks
import torch
from modules import devices, lowvram, sd_hijack_optimizations, sd_models, sd_unet, shared
from torch import Tensor, nn

from ...errors import CheckpointError
from ...host import Conditioning, Part
from ...training.noise import zero_terminal_snr
from .. import placement
from ..size_vector import size_vector
from ..webui_family.loan import frozen, give_memory_back, trim
from . import compute_dtype, foreign_hooks, v_prediction
from .architecture import family_of, layout_of, require_model, require_trainable
from .text_encoders import TextEncoders

if TYPE_CHECKING:
    from ldm.models.autoencoder import AutoencoderKL
    from modules.sd_models_types import WebuiSdModel

STALE = "single-image-lora: a file has changed"  # the name of no LoRA
HYPERTILE = "__webui_hypertile_params"  # the attribute by which the WebUI's hypertile finds modules


class WebUITrainingModel:
    """A TrainingModel on the WebUI's own ldm or sgm networks; no tensor is copied."""

    def __init__(self, sd_model: WebuiSdModel, precision: str = "auto") -> None:
        self._model = sd_model
        self._moves_in_a_pass = bool(getattr(sd_model, "lowvram", False))
        self._dtype = compute_dtype.pass_dtype(precision)
        self._family = family_of(sd_model)
        self.text_encoders = TextEncoders(sd_model, self._family)
        self._places = placement.Placement(self.parts(), str(devices.device))
        self.layout = layout_of(sd_model)
        self.prediction: Literal["epsilon", "v_prediction"] = (
            "v_prediction" if sd_model.parameterization == "v" else "epsilon"
        )
        # An option of the WebUI halves or rescales `alphas_cumprod` and keeps the loaded ones.
        alphas_cumprod: Tensor = getattr(
            sd_model, "alphas_cumprod_original", sd_model.alphas_cumprod
        )
        self.alphas_cumprod = alphas_cumprod.detach().float().cpu()
        if v_prediction.has_zero_terminal_snr(sd_model):
            self.alphas_cumprod = zero_terminal_snr(self.alphas_cumprod)

    def parts(self) -> dict[str, nn.Module]:
        """The parts that are moved and frozen, by the names of `Part`."""
        return {
            "unet": self._model.model.diffusion_model,
            "vae": self._model.first_stage_model,
            "text encoder": self.text_encoders.networks(),
        }

    @property
    def device(self) -> str:
        """Where the networks compute."""
        return str(devices.device)

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype of a pass."""
        return self._dtype

    @property
    def recording_obstacle(self) -> str:
        """Who else takes part in a pass, or "" for nobody."""
        return foreign_hooks.obstacle(self._model.model.diffusion_model, self._moves_in_a_pass)

    @property
    def places(self) -> placement.Placement:
        """Where the parts lie."""
        return self._places

    def set_aside(self, *parts: Part) -> None:
        """Parts to the CPU until they are needed."""
        self._places.set_aside(*parts)

    def encode_images(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to scaled latents (B, 4, H/8, W/8), by the VAE the user chose.

        Raises:
            TrainingError: the VAE gives NaN in fp32 too.
        """
        vae = self._bring_vae()

        def mode_of(values: Tensor) -> Tensor:
            # Not `encode`: sgm's draws a sample.
            moments: Tensor = vae.quant_conv(vae.encoder(values))
            return moments.chunk(2, dim=1)[0]

        mode = compute_dtype.through_vae(vae, mode_of, pixels)
        trim()  # the VAE's activations, before those of a training come on top
        return mode.float() * self._model.scale_factor

    def decode_latents(self, latents: Tensor) -> Tensor:
        """Scaled latents (B, 4, h, w) to (B, 3, 8h, 8w) in [-1, 1].

        Raises:
            TrainingError: the VAE gives NaN in fp32 too.
        """
        vae = self._bring_vae()
        pixels = compute_dtype.through_vae(vae, vae.decode, latents / self._model.scale_factor)
        return pixels.float().clamp(-1, 1)

    def _bring_vae(self) -> AutoencoderKL:
        if getattr(self._model, "lowvram", False):
            self._places.set_aside("unet", "text encoder")  # --medvram: one at a time
        self._places.bring("vae")
        return self._model.first_stage_model

    def count_tokens(self, prompt: str) -> int:
        """CLIP tokens of a prompt, without those of start and end."""
        return len(self.text_encoders.token_ids(prompt))

    def token_positions(self, prompt: str, part: str) -> list[int]:
        """Where a part of a prompt first lies in its context; none if it is not there."""
        return self.text_encoders.positions(prompt, part)

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int) -> Conditioning:
        """Prompts to conditioning without sizes, without emphasis."""
        self._places.bring("text encoder")
        with compute_dtype.autocast(self._dtype):
            return self.text_encoders.encode(prompts, clip_skip, self.device)

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """The U-Net's output for latents (B, 4, h, w) at timesteps (B,)."""
        unet = self._model.model.diffusion_model
        noisy = noisy.to(devices.device)
        conditioning = conditioning.mapped(lambda each: each.to(devices.device))
        given = {"context": conditioning.context}
        if self._family.takes_sizes:
            given["y"] = size_vector(conditioning, noisy)
        self._places.bring("unet")
        with compute_dtype.autocast(self._dtype):
            if self._dtype == compute_dtype.webui_dtype():
                noisy = noisy.to(devices.dtype_unet)
                given = {name: value.to(devices.dtype_unet) for name, value in given.items()}
            # Otherwise they stay in fp32: a cast to the weights' fp16 on the way in is one on the
            # way back, where bf16's small gradients would be lost.
            return unet(noisy, timesteps.to(devices.device), **given)

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        """(canonical name, module) of every Linear and Conv2d of text encoders and U-Net."""
        yield from self.text_encoders.targets()
        for name, module in self._model.model.diffusion_model.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                yield name, module

    def blocks(self) -> Iterator[nn.Module]:
        """Residual and attention blocks of the U-Net, layers of the text encoders."""
        unet: Any = self._model.model.diffusion_model
        for part in (*unet.input_blocks, unet.middle_block, *unet.output_blocks):
            yield from (module for module in part if not isinstance(module, nn.Conv2d))
        yield from self.text_encoders.layers()


@contextmanager
def borrowed_networks(
    sd_model: WebuiSdModel | None, precision: str = "auto"
) -> Iterator[WebUITrainingModel]:
    """The networks, ready to train LoRA branches; after the exit everything is what it was.

    Raises:
        CheckpointError: no checkpoint is loaded, or one that cannot be trained.
        TrainingError: the WebUI cannot compute in that precision.
    """
    sd_model = require_model(sd_model)
    require_trainable(sd_model)  # before anything of the model is touched
    model = WebUITrainingModel(sd_model, precision)
    if sd_unet.current_unet is not None:
        raise CheckpointError(
            f"found the SD Unet '{sd_unet.current_unet.option.label}' in place of the checkpoint's"
            " own, expected the checkpoint's; set Settings > SD Unet to None"
        )
    give_memory_back()  # what the last picture left
    with ExitStack() as stack:
        stack.callback(give_memory_back)
        stack.enter_context(_without_networks(sd_model))
        stack.enter_context(_without_patches(sd_model))
        stack.enter_context(_without_lowvram(sd_model))
        stack.enter_context(model.places.kept())
        if not getattr(sd_model, "lowvram", False):
            model.places.bring("unet", "vae", "text encoder")
        stack.enter_context(_attention_that_trains())
        stack.enter_context(model.text_encoders.opened())
        stack.enter_context(frozen(model.parts().values()))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield model


@contextmanager
def _without_networks(sd_model: WebuiSdModel) -> Iterator[None]:
    """Without the LoRAs that the last prompt merged into the weights, and without hypernetworks.

    The patched `forward` of every module merges lazily and in place; within an autograd graph that
    would fail, so it is done here for all of them at once.
    """
    hypernetworks = list(shared.loaded_hypernetworks)
    with torch.no_grad():
        networks.loaded_networks.clear()  # the next prompt merges anew what it names
        for module in sd_model.modules():
            if getattr(module, "network_current_names", ()):
                networks.network_apply_weights(module)
    shared.loaded_hypernetworks.clear()
    try:
        yield
    finally:
        shared.loaded_hypernetworks[:] = hypernetworks


def mark_stale(sd_model: WebuiSdModel) -> None:
    """Have every layer that holds LoRAs merge them anew at its next pass.

    A layer compares the names of what it holds with those that a prompt names, so it keeps the old
    weights of a file that was published anew under its name.
    """
    for module in sd_model.modules():
        if getattr(module, "network_current_names", ()):
            module.network_current_names = (STALE,)  # type: ignore[assignment]


@contextmanager
def _without_patches(sd_model: WebuiSdModel) -> Iterator[None]:
    """Without token merging and hypertile, which approximate attention for speed."""
    ratio = getattr(sd_model, "applied_token_merged_ratio", 0)
    sd_models.apply_token_merging(sd_model, 0)
    tiles = [
        module.__dict__[HYPERTILE] for module in sd_model.modules() if HYPERTILE in module.__dict__
    ]
    enabled = [tile.enabled for tile in tiles]
    for tile in tiles:
        tile.enabled = False
    try:
        yield
    finally:
        for tile, was_enabled in zip(tiles, enabled, strict=True):
            tile.enabled = was_enabled
        sd_models.apply_token_merging(sd_model, ratio)


@contextmanager
def _without_lowvram(sd_model: WebuiSdModel) -> Iterator[None]:
    """Without the hooks of --medvram and --lowvram, which move modules in the middle of a pass.

    The parts wait on the CPU then, as these flags have it, and each comes when it is needed.
    """
    hooks_before = []
    if getattr(sd_model, "lowvram", False):
        lowvram.send_everything_to_cpu()
        for module in sd_model.modules():
            hooks = list(module._forward_pre_hooks.items())
            moving = [
                key for key, hook in hooks if getattr(hook, "__module__", "") == lowvram.__name__
            ]
            if moving:
                hooks_before.append((module, hooks))
            for key in moving:
                del module._forward_pre_hooks[key]
    try:
        yield
    finally:
        # Cleared and filled anew, so that the hooks run in their old order.
        for module, hooks in hooks_before:
            module._forward_pre_hooks.clear()
            module._forward_pre_hooks.update(hooks)
        lowvram.module_in_gpu = None


@contextmanager
def _attention_that_trains() -> Iterator[None]:
    """Attention with a fast backward pass: xformers' if the user chose it, else PyTorch's own.

    The user's choice may have a slow backward pass or none.  ldm's and sgm's are two classes.
    """
    # The WebUI imports both; older ones know no sgm.
    found = (sys.modules.get(f"{name}.modules.attention") for name in ("ldm", "sgm"))
    classes: list[Any] = [module.CrossAttention for module in found if module is not None]
    before = [each.forward for each in classes]
    if hasattr(nn.functional, "scaled_dot_product_attention"):
        for each, forward in zip(classes, before, strict=True):
            if forward is not sd_hijack_optimizations.xformers_attention_forward:
                each.forward = sd_hijack_optimizations.scaled_dot_product_attention_forward
    try:
        yield
    finally:
        for each, forward in zip(classes, before, strict=True):
            each.forward = forward
