"""Diffusers' networks from a checkpoint in the original ldm layout, without a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel
from torch import Tensor, nn

from ...errors import CheckpointError
from ...families.family import SIZE_NUMBERS, SIZE_WIDTH, UNET, VAE
from ...families.layout import BlockLayout
from ...families.parameterization import Parameterization
from ...families.registry import family_of
from ...naming.blocks import is_text
from ...naming.keys import canonical_to_diffusers
from ...naming.modules import module_specs
from ...training.noise import zero_terminal_snr
from .clip_tokenizer import ClipTokenizer
from .inspection import CheckpointFile, read_tensors, unet_config
from .tensors import fill, unfilled
from .text_loader import load_text_encoder
from .text_networks import TextNetwork

# More than any Stable Diffusion has; a file from elsewhere may claim sizes that would be built for
# hours.
MAX_VAE_LEVELS = 8
MAX_TIMESTEPS = 100_000


@dataclass
class CheckpointNetworks:
    """The networks of a loaded checkpoint.

    vae: diffusers' AutoencoderKL.
    text: CLIP's text model, the first one's where there are several.
    alphas_cumprod: (T,), rescaled with zero terminal SNR.
    beta_start, beta_end: of SD's scaled-linear schedule.
    scale: latents are the VAE's times this.
    prediction: what the U-Net's output means.
    zero_terminal_snr: the schedule's last timestep is pure noise.
    encoders: the text encoders; without any, `text` is the family's only one.
    parameterization: what was found of it, and where.
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
    zero_terminal_snr: bool = False
    encoders: tuple[TextNetwork, ...] = ()
    parameterization: Parameterization | None = None

    def __post_init__(self) -> None:
        if not self.encoders:
            facts = family_of(self.layout).text_encoders[0]
            self.encoders = (TextNetwork(facts, self.text),)

    def text_modules(self) -> list[nn.Module]:
        """All that the text encoders compute with."""
        return [module for encoder in self.encoders for module in encoder.modules()]


def load_networks(file: CheckpointFile, dtype: torch.dtype = torch.float32) -> CheckpointNetworks:
    """Load a checkpoint on the CPU, the VAE in fp32.

    dtype: of the U-Net and the text encoders; each tensor becomes it by itself, so that in half
        precision a whole copy in fp32, of 13 GB for SDXL, is never there.

    Raises:
        CheckpointError: tensors are missing or of other shapes than the architecture's, or the
            `.yaml` describes none that can be built.
    """
    tensors = read_tensors(file.path)
    try:
        return networks_from(file, tensors, dtype)
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
            f" ({type(error).__name__}: {' '.join(str(error).split())[:100]}), expected"
            f" {file.family}; check the .yaml beside it"
        ) from error


def networks_from(
    file: CheckpointFile, tensors: Mapping[str, Tensor], dtype: torch.dtype = torch.float32
) -> CheckpointNetworks:
    """Networks that hold copies of a checkpoint's tensors.

    dtype: as load_networks.

    Raises:
        CheckpointError: as load_networks; and whatever the constructors raise.
    """
    params = file.params
    encoders = tuple(
        load_text_encoder(file, tensors, facts, index, dtype)
        for index, facts in enumerate(file.family.text_encoders)
    )
    unet_params = unet_config(params).get("params", {}) if params else {}
    said = file.parameterization
    is_asked = said.assumed and file.family.measures_prediction
    unet, layout = _unet(file, tensors, unet_params, encoders, torch.float32 if is_asked else dtype)
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
    alphas_cumprod = torch.cumprod(1 - betas, dim=0)
    if is_asked:  # in fp32: not every PyTorch computes in fp16 on a CPU
        said = measured_parameterization(unet, layout)
        unet.to(dtype)
    if said.zero_terminal_snr:
        alphas_cumprod = zero_terminal_snr(alphas_cumprod)
    for network in (unet, vae, *(part for encoder in encoders for part in encoder.modules())):
        network.eval().requires_grad_(False)
    return CheckpointNetworks(
        unet=unet,
        vae=vae,
        text=encoders[0].model,
        tokenizer=ClipTokenizer(),
        layout=layout,
        alphas_cumprod=alphas_cumprod.float(),
        beta_start=beta_start,
        beta_end=beta_end,
        scale=_number(params, "scale_factor", file.family.vae_scale),
        prediction=said.prediction,
        zero_terminal_snr=said.zero_terminal_snr,
        encoders=encoders,
        parameterization=said,
    )


@torch.no_grad()
def measured_parameterization(unet: nn.Module, layout: BlockLayout) -> Parameterization:
    """What a Stable Diffusion 2 predicts, by its answer to a grey picture at the last timestep.

    Source: AUTOMATIC1111 1.10.1, modules/sd_models_config.py,
    is_using_v_parameterization_for_sd2.
    """
    grey = torch.full((1, 4, 8, 8), 0.5)
    context = torch.full((1, 2, layout.context), 0.5)
    answer: Tensor = unet(grey, torch.tensor([999]), context).sample
    is_v = float((answer - grey).mean()) < -1
    return Parameterization("v_prediction" if is_v else "epsilon", False, "measured on its U-Net")


def _section(params: Mapping[str, object], name: str) -> dict[str, Any]:
    section = params.get(name)
    section_params = section.get("params") if isinstance(section, dict) else None
    return section_params if isinstance(section_params, dict) else {}


def _number(params: Mapping[str, object], name: str, default: float) -> float:
    value = params.get(name, default)
    return float(value) if isinstance(value, int | float | str) else default


def _unet(
    file: CheckpointFile,
    tensors: Mapping[str, Tensor],
    params: Mapping[str, Any],
    encoders: Sequence[TextNetwork],
    dtype: torch.dtype,
) -> tuple[nn.Module, BlockLayout]:
    """params: the `.yaml`'s section of the U-Net."""
    family = file.family
    layout = _layout(file, params, encoders)
    widths = tuple(layout.channels * multiplier for multiplier in layout.multipliers)
    head_channels = params.get("num_head_channels", -1)
    if head_channels in (-1, None) and "num_heads" not in params and family.head_channels:
        head_channels = 0 if family.heads else family.head_channels
    heads = (
        tuple(width // head_channels for width in widths)
        if head_channels not in (-1, None, 0)
        else params.get("num_heads", family.heads or 8)
    )
    crossed = [bool(depth) for depth in layout.depths]
    depths = [depth or 1 for depth in layout.depths]
    depths[-1] = layout.middle_depth
    with unfilled():  # spares the full size half a minute of random numbers
        unet = UNet2DConditionModel(
            block_out_channels=widths,
            layers_per_block=2,
            cross_attention_dim=layout.context,
            attention_head_dim=heads,
            transformer_layers_per_block=depths,
            use_linear_projection=layout.linear_projections,
            sample_size=family.native_size // 8,
            down_block_types=[
                "CrossAttnDownBlock2D" if there else "DownBlock2D" for there in crossed
            ],
            up_block_types=[
                "CrossAttnUpBlock2D" if there else "UpBlock2D" for there in reversed(crossed)
            ],
            **_size_options(layout),
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
    fill(file, unet, renamed, "U-Net", sorted(leftover), dtype)
    return unet, layout


def _size_options(layout: BlockLayout) -> dict[str, Any]:
    """diffusers' options of a U-Net that takes pooled text and sizes."""
    if not layout.vector:
        return {}
    return {
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": SIZE_WIDTH,
        "projection_class_embeddings_input_dim": layout.vector,
    }


def _layout(
    file: CheckpointFile, params: Mapping[str, Any], encoders: Sequence[TextNetwork]
) -> BlockLayout:
    """The family's layout with the sizes of the `.yaml` and of the text encoders.

    Raises:
        CheckpointError: the `.yaml` describes other levels than the family's.
    """
    known = file.family.layout
    multipliers = tuple(params.get("channel_mult", known.multipliers))
    residual_blocks = params.get("num_res_blocks", 2)
    if len(multipliers) != len(known.multipliers) or residual_blocks != 2:
        raise CheckpointError(
            f"{file.path.name}: found channel_mult {multipliers} with {residual_blocks} residual"
            f" blocks, expected {len(known.multipliers)} levels of two, as in"
            f" {file.family.config}; fix the .yaml"
        )
    depths, middle_depth = _depths(params, known)
    widths = [encoder.model.config.hidden_size for encoder in encoders]
    pooled = [
        encoder.projection.out_features for encoder in encoders if encoder.projection is not None
    ]
    vector = sum(pooled) + SIZE_NUMBERS * SIZE_WIDTH if file.family.takes_sizes else 0
    context = sum(widths)
    for name, described, found in (
        ("context_dim", params.get("context_dim", context), context),
        ("adm_in_channels", params.get("adm_in_channels", vector), vector),
    ):
        if described != found:
            raise CheckpointError(
                f"{file.path.name}: found {name} {str(described)[:20]} in its .yaml, expected"
                f" {found}, as the file's text encoders have it; fix the .yaml or remove it"
            )
    return replace(
        known,
        channels=params.get("model_channels", known.channels),
        multipliers=multipliers,
        depths=depths,
        middle_depth=middle_depth,
        context=context,
        vector=vector,
        text=tuple(
            (prefix, kohya, encoder.model.config.num_hidden_layers, width)
            for (prefix, kohya, _, _), encoder, width in zip(
                known.text, encoders, widths, strict=True
            )
        ),
    )


def _depths(params: Mapping[str, Any], known: BlockLayout) -> tuple[tuple[int, ...], int]:
    """Transformer blocks of each level, and of the middle block.

    ldm builds them where `attention_resolutions` has the level's factor of reduction.
    """
    if "transformer_depth" not in params or "attention_resolutions" not in params:
        return known.depths, known.middle_depth
    depth = params["transformer_depth"]
    per_level = list(depth) if isinstance(depth, Sequence) else [depth] * len(known.depths)
    depths = tuple(
        int(blocks) if 2**level in params["attention_resolutions"] else 0
        for level, blocks in enumerate(per_level)
    )
    return depths, int(params.get("transformer_depth_middle") or per_level[-1])


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
    with unfilled():
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
    fill(file, vae, convert_ldm_vae_checkpoint(dict(tensors), vae.config), "VAE", leftover)
    return vae
