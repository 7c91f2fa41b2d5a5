"""The checkpoint in the WebUI's memory as a TrainingModel, given back bit for bit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

import networks
import torch
from modules import devices, lowvram, sd_hijack_optimizations, sd_models, sd_unet, shared
from torch import Tensor, nn

from ...errors import CheckpointError
from ...host import Conditioning, Part
from ...naming.blocks import SD1, SD2, BlockLayout
from .. import placement
from ..clip import count_tokens, encode, part_positions, token_positions
from ..webui_family.loan import frozen, give_memory_back, trim
from . import compute_dtype

if TYPE_CHECKING:
    from ldm.models.autoencoder import AutoencoderKL
    from modules.sd_hijack_clip import TextConditionalModel
    from modules.sd_models_types import WebuiSdModel

HYPERTILE = "__webui_hypertile_params"  # the attribute by which the WebUI's hypertile finds modules


class WebUITrainingModel:
    """A TrainingModel on the WebUI's own ldm networks; no tensor is copied."""

    recordable = False  # other extensions may do anything in a pass

    def __init__(self, sd_model: WebuiSdModel, precision: str = "auto") -> None:
        self._model = sd_model
        self._dtype = compute_dtype.pass_dtype(precision)
        self._places = placement.Placement(_parts(sd_model), str(devices.device))
        self.layout = layout_of(sd_model)
        self.prediction: Literal["epsilon", "v_prediction"] = (
            "v_prediction" if sd_model.parameterization == "v" else "epsilon"
        )
        # An option of the WebUI halves or rescales `alphas_cumprod` and keeps the loaded ones.
        alphas_cumprod: Tensor = getattr(
            sd_model, "alphas_cumprod_original", sd_model.alphas_cumprod
        )
        self.alphas_cumprod = alphas_cumprod.detach().float().cpu()

    @property
    def device(self) -> str:
        """Where the networks compute."""
        return str(devices.device)

    @property
    def compute_dtype(self) -> torch.dtype:
        """The dtype of a pass."""
        return self._dtype

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
        mode = compute_dtype.through_vae(vae, lambda values: vae.encode(values).mode(), pixels)
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
        stage = self._model.cond_stage_model
        if hasattr(stage.wrapped, "tokenizer"):
            return count_tokens(stage.wrapped.tokenizer, prompt)
        return len(stage.tokenize([prompt])[0])  # SD2's wrapper

    def token_positions(self, prompt: str, part: str) -> list[int]:
        """Where a part of a prompt first lies in its context; none if it is not there."""
        stage = self._model.cond_stage_model
        if hasattr(stage.wrapped, "tokenizer"):
            return token_positions(stage.wrapped.tokenizer, prompt, part)
        # SD2's wrapper may end a chunk early, at a comma
        chunks, _ = stage.tokenize_line(_escaped(prompt))
        return part_positions([chunk.tokens for chunk in chunks], stage.tokenize([part])[0])

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int) -> Conditioning:
        """Prompts to context (B, 77k, D), without emphasis, as every trainer encodes captions."""
        stage = self._model.cond_stage_model
        self._places.bring("text encoder")
        with compute_dtype.autocast(self._dtype):
            if self.layout.name.startswith("sd2"):
                return Conditioning(_encode_open_clip(stage, prompts))
            clip = stage.wrapped
            norm = clip.transformer.text_model.final_layer_norm
            return Conditioning(
                encode(clip.transformer, clip.tokenizer, prompts, clip_skip, self.device, norm)
            )

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        """The U-Net's output for latents (B, 4, h, w) at timesteps (B,)."""
        unet = self._model.model.diffusion_model
        context = conditioning.context.to(devices.device)
        self._places.bring("unet")
        with compute_dtype.autocast(self._dtype):
            if self._dtype == compute_dtype.webui_dtype():
                noisy = noisy.to(devices.dtype_unet)
                context = context.to(devices.dtype_unet)
            # Otherwise they stay in fp32: a cast to the weights' fp16 on the way in is one on the
            # way back, where bf16's small gradients would be lost.
            return unet(noisy.to(devices.device), timesteps.to(devices.device), context)

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        """(canonical name, module) of every Linear and Conv2d of the text encoder and the U-Net.

        SD2's text encoder keeps its attention in one fused module, which takes no branches: only
        its U-Net is given.
        """
        if self.layout.name == "sd1":
            for name, module in self._model.cond_stage_model.wrapped.transformer.named_modules():
                if isinstance(module, nn.Linear) and name.startswith("text_model."):
                    yield name, module
        for name, module in self._model.model.diffusion_model.named_modules():
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                yield name, module

    def blocks(self) -> Iterator[nn.Module]:
        """Residual and attention blocks of the U-Net, layers of the text encoder."""
        unet: Any = self._model.model.diffusion_model
        for part in (*unet.input_blocks, unet.middle_block, *unet.output_blocks):
            yield from (module for module in part if not isinstance(module, nn.Conv2d))
        if self.layout.name == "sd1":
            yield from self._model.cond_stage_model.wrapped.transformer.text_model.encoder.layers


def _encode_open_clip(stage: TextConditionalModel, prompts: Sequence[str]) -> Tensor:
    """SD2's prompts by the WebUI's own wrapper."""
    return stage([_escaped(prompt) for prompt in prompts])


def _escaped(prompt: str) -> str:
    """A prompt without emphasis: the WebUI's parser reads escaped brackets as plain."""
    escapes = {ord(mark): f"\\{mark}" for mark in "\\()[]"}
    return prompt.translate(escapes)


def require_model(sd_model: WebuiSdModel | None) -> WebuiSdModel:
    """The loaded checkpoint.

    Raises:
        CheckpointError: none is loaded.
    """
    if sd_model is None:
        raise CheckpointError(
            "found no checkpoint loaded in the WebUI, expected a Stable Diffusion 1.x one; choose"
            " one at the top of the page"
        )
    return sd_model


def layout_of(sd_model: WebuiSdModel | None) -> BlockLayout:
    """The layout of the loaded checkpoint.

    Raises:
        CheckpointError: none is loaded, or one that cannot be trained, with the reason.
    """
    sd_model = require_model(sd_model)
    name = sd_model.sd_checkpoint_info.name
    if getattr(sd_model, "is_sdxl", False):
        raise CheckpointError(
            f"{name}: found an SDXL checkpoint, which is not supported yet, expected Stable"
            " Diffusion 1.x"
        )
    is_ldm = hasattr(sd_model, "model") and hasattr(sd_model.model, "diffusion_model")
    if getattr(sd_model, "is_sd3", False) or not is_ldm:
        raise CheckpointError(
            f"{name}: found a checkpoint of another family, expected Stable Diffusion 1.x"
        )
    unet: Any = sd_model.model.diffusion_model
    channels = unet.input_blocks[0][0].weight.shape[1]
    if channels != 4:
        kind = "an inpainting checkpoint" if channels == 9 else "a checkpoint"
        raise CheckpointError(
            f"{name}: found {kind} with {channels} input channels, expected 4; train on the"
            " base checkpoint that it was made from: the LoRA works in the inpainting one too"
        )
    context = next(
        module.weight.shape[1]
        for name, module in unet.named_modules()
        if name.endswith("attn2.to_k")
    )
    base = SD2 if getattr(sd_model, "is_sd2", False) else SD1
    return replace(
        base, channels=unet.model_channels, multipliers=tuple(unet.channel_mult), context=context
    )


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
    layout_of(sd_model)  # refuses before anything of the model is touched
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
        stack.enter_context(frozen(_parts(sd_model).values()))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield model


def _parts(sd_model: WebuiSdModel) -> dict[str, nn.Module]:
    clip = sd_model.cond_stage_model.wrapped
    return {
        "unet": sd_model.model.diffusion_model,
        "vae": sd_model.first_stage_model,
        "text encoder": clip.transformer if hasattr(clip, "transformer") else clip.model,  # SD1, 2
    }


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

    The user's choice may have a slow backward pass or none.
    """
    from ldm.modules.attention import CrossAttention

    before = CrossAttention.forward
    if (
        hasattr(nn.functional, "scaled_dot_product_attention")
        and before is not sd_hijack_optimizations.xformers_attention_forward
    ):
        CrossAttention.forward = sd_hijack_optimizations.scaled_dot_product_attention_forward
    try:
        yield
    finally:
        CrossAttention.forward = before
