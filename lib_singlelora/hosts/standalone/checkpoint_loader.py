"""A checkpoint in the original LDM layout to diffusers' networks, offline."""

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
from ...naming.blocks import SD1, BlockLayout, is_text
from ...naming.keys import canonical_to_diffusers
from ...naming.modules import module_specs
from .inspection import TEXT, UNET, VAE, CheckpointFile, read_tensors

CLIP_VOCABULARY = 49408
# More than any Stable Diffusion has; a file from elsewhere may claim numbers that would be built
# for hours.
MOST_TEXT_LAYERS, MOST_VAE_LEVELS, MOST_TIMESTEPS = 64, 8, 100_000


@dataclass
class CheckpointNetworks:
    """The networks of a loaded checkpoint.

    alphas_cumprod: (T,).
    scale: of the latents.
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


def load_networks(found: CheckpointFile) -> CheckpointNetworks:
    """Load a checkpoint in fp32 on the CPU.

    Raises: CheckpointError, when tensors are missing or of another shape than the architecture's,
    or the `.yaml` describes none that can be built.
    """
    tensors = read_tensors(found.path)
    try:
        return networks_from(found, tensors)
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
            f"{found.path.name}: found an architecture that cannot be built"
            f" ({type(error).__name__}: {' '.join(str(error).split())[:100]}), expected Stable"
            " Diffusion 1.x; check the .yaml beside it"
        ) from error


def networks_from(found: CheckpointFile, tensors: Mapping[str, Tensor]) -> CheckpointNetworks:
    """Networks that hold copies of a checkpoint's tensors in fp32.

    Raises: as load_networks, and what constructors raise.
    """
    params = found.params
    text = _text(found, tensors)
    unet, layout = _unet(found, tensors, _section(params, "unet_config"), text.config.hidden_size)
    vae = _vae(found, tensors, _section(params, "first_stage_config").get("ddconfig", {}))
    start, end = _number(params, "linear_start", 0.00085), _number(params, "linear_end", 0.012)
    steps = int(_number(params, "timesteps", 1000))
    if not 1 <= steps <= MOST_TIMESTEPS:
        raise CheckpointError(
            f"{found.path.name}: found {steps} timesteps in its .yaml, expected 1000 as in SD1;"
            " mend it"
        )
    betas = torch.linspace(start**0.5, end**0.5, steps, dtype=torch.float64) ** 2
    alphas = torch.cumprod(1 - betas, dim=0).float()
    tokenizer = CLIPTokenizer.from_pretrained(CLIP, local_files_only=True)
    for network in (unet, vae, text):
        network.eval().requires_grad_(False)
    scale = _number(params, "scale_factor", 0.18215)
    # As the WebUI reads it: `parameterization: "v"` beside the schedule.
    prediction: Literal["epsilon", "v_prediction"] = (
        "v_prediction" if params.get("parameterization") == "v" else "epsilon"
    )
    return CheckpointNetworks(
        unet, vae, text, tokenizer, layout, alphas, start, end, scale, prediction
    )


def _section(params: Mapping[str, object], name: str) -> dict[str, Any]:
    section = params.get(name)
    own = section.get("params") if isinstance(section, dict) else None
    return own if isinstance(own, dict) else {}


def _number(params: Mapping[str, object], name: str, default: float) -> float:
    value = params.get(name, default)
    return float(value) if isinstance(value, int | float | str) else default


def _fill(
    found: CheckpointFile,
    network: nn.Module,
    tensors: Mapping[str, Tensor],
    part: str,
    homeless: Sequence[str] = (),
) -> None:
    """Give a network copies of its tensors; every one must be there in its shape, and none left
    without a place.
    """
    state = network.state_dict()
    lacking = [key for key in state if key not in tensors]
    wrong = [key for key in state if key in tensors and tensors[key].shape != state[key].shape]
    if lacking or wrong:
        first = (
            lacking[0]
            if lacking
            else f"{wrong[0]} {tuple(tensors[wrong[0]].shape)}, not {tuple(state[wrong[0]].shape)}"
        )
        raise CheckpointError(
            f"{found.path.name}: found {len(lacking)} tensors missing and {len(wrong)} of another"
            f" shape in the {part} (first: {first}), expected Stable Diffusion 1.x; a narrower one"
            " needs its .yaml beside it"
        )
    if homeless:
        raise CheckpointError(
            f"{found.path.name}: found {len(homeless)} tensors in the {part} without a place in SD"
            f" 1.x (first: {homeless[0]}), expected its blocks; use a checkpoint made from SD 1.x"
        )
    # Copies, not views of the mapped file, which LoRAs would be merged into; assigned, as the
    # network may be on "meta".
    network.load_state_dict(
        {key: tensors[key].to(torch.float32, copy=True) for key in state}, assign=True
    )


def _unet(
    found: CheckpointFile, tensors: Mapping[str, Tensor], params: dict[str, Any], context: int
) -> tuple[nn.Module, BlockLayout]:
    channels, multipliers = (
        params.get("model_channels", 320),
        tuple(params.get("channel_mult", (1, 2, 4, 4))),
    )
    if len(multipliers) != 4 or params.get("num_res_blocks", 2) != 2:
        raise CheckpointError(
            f"{found.path.name}: found channel_mult {multipliers} with"
            f" {params.get('num_res_blocks', 2)} residual blocks, expected four levels of two, as"
            " in SD1"
        )
    layout = replace(SD1, channels=channels, multipliers=multipliers, context=context)
    widths = tuple(channels * m for m in multipliers)
    per_head = params.get("num_head_channels", -1)
    heads = (
        params.get("num_heads", 8)
        if per_head in (-1, None)
        else tuple(w // per_head for w in widths)
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
    own: dict[str, Tensor] = {}
    homeless = {key for key in tensors if key.startswith(UNET)}
    for spec in module_specs(layout):
        if not is_text(spec.name):
            for kind in ("weight", "bias"):
                key = f"{UNET}{spec.name}.{kind}"
                if key in tensors:
                    own[f"{canonical_to_diffusers(spec.name, layout)}.{kind}"] = tensors[key]
                    homeless.remove(key)
    _fill(found, unet, own, "U-Net", sorted(homeless))
    return unet, layout


def _vae(found: CheckpointFile, tensors: Mapping[str, Tensor], dd: dict[str, Any]) -> Any:
    multipliers = tuple(dd.get("ch_mult", (1, 2, 4, 4)))
    count, blocks = len(multipliers), dd.get("num_res_blocks", 2)
    if not 1 <= count <= MOST_VAE_LEVELS or not 1 <= int(blocks) <= MOST_VAE_LEVELS:
        raise CheckpointError(
            f"{found.path.name}: found a VAE of {count} levels and {str(blocks)[:20]} blocks in its"
            " .yaml, expected 4 and 2 as in SD1; mend it"
        )
    with torch.device("meta"):
        vae = AutoencoderKL(
            block_out_channels=tuple(dd.get("ch", 128) * m for m in multipliers),
            layers_per_block=int(blocks),
            latent_channels=dd.get("z_channels", 4),
            down_block_types=("DownEncoderBlock2D",) * count,
            up_block_types=("UpDecoderBlock2D",) * count,
            sample_size=512,
        )
    # The converter passes over attention outside the middle block (`attn_resolutions`), which SD1
    # has none of.
    homeless = [key for key in tensors if key.startswith(VAE) and ".attn." in key]
    _fill(found, vae, convert_ldm_vae_checkpoint(dict(tensors), vae.config), "VAE", homeless)
    return vae


def _text(found: CheckpointFile, tensors: Mapping[str, Tensor]) -> Any:
    own = {
        key[len(TEXT) :].removeprefix("text_model."): value
        for key, value in tensors.items()
        if key.startswith(TEXT)
    }
    tokens, positions = (f"embeddings.{kind}_embedding.weight" for kind in ("token", "position"))
    inner = "encoder.layers.0.mlp.fc1.weight"
    for needed in (tokens, positions, inner):
        if own.get(needed, torch.empty(0)).dim() != 2:
            raise CheckpointError(
                f"{found.path.name}: found no {needed} in the text encoder, expected CLIP's as in"
                " SD1; download the checkpoint again"
            )
    vocabulary, width = own[tokens].shape
    if vocabulary != CLIP_VOCABULARY:
        raise CheckpointError(
            f"{found.path.name}: found a vocabulary of {vocabulary}, expected CLIP's"
            f" {CLIP_VOCABULARY}; use a checkpoint whose text encoder is CLIP's"
        )
    numbers = {key.split(".")[2] for key in own if key.startswith("encoder.layers.")}
    # A number in a name may be anything; _fill finds one that is not among the first
    layers = len(numbers)
    if layers > MOST_TEXT_LAYERS:
        raise CheckpointError(
            f"{found.path.name}: found {layers} layers in the text encoder, expected CLIP's, at"
            f" most {MOST_TEXT_LAYERS}; download the checkpoint again"
        )
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=width,
        intermediate_size=own[inner].shape[0],
        num_hidden_layers=layers,
        num_attention_heads=_text_heads(found, width),
        hidden_act="quick_gelu",
        projection_dim=width,
        max_position_embeddings=own[positions].shape[0],
        bos_token_id=49406,
        eos_token_id=49407,
    )
    text = CLIPTextModel(config)
    _fill(found, text, own, "text encoder")
    return text


def _text_heads(found: CheckpointFile, width: int) -> int:
    """Heads cannot be read off the tensors: from the CLIP config the yaml names, else CLIP's 64
    channels a head.
    """
    folder = _section(found.params, "cond_stage_config").get("version")
    if isinstance(folder, str):
        # The last place: an absolute name, and checkpoint, yaml and folder were moved together.
        for base in (
            found.path.parent / folder,
            Path(folder),
            found.path.parent / Path(folder).name,
        ):
            if (base / "config.json").exists():
                values = json.loads((base / "config.json").read_text(encoding="utf-8"))
                return int(values.get("text_config", values)["num_attention_heads"])
    return max(1, width // 64)
