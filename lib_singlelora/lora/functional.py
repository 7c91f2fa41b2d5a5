"""ΔW of each algorithm, apart from modules and files.

All functions give the weight's change at strength 1 in the shape of the weight: (out, in) or
(out, in, kh, kw).

Sources: Hu et al. 2021 (LoRA); Hyeon-Woo et al. 2022, FedPara (LoHa); LyCORIS, lycoris/functional
(LoKr, Tucker forms).
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..errors import LoraFileError

ALGORITHMS = {
    "lora_up.weight": "lora",
    "hada_w1_a": "loha",
    "lokr_w1": "lokr",
    "lokr_w1_a": "lokr",
    "diff": "full",
    "w_norm": "norm",
    "a1.weight": "glora",
    "oft_blocks": "oft",
    "oft_diag": "oft",
    "on_input": "ia3",
}
PARTNERS = {
    "lora": ("lora_down.weight",),
    "loha": ("hada_w1_b", "hada_w2_a", "hada_w2_b"),
    "glora": ("a2.weight", "b1.weight", "b2.weight"),
    "ia3": ("weight",),
}
# The tensors of each algorithm, beside alpha, scale and dora_scale
_READ = {
    "lora": {"lora_up.weight", "lora_down.weight", "lora_mid.weight", "diff_b"},
    "loha": {f"hada_{name}" for name in ("w1_a", "w1_b", "w2_a", "w2_b", "t1", "t2")} | {"diff_b"},
    "lokr": (
        {f"lokr_{name}" for name in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b", "t2")} | {"diff_b"}
    ),
    "full": {"diff", "diff_b"},
    "norm": {"w_norm", "b_norm"},
    "glora": {"a1.weight", "a2.weight", "b1.weight", "b2.weight"},
    "oft": {"oft_blocks", "oft_diag", "rescale"},
    "ia3": {"weight", "on_input"},
}
# Algorithms whose ΔW depends on the weight that they change
OF_THE_WEIGHT = ("glora", "oft", "ia3")
# The tensors that ΔW is linear in: block weights are multiplied into them, as LBW does.  OFT has
# none.
LINEAR_IN = (
    "lora_up.weight",
    "hada_w1_a",
    "lokr_w1",
    "lokr_w1_a",
    "diff",
    "diff_b",
    "w_norm",
    "b_norm",
    "a1.weight",
    "b2.weight",
    "weight",
)

PER_OUTPUT = (
    "one magnitude an output, with which the WebUI would draw coloured noise; train with"
    " wd_on_output=False, or make a file that every host draws right: 'bake FILE --preset ALL"
    " --checkpoint CHECKPOINT --out NEW'"
)


def algorithm_of(parts: Mapping[str, Tensor]) -> str:
    """The algorithm of a module, by the names of its tensors.

    Raises: LoraFileError, for none of ALGORITHMS.
    """
    for name, algorithm in ALGORITHMS.items():
        if name in parts and all(other in parts for other in PARTNERS.get(algorithm, ())):
            return algorithm
    raise LoraFileError(
        f"found tensors {', '.join(sorted(parts))}, expected those of a LoRA, LoCon, LoHa, LoKr,"
        " GLoRA, OFT, IA3, a norm or diff"
    )


def lora_delta(up: Tensor, down: Tensor, scale: float, mid: Tensor | None = None) -> Tensor:
    """scale · up · down; with `mid` the Tucker form of a convolution.

    up: (out, rank) or (out, rank, 1, 1).
    down: (rank, in) or (rank, in, kh, kw).
    mid: (rank, rank, kh, kw).
    Source: Hu et al. 2021, "LoRA", section 4.1; LyCORIS for the Tucker form.
    """
    rank = down.shape[0]
    if mid is not None:
        flat_up = up.reshape(up.shape[0], -1)
        flat_down = down.reshape(rank, -1)
        return torch.einsum("op,pqhw,qi->oihw", flat_up, mid, flat_down) * scale
    return (up.reshape(up.shape[0], -1) @ down.reshape(rank, -1)).reshape(
        up.shape[0], *down.shape[1:]
    ) * scale


def loha_delta(parts: Mapping[str, Tensor], scale: float) -> Tensor:
    """scale · (w1_a w1_b) ∘ (w2_a w2_b), with cores t1 and t2 in the Tucker form.

    parts: hada_w1_a, hada_w2_a: (out, rank); hada_w1_b, hada_w2_b: (rank, in · kh · kw).
    Source: Hyeon-Woo et al. 2022, "FedPara", proposition 1.
    """
    halves = []
    for n in (1, 2):
        a = parts[f"hada_w{n}_a"]
        b = parts[f"hada_w{n}_b"]
        core = parts.get(f"hada_t{n}")
        halves.append(a @ b if core is None else torch.einsum("ijkl,jr,ip->prkl", core, b, a))
    return halves[0] * halves[1] * scale


def lokr_delta(parts: Mapping[str, Tensor], scale: float) -> Tensor:
    """scale · w1 ⊗ w2 (Kronecker), each whole or a product of two.

    Source: LyCORIS, lycoris/functional/lokr.py.
    """
    first = parts["lokr_w1"] if "lokr_w1" in parts else parts["lokr_w1_a"] @ parts["lokr_w1_b"]
    if "lokr_w2" in parts:
        second = parts["lokr_w2"]
    elif "lokr_t2" in parts:
        second = torch.einsum(
            "ijkl,ip,jr->prkl", parts["lokr_t2"], parts["lokr_w2_a"], parts["lokr_w2_b"]
        )
    else:
        a = parts["lokr_w2_a"]
        b = parts["lokr_w2_b"]
        second = (a @ b.reshape(b.shape[0], -1)).reshape(a.shape[0], *b.shape[1:])
    if second.dim() == 4:
        first = first[:, :, None, None]
    return torch.kron(first.contiguous(), second.contiguous()) * scale


def dora_delta(weight: Tensor, delta: Tensor, magnitude: Tensor) -> Tensor:
    """DoRA's change of a weight: m (W + ΔW) / ‖W + ΔW‖ - W, with the norm of each input's column.

    weight, delta: (out, in, …).
    magnitude: (1, in, 1…), as the WebUI reads it (LyCORIS' wd_on_output=False).
    Source: Liu et al. 2024, DoRA, eq. 5; AUTOMATIC1111 extensions-builtin/Lora/network.py for the
    axis of the norm.
    """
    merged = weight + delta
    changed: Tensor = merged * (magnitude / column_norms(merged)) - weight
    return changed


def check_parts(parts: Mapping[str, Tensor]) -> None:
    """Check that a module's tensors belong to one algorithm and fit one another.

    Costs next to nothing: shapes are compared, of the rarer algorithms computed on PyTorch's meta
    device.  A plain LoRA never goes there, for its first product takes seconds of imports.
    Raises: LoraFileError, naming what is missing, too much, or does not fit.
    """
    algorithm = algorithm_of(parts)
    unknown = sorted(parts.keys() - _READ[algorithm] - {"alpha", "scale", "dora_scale"})
    if unknown:
        raise LoraFileError(
            f"found {', '.join(unknown)} beside a {algorithm}'s tensors, which no host reads; train"
            " or export it without them"
        )
    if algorithm in OF_THE_WEIGHT:
        return
    try:
        if algorithm == "lora" and "lora_mid.weight" not in parts:
            _check_product(parts["lora_up.weight"], parts["lora_down.weight"])
            scale_of(parts)
        else:
            natural_delta(
                {
                    name: tensor if name in {"alpha", "scale"} else tensor.to("meta")
                    for name, tensor in parts.items()
                }
            )
    except (RuntimeError, ValueError, IndexError, KeyError, ZeroDivisionError):  # of a rank of 0
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in parts.items())
        raise LoraFileError(
            f"found tensors that do not fit one another ({shapes}), expected those of one module;"
            " copy or train it again"
        ) from None


def _check_product(up: Tensor, down: Tensor) -> None:
    """Raises: ValueError, where `lora_delta` cannot multiply the two, or they are no matrices.

    `lora_delta` would take a vector for a matrix of one column; hosts do not.
    """
    if up.dim() < 2 or down.dim() < 2 or not up.numel() or not down.numel():
        raise ValueError("found no matrices to multiply")
    if up.numel() != up.shape[0] * down.shape[0]:
        raise ValueError("found two ranks")


def per_output(magnitude: Tensor) -> bool:
    """True for a DoRA of one magnitude per output, (out, 1, 1…); False per input, (1, in, 1…)."""
    return magnitude.dim() > 1 and magnitude.shape[0] > 1


def per_output_delta(weight: Tensor, delta: Tensor, magnitude: Tensor) -> Tensor:
    """The change of a DoRA with one magnitude per output: m (W + ΔW) / ‖W + ΔW‖ - W, by rows.

    weight, delta: (out, in, …).
    magnitude: (out, 1, 1…).
    Source: LyCORIS lycoris/modules/locon.py with wd_on_out; peft tuners/lora/dora.py.
    """
    merged = weight + delta
    norms = merged.flatten(1).norm(dim=1).reshape(-1, *[1] * (weight.dim() - 1))
    changed: Tensor = merged * (magnitude.reshape(norms.shape) / norms) - weight
    return changed


def column_norms(weight: Tensor) -> Tensor:
    """The norm of each input's column, (1, in, 1…); weight: (out, in, …)."""
    norms: Tensor = weight.transpose(0, 1).flatten(1).norm(dim=1)
    return norms.view(1, -1, *[1] * (weight.dim() - 2))


def rank_of(parts: Mapping[str, Tensor]) -> int | None:
    """The rank that alpha is divided by; None without one (diff, LoKr with two whole matrices)."""
    for name, dimension in (
        ("lora_down.weight", 0),
        ("hada_w1_b", 0),
        ("lokr_w1_b", 0),
        ("lokr_w2_b", 0),
        ("lokr_t2", 0),
    ):
        if name in parts:
            return int(parts[name].shape[dimension])
    return None


def scale_of(parts: Mapping[str, Tensor]) -> float:
    """alpha / rank, or 1 without an alpha or a rank; `scale` where a file says it outright."""
    if "scale" in parts:  # the WebUI lets it stand for alpha / rank
        return float(parts["scale"])
    rank = rank_of(parts)
    if "alpha" not in parts or rank is None:
        return 1.0
    return float(parts["alpha"]) / rank


def natural_delta(parts: Mapping[str, Tensor]) -> Tensor:
    """ΔW of one module at strength 1, fp32, in the shape that its tensors give.

    Of a DoRA: what is added to the weight before the norm.
    A LoHa's or LoKr's of a convolution may be flat, (out, in · kh · kw).
    """
    parts = {name: tensor.float() for name, tensor in parts.items()}
    scale = scale_of(parts)
    algorithm = algorithm_of(parts)
    if algorithm == "lora":
        return lora_delta(
            parts["lora_up.weight"], parts["lora_down.weight"], scale, parts.get("lora_mid.weight")
        )
    if algorithm == "loha":
        return loha_delta(parts, scale)
    if algorithm in OF_THE_WEIGHT:
        raise LoraFileError(
            f"found {algorithm}, whose change depends on the checkpoint's weights, expected LoRA,"
            " LoCon, LoHa, LoKr or diff; use the file as it is"
        )
    if algorithm == "lokr":
        return lokr_delta(parts, scale)
    return parts["w_norm" if algorithm == "norm" else "diff"] * scale


def natural_norm(parts: Mapping[str, Tensor]) -> Tensor:
    """Frobenius norm of `natural_delta`, a scalar.

    Of a plain LoRA from rank × rank products: ‖up down‖² = Σ (upᵀ up) ∘ (down downᵀ).
    """
    norm: Tensor
    if algorithm_of(parts) == "lora" and "lora_mid.weight" not in parts:
        up = parts["lora_up.weight"].double().flatten(1)
        down = parts["lora_down.weight"].double().flatten(1)
        norm = ((up.T @ up) * (down @ down.T)).sum().clamp(min=0).sqrt() * abs(scale_of(parts))
    else:
        norm = natural_delta(parts).norm()
    return norm


def module_change(parts: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """What a file's module adds to this weight at strength 1, fp32 on the weight's device.

    Raises: LoraFileError, when the tensors do not fit the weight, and for a DoRA with one magnitude
        per output.
    """
    own = {name: tensor.to(weight.device) for name, tensor in parts.items() if name != "dora_scale"}
    if algorithm_of(own) in OF_THE_WEIGHT:
        delta = of_weight(own, weight)
    else:
        delta = module_delta(own, tuple(weight.shape))
    if "dora_scale" not in parts:
        return delta
    magnitude = parts["dora_scale"].to(delta)
    if weight.dim() < 2:
        raise LoraFileError(
            f"found a DoRA's magnitude of {tuple(magnitude.shape)} for a norm of"
            f" {tuple(weight.shape)}, expected none; copy or train it again"
        )
    if per_output(magnitude):
        raise LoraFileError(
            f"found a magnitude of {tuple(magnitude.shape)}, expected one for each of"
            f" {weight.shape[1]} inputs: it is a DoRA of {PER_OUTPUT}"
        )
    if magnitude.numel() != weight.shape[1]:
        raise LoraFileError(
            f"found a magnitude of {tuple(magnitude.shape)}, expected one for each of"
            f" {weight.shape[1]} inputs; was it trained for another base model?"
        )
    return dora_delta(
        weight.detach().float(), delta, magnitude.reshape(1, -1, *[1] * (weight.dim() - 2))
    )


def bias_change(parts: Mapping[str, Tensor]) -> Tensor | None:
    """What a file's module adds to the bias at strength 1, fp32."""
    change = parts.get("b_norm" if "w_norm" in parts else "diff_b")
    return None if change is None else change.float()


def of_weight(parts: Mapping[str, Tensor], weight: Tensor) -> Tensor:
    """What GLoRA, IA3, OFT and BOFT change of a weight at strength 1, fp32.

    Source: AUTOMATIC1111 1.10.1 extensions-builtin/Lora/network_{glora,ia3,oft}.py, which leave out
    GLoRA's alpha.
    Raises: LoraFileError, when the tensors do not fit the weight.
    """
    own = {name: tensor.float() for name, tensor in parts.items()}
    base = weight.detach().float()
    scale = float(own["scale"]) if "scale" in own else 1.0
    try:
        if "a1.weight" in own:
            return (
                own["b2.weight"] @ own["b1.weight"] + base @ own["a2.weight"] @ own["a1.weight"]
            ) * scale
        if "on_input" in own:
            across = (1, -1) if bool(own["on_input"]) else (-1, 1)
            return base * own["weight"].reshape(*across, *[1] * (base.dim() - 2)) * scale
        turned = (
            _boft(own, base)
            if own.get("oft_blocks", base.new_empty(0)).dim() == 4
            else _oft(own, base)
        )
        if "rescale" in own:
            turned = own["rescale"].reshape(-1, *[1] * (base.dim() - 1)) * turned
        return turned - base
    except (RuntimeError, IndexError, ValueError):
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in parts.items())
        raise LoraFileError(
            f"found tensors that do not fit a weight of {tuple(weight.shape)} ({shapes}); was it"
            " trained for another base model?"
        ) from None


def _cayley(blocks: Tensor, bound: float) -> Tensor:
    """Rotations (…, b, b) = (1 + S)(1 - S)⁻¹ of skew-symmetric S = blocks - blocksᵀ.

    blocks: (…, b, b).
    bound: of the norm of S, 0 for none.
    """
    skew = blocks - blocks.transpose(-1, -2)
    if bound:
        norm = skew.norm()
        skew = skew * ((norm.clamp(max=bound) + 1e-8) / (norm + 1e-8))
    one = torch.eye(skew.shape[-1], device=skew.device)
    return (one + skew) @ (one - skew).inverse()


def _oft(own: Mapping[str, Tensor], base: Tensor) -> Tensor:
    """The weight with its outputs rotated block by block.

    oft_blocks: (blocks, b, b) generators; oft_diag, of older LyCORIS: the rotations themselves.
    Source: Qiu et al. 2023, "Controlling Text-to-Image Diffusion by Orthogonal Finetuning".
    """
    out = base.shape[0]
    if "oft_diag" in own:
        turns = own["oft_diag"]
    else:
        turns = _cayley(own["oft_blocks"], float(own.get("alpha", 0.0)) * out)
    blocks = base.reshape(turns.shape[0], turns.shape[1], -1)
    return torch.einsum("knm,kni->kmi", turns, blocks).reshape(base.shape)


def _boft(own: Mapping[str, Tensor], base: Tensor) -> Tensor:
    """The weight with its outputs rotated in butterfly order.

    oft_blocks: (steps, blocks, b, b).
    Source: Liu et al. 2024, "Parameter-Efficient Orthogonal Finetuning via Butterfly
        Factorization".
    """
    turns = _cayley(own["oft_blocks"], float(own.get("alpha", 0.0)) * base.shape[0])
    side = turns.shape[-1]
    flat = base.reshape(base.shape[0], -1)
    for step, turn in enumerate(turns):
        reach = 2**step * (side // 2)
        mixed = flat.reshape(-1, 2, reach, flat.shape[1]).transpose(1, 2).reshape(flat.shape)
        mixed = torch.einsum("bij,bjx->bix", turn, mixed.reshape(-1, side, flat.shape[1])).reshape(
            flat.shape
        )
        flat = mixed.reshape(-1, reach, 2, flat.shape[1]).transpose(1, 2).reshape(flat.shape)
    return flat.reshape(base.shape)


def module_delta(parts: Mapping[str, Tensor], shape: tuple[int, ...]) -> Tensor:
    """ΔW of one module at strength 1, fp32, in the weight's shape.

    Raises: LoraFileError, when the tensors do not fit the shape.
    """
    if "dora_scale" in parts:
        raise LoraFileError(
            "found a DoRA, expected a LoRA, LoCon, LoHa or LoKr; this host cannot apply DoRA yet"
        )
    delta = natural_delta(parts)
    if delta.numel() != math.prod(shape) or delta.shape[0] != shape[0]:
        raise LoraFileError(
            f"found a change of shape {tuple(delta.shape)}, expected {shape}; "
            "was it trained for another base model?"
        )
    return delta.reshape(shape)
