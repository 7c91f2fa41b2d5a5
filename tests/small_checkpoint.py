"""A checkpoint of SD1's block layout with a few million random parameters, in the original LDM key
layout.

It draws nothing one could recognise; it lets every stage, and the WebUI, load and train a real file
in seconds.
    python -m tests.small_checkpoint OUT.safetensors
"""

from __future__ import annotations

import json
import math
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors.torch
import torch
from torch import Tensor

from lib_singlelora.embedded.paths import CLIP
from lib_singlelora.naming.blocks import SD1, is_text
from lib_singlelora.naming.modules import module_specs

ROOT = Path(__file__).parent.parent
VOCABULARY = 49408
NATIVE_SIZE = 64
BIASED = ("to_q", "to_k", "to_v")  # attention projections of SD's U-Net have no bias


@dataclass(frozen=True)
class Size:
    """Channels of the U-Net and of the VAE, width, layers and heads of the text encoder;
    vae_blocks: a level, in the encoder.
    """

    unet: int = 32
    multipliers: tuple[int, ...] = (1, 1, 2, 2)
    heads: int = 4
    text: int = 32
    layers: int = 2
    text_heads: int = 2
    vae: int = 32
    vae_multipliers: tuple[int, ...] = (1, 1, 1, 1)
    vae_blocks: int = 1


SMALL = Size()
FULL = Size(320, (1, 2, 4, 4), 8, 768, 12, 12, 128, (1, 2, 4, 4), 2)
YAML = """model:
  target: ldm.models.diffusion.ddpm.LatentDiffusion
  params:
    linear_start: 0.00085
    linear_end: 0.0120
    num_timesteps_cond: 1
    log_every_t: 200
    timesteps: 1000
    first_stage_key: "jpg"
    cond_stage_key: "txt"
    image_size: 64
    channels: 4
    cond_stage_trainable: false
    conditioning_key: crossattn
    monitor: val/loss_simple_ema
    scale_factor: 0.18215
    use_ema: False
    unet_config:
      target: ldm.modules.diffusionmodules.openaimodel.UNetModel
      params:
        image_size: 32
        in_channels: 4
        out_channels: 4
        model_channels: {width}
        attention_resolutions: [4, 2, 1]
        num_res_blocks: 2
        channel_mult: {multipliers}
        num_heads: {heads}
        use_spatial_transformer: True
        transformer_depth: 1
        context_dim: {text}
        use_checkpoint: False
        legacy: False
    first_stage_config:
      target: ldm.models.autoencoder.AutoencoderKL
      params:
        embed_dim: 4
        monitor: val/rec_loss
        ddconfig:
          double_z: true
          z_channels: 4
          resolution: 256
          in_channels: 3
          out_ch: 3
          ch: {vae}
          ch_mult: {vae_multipliers}
          num_res_blocks: {vae_blocks}
          attn_resolutions: []
          dropout: 0.0
        lossconfig:
          target: torch.nn.Identity
    cond_stage_config:
      target: ldm.modules.encoders.modules.FrozenCLIPEmbedder
      params:
        version: {clip}
"""

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def clip_config(size: Size) -> dict[str, object]:
    """The text encoder's config.json."""
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": VOCABULARY,
        "hidden_size": size.text,
        "intermediate_size": 4 * size.text,
        "num_hidden_layers": size.layers,
        "num_attention_heads": size.text_heads,
        "max_position_embeddings": 77,
        "hidden_act": "quick_gelu",
        "layer_norm_eps": 1e-05,
        "projection_dim": size.text,
        "bos_token_id": 49406,
        "eos_token_id": 49407,
        "pad_token_id": 1,
        "attention_dropout": 0.0,
    }


def unet_shapes(size: Size) -> Shapes:
    """Every tensor of the U-Net."""
    layout = replace(SD1, channels=size.unet, multipliers=size.multipliers, context=size.text)
    for spec in module_specs(layout):
        if not is_text(spec.name):
            yield f"model.diffusion_model.{spec.name}.weight", spec.shape
            if not spec.name.endswith(BIASED):
                yield f"model.diffusion_model.{spec.name}.bias", spec.shape[:1]


def conv(name: str, inputs: int, outputs: int, kernel: int = 3) -> Shapes:
    yield f"{name}.weight", (outputs, inputs, kernel, kernel)
    yield f"{name}.bias", (outputs,)


def norm(name: str, width: int) -> Shapes:
    yield f"{name}.weight", (width,)
    yield f"{name}.bias", (width,)


def res_block(name: str, inputs: int, outputs: int) -> Shapes:
    yield from norm(f"{name}.norm1", inputs)
    yield from conv(f"{name}.conv1", inputs, outputs)
    yield from norm(f"{name}.norm2", outputs)
    yield from conv(f"{name}.conv2", outputs, outputs)
    if inputs != outputs:
        yield from conv(f"{name}.nin_shortcut", inputs, outputs, 1)


def middle(name: str, width: int) -> Shapes:
    yield from res_block(f"{name}.block_1", width, width)
    yield from norm(f"{name}.attn_1.norm", width)
    for part in ("q", "k", "v", "proj_out"):
        yield from conv(f"{name}.attn_1.{part}", width, width, 1)
    yield from res_block(f"{name}.block_2", width, width)


def vae_shapes(size: Size) -> Shapes:
    """Every tensor of the VAE; the decoder has one residual block a level more than the encoder."""
    widths = [size.vae * m for m in size.vae_multipliers]
    prefix = "first_stage_model"
    last = len(widths) - 1
    top = widths[-1]
    yield from conv(f"{prefix}.encoder.conv_in", 3, widths[0])
    for level, width in enumerate(widths):
        for block in range(size.vae_blocks):
            inputs = widths[max(0, level - 1)] if block == 0 else width
            yield from res_block(f"{prefix}.encoder.down.{level}.block.{block}", inputs, width)
        if level < last:
            yield from conv(f"{prefix}.encoder.down.{level}.downsample.conv", width, width)
    for side, first, final in (("encoder", "conv_out", 8), ("decoder", "conv_in", 4)):
        yield from middle(f"{prefix}.{side}.mid", top)
        yield from conv(
            f"{prefix}.{side}.{first}", *((top, final) if side == "encoder" else (final, top))
        )
    yield from norm(f"{prefix}.encoder.norm_out", top)
    for level in reversed(range(last + 1)):
        for block in range(size.vae_blocks + 1):
            inputs = widths[min(last, level + 1)] if block == 0 else widths[level]
            yield from res_block(
                f"{prefix}.decoder.up.{level}.block.{block}", inputs, widths[level]
            )
        if level:
            yield from conv(
                f"{prefix}.decoder.up.{level}.upsample.conv", widths[level], widths[level]
            )
    yield from norm(f"{prefix}.decoder.norm_out", widths[0])
    yield from conv(f"{prefix}.decoder.conv_out", widths[0], 3)
    yield from conv(f"{prefix}.quant_conv", 8, 8, 1)
    yield from conv(f"{prefix}.post_quant_conv", 4, 4, 1)


def text_shapes(size: Size) -> Shapes:
    """Every tensor of the text encoder."""
    prefix = "cond_stage_model.transformer.text_model"
    width = size.text
    yield f"{prefix}.embeddings.token_embedding.weight", (VOCABULARY, width)
    yield f"{prefix}.embeddings.position_embedding.weight", (77, width)
    for layer in range(size.layers):
        own = f"{prefix}.encoder.layers.{layer}"
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            yield f"{own}.self_attn.{part}.weight", (width, width)
            yield f"{own}.self_attn.{part}.bias", (width,)
        for part, (outputs, inputs) in (("fc1", (4 * width, width)), ("fc2", (width, 4 * width))):
            yield f"{own}.mlp.{part}.weight", (outputs, inputs)
            yield f"{own}.mlp.{part}.bias", (outputs,)
        yield from norm(f"{own}.layer_norm1", width)
        yield from norm(f"{own}.layer_norm2", width)
    yield from norm(f"{prefix}.final_layer_norm", width)


def shapes(size: Size = SMALL) -> Shapes:
    """Every tensor of the file."""
    yield from (*unet_shapes(size), *vae_shapes(size), *text_shapes(size))


def random_tensors(seed: int, shapes: Shapes) -> dict[str, Tensor]:
    """Random values that keep every activation of order one."""
    generator = torch.Generator().manual_seed(seed)
    made: dict[str, Tensor] = {}
    for key, shape in shapes:
        values = torch.randn(shape, generator=generator)
        if "embedding" in key:
            made[key] = values * 0.5
        elif len(shape) == 1:
            is_norm = (
                "norm" in key
                or ".ln_" in key
                or ".in_layers.0." in key
                or ".out_layers.0." in key
                or ".out.0." in key
            )
            made[key] = 1 + values * 0.1 if is_norm and key.endswith("weight") else values * 0.05
        else:
            made[key] = values / math.prod(shape[1:]) ** 0.5
    return made


def tensors(seed: int, size: Size = SMALL) -> dict[str, Tensor]:
    """Random values that keep every activation of order one."""
    made = random_tensors(seed, shapes(size))
    # The WebUI's default emphasis divides by the mean of the text encoder's output, which must not
    # be 0.
    made["cond_stage_model.transformer.text_model.final_layer_norm.bias"] += 0.2
    soften(made)
    return made


def soften(made: dict[str, Tensor]) -> None:
    """Outputs of order one, and a VAE that encodes nearly exactly."""
    for key, factor in (
        ("model.diffusion_model.out.2.weight", 0.3),
        ("first_stage_model.decoder.conv_out.weight", 0.4),
    ):
        made[key] *= factor
    # Log-variances of the latents, so that encoding is nearly exact.
    made["first_stage_model.quant_conv.bias"][4:] = -10
    made["first_stage_model.quant_conv.weight"][4:] = 0
    made["first_stage_model.quant_conv.weight"][:4] *= 3


def yaml_text(clip: Path, size: Size = SMALL) -> str:
    """The `.yaml` beside the file; clip: the folder of the text encoder's config and tokenizer."""
    return YAML.format(
        width=size.unet,
        multipliers=list(size.multipliers),
        heads=size.heads,
        text=size.text,
        vae=size.vae,
        vae_multipliers=list(size.vae_multipliers),
        vae_blocks=size.vae_blocks,
        clip=json.dumps(str(clip)),
    )


def build_small_checkpoint(
    folder: Path,
    seed: int = 0,
    name: str = "small",
    size: Size = SMALL,
    dtype: torch.dtype = torch.float32,
) -> Path:
    """Write NAME.safetensors, NAME.yaml and clip/ into a folder; what is already there is left.

    Returns the file.
    """
    path = folder / f"{name}.safetensors"
    if path.exists() and path.with_suffix(".yaml").exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    clip = folder / "clip"
    shutil.copytree(CLIP, clip, dirs_exist_ok=True)
    (clip / "config.json").write_text(json.dumps(clip_config(size), indent=1), encoding="utf-8")
    path.with_suffix(".yaml").write_text(yaml_text(clip.resolve(), size), encoding="utf-8")
    half = path.with_suffix(".part")
    weights = {name: tensor.to(dtype) for name, tensor in tensors(seed, size).items()}
    safetensors.torch.save_file(weights, half, {"native_size": str(NATIVE_SIZE)})
    half.replace(path)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1])
    print(build_small_checkpoint(target.parent, name=target.stem))
