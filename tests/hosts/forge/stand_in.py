"""A stand-in for Forge's packages: what our host uses of them, with its classes' habits.

Its Linear is none of PyTorch's, its blocks add in place, its checkpoint is loaded and patched under
`torch.inference_mode`.  The real Forge is tested in tests/webui.

Source: lllyasviel/stable-diffusion-webui-forge, dfdcbab6.
"""

from __future__ import annotations

import copy
import json
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from lib_singlelora.embedded.paths import CLIP
from tests.hosts.webui.stand_in import StandIn, module
from tests.small_checkpoint import SMALL, clip_config

CHANNELS = 32
CONTEXT = SMALL.text


class Linear(nn.Module):
    """backend/operations.py, ForgeOperations.Linear."""

    def __init__(self, inner: int, outer: int, bias: bool = True) -> None:
        super().__init__()
        self.in_features = inner
        self.out_features = outer
        self.weight = nn.Parameter(torch.randn(outer, inner) / inner**0.5)
        self.bias = nn.Parameter(torch.randn(outer) * 0.1) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight, self.bias)


def attention_function() -> Callable[[Tensor, Tensor, Tensor, int], Tensor]:
    """What the program that stands here now computes attention by."""
    patched: Any = sys.modules.get("ldm_patched.ldm.modules.attention")
    forge: Any = sys.modules.get("backend.nn.unet")
    function: Callable[[Tensor, Tensor, Tensor, int], Tensor] = (
        patched.optimized_attention if patched else forge.attention_function
    )
    return function


class Attention(nn.Module):
    def __init__(self, context: int = CHANNELS) -> None:
        super().__init__()
        self.to_q = Linear(CHANNELS, CHANNELS, bias=False)
        self.to_k = Linear(context, CHANNELS, bias=False)
        self.to_v = Linear(context, CHANNELS, bias=False)
        self.to_out = nn.Sequential(Linear(CHANNELS, CHANNELS), nn.Dropout(0.0))

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        given = x if context is None else context
        heads = attention_function()(self.to_q(x), self.to_k(given), self.to_v(given), 4)
        out: Tensor = self.to_out(heads)
        return out


class Geglu(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.proj = Linear(CHANNELS, 8 * CHANNELS)

    def forward(self, x: Tensor) -> Tensor:
        x, gate = self.proj(x).chunk(2, dim=-1)
        return x * F.gelu(gate)


class FeedForward(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(Geglu(), nn.Dropout(0.0), Linear(4 * CHANNELS, CHANNELS))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.net(x)
        return out


class BasicTransformerBlock(nn.Module):
    """backend/nn/unet.py: each sum is made in place; reForge's are not."""

    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.in_place = in_place
        self.attn1 = Attention()
        self.norm1 = nn.LayerNorm(CHANNELS)
        self.attn2 = Attention(CONTEXT)
        self.norm2 = nn.LayerNorm(CHANNELS)
        self.ff = FeedForward()
        self.norm3 = nn.LayerNorm(CHANNELS)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        if not self.in_place:
            x = x + self.attn1(self.norm1(x))
            x = x + self.attn2(self.norm2(x), context)
            return x + self.ff(self.norm3(x))
        x += self.attn1(self.norm1(x))
        x += self.attn2(self.norm2(x), context)
        skip = x
        x = self.ff(self.norm3(x))
        x += skip
        return x


class SpatialTransformer(nn.Module):
    def __init__(self, in_place: bool) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(32, CHANNELS)
        self.proj_in = nn.Conv2d(CHANNELS, CHANNELS, 1)
        self.transformer_blocks = nn.ModuleList([BasicTransformerBlock(in_place)])
        self.proj_out = nn.Conv2d(CHANNELS, CHANNELS, 1)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        rows = self.proj_in(self.norm(x)).flatten(2).transpose(1, 2).contiguous()
        for block in self.transformer_blocks:
            rows = block(rows, context)
        inner = rows.transpose(1, 2).reshape(x.shape).contiguous()
        out: Tensor = self.proj_out(inner)
        return out + x


class Sequence(nn.Sequential):
    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        for layer in self:
            x = layer(x, context) if isinstance(layer, SpatialTransformer) else layer(x)
        return x


class Clip(nn.Module):
    """transformers' CLIPTextModel under the names of its version 4, which Forge has."""

    def __init__(self) -> None:
        from transformers import CLIPTextConfig, CLIPTextModel

        super().__init__()
        known = json.loads(json.dumps(clip_config(SMALL)))
        own = {key: v for key, v in known.items() if key not in ("architectures", "model_type")}
        self.config = CLIPTextConfig(**own)
        whole = CLIPTextModel(self.config)
        self.text_model = getattr(whole, "text_model", whole)

    def forward(self, tokens: Tensor, **named: Any) -> Any:
        return self.text_model(tokens, **named)


class Unet(nn.Module):
    """Stable Diffusion 1's blocks, one of them with its convolutions, of one width."""

    def __init__(self, channels: int = 4, in_place: bool = True) -> None:
        super().__init__()
        self.in_place = in_place
        self.model_channels = CHANNELS
        self.channel_mult = [1, 1, 1, 1]
        self.time_embed = nn.Sequential(Linear(CHANNELS, CHANNELS))
        first = Sequence(nn.Conv2d(channels, CHANNELS, 3, padding=1))
        middle = [self._block(index) for index in range(1, 12)]
        self.input_blocks = nn.ModuleList([first, *middle])
        self.middle_block = Sequence(SpatialTransformer(in_place))
        self.output_blocks = nn.ModuleList([self._block(11 - index) for index in range(12)])
        self.out = nn.Sequential(nn.Conv2d(CHANNELS, 4, 3, padding=1))

    def _block(self, index: int) -> Sequence:
        inner: list[nn.Module] = [nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1)]
        if index % 3 and index < 9:
            inner.append(SpatialTransformer(self.in_place))
        return Sequence(*inner)

    def forward(
        self,
        x: Tensor,
        timesteps: Tensor,
        context: Tensor,
        y: Tensor | None = None,
        transformer_options: dict[str, Any] | None = None,
    ) -> Tensor:
        assert transformer_options == {}, "the U-Net writes into it"
        transformer_options["original_shape"] = list(x.shape)
        h = x
        for block in (*self.input_blocks, self.middle_block, *self.output_blocks):
            h = block(h, context)
        out: Tensor = self.out(h)
        return (
            out + self.time_embed(timesteps[:, None].expand(-1, CHANNELS) / 1000)[:, :4, None, None]
        )


class Vae(nn.Module):
    """backend/nn/vae.py, as far as its signatures go."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Conv2d(3, 8, 8, stride=8)
        self.decoder = nn.ConvTranspose2d(4, 3, 8, stride=8)

    def encode(self, x: Tensor, regulation: Callable[[Any], Tensor]) -> Tensor:
        mean = self.encoder(x).chunk(2, dim=1)[0]
        return regulation(SimpleNamespace(mode=lambda: mean))

    def decode(self, latents: Tensor) -> Tensor:
        out: Tensor = self.decoder(latents)
        return out

    def process_in(self, latents: Tensor) -> Tensor:
        return latents * 0.18215

    def process_out(self, latents: Tensor) -> Tensor:
        return latents / 0.18215


class LoraLoader:
    """backend/patcher/lora.py: merges under inference mode, and keeps what it replaced."""

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.backup: dict[tuple[nn.Module, str], nn.Parameter] = {}
        self.loaded_hash = str([])

    @torch.inference_mode()
    def refresh(self, patches: dict[str, Tensor]) -> None:
        if str(list(patches)) == self.loaded_hash:
            return
        for (owner, name), weight in self.backup.items():
            setattr(owner, name, weight)
        self.backup = {}
        for key, delta in patches.items():
            path, _, name = key.rpartition(".")
            owner = self.model.get_submodule(path)
            self.backup[owner, name] = getattr(owner, name)
            setattr(owner, name, nn.Parameter(getattr(owner, name) + delta, requires_grad=False))
        self.loaded_hash = str(list(patches))


class Patcher:
    """backend/patcher/base.py, ModelPatcher."""

    def __init__(self, model: nn.Module) -> None:
        self.model: Any = model
        self.lora_patches: dict[str, Tensor] = {}
        if not hasattr(model, "lora_loader"):
            object.__setattr__(model, "lora_loader", LoraLoader(model))

    @property
    def lora_loader(self) -> LoraLoader:
        loader: LoraLoader = self.model.lora_loader
        return loader

    def refresh_loras(self) -> None:
        self.lora_loader.refresh(self.lora_patches)


class Loaded:
    """backend/memory_management.py, LoadedModel."""

    def __init__(self, patcher: Patcher) -> None:
        self.model = patcher
        self.unloaded = 0

    def model_unload(self) -> None:
        self.unloaded += 1


class Objects:
    """backend/diffusion_engine/base.py, ForgeObjects."""

    def __init__(self, unet: Patcher, clip: Any, vae: Any) -> None:
        self.unet = unet
        self.clip = clip
        self.vae = vae

    def shallow_copy(self) -> Objects:
        return copy.copy(self)


@torch.inference_mode()
def inference(network: nn.Module) -> nn.Module:
    """The network as a program that loads it leaves it: a change of dtype makes new tensors."""
    return network.half().float()


class Engine:
    """backend/diffusion_engine/sd15.py, StableDiffusion."""

    matched_guesses: list[type] = []  # noqa: RUF012  (as the program has it)

    def __init__(self, channels: int = 4) -> None:
        from transformers import CLIPTokenizer

        torch.manual_seed(0)
        stage = nn.Module()
        stage.clip_l = nn.Module()
        stage.clip_l.transformer = Clip()
        kmodel: Any = nn.Module()
        kmodel.diffusion_model = Unet(channels)
        kmodel.predictor = nn.Module()
        kmodel.predictor.prediction_type = "epsilon"
        kmodel.predictor.register_buffer("alphas_cumprod", torch.linspace(0.99, 0.01, 1000))
        kmodel.storage_dtype = kmodel.computation_dtype = torch.float32
        vae = inference(Vae())
        clip = SimpleNamespace(
            cond_stage_model=stage,
            tokenizer=SimpleNamespace(clip_l=CLIPTokenizer.from_pretrained(str(CLIP))),
            patcher=Patcher(inference(stage)),
        )
        self.forge_objects_original = Objects(
            Patcher(inference(kmodel)),
            clip,
            SimpleNamespace(first_stage_model=vae, patcher=Patcher(vae)),
        )
        self.forge_objects = self.forge_objects_original.shallow_copy()
        self.forge_objects_after_applying_lora = self.forge_objects.shallow_copy()
        self.current_lora_hash = str([])
        self.model_config = SimpleNamespace(ztsnr=False, model_type=SimpleNamespace(name="EPS"))
        self.sd_checkpoint_info = SimpleNamespace(
            name="small.safetensors", filename="small.safetensors"
        )
        self.is_sd1 = True

    def get_learned_conditioning(self, prompts: list[str]) -> None:
        """The first prompt moves the embeddings to fp32; here they are."""

    def draw_with_lora(self) -> None:
        """What a picture with a LoRA leaves: weights that were patched under inference mode."""
        patcher = Patcher(self.forge_objects_original.unet.model)
        key = "diffusion_model.input_blocks.1.1.transformer_blocks.0.attn1.to_q.weight"
        patcher.lora_patches = {key: torch.ones(CHANNELS, CHANNELS)}
        patcher.refresh_loras()
        self.forge_objects.unet = patcher
        self.forge_objects_after_applying_lora = self.forge_objects.shallow_copy()
        self.current_lora_hash = "[['isabella']]"


def attention_pytorch(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """backend/attention.py."""
    parts = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in (q, k, v))
    return F.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)


def attention_sub_quad(q: Tensor, k: Tensor, v: Tensor, heads: int) -> Tensor:
    """Without a way back."""
    with torch.no_grad():
        return attention_pytorch(q, k, v, heads)


class ForgeStandIn:
    """Forge for one test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, root: Path, webui: StandIn) -> None:
        self.webui = webui
        self.files: list[str] = []  # whose contents were asked for
        self.loads = 0
        self.fails = False
        self.next: Any = None
        self.data = SimpleNamespace(sd_model=None, forge_loading_parameters={}, forge_hash="")
        self.loaded: list[Loaded] = []
        self.unet = module("backend.nn.unet", attention_function=attention_sub_quad)
        sd15 = type("SD15", (), {"unet_config": {"context_dim": 768, "model_channels": 320}})
        self.model_list = module("huggingface_guess.model_list", SD15=sd15, models=[sd15])
        cache = SimpleNamespace(cache_clear=self.files.clear)
        webui.networks.load_lora_state_dict = cache
        sd_models = module(
            "modules.sd_models",
            model_data=self.data,
            forge_model_reload=self.reload,
            checkpoint_aliases={},
            checkpoints_list={},
            CheckpointInfo=SimpleNamespace,
            model_hash=lambda filename: "",
        )
        engine = module("backend.diffusion_engine.sd15", StableDiffusion=Engine)
        processing = sys.modules["modules.processing"]
        processing.need_global_unload = False  # type: ignore[attr-defined]
        internal = sys.modules["modules.paths_internal"]
        internal.data_path = str(root)  # type: ignore[attr-defined]
        entries = {
            "backend": module("backend", __path__=[]),
            "backend.attention": module("backend.attention", attention_pytorch=attention_pytorch),
            "backend.memory_management": module(
                "backend.memory_management",
                current_loaded_models=self.loaded,
                get_torch_device=lambda: torch.device("cpu"),
            ),
            "backend.nn": module("backend.nn", __path__=[], unet=self.unet),
            "backend.nn.unet": self.unet,
            "backend.diffusion_engine": module("backend.diffusion_engine", __path__=[]),
            "backend.diffusion_engine.sd15": engine,
            "huggingface_guess": module(
                "huggingface_guess", __path__=[], model_list=self.model_list
            ),
            "huggingface_guess.model_list": self.model_list,
            "modules_forge": module("modules_forge", __path__=[]),
            "modules_forge.main_entry": module(
                "modules_forge.main_entry", refresh_model_loading_parameters=self.refresh
            ),
            "modules.sd_models": sd_models,
            "modules.sd_samplers": module("modules.sd_samplers", all_samplers=[]),
            "modules.sd_schedulers": module("modules.sd_schedulers", schedulers=[]),
            "modules.hashes": module("modules.hashes", sha256=lambda *named: ""),
        }
        # Ours hold the modules that they imported in another test.
        for name in [name for name in sys.modules if name.startswith("lib_singlelora.hosts.forge")]:
            monkeypatch.delitem(sys.modules, name)
        for name, entry in entries.items():
            monkeypatch.setitem(sys.modules, name, entry)
            parent, _, child = name.rpartition(".")
            if parent:
                monkeypatch.setattr(sys.modules[parent], child, entry, raising=False)

    def refresh(self) -> None:
        self.data.forge_loading_parameters = {"checkpoint_info": self.checkpoint}

    @property
    def checkpoint(self) -> Any:
        return SimpleNamespace(
            name="small.safetensors", filename="small.safetensors", sha256="0", metadata={}
        )

    def reload(self) -> None:
        """modules/sd_models.py, forge_model_reload, which throws the old one away first."""
        if self.data.forge_hash == str(self.data.forge_loading_parameters):
            return
        self.data.sd_model = None
        self.loads += 1
        if self.fails:
            raise ValueError("Failed to recognize model type!")
        self.data.sd_model = self.next or Engine()
        objects = self.data.sd_model.forge_objects_original
        self.loaded[:] = [Loaded(objects.unet), Loaded(objects.clip.patcher)]
        self.data.forge_hash = str(self.data.forge_loading_parameters)
