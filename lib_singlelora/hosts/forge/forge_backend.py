"""Forge, and what keeps its networks as it does: the package `backend`.

Source: lllyasviel/stable-diffusion-webui-forge, dfdcbab6.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import networks
import torch
from backend import attention, memory_management
from backend.diffusion_engine.sd15 import StableDiffusion
from backend.nn import unet as unet_module
from huggingface_guess import model_list
from modules import paths_internal, processing, sd_models
from modules_forge import main_entry
from torch import Tensor, nn

from ...errors import CheckpointError
from ...training.noise import zero_terminal_snr
from ..webui_family.checkpoints import next_checkpoint
from .program import Checkpoint, Program, TextNetwork
from .small_family import SmallFamily

logger = logging.getLogger(__name__)

TEXT_NETWORKS = ("clip_l", "clip_h", "clip_g")  # as their outputs are joined
NO_LORAS = str([])  # the program's own mark of them
KINDS = ("EPS", "V_PREDICTION")  # that it samples by; any other it takes for the first


class ForgeBackend(Program):
    """Forge."""

    name = "forge"
    title = "Forge"
    adds_in_place = ("unet", "text encoder")

    def loaded(self) -> Any | None:
        """The checkpoint in memory; before the first picture there is a placeholder."""
        model = sd_models.model_data.sd_model
        return model if getattr(model, "forge_objects", None) is not None else None

    def chosen(self) -> Checkpoint | None:
        """The checkpoint at the top of the page."""
        parameters = sd_models.model_data.forge_loading_parameters
        checkpoint: Checkpoint | None = parameters.get("checkpoint_info")
        return checkpoint or next_checkpoint()

    def load(self) -> Any:
        """The chosen checkpoint, loaded unless it is in memory.

        Raises:
            CheckpointError: there is none, or it cannot be loaded.
        """
        data = sd_models.model_data
        if not data.forge_loading_parameters:
            main_entry.refresh_model_loading_parameters()
        if self.chosen() is None:
            raise CheckpointError(
                f"found no checkpoint in {self.title}, expected one; put one into"
                " models/Stable-diffusion"
            )
        if self.loaded() is None:
            self._unwedge()
        try:
            sd_models.forge_model_reload()
        except Exception as error:
            self._unwedge()
            raise CheckpointError(
                f"{self._name_of(self.chosen())}: {self.title} could not load it"
                f" ({type(error).__name__}: {error}); its console says more"
            ) from error
        model = self.loaded()
        if model is None:
            self._unwedge()
            raise CheckpointError(
                f"{self._name_of(self.chosen())}: {self.title} does not know its kind, expected"
                " Stable Diffusion 1.x; choose another at the top of the page"
            )
        return model

    def _unwedge(self) -> None:
        """Have the checkpoint be loaded, whatever the program remembers as the loaded one.

        After a load that failed that is the one before, which it has thrown away: chosen again it
        would not come back.
        """
        sd_models.model_data.forge_hash = ""

    def _name_of(self, checkpoint: Checkpoint | None) -> str:
        return checkpoint.name if checkpoint is not None else ""

    @contextmanager
    def drawing_with(self, checkpoint: Checkpoint) -> Iterator[None]:
        """The program loads what its parameters name, whatever the option says."""
        data = sd_models.model_data
        self.load()
        before = data.forge_loading_parameters
        try:
            data.forge_loading_parameters = {**before, "checkpoint_info": checkpoint}
            processing.need_global_unload = True
            self.load()
            yield
        finally:
            data.forge_loading_parameters = before
            processing.need_global_unload = True
            self.load()

    def add_family(self, family: SmallFamily) -> None:
        """As a kind of Stable Diffusion 1, before the program's own, whose widths differ."""
        if any(kind.__name__ == family.name for kind in model_list.models):
            return
        folder = Path(paths_internal.data_path) / "cache" / "singlelora" / family.name
        family.write_diffusers_folder(folder)
        kind = type(
            family.name,
            (model_list.SD15,),
            {
                "huggingface_repo": str(folder.resolve()),
                "unet_config": {**model_list.SD15.unet_config, **family.widths},
                "unet_extra_config": family.extra_config(),
            },
        )
        model_list.models.insert(0, kind)
        StableDiffusion.matched_guesses.append(kind)

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
            TextNetwork(getattr(stage, name), getattr(clip.tokenizer, name))
            for name in TEXT_NETWORKS
            if hasattr(stage, name)
        ]

    def take_loras_out(self, sd_model: Any) -> None:
        """By the patchers, which restore what they keep."""
        objects = sd_model.forge_objects_original
        patchers = [objects.unet, objects.clip.patcher, objects.vae.patcher]
        sd_model.forge_objects = objects.shallow_copy()
        sd_model.forge_objects_after_applying_lora = objects.shallow_copy()
        sd_model.current_lora_hash = NO_LORAS
        networks.loaded_networks.clear()
        _unload([patcher.model for patcher in patchers])
        for patcher in patchers:
            patcher.refresh_loras()
        # The first prompt moves the embeddings to fp32, once and for good.
        sd_model.get_learned_conditioning([""])
        _unload([patcher.model for patcher in patchers])

    def quantization(self, sd_model: Any) -> str:
        """nf4, fp4 or gguf."""
        stored = sd_model.forge_objects_original.unet.model.storage_dtype
        return "" if isinstance(stored, torch.dtype) else str(stored)

    def forget_loras(self) -> None:
        """The files' contents, and under which names the networks have them."""
        networks.load_lora_state_dict.cache_clear()
        model = self.loaded()
        if model is not None:
            model.current_lora_hash = ""
            objects = model.forge_objects_original
            for patcher in (objects.unet, objects.clip.patcher):
                patcher.lora_loader.loaded_hash = ""

    @contextmanager
    def attention_that_trains(self) -> Iterator[None]:
        """xformers' if the program uses it, else PyTorch's own; others have a slow way back."""
        before = unet_module.attention_function
        if before.__name__ != "attention_xformers":
            unet_module.attention_function = attention.attention_pytorch
        try:
            yield
        finally:
            unet_module.attention_function = before

    @property
    def device(self) -> torch.device:
        """Where the networks compute."""
        return torch.device(memory_management.get_torch_device())

    def compute_dtype(self, sd_model: Any) -> torch.dtype:
        """Whatever the weights are stored in."""
        dtype: torch.dtype = sd_model.forge_objects_original.unet.model.computation_dtype
        return dtype

    def prediction_type(self, sd_model: Any) -> str:
        """As the file's keys say; of those that it knows the program samples only two rightly."""
        kind = str(sd_model.model_config.model_type.name)
        if kind not in KINDS:
            return kind
        return str(sd_model.forge_objects_original.unet.model.predictor.prediction_type)

    def alphas_cumprod(self, sd_model: Any) -> Tensor:
        """(T,).  The program rescales its sigmas for each picture, and keeps these as they are."""
        alphas: Tensor = sd_model.forge_objects_original.unet.model.predictor.alphas_cumprod
        is_v = self.prediction_type(sd_model) == "v_prediction"
        return zero_terminal_snr(alphas) if is_v and sd_model.model_config.ztsnr else alphas

    def encode(self, sd_model: Any, pixels: Tensor) -> Tensor:
        """The distribution's mode."""
        vae: Any = self.vae(sd_model)
        latents: Tensor = vae.encode(pixels, regulation=lambda distribution: distribution.mode())
        return latents

    def scaled(self, sd_model: Any, latents: Tensor) -> Tensor:
        """By the VAE's factor."""
        vae: Any = self.vae(sd_model)
        result: Tensor = vae.process_in(latents)
        return result

    def unscaled(self, sd_model: Any, latents: Tensor) -> Tensor:
        """By the VAE's factor."""
        vae: Any = self.vae(sd_model)
        result: Tensor = vae.process_out(latents)
        return result


def _unload(models: Sequence[nn.Module]) -> None:
    """Networks to where the program keeps what it does not use, whole."""
    loaded = memory_management.current_loaded_models
    for entry in list(loaded):
        patcher = entry.model
        if patcher is not None and any(patcher.model is model for model in models):
            loaded.remove(entry)
            entry.model_unload()
