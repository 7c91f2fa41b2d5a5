"""A stand-in for reForge's packages: what our host uses of them, with its classes' habits.

Its text encoder is ComfyUI's class, its patcher keeps what a LoRA replaced, and what it holds of a
checkpoint's patchers it holds weakly.  The real reForge is tested in tests/webui.

Source: Panchovix/stable-diffusion-webui-reForge, 3b56b268.
"""

from __future__ import annotations

import json
import sys
import weakref
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.embedded.paths import CLIP
from tests.hosts.forge.stand_in import (
    CHANNELS,
    Objects,
    Unet,
    attention_pytorch,
    attention_sub_quad,
    inference,
)
from tests.hosts.webui.stand_in import StandIn, module
from tests.small_checkpoint import SMALL, clip_config

TO_Q = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"


class TextModel(nn.Module):
    """ldm_patched/modules/clip_model.py, CLIPTextModel_: the wanted layer is an argument."""

    def __init__(self) -> None:
        from transformers import CLIPTextConfig, CLIPTextModel

        super().__init__()
        known = json.loads(json.dumps(clip_config(SMALL)))
        own = {key: v for key, v in known.items() if key not in ("architectures", "model_type")}
        whole = CLIPTextModel(CLIPTextConfig(**own))
        inner = getattr(whole, "text_model", whole)
        self.embeddings = inner.embeddings
        self.encoder = inner.encoder
        self.final_layer_norm = inner.final_layer_norm
        object.__setattr__(self, "_inner", inner)

    def forward(
        self, tokens: Tensor, intermediate_output: int, final_layer_norm_intermediate: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        out = self._inner(tokens, output_hidden_states=True)
        hidden = out.hidden_states[intermediate_output]
        if final_layer_norm_intermediate:
            hidden = self.final_layer_norm(hidden)
        return out.last_hidden_state, hidden, out.pooler_output


class Vae(nn.Module):
    """ldm_patched/ldm/models/autoencoder.py, AutoencoderKL, as far as its signatures go."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 8, 8, stride=8)
        self.quant_conv = nn.Conv2d(8, 8, 1)
        self.decoder = nn.ConvTranspose2d(4, 3, 8, stride=8)

    def decode(self, latents: Tensor) -> Tensor:
        out: Tensor = self.decoder(latents)
        return out


class ModelSamplingDiscrete(nn.Module):
    """ldm_patched/modules/model_sampling.py: what a picture sets in `sigmas` stays there."""

    def __init__(self, model_config: Any = None) -> None:
        super().__init__()
        alphas = torch.linspace(0.99, 0.01, 1000)
        self.register_buffer("sigmas", ((1 - alphas) / alphas).sqrt())


class Eps:
    """EPS."""


class VPrediction(Eps):
    """V_PREDICTION."""


class Flow:
    """CONST."""


def sampling(kind: type) -> nn.Module:
    """ldm_patched/modules/model_base.py, model_sampling: a class of its own for each."""
    made: nn.Module = type("ModelSampling", (ModelSamplingDiscrete, kind), {})(None)
    return made


class BaseModel(nn.Module):
    """ldm_patched/modules/model_base.py."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.diffusion_model = Unet(channels, in_place=False)
        self.model_sampling = sampling(Eps)
        self.model_config = SimpleNamespace(scaled_fp8=None)
        self.manual_cast_dtype = None

    def get_dtype(self) -> torch.dtype:
        return torch.float32

    def process_latent_in(self, latents: Tensor) -> Tensor:
        return latents * 0.18215

    def process_latent_out(self, latents: Tensor) -> Tensor:
        return latents / 0.18215


class Patcher:
    """ldm_patched/modules/model_patcher.py, ModelPatcher."""

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model
        self.offload_device = torch.device("cpu")
        self.backup: dict[str, nn.Parameter] = {}
        self.object_patches: dict[str, nn.Module] = {}

    def get_model_object(self, name: str) -> Any:
        return self.object_patches.get(name, getattr(self.model, name))

    @torch.inference_mode()
    def patch(self, key: str, delta: Tensor) -> None:
        path, _, name = key.rpartition(".")
        owner = self.model.get_submodule(path)
        self.backup[key] = getattr(owner, name)
        setattr(owner, name, nn.Parameter(getattr(owner, name) + delta, requires_grad=False))

    def unpatch_model(self, device_to: torch.device) -> None:
        for key, weight in self.backup.items():
            path, _, name = key.rpartition(".")
            setattr(self.model.get_submodule(path), name, weight)
        self.backup.clear()


class Loaded:
    """ldm_patched/modules/model_management.py, LoadedModel."""

    def __init__(self, patcher: Patcher) -> None:
        self._model = weakref.ref(patcher)
        self.unloaded = 0

    @property
    def model(self) -> Patcher | None:
        return self._model()

    def model_unload(self) -> None:
        self.unloaded += 1
        patcher = self.model
        assert patcher is not None
        patcher.unpatch_model(patcher.offload_device)


class Model:
    """modules_forge/forge_loader.py, FakeInitialModel's successor: what a load gives."""

    def __init__(self, filename: str = "small.safetensors", channels: int = 4) -> None:
        from transformers import CLIPTokenizer

        torch.manual_seed(0)
        stage = nn.Module()
        stage.clip_l = nn.Module()
        stage.clip_l.transformer = nn.Module()
        stage.clip_l.transformer.text_model = TextModel()
        vae = inference(Vae())
        tokenizer = SimpleNamespace(tokenizer=CLIPTokenizer.from_pretrained(str(CLIP)))
        clip = SimpleNamespace(
            cond_stage_model=stage,
            tokenizer=SimpleNamespace(clip_l=tokenizer),
            patcher=Patcher(inference(stage)),
        )
        self.forge_objects_original = Objects(
            Patcher(inference(BaseModel(channels))),
            clip,
            SimpleNamespace(first_stage_model=vae, patcher=Patcher(vae)),
        )
        self.forge_objects = self.forge_objects_original.shallow_copy()
        self.forge_objects_after_applying_lora = self.forge_objects.shallow_copy()
        self.current_lora_hash = str([])
        self.sd_checkpoint_info = SimpleNamespace(name=Path(filename).name, filename=filename)
        self.filename = filename
        self.is_sd1 = True

    def draw_with_lora(self) -> Patcher:
        """What a picture with a LoRA leaves; returns the patcher that has the weights' backup."""
        patcher = Patcher(self.forge_objects_original.unet.model)
        patcher.patch(TO_Q, torch.ones(CHANNELS, CHANNELS))
        self.forge_objects.unet = patcher
        self.forge_objects_after_applying_lora = self.forge_objects.shallow_copy()
        self.current_lora_hash = "[['isabella']]"
        return patcher


class ReForgeStandIn:
    """reForge for one test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, webui: StandIn) -> None:
        self.webui = webui
        self.files: list[str] = []  # whose contents were asked for
        self.loads: list[str] = []
        self.fails = False
        self.data = SimpleNamespace(sd_model=None)
        self.loaded: list[Loaded] = []
        self.attention = module(
            "ldm_patched.ldm.modules.attention",
            attention_pytorch=attention_pytorch,
            optimized_attention=attention_sub_quad,
            optimized_attention_masked=attention_sub_quad,
        )
        webui.networks.load_lora_state_dict = SimpleNamespace(cache_clear=self.files.clear)
        infos = [self.info(name) for name in ("small", "z other")]
        aliases = {alias: info for info in infos for alias in (info.title, info.name)}
        base = type("SD15", (), {"unet_config": {"context_dim": 768, "model_channels": 320}})
        self.supported_models = module(
            "ldm_patched.modules.supported_models", SD15=base, models=[base]
        )
        management = module(
            "ldm_patched.modules.model_management",
            current_loaded_models=self.loaded,
            get_torch_device=lambda: torch.device("cpu"),
        )
        model_sampling = module(
            "ldm_patched.modules.model_sampling",
            ModelSamplingDiscrete=ModelSamplingDiscrete,
            EPS=Eps,
            V_PREDICTION=VPrediction,
        )
        self.webui.scripts.ScriptRunner = SimpleNamespace
        entries = [
            module("ldm_patched", __path__=[]),
            module("ldm_patched.ldm", __path__=[]),
            module("ldm_patched.ldm.modules", __path__=[]),
            self.attention,
            module("ldm_patched.modules", __path__=[]),
            management,
            model_sampling,
            module("ldm_patched.modules.sd1_clip", SDClipModel=None, SD1Tokenizer=None),
            self.supported_models,
            module("ldm_patched.modules.supported_models_base", ClipTarget=None),
            module("modules_forge", __path__=[]),
            module("modules_forge.forge_loader", VAE=object),
            module(
                "modules.sd_models",
                model_data=self.data,
                reload_model_weights=self.reload,
                checkpoint_aliases=aliases,
                checkpoints_list={info.title: info for info in infos},
                get_closet_checkpoint_match=aliases.get,
                CheckpointInfo=SimpleNamespace,
            ),
            module("modules.sd_samplers", all_samplers=[]),
            module("modules.sd_schedulers", schedulers=[]),
            module("modules.hashes", sha256=lambda *named: ""),
        ]
        # Ours hold the modules that they imported in another test.
        for name in [name for name in sys.modules if name.startswith("lib_singlelora.hosts.forge")]:
            monkeypatch.delitem(sys.modules, name)
        for entry in entries:
            monkeypatch.setitem(sys.modules, entry.__name__, entry)
            parent, _, child = entry.__name__.rpartition(".")
            if parent:
                monkeypatch.setattr(sys.modules[parent], child, entry, raising=False)

    @staticmethod
    def info(name: str) -> Any:
        """modules/sd_models.py, CheckpointInfo."""
        return SimpleNamespace(
            name=f"{name}.safetensors",
            filename=f"{name}.safetensors",
            title=f"{name}.safetensors [0123456789]",
            metadata={},
        )

    def reload(self, info: Any = None) -> Any:
        """modules/sd_models.py, load_model: the one that is loaded is kept, if it is the one."""
        from modules import sd_models

        chosen = self.webui.opts.data.get("sd_model_checkpoint")
        wanted = info or sd_models.checkpoint_aliases.get(chosen, self.info("small"))
        if self.data.sd_model is not None and self.data.sd_model.filename == wanted.filename:
            return self.data.sd_model
        self.data.sd_model = None
        self.loads.append(wanted.name)
        if self.fails:
            raise ValueError("Failed to recognize model type!")
        self.data.sd_model = Model(wanted.filename)
        objects = self.data.sd_model.forge_objects_original
        self.loaded[:] = [Loaded(objects.unet), Loaded(objects.clip.patcher)]
        return self.data.sd_model
