"""A LoRA file of any trainer, normalized to kohya's keys."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import LoraFileError, LoraKeyError
from ..files.text_file import read_text
from ..naming.blocks import BlockLayout
from ..naming.dialects import LoraKey, foreign_kind, layout_of, parse_key
from ..naming.keys import canonical_to_kohya, stems

BUNDLE = "bundle_emb."
_FLOAT8 = {
    getattr(torch, name)
    for name in ("float8_e4m3fn", "float8_e5m2", "float8_e4m3fnuz", "float8_e5m2fnuz")
    if hasattr(torch, name)
}
_NUMBERS = {torch.float16, torch.bfloat16, torch.float32, torch.float64, *_FLOAT8}
_WHOLE = {torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64}
Config = Mapping[str, Any]


@dataclass(frozen=True)
class Normalized:
    """A file's tensors under kohya's keys.

    embeddings: the bundled textual inversions, by their own keys.
    renamed: True if any key changed: a host that knows kohya's keys alone needs a copy.
    notes: what the user should know, a sentence each.
    """

    layout: BlockLayout
    tensors: dict[str, Tensor]
    embeddings: dict[str, Tensor]
    renamed: bool
    notes: tuple[str, ...]


def normalize(
    name: str, raw: Mapping[str, Tensor], metadata: Mapping[str, str], config: Config | None = None
) -> Normalized:
    """The file's tensors under kohya's keys.

    fp8 becomes fp16, which holds every fp8 value; PEFT's scale becomes an alpha.
    name: the file's, for messages.
    config: of the adapter_config.json beside it.
    Raises: LoraKeyError, for keys that are not those of a LoRA for a known layout.
    Raises: LoraFileError, for tensors that are not finite floating-point numbers.
    """
    embeddings = {key: tensor for key, tensor in raw.items() if key.startswith(BUNDLE)}
    given = {key: tensor for key, tensor in raw.items() if key not in embeddings}
    parsed = {key: parse_key(key) for key in given}
    known = {key: found for key, found in parsed.items() if found is not None}
    if not given and embeddings:
        raise LoraKeyError(
            f"{name}: found textual inversion embeddings alone, expected a LoRA; put them into the "
            "embeddings folder"
        )
    _check_kind(name, given, known)
    layout = layout_of(
        known.values(), {known[key]: tuple(given[key].shape) for key in known}, metadata
    )
    _check_modules(name, given, known, layout)
    tensors = {}
    for key, found in known.items():
        canonical = stems(layout)[found.stem(layout)]
        target = f"{canonical_to_kohya(canonical, layout)}.{found.part}"
        if target in tensors:
            raise LoraKeyError(
                f"{name}: found two tensors for {target} (one is {key!r}), expected one; export the"
                " file again"
            )
        tensors[target] = _plain(name, key, given[key], found)
    try:
        notes = _scaled(tensors, known, layout, metadata, config)
    except (TypeError, ValueError, ArithmeticError, AttributeError, re.error) as error:
        raise LoraFileError(
            f"{name}: found a configuration of PEFT that cannot be used ({error}), expected numbers"
            " for lora_alpha and alpha_pattern; export the file again"
        ) from None
    kinds = {tensor.dtype for tensor in raw.values()} & _FLOAT8
    if kinds:
        notes.append(
            "its numbers are"
            f" {', '.join(sorted(str(kind).removeprefix('torch.') for kind in kinds))}; they are"
            " worked on as float16"
        )
    return Normalized(
        layout,
        tensors,
        {key: _plain(name, key, tensor, None) for key, tensor in embeddings.items()},
        tensors.keys() != given.keys(),
        tuple(notes),
    )


def _check_kind(name: str, given: Mapping[str, Tensor], known: Mapping[str, LoraKey]) -> None:
    """Raises: LoraKeyError, for a file that is no LoRA at all, or one for another kind of model."""
    if any(key.part not in ("weight", "bias") for key in known.values()):
        return
    what = foreign_kind(given)
    if not what and any("lora" in key.lower() for key in given):
        return  # of an unknown dialect: `_check_modules` names its first key
    what = what or "keys that no LoRA has"
    first = next(iter(given), "")
    raise LoraKeyError(
        f"{name}: found {what} (first key: {first!r}), expected a LoRA for Stable Diffusion 1, 2 or"
        " SDXL; choose another file"
    )


def _check_modules(
    name: str, given: Mapping[str, Tensor], known: Mapping[str, LoraKey], layout: BlockLayout
) -> None:
    """Raises: LoraKeyError, naming the first key that no module has."""
    unknown = [
        key for key in given if key not in known or known[key].stem(layout) not in stems(layout)
    ]
    if not unknown:
        return
    what = foreign_kind(given) if len(unknown) == len(given) else ""
    meant = f"It is {what}. " if what else ""
    raise LoraKeyError(
        f"{name}: {len(unknown)} of {len(given)} keys match no {layout.name} module (first:"
        f" {unknown[0]!r}). {meant}Was it trained for another base model?"
    )


def _plain(name: str, key: str, tensor: Tensor, found: LoraKey | None) -> Tensor:
    """The tensor as a host computes with it.

    Raises: LoraFileError, for NaN, infinities and numbers of other kinds.
    """
    if found and found.part == "alpha" and tensor.dtype in _WHOLE:
        tensor = tensor.float()  # torch.tensor(4) is of whole numbers
    if tensor.dtype not in _NUMBERS and not (found and found.part == "on_input"):
        raise LoraFileError(
            f"{name}: {key}: found {str(tensor.dtype).removeprefix('torch.')}, expected"
            " floating-point numbers; a quantized LoRA must be exported again as fp16"
        )
    plain = tensor.half() if tensor.dtype in _FLOAT8 else tensor
    if not plain.isfinite().all():
        raise LoraFileError(
            f"{name}: {key}: found NaN or infinite numbers, expected a LoRA that draws; its"
            " training broke, use an earlier epoch"
        )
    if found and found.per_output and plain.dim() == 1:
        # Peft keeps one number an output in a row; a column is how LyCORIS writes that
        plain = plain[:, None]
    elif found and found.per_output and plain.dim() > 2:
        plain = plain.transpose(0, 1)  # peft's of a convolution: (1, out, 1, 1)
    return plain.contiguous()


def _scaled(
    tensors: dict[str, Tensor],
    known: Mapping[str, LoraKey],
    layout: BlockLayout,
    metadata: Mapping[str, str],
    config: Config | None,
) -> list[str]:
    """Add PEFT modules' alphas to the tensors; gives notes on what was assumed, a sentence each."""
    dotted = {
        found.stem(layout): key
        for key, found in known.items()
        if found.part == "lora_down.weight" and ".lora_A" in key
    }
    if not dotted:
        return []
    configs = _configs(metadata, config)
    missing = []
    for stem, key in dotted.items():
        target = canonical_to_kohya(stems(layout)[stem], layout)
        down = tensors[f"{target}.lora_down.weight"]
        # One number has no rank; the check of shapes tells it
        if f"{target}.alpha" in tensors or not down.dim():
            continue
        rank = int(down.shape[0])
        alpha = _alpha(configs, known[key].network, key, rank)
        if alpha is None:
            missing.append(target)
        else:
            tensors[f"{target}.alpha"] = torch.tensor(alpha)
    return (
        [
            f"{len(missing)} of its modules have no alpha, so it is taken as the rank, as diffusers"
            " does"
        ]
        if missing
        else []
    )


def _configs(metadata: Mapping[str, str], config: Config | None) -> dict[str, Config]:
    """PEFT's configuration of each network; "" is the one in the file beside it."""
    found: dict[str, dict[str, Any]] = {}
    try:
        told = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except (ValueError, RecursionError):
        told = {}
    for key, value in told.items() if isinstance(told, dict) else ():
        network, _, name = key.partition(".")
        found.setdefault({"text_encoder": "te", "text_encoder_2": "te2"}.get(network, network), {})[
            name
        ] = value
    return {**found, **({"": config} if config else {})}


def _alpha(configs: Mapping[str, Config], network: str, key: str, rank: int) -> float | None:
    """alpha as kohya means it (the scale is alpha / rank); None where nothing tells.

    Source: peft tuners/lora/layer.py, update_layer, and utils/other.py, get_pattern_key.
    """
    config = configs.get(network) or configs.get({"te": "te1"}.get(network, "")) or configs.get("")
    if not config or config.get("lora_alpha") is None:
        return None
    module = re.sub(r"\.lora_A.*$", "", key)
    alpha = float(config["lora_alpha"])
    for pattern, value in (config.get("alpha_pattern") or {}).items():
        if module == pattern or re.match(rf"(?:.*\.)?(?:{pattern})$", module):
            alpha = float(value)
            break
    if not math.isfinite(alpha):
        raise ValueError(f"alpha {alpha}")
    return alpha * math.sqrt(rank) if config.get("use_rslora") else alpha


def config_of(path: Path) -> Path | None:
    """Where a file's configuration is if it has one; None beside names that are not PEFT's."""
    is_pefts = path.stem.startswith("adapter_model")
    return path.with_name("adapter_config.json") if is_pefts else None


def adapter_config(path: Path) -> Config | None:
    """PEFT's adapter_config.json beside a file of PEFT's name, if there is one.

    Raises: LoraFileError, for a broken one.
    """
    beside = config_of(path)
    if beside is None or not beside.is_file():
        return None
    try:
        config = json.loads(read_text(beside, LoraFileError))
    except (ValueError, RecursionError) as error:
        raise LoraFileError(
            f"{beside}: cannot be read ({error}), expected PEFT's configuration; copy it again"
        ) from None
    return config if isinstance(config, dict) else None
