"""Diffusers' networks from a checkpoint in the original ldm layout, without a network."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from ...embedded.paths import CLIP
from ...errors import CheckpointError
from ...families.family import UNET, VAE
from ...naming.blocks import SD1, BlockLayout, is_text
from ...naming.keys import canonical_to_diffusers
from ...naming.modules import module_specs
from .inspection import CheckpointFile, read_tensors

TEXT = "cond_stage_model.transformer."
CLIP_VOCABULARY = 49408
# More than any Stable Diffusion has; a file from elsewhere may claim sizes that would be built for
# hours.
MAX_TEXT_LAYERS = 64
MAX_VAE_LEVELS = 8
MAX_TIMESTEPS = 100_000


@dataclass
class CheckpointNetworks:
    """The networks of a loaded checkpoint.

    vae: diffusers' AutoencoderKL.
    text: CLIP's text model.
    alphas_cumprod: (T,).
    beta_start, beta_end: of SD's scaled-linear schedule.
    scale: latents are the VAE's times this.
    prediction: what the U-Net's output means.
    """

    unet: nn.Module
    vae: Any
    text: nn.Module
    tokenizer: Any
    layout: BlockLayout
    alphas_cumprod: Tensor
    beta_start: float
    beta_end: float
    scale: float
    prediction: Literal["epsilon", "v_prediction"] = "epsilon"


def load_networks(file: CheckpointFile) -> CheckpointNetworks:
    """Load a checkpoint in fp32 on the CPU.

    Raises:
        CheckpointError: tensors are missing or of other shapes than the architecture's, or the
            `.yaml` describes none that can be built.
    """
    tensors = read_tensors(file.path)
    try:
        return networks_from(file, tensors)
    except (
        ArithmeticError,
        AttributeError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as error:
        # What the constructors raise for sizes that make no sense depends on the size.
        raise CheckpointError(
            f"{file.path.name}: found an architecture that cannot be built"
            f" ({type(error).__name__}: {' '.join(str(error).split())[:100]}), expected Stable"
            " Diffusion 1.x; check the .yaml beside it"
        ) from error


def networks_from(file: CheckpointFile, tensors: Mapping[str, Tensor]) -> CheckpointNetworks:
    """Networks that hold copies of a checkpoint's tensors in fp32.

    Raises:
        CheckpointError: as load_networks; and whatever the constructors raise.
    """
    params = file.params
    text = _text_encoder(file, tensors)
    unet_params = _section(params, "unet_config")
    unet, layout = _unet(file, tensors, unet_params, text.config.hidden_size)
    vae = _vae(file, tensors, _section(params, "first_stage_config").get("ddconfig", {}))
    beta_start = _number(params, "linear_start", 0.00085)
    beta_end = _number(params, "linear_end", 0.012)
    timesteps = int(_number(params, "timesteps", 1000))
    if not 1 <= timesteps <= MAX_TIMESTEPS:
        raise CheckpointError(
            f"{file.path.name}: found {timesteps} timesteps in its .yaml, expected 1000 as in SD1;"
            " fix it"
        )
    betas = torch.linspace(beta_start**0.5, beta_end**0.5, timesteps, dtype=torch.float64) ** 2
    for network in (unet, vae, text):
        network.eval().requires_grad_(False)
    return CheckpointNetworks(
        unet=unet,
        vae=vae,
        text=text,
        tokenizer=CLIPTokenizer.from_pretrained(CLIP, local_files_only=True),
        layout=layout,
        alphas_cumprod=torch.cumprod(1 - betas, dim=0).float(),
        beta_start=beta_start,
        beta_end=beta_end,
        scale=_number(params, "scale_factor", 0.18215),
        prediction=file.parameterization.prediction,
    )


def _section(params: Mapping[str, object], name: str) -> dict[str, Any]:
    section = params.get(name)
    section_params = section.get("params") if isinstance(section, dict) else None
    return section_params if isinstance(section_params, dict) else {}


def _number(params: Mapping[str, object], name: str, default: float) -> float:
    value = params.get(name, default)
    return float(value) if isinstance(value, int | float | str) else default


def _fill(
    file: CheckpointFile,
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    part: str,
    leftover: Sequence[str] = (),
) -> None:
    """Give a network copies of its tensors.

    tensors: by the network's own keys.
    part: the network's name in messages.
    leftover: the checkpoint's keys that the network has no place for.

    Raises:
        CheckpointError: a tensor is missing, of another shape, or left over.
    """
    state = network.state_dict()
    missing = [key for key in state if key not in tensors]
    wrong = [key for key in state if key in tensors and tensors[key].shape != state[key].shape]
    if missing or wrong:
        first = missing[0] if missing else _shape_mismatch(wrong[0], tensors, state)
        raise CheckpointError(
            f"{file.path.name}: found {len(missing)} tensors missing and {len(wrong)} of another"
            f" shape in the {part} (first: {first}), expected Stable Diffusion 1.x; a narrower one"
            " needs its .yaml beside it"
        )
    if leftover:
        raise CheckpointError(
            f"{file.path.name}: found {len(leftover)} tensors in the {part} without a place in SD"
            f" 1.x (first: {leftover[0]}), expected its blocks; use a checkpoint made from SD 1.x"
        )
    # Copies, not views of the mapped file, which LoRAs would be merged into; assigned, as the
    # network may be on "meta".
    network.load_state_dict(
        {key: tensors[key].to(torch.float32, copy=True) for key in state}, assign=True
    )


def _shape_mismatch(key: str, tensors: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    return f"{key} {tuple(tensors[key].shape)}, not {tuple(state[key].shape)}"


def _unet(
    file: CheckpointFile, tensors: Mapping[str, Tensor], params: Mapping[str, Any], context: int
) -> tuple[nn.Module, BlockLayout]:
    """params: the `.yaml`'s `unet_config`.  context: width of the text encoder."""
    channels = params.get("model_channels", 320)
    multipliers = tuple(params.get("channel_mult", (1, 2, 4, 4)))
    residual_blocks = params.get("num_res_blocks", 2)
    if len(multipliers) != 4 or residual_blocks != 2:
        raise CheckpointError(
            f"{file.path.name}: found channel_mult {multipliers} with"
            f" {residual_blocks} residual blocks, expected four levels of two, as in SD1"
        )
    layout = replace(SD1, channels=channels, multipliers=multipliers, context=context)
    widths = tuple(channels * multiplier for multiplier in multipliers)
    head_channels = params.get("num_head_channels", -1)
    heads = (
        params.get("num_heads", 8)
        if head_channels in (-1, None)
        else tuple(width // head_channels for width in widths)
    )
    with torch.device("meta"):  # spares the full size half a minute of random numbers
        unet = UNet2DConditionModel(
            block_out_channels=widths,
            layers_per_block=2,
            cross_attention_dim=context,
            attention_head_dim=heads,
            sample_size=64,
            down_block_types=("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
            up_block_types=("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
        )
    renamed: dict[str, Tensor] = {}
    leftover = {key for key in tensors if key.startswith(UNET)}
    for spec in module_specs(layout):
        if not is_text(spec.name):
            for kind in ("weight", "bias"):
                key = f"{UNET}{spec.name}.{kind}"
                if key in tensors:
                    renamed[f"{canonical_to_diffusers(spec.name, layout)}.{kind}"] = tensors[key]
                    leftover.remove(key)
    _fill(file, unet, renamed, "U-Net", sorted(leftover))
    return unet, layout


def _vae(file: CheckpointFile, tensors: Mapping[str, Tensor], params: Mapping[str, Any]) -> Any:
    """params: the `.yaml`'s `first_stage_config.ddconfig`."""
    multipliers = tuple(params.get("ch_mult", (1, 2, 4, 4)))
    levels = len(multipliers)
    residual_blocks = params.get("num_res_blocks", 2)
    if not 1 <= levels <= MAX_VAE_LEVELS or not 1 <= int(residual_blocks) <= MAX_VAE_LEVELS:
        raise CheckpointError(
            f"{file.path.name}: found a VAE of {levels} levels and {str(residual_blocks)[:20]}"
            " blocks in its .yaml, expected 4 and 2 as in SD1; fix it"
        )
    with torch.device("meta"):
        vae = AutoencoderKL(
            block_out_channels=tuple(params.get("ch", 128) * m for m in multipliers),
            layers_per_block=int(residual_blocks),
            latent_channels=params.get("z_channels", 4),
            down_block_types=("DownEncoderBlock2D",) * levels,
            up_block_types=("UpDecoderBlock2D",) * levels,
            sample_size=512,
        )
    # The converter passes over attention outside the middle block (`attn_resolutions`), which SD1
    # has none of.
    leftover = [key for key in tensors if key.startswith(VAE) and ".attn." in key]
    _fill(file, vae, convert_ldm_vae_checkpoint(dict(tensors), vae.config), "VAE", leftover)
    return vae


def _text_encoder(file: CheckpointFile, tensors: Mapping[str, Tensor]) -> Any:
    """CLIP's text model; its sizes are read off the tensors."""
    renamed = {
        key[len(TEXT) :].removeprefix("text_model."): value
        for key, value in tensors.items()
        if key.startswith(TEXT)
    }
    token_key = "embeddings.token_embedding.weight"
    position_key = "embeddings.position_embedding.weight"
    inner_key = "encoder.layers.0.mlp.fc1.weight"
    for key in (token_key, position_key, inner_key):
        if renamed.get(key, torch.empty(0)).dim() != 2:
            raise CheckpointError(
                f"{file.path.name}: found no {key} in the text encoder, expected CLIP's as in"
                " SD1; download the checkpoint again"
            )
    vocabulary, width = renamed[token_key].shape
    if vocabulary != CLIP_VOCABULARY:
        raise CheckpointError(
            f"{file.path.name}: found a vocabulary of {vocabulary}, expected CLIP's"
            f" {CLIP_VOCABULARY}; use a checkpoint whose text encoder is CLIP's"
        )
    # Counted, not read off the names, where a number may be anything; _fill reports a gap.
    layers = len({key.split(".")[2] for key in renamed if key.startswith("encoder.layers.")})
    if layers > MAX_TEXT_LAYERS:
        raise CheckpointError(
            f"{file.path.name}: found {layers} layers in the text encoder, expected CLIP's, at"
            f" most {MAX_TEXT_LAYERS}; download the checkpoint again"
        )
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=renamed[inner_key].shape[0],
        num_hidden_layers=layers,
        num_attention_heads=_text_heads(file, width),
        hidden_act="quick_gelu",
        projection_dim=width,
        max_position_embeddings=renamed[position_key].shape[0],
        bos_token_id=49406,
        eos_token_id=49407,
    )
    text = CLIPTextModel(config)
    _fill(file, text, renamed, "text encoder")
    return text


def _text_heads(file: CheckpointFile, width: int) -> int:
    """Attention heads, which the tensors do not show.

    From the CLIP config that the `.yaml` names, else CLIP's 64 channels a head.
    """
    version = _section(file.params, "cond_stage_config").get("version")
    if isinstance(version, str):
        beside = file.path.parent
        # The last one: an absolute name, where checkpoint, yaml and folder were moved together.
        for folder in (beside / version, Path(version), beside / Path(version).name):
            if (folder / "config.json").exists():
                config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
                return int(config.get("text_config", config)["num_attention_heads"])
    return max(1, width // 64)
