"""A checkpoint of SDXL's layout with 33 million random parameters, in generative-models' keys.

Most of them are the second text encoder's, the narrowest of open_clip's own list, so that the WebUI
builds it from the `.yaml` beside the file.
    python -m tests.small_sdxl OUT.safetensors [v]
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import safetensors.torch
import torch
from torch import Tensor

from lib_singlelora.embedded.paths import CLIP
from lib_singlelora.families.family import SIZE_NUMBERS, SIZE_WIDTH
from lib_singlelora.families.sdxl import SDXL
from lib_singlelora.naming.blocks import is_text
from lib_singlelora.naming.modules import module_specs
from tests.small_checkpoint import BIASED, Size, random_tensors, soften, vae_shapes

NATIVE_SIZE = 64
VOCABULARY = 49408
# Of text encoder 1: those of the embedded CLIP's configuration
TEXT_1 = json.loads((CLIP / "config.json").read_text(encoding="utf-8"))
WIDTH_1 = TEXT_1["hidden_size"]
LAYERS_1 = TEXT_1["num_hidden_layers"]
# Of text encoder 2; ten layers or more are what tells diffusers that a file is SDXL
ARCH = "ViT-S-32-alt"
WIDTH_2 = 256
LAYERS_2 = 10
LAYOUT = replace(
    SDXL.layout,
    channels=32,
    depths=(0, 1, 2),
    middle_depth=2,
    context=WIDTH_1 + WIDTH_2,
    vector=WIDTH_2 + SIZE_NUMBERS * SIZE_WIDTH,
    text=(("te1.", "lora_te1_", LAYERS_1, WIDTH_1), ("te2.", "lora_te2_", LAYERS_2, WIDTH_2)),
)
HEAD_CHANNELS = 16
VAE = Size()
YAML = """model:
  target: sgm.models.diffusion.DiffusionEngine
  params:
    scale_factor: 0.13025
    disable_first_stage_autocast: True
    denoiser_config:
      target: sgm.modules.diffusionmodules.denoiser.DiscreteDenoiser
      params:
        num_idx: 1000
        weighting_config:
          target: sgm.modules.diffusionmodules.denoiser_weighting.{scaling}Weighting
        scaling_config:
          target: sgm.modules.diffusionmodules.denoiser_scaling.{scaling}Scaling
        discretization_config:
          target: sgm.modules.diffusionmodules.discretizer.LegacyDDPMDiscretization
    network_config:
      target: sgm.modules.diffusionmodules.openaimodel.UNetModel
      params:
        adm_in_channels: {vector}
        num_classes: sequential
        use_checkpoint: True
        in_channels: 4
        out_channels: 4
        model_channels: {channels}
        attention_resolutions: [4, 2]
        num_res_blocks: 2
        channel_mult: [1, 2, 4]
        num_head_channels: {head_channels}
        use_spatial_transformer: True
        use_linear_in_transformer: True
        transformer_depth: [1, 1, 2]
        context_dim: {context}
        spatial_transformer_attn_type: softmax-xformers
        legacy: False
    conditioner_config:
      target: sgm.modules.GeneralConditioner
      params:
        emb_models:
          - is_trainable: False
            input_key: txt
            target: sgm.modules.encoders.modules.FrozenCLIPEmbedder
            params:
              version: {clip}
              layer: hidden
              layer_idx: {layer}
          - is_trainable: False
            input_key: txt
            target: sgm.modules.encoders.modules.FrozenOpenCLIPEmbedder2
            params:
              arch: {arch}
              version: null
              freeze: True
              layer: penultimate
              always_return_pooled: True
              legacy: False
          - is_trainable: False
            input_key: original_size_as_tuple
            target: sgm.modules.encoders.modules.ConcatTimestepEmbedderND
            params:
              outdim: 256
          - is_trainable: False
            input_key: crop_coords_top_left
            target: sgm.modules.encoders.modules.ConcatTimestepEmbedderND
            params:
              outdim: 256
          - is_trainable: False
            input_key: target_size_as_tuple
            target: sgm.modules.encoders.modules.ConcatTimestepEmbedderND
            params:
              outdim: 256
    first_stage_config:
      target: sgm.models.autoencoder.AutoencoderKLInferenceWrapper
      params:
        embed_dim: 4
        monitor: val/rec_loss
        ddconfig:
          attn_type: vanilla-xformers
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
"""

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def unet_shapes() -> Shapes:
    for spec in module_specs(LAYOUT):
        if not is_text(spec.name):
            yield f"model.diffusion_model.{spec.name}.weight", spec.shape
            if not spec.name.endswith(BIASED):
                yield f"model.diffusion_model.{spec.name}.bias", spec.shape[:1]


def text_1_shapes() -> Shapes:
    """As transformers' CLIPTextModel has them."""
    prefix = "conditioner.embedders.0.transformer.text_model"
    inner = TEXT_1["intermediate_size"]
    yield f"{prefix}.embeddings.token_embedding.weight", (VOCABULARY, WIDTH_1)
    yield f"{prefix}.embeddings.position_embedding.weight", (77, WIDTH_1)
    parts = {f"self_attn.{part}": (WIDTH_1, WIDTH_1) for part in ("q_proj", "k_proj", "v_proj")}
    parts |= {"self_attn.out_proj": (WIDTH_1, WIDTH_1)}
    parts |= {"mlp.fc1": (inner, WIDTH_1), "mlp.fc2": (WIDTH_1, inner)}
    for layer in range(LAYERS_1):
        own = f"{prefix}.encoder.layers.{layer}"
        for part, shape in parts.items():
            yield f"{own}.{part}.weight", shape
            yield f"{own}.{part}.bias", shape[:1]
        for norm in ("layer_norm1", "layer_norm2"):
            yield f"{own}.{norm}.weight", (WIDTH_1,)
            yield f"{own}.{norm}.bias", (WIDTH_1,)
    yield f"{prefix}.final_layer_norm.weight", (WIDTH_1,)
    yield f"{prefix}.final_layer_norm.bias", (WIDTH_1,)


def text_2_shapes() -> Shapes:
    """As open_clip has them, q, k and v in one tensor."""
    prefix = "conditioner.embedders.1.model"
    width = WIDTH_2
    yield f"{prefix}.positional_embedding", (77, width)
    yield f"{prefix}.text_projection", (width, width)
    yield f"{prefix}.token_embedding.weight", (VOCABULARY, width)
    for layer in range(LAYERS_2):
        block = f"{prefix}.transformer.resblocks.{layer}"
        for name, shape in (
            ("attn.in_proj_", (3 * width, width)),
            ("attn.out_proj.", (width, width)),
            ("ln_1.", (width,)),
            ("ln_2.", (width,)),
            ("mlp.c_fc.", (4 * width, width)),
            ("mlp.c_proj.", (width, 4 * width)),
        ):
            yield f"{block}.{name}weight", shape
            yield f"{block}.{name}bias", shape[:1]
    yield f"{prefix}.ln_final.weight", (width,)
    yield f"{prefix}.ln_final.bias", (width,)


def tensors(seed: int) -> dict[str, Tensor]:
    """Random values that keep every activation of order one."""
    shapes = (*unet_shapes(), *vae_shapes(VAE), *text_1_shapes(), *text_2_shapes())
    made = random_tensors(seed, iter(shapes))
    made["conditioner.embedders.1.model.logit_scale"] = torch.tensor(4.6)
    # The WebUI's default emphasis divides by the mean of a text encoder's output, which must not
    # be 0.
    for key in (
        "conditioner.embedders.0.transformer.text_model.embeddings.position_embedding.weight",
        "conditioner.embedders.1.model.positional_embedding",
    ):
        made[key] += 0.3
    soften(made)
    return made


def yaml_text(prediction: str = "epsilon", clip: Path = CLIP) -> str:
    """The `.yaml` beside the file; with v_prediction the real WebUI 1.10.1 samples v."""
    return YAML.format(
        scaling="V" if prediction == "v_prediction" else "Eps",
        vector=LAYOUT.vector,
        channels=LAYOUT.channels,
        head_channels=HEAD_CHANNELS,
        context=LAYOUT.context,
        clip=json.dumps(str(clip)),
        layer=LAYERS_1 - 1,
        arch=ARCH,
        vae=VAE.vae,
        vae_multipliers=list(VAE.vae_multipliers),
        vae_blocks=VAE.vae_blocks,
    )


def build_small_sdxl(
    folder: Path,
    name: str = "xl",
    prediction: Literal["epsilon", "v_prediction"] = "epsilon",
    yaml_prediction: Literal["epsilon", "v_prediction"] | None = None,
    seed: int = 0,
    dtype: torch.dtype = torch.float16,
) -> Path:
    """Write NAME.safetensors and NAME.yaml into a folder; what is already there is left.

    Gives the file.
    prediction: v_prediction adds the empty tensors `v_pred` and `ztsnr`, as NoobAI's file has.
    yaml_prediction: what the `.yaml` says; None is the same.
    """
    path = folder / f"{name}.safetensors"
    if path.exists() and path.with_suffix(".yaml").exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    path.with_suffix(".yaml").write_text(yaml_text(yaml_prediction or prediction), encoding="utf-8")
    weights = {key: tensor.to(dtype).contiguous() for key, tensor in tensors(seed).items()}
    if prediction == "v_prediction":
        weights |= {"v_pred": torch.tensor([]), "ztsnr": torch.tensor([])}
    half = path.with_suffix(".part")
    safetensors.torch.save_file(weights, half, {"native_size": str(NATIVE_SIZE)})
    half.replace(path)
    return path


if __name__ == "__main__":
    target = Path(sys.argv[1])
    kind: Literal["epsilon", "v_prediction"] = "v_prediction" if "v" in sys.argv[2:] else "epsilon"
    print(build_small_sdxl(target.parent, target.stem, kind))
