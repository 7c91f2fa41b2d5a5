"""ΔW of each algorithm, apart from modules and files.

All functions give the weight's change at strength 1 in the shape of the weight: (out, in) or (out, in, kh, kw).
Sources: Hu et al. 2021 (LoRA); Hyeon-Woo et al. 2022, FedPara (LoHa); LyCORIS, lycoris/functional (LoKr, Tucker forms).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import LoraFileError

ALGORITHMS = {"lora_up.weight": "lora", "hada_w1_a": "loha", "lokr_w1": "lokr", "lokr_w1_a": "lokr", "diff": "full"}
PARTNERS = {"lora": ("lora_down.weight",), "loha": ("hada_w1_b", "hada_w2_a", "hada_w2_b")}
# The tensor that ΔW is linear in, and that block weights are multiplied into (LBW does the same).
LINEAR_IN = ("lora_up.weight", "hada_w1_a", "lokr_w1", "lokr_w1_a", "diff", "diff_b")


def algorithm_of(parts: Mapping[str, Tensor]) -> str:
    """lora, loha, lokr or full, by the names of a module's tensors.  Raises: LoraFileError, for none of them."""
    for name, algorithm in ALGORITHMS.items():
        if name in parts and all(other in parts for other in PARTNERS.get(algorithm, ())):
            return algorithm
    raise LoraFileError(f"found tensors {', '.join(sorted(parts))}, expected those of a LoRA, LoCon, LoHa, LoKr or diff")


def lora_delta(up: Tensor, down: Tensor, scale: float, mid: Tensor | None = None) -> Tensor:
    """scale · up · down; with `mid` the Tucker form of a convolution."""
    rank = down.shape[0]
    if mid is not None:
        flat_up, flat_down = up.reshape(up.shape[0], -1), down.reshape(rank, -1)
        return torch.einsum("op,pqhw,qi->oihw", flat_up, mid, flat_down) * scale
    return (up.reshape(up.shape[0], -1) @ down.reshape(rank, -1)).reshape(up.shape[0], *down.shape[1:]) * scale


def loha_delta(parts: Mapping[str, Tensor], scale: float) -> Tensor:
    """scale · (w1_a w1_b) ∘ (w2_a w2_b), with cores t1 and t2 in the Tucker form."""
    halves = []
    for n in (1, 2):
        a, b, core = parts[f"hada_w{n}_a"], parts[f"hada_w{n}_b"], parts.get(f"hada_t{n}")
        halves.append(a @ b if core is None else torch.einsum("ijkl,jr,ip->prkl", core, b, a))
    return halves[0] * halves[1] * scale


def lokr_delta(parts: Mapping[str, Tensor], scale: float) -> Tensor:
    """scale · w1 ⊗ w2, each whole or a product."""
    first = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if "lokr_w2" in parts:
        second = parts["lokr_w2"]
    elif "lokr_t2" in parts:
        second = torch.einsum("ijkl,ip,jr->prkl", parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"])
    else:
        a, b = parts["lokr_w2_a"], parts["lokr_w2_b"]
        second = (a @ b.reshape(b.shape[0], -1)).reshape(a.shape[0], *b.shape[1:])
    if second.dim() == 4:
        first = first[:, :, None, None]
    return torch.kron(first.contiguous(), second.contiguous()) * scale


def dora_delta(weight: Tensor, delta: Tensor, magnitude: Tensor) -> Tensor:
    """What DoRA changes of a weight: W + ΔW with each input's column brought to its magnitude, less W.

    weight, delta: (out, in, …).  magnitude: (1, in, 1…), as the WebUI reads it (LyCORIS' wd_on_output=False).
    Source: Liu et al. 2024, DoRA, eq. 5; AUTOMATIC1111 extensions-builtin/Lora/network.py for the axis of the norm.
    """
    merged = weight + delta
    changed: Tensor = merged * (magnitude / column_norms(merged)) - weight
    return changed


def column_norms(weight: Tensor) -> Tensor:
    """The norm of each input's column, (1, in, 1…)."""
    norms: Tensor = weight.transpose(0, 1).flatten(1).norm(dim=1)
    return norms.view(1, -1, *[1] * (weight.dim() - 2))


def rank_of(parts: Mapping[str, Tensor]) -> int | None:
    """The rank by which alpha is divided, or None where there is none (LoKr with two whole matrices, diff)."""
    for name, dimension in (("lora_down.weight", 0), ("hada_w1_b", 0), ("lokr_w1_b", 0), ("lokr_w2_b", 0), ("lokr_t2", 0)):
        if name in parts:
            return int(parts[name].shape[dimension])
    return None


def scale_of(parts: Mapping[str, Tensor]) -> float:
    """alpha / rank, or 1 without an alpha or a rank."""
    rank = rank_of(parts)
    if "alpha" not in parts or rank is None:
        return 1.0
    return float(parts["alpha"]) / rank


def natural_delta(parts: Mapping[str, Tensor]) -> Tensor:
    """ΔW of one module at strength 1, fp32, in the shape its tensors give; of a DoRA what is added before the norm.

    A LoHa's or LoKr's of a convolution may be flat, (out, in · kh · kw).
    """
    own = {name: tensor.float() for name, tensor in parts.items()}
    scale, algorithm = scale_of(own), algorithm_of(own)
    if algorithm == "lora":
        return lora_delta(own["lora_up.weight"], own["lora_down.weight"], scale, own.get("lora_mid.weight"))
    if algorithm == "loha":
        return loha_delta(own, scale)
    return lokr_delta(own, scale) if algorithm == "lokr" else own["diff"]


def natural_norm(parts: Mapping[str, Tensor]) -> Tensor:
    """Frobenius norm of `natural_delta`; of a plain LoRA without making it, from rank × rank products of its halves."""
    norm: Tensor
    if algorithm_of(parts) == "lora" and "lora_mid.weight" not in parts:
        up, down = parts["lora_up.weight"].double().flatten(1), parts["lora_down.weight"].double().flatten(1)
        norm = ((up.T @ up) * (down @ down.T)).sum().clamp(min=0).sqrt() * abs(scale_of(parts))
    else:
        norm = natural_delta(parts).norm()
    return norm


def module_change(parts: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """What a file's module adds to this weight at strength 1, fp32 on its device; a DoRA's depends on the weight.

    Raises: LoraFileError, when the tensors do not fit the weight.
    """
    own = {name: tensor.to(weight.device) for name, tensor in parts.items() if name != "dora_scale"}
    delta = module_delta(own, tuple(weight.shape))
    if "dora_scale" not in parts:
        return delta
    magnitude = parts["dora_scale"].to(delta)
    if magnitude.numel() != weight.shape[1]:
        raise LoraFileError(f"found a magnitude of {tuple(magnitude.shape)}, expected one for each of {weight.shape[1]} inputs; "
                            "train it with wd_on_out=False")
    return dora_delta(weight.detach().float(), delta, magnitude.reshape(1, -1, *[1] * (weight.dim() - 2)))


def module_delta(parts: Mapping[str, Tensor], shape: tuple[int, ...]) -> Tensor:
    """ΔW of one module at strength 1, fp32, in the weight's shape.

    Raises: LoraFileError, when the tensors do not fit the shape.
    """
    if "dora_scale" in parts:
        raise LoraFileError("found a DoRA, expected a LoRA, LoCon, LoHa or LoKr; this host cannot apply DoRA yet")
    delta = natural_delta(parts)
    if delta.numel() != math.prod(shape) or delta.shape[0] != shape[0]:
        raise LoraFileError(f"found a change of shape {tuple(delta.shape)}, expected {shape}; "
                            "was it trained for another base model?")
    return delta.reshape(shape)
