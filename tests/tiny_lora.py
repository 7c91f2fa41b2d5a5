"""Tiny random LoRAs of every algorithm, under kohya's names of SD1 modules."""

from pathlib import Path

import torch
from torch import Tensor

from lib_singlelora.lora.files import LoraFile, read_lora, write_lora

STEMS = {
    "lora_te_text_model_encoder_layers_0_mlp_fc1": (12, 8),
    "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q": (8, 8),
    "lora_unet_mid_block_attentions_0_proj_in": (8, 8, 1, 1),
    "lora_unet_up_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k": (8, 6),
    "lora_unet_up_blocks_3_resnets_1_conv1": (8, 8, 3, 3),
}
RANK = 4
ALGORITHMS = ("lora", "locon", "loha", "loha tucker", "lokr", "lokr halves", "lokr tucker", "diff")


def module(algorithm: str, shape: tuple[int, ...], generator: torch.Generator) -> dict[str, Tensor]:
    """Random tensors of one module."""
    out = shape[0]
    inner = shape[1]
    rest = shape[2:]

    def random(*size: int) -> Tensor:
        return torch.randn(size, generator=generator)

    alpha = {"alpha": torch.tensor(2.0)}
    flat = inner * (rest[0] * rest[1] if rest else 1)
    if algorithm.endswith(" tucker") and not rest:
        algorithm = algorithm.removesuffix(" tucker")
    if algorithm == "lora" or (algorithm == "locon" and not rest):
        return {
            "lora_up.weight": random(out, RANK, *(1 for _ in rest)),
            "lora_down.weight": random(RANK, inner, *rest),
            **alpha,
        }
    if algorithm == "locon":
        return {
            "lora_up.weight": random(out, RANK, 1, 1),
            "lora_mid.weight": random(RANK, RANK, *rest),
            "lora_down.weight": random(RANK, inner, 1, 1),
            **alpha,
        }
    if algorithm == "loha":
        return {
            f"hada_w{n}_{s}": random(*size)
            for n in (1, 2)
            for s, size in (("a", (out, RANK)), ("b", (RANK, flat)))
        } | alpha
    if algorithm == "loha tucker":
        return {
            f"hada_{name}": random(*size)
            for n in (1, 2)
            for name, size in (
                (f"t{n}", (RANK, RANK, *rest)),
                (f"w{n}_a", (RANK, out)),
                (f"w{n}_b", (RANK, inner)),
            )
        } | alpha
    if algorithm == "lokr":
        return {
            "lokr_w1": random(2, 2),
            "lokr_w2_a": random(out // 2, RANK),
            "lokr_w2_b": random(RANK, flat // 2),
            **alpha,
        }
    if algorithm == "lokr halves":
        return {
            "lokr_w1_a": random(2, RANK),
            "lokr_w1_b": random(RANK, 2),
            **alpha,
            "lokr_w2": random(out // 2, inner // 2, *rest),
        }
    if algorithm == "lokr tucker":
        return {
            "lokr_w1": random(2, 2),
            "lokr_t2": random(RANK, RANK, *rest),
            "lokr_w2_a": random(RANK, out // 2),
            "lokr_w2_b": random(RANK, inner // 2),
            **alpha,
        }
    return {"diff": random(*shape), "diff_b": random(out)}


def tensors(algorithm: str, seed: int = 1) -> dict[str, Tensor]:
    """Every module of STEMS, by kohya's keys."""
    generator = torch.Generator().manual_seed(seed)
    return {
        f"{stem}.{part}": tensor
        for stem, shape in STEMS.items()
        for part, tensor in module(algorithm, shape, generator).items()
    }


def written(
    path: Path, algorithm: str = "lora", precision: str = "fp32", seed: int = 1, **metadata: str
) -> Path:
    """A file with these modules."""
    write_lora(
        path,
        tensors(algorithm, seed),
        {"ss_output_name": "isa", "modelspec.title": "isa", **metadata},
        precision,
    )
    return path


def made(
    folder: Path, algorithm: str = "lora", precision: str = "fp32", seed: int = 1, **metadata: str
) -> LoraFile:
    """The same, read back."""
    return read_lora(
        written(folder / f"{algorithm}-{seed}.safetensors", algorithm, precision, seed, **metadata)
    )
