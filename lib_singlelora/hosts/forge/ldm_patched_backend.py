"""reForge: the package `ldm_patched`.

Source: Panchovix/stable-diffusion-webui-reForge, 3b56b268.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import networks
import torch
from ldm_patched.ldm.modules import attention
from ldm_patched.modules import (
    model_management,
    model_sampling,
    sd1_clip,
    supported_models,
    supported_models_base,
)
from modules import scripts, sd_models, shared
from modules_forge import forge_loader
from torch import Tensor, nn

from ...errors import CheckpointError
from ..webui_family.checkpoints import next_checkpoint
from .program import Checkpoint, Program, TextNetwork
from .small_family import SmallFamily

TEXT_NETWORKS = ("clip_l", "clip_h", "clip_g")  # as their outputs are joined
NO_LORAS = str([])  # the program's own mark of them
KINDS = {model_sampling.EPS: "epsilon", model_sampling.V_PREDICTION: "v_prediction"}
CHOSEN = "sd_model_checkpoint"  # the program's option


class LdmPatchedBackend(Program):
    """reForge."""

    name = "reforge"
    title = "reForge"
    adds_in_place = ("text encoder",)

    def loaded(self) -> Any | None:
        """The checkpoint in memory."""
        model = sd_models.model_data.sd_model
        return model if getattr(model, "forge_objects", None) is not None else None

    def chosen(self) -> Checkpoint | None:
        """The checkpoint at the top of the page."""
        return next_checkpoint()

    def load(self) -> Any:
        """The chosen checkpoint, loaded unless it is in memory.

        Raises:
            CheckpointError: there is none, or it cannot be loaded.
        """
        checkpoint = self.chosen()
        if checkpoint is None:
            raise CheckpointError(
                f"found no checkpoint in {self.title}, expected one; put one into"
                " models/Stable-diffusion"
            )
        model = self.loaded()
        if model is not None and model.sd_checkpoint_info.filename == checkpoint.filename:
            return model
        try:
            sd_models.reload_model_weights(info=checkpoint)
        except Exception as error:
            raise CheckpointError(
                f"{checkpoint.name}: {self.title} could not load it"
                f" ({type(error).__name__}: {error}); its console says more"
            ) from error
        model = self.loaded()
        if model is None or model.sd_checkpoint_info.filename != checkpoint.filename:
            raise CheckpointError(
                f"{checkpoint.name}: {self.title} could not load it; its console says why"
            )
        return model

    @contextmanager
    def drawing_with(self, checkpoint: Checkpoint) -> Iterator[None]:
        """The option names it, for the program loads what that names before each picture.

        In memory only, and without its callback: a picture's own option would have both loaded anew
        for each.
        """
        options = shared.opts.data
        before = options.get(CHOSEN)
        options[CHOSEN] = checkpoint.title
        try:
            self.load()
            yield
        finally:
            if before is None:
                del options[CHOSEN]
            else:
                options[CHOSEN] = before
            self.load()

    def complete_picture(self, p: Any) -> None:
        """A runner without scripts: the program asks the runner without looking for one."""
        if p.scripts is None:
            p.scripts = scripts.ScriptRunner()
            p.script_args = []

    def add_family(self, family: SmallFamily) -> None:
        """As a kind of Stable Diffusion 1, before the program's own, whose widths differ."""
        if any(kind.__name__ == family.name for kind in supported_models.models):
            return
        supported_models.models.insert(0, _kind(family))
        forge_loader.VAE = _vae(forge_loader.VAE, family)

    def unet(self, sd_model: Any) -> nn.Module:
        """Under the patcher."""
        unet: nn.Module = sd_model.forge_objects_original.unet.model.diffusion_model
        return unet

    def vae(self, sd_model: Any) -> nn.Module:
        """The autoencoder."""
        vae: nn.Module = sd_model.forge_objects_original.vae.first_stage_model
        return vae

    def text_networks(self, sd_model: Any) -> Sequence[TextNetwork]:
        """One for SD1 and SD2, two for SDXL."""
        clip = sd_model.forge_objects_original.clip
        stage = clip.cond_stage_model
        return [
            TextNetwork(getattr(stage, name), getattr(clip.tokenizer, name).tokenizer)
            for name in TEXT_NETWORKS
            if hasattr(stage, name)
        ]

    def take_loras_out(self, sd_model: Any) -> None:
        """By the patchers, which restore what they keep."""
        objects = sd_model.forge_objects_original
        patchers = [objects.unet, objects.clip.patcher, objects.vae.patcher]
        last = sd_model.forge_objects  # kept until they are unloaded: the program holds them weakly
        _unload([patcher.model for patcher in patchers])
        for patcher in (last.unet, last.clip.patcher, *patchers):
            if patcher.backup:
                patcher.unpatch_model(patcher.offload_device)
        sd_model.forge_objects = objects.shallow_copy()
        sd_model.forge_objects_after_applying_lora = objects.shallow_copy()
        sd_model.current_lora_hash = NO_LORAS
        networks.loaded_networks.clear()

    def quantization(self, sd_model: Any) -> str:
        """Scaled fp8, the one kind that it packs."""
        scaled = sd_model.forge_objects_original.unet.model.model_config.scaled_fp8
        return "scaled fp8" if scaled is not None else ""

    def forget_loras(self) -> None:
        """The files' contents, and under which names the networks have them."""
        networks.load_lora_state_dict.cache_clear()
        model = self.loaded()
        if model is not None:
            model.current_lora_hash = ""

    @contextmanager
    def attention_that_trains(self) -> Iterator[None]:
        """xformers' if the program uses it, else PyTorch's own; some have no backward pass."""
        names = ("optimized_attention", "optimized_attention_masked")
        before = {name: getattr(attention, name) for name in names}
        for name, function in before.items():
            if function.__name__ != "attention_xformers":
                setattr(attention, name, attention.attention_pytorch)
        try:
            yield
        finally:
            for name, function in before.items():
                setattr(attention, name, function)

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return torch.device(model_management.get_torch_device())

    def compute_dtype(self, sd_model: Any) -> torch.dtype:
        """Whatever the weights are stored in."""
        model = sd_model.forge_objects_original.unet.model
        dtype: torch.dtype = model.manual_cast_dtype or model.get_dtype()
        return dtype

    def prediction_type(self, sd_model: Any) -> str:
        """As the file's keys say, or its config, which changes the sampling alone."""
        schedule, kind = type(self._sampling(sd_model)).__bases__
        if schedule is model_sampling.ModelSamplingDiscrete and kind in KINDS:
            return KINDS[kind]
        return f"{schedule.__name__} and {kind.__name__}"

    def alphas_cumprod(self, sd_model: Any) -> Tensor:
        """(T,).  Of a schedule that is made anew: a picture may have left another in its place."""
        kind: Any = type(self._sampling(sd_model))
        sigmas: Tensor = kind(sd_model.forge_objects_original.unet.model.model_config).sigmas
        return 1 / (1 + sigmas.double().square())

    def _sampling(self, sd_model: Any) -> nn.Module:
        """Of a class that the program makes for it, from a schedule and a kind of prediction."""
        sampling: nn.Module = sd_model.forge_objects_original.unet.get_model_object(
            "model_sampling"
        )
        return sampling

    def encode(self, sd_model: Any, pixels: Tensor) -> Tensor:
        """The distribution's mode."""
        vae: Any = self.vae(sd_model)
        moments: Tensor = vae.quant_conv(vae.encoder(pixels))
        return moments.chunk(2, dim=1)[0]

    def scaled(self, sd_model: Any, latents: Tensor) -> Tensor:
        """By the family's factor."""
        result: Tensor = sd_model.forge_objects_original.unet.model.process_latent_in(latents)
        return result

    def unscaled(self, sd_model: Any, latents: Tensor) -> Tensor:
        """By the family's factor."""
        result: Tensor = sd_model.forge_objects_original.unet.model.process_latent_out(latents)
        return result


def _unload(models: Sequence[nn.Module]) -> None:
    """Networks to where the program keeps what it does not use, whole and without LoRAs."""
    loaded = model_management.current_loaded_models
    for entry in list(loaded):
        patcher = entry.model
        if patcher is not None and any(patcher.model is model for model in models):
            loaded.remove(entry)
            entry.model_unload()


def _kind(family: SmallFamily) -> type[Any]:
    """The program's description of a family."""
    text_encoder = partial(
        sd1_clip.SDClipModel,
        return_projected_pooled=False,
        textmodel_json_config=str(family.clip / "config.json"),
    )

    def clip_target(self: Any, state_dict: Any = None) -> Any:
        target = supported_models_base.ClipTarget(sd1_clip.SD1Tokenizer, sd1_clip.SD1ClipModel)
        target.params["clip_model"] = text_encoder
        return target

    return type(
        family.name,
        (supported_models.SD15,),
        {
            "unet_config": {**supported_models.SD15.unet_config, **family.widths},
            "unet_extra_config": family.extra_config(),
            "clip_target": clip_target,
        },
    )


def _vae(before: type[Any], family: SmallFamily) -> type[Any]:
    """The program's autoencoder, whose widths it takes for granted, of the family's where it is."""

    class Vae(before):  # type: ignore[misc]
        def __init__(self, sd: Any = None, **named: Any) -> None:
            first = (sd or {}).get("encoder.conv_in.weight")
            if first is not None and first.shape[0] == family.vae["ch"]:
                named["config"] = {"params": {"ddconfig": family.vae, "embed_dim": 4}}
            super().__init__(sd=sd, **named)

    return Vae
