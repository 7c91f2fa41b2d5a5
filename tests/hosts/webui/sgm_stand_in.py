"""A stand-in for sgm's DiffusionEngine as the WebUI keeps it: what our host uses, no more.

The U-Net is ldm's, which has the same blocks.  The real one is tested in tests/webui.

Source: generative-models 45c443b; AUTOMATIC1111 1.10.1, modules/sd_models_xl.py and sd_hijack*.py.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from lib_singlelora.families.family import SIZE_NUMBERS, SIZE_WIDTH
from lib_singlelora.hosts.size_vector import embedded_numbers
from tests.small_checkpoint import CLIP, SMALL, clip_config, yaml_text

WIDTH = 48  # of text encoder 2
LAYERS = 3
LENGTH = 77
VOCABULARY = 49408
CONTEXT = SMALL.text + WIDTH
VECTOR = WIDTH + SIZE_NUMBERS * SIZE_WIDTH
START, END = 49406, 49407


class CrossAttention(nn.Module):
    """sgm.modules.attention.CrossAttention, whose forward the WebUI replaces."""

    def forward(self, x: Tensor) -> Tensor:
        return x


class Vae(nn.Module):
    """AutoencoderKLInferenceWrapper: `encode` draws a sample."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__()
        from ldm.modules.diffusionmodules.model import Encoder

        self.encoder = Encoder(**params)
        self.quant_conv = nn.Conv2d(8, 8, 1)

    def encode(self, x: Tensor) -> Tensor:
        mean, _ = self.quant_conv(self.encoder(x)).chunk(2, 1)
        return mean + torch.randn_like(mean)


class ResBlock(nn.Module):
    """open_clip's ResidualAttentionBlock."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, 4)
        self.ln_2 = nn.LayerNorm(WIDTH)
        layers = {"c_fc": nn.Linear(WIDTH, 4 * WIDTH), "gelu": nn.GELU()}
        self.mlp = nn.Sequential(OrderedDict(layers | {"c_proj": nn.Linear(4 * WIDTH, WIDTH)}))

    def forward(self, x: Tensor, attn_mask: Tensor) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=attn_mask)[0]
        return x + self.mlp(self.ln_2(x))


class OpenClip(nn.Module):
    """FrozenOpenCLIPEmbedder2 with open_clip's text model in it."""

    layer = "penultimate"

    def __init__(self) -> None:
        super().__init__()
        self.model = nn.Module()
        self.model.token_embedding = nn.Embedding(VOCABULARY, WIDTH)
        self.model.positional_embedding = nn.Parameter(torch.randn(LENGTH, WIDTH) * 0.5)
        self.model.transformer = nn.Module()
        self.model.transformer.resblocks = nn.ModuleList(ResBlock() for _ in range(LAYERS))
        self.model.ln_final = nn.LayerNorm(WIDTH)
        self.model.text_projection = nn.Parameter(torch.randn(WIDTH, WIDTH) / WIDTH**0.5)
        mask = torch.full((LENGTH, LENGTH), float("-inf")).triu(1)
        self.model.register_buffer("attn_mask", mask, persistent=False)

    def encode_with_transformer(self, tokens: Tensor) -> dict[str, Tensor]:
        x = self.model.token_embedding(tokens) + self.model.positional_embedding
        x = x.transpose(0, 1)
        states = [x]
        for block in self.model.transformer.resblocks:
            states.append(block(states[-1], attn_mask=self.model.attn_mask))
        last = self.model.ln_final(states[-1].transpose(0, 1))
        ends = last[torch.arange(len(last)), tokens.argmax(dim=-1)]
        return {
            "penultimate": states[-2].transpose(0, 1),
            "pooled": ends @ self.model.text_projection,
        }


class Stage(nn.Module):
    """The WebUI's wrapper around an embedder."""

    id_start, id_end = START, END

    def __init__(self, wrapped: nn.Module) -> None:
        super().__init__()
        self.wrapped = wrapped


class SizeEmbedder(nn.Module):
    """ConcatTimestepEmbedderND."""

    def forward(self, numbers: Tensor) -> Tensor:
        return embedded_numbers(numbers)


class Engine(nn.Module):
    """A DiffusionEngine as far as the host looks at it, with random weights."""

    def __init__(self) -> None:
        import yaml
        from ldm.modules.diffusionmodules.openaimodel import UNetModel
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

        super().__init__()
        torch.manual_seed(0)
        params = yaml.safe_load(yaml_text(CLIP))["model"]["params"]
        self.model = nn.Module()
        unet = UNetModel(
            **{
                **params["unet_config"]["params"],
                "attention_resolutions": [4, 2],
                "channel_mult": [1, 2, 4],
                "num_heads": -1,
                "num_head_channels": 16,
                "use_linear_in_transformer": True,
                "context_dim": CONTEXT,
                "use_checkpoint": True,
            }
        )
        unet.num_classes = "sequential"
        inner = 4 * SMALL.unet
        unet.label_emb = nn.Sequential(
            nn.Sequential(nn.Linear(VECTOR, inner), nn.SiLU(), nn.Linear(inner, inner))
        )
        self.model.diffusion_model = unet
        self.first_stage_model = Vae(params["first_stage_config"]["params"]["ddconfig"])
        clip = nn.Module()
        own = clip_config(SMALL)
        config = {k: v for k, v in own.items() if k not in ("architectures", "model_type")}
        clip.transformer = CLIPTextModel(CLIPTextConfig(**json.loads(json.dumps(config))))
        clip.tokenizer = CLIPTokenizer.from_pretrained(str(CLIP))
        self.conditioner = nn.Module()
        self.conditioner.embedders = nn.ModuleList(
            [Stage(clip), Stage(OpenClip()), SizeEmbedder(), SizeEmbedder(), SizeEmbedder()]
        )
        self.conditioner.wrapped = nn.Module()  # as extend_sdxl leaves it
        self.cond_stage_model = self.conditioner
        self.parameterization = "eps"
        self.scale_factor = 0.13025
        self.lowvram = False
        self.alphas_cumprod = torch.linspace(0.99, 0.01, 1000)
        self.sd_checkpoint_info = SimpleNamespace(name="xl.safetensors", filename="xl.safetensors")
        for parameter in self.parameters():
            if not parameter.any():  # zero-initialised layers pass nothing on
                nn.init.normal_(parameter, std=0.1)
        for name, module in self.named_modules():
            module.network_layer_name = name
        self.eval()
