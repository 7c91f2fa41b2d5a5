"""Settings of other trainers: kohya_ss' JSON and sd-scripts' TOML, both ways; what cannot be carried over is listed.

Names: bmaltais/kohya_ss, presets/lora/; kohya-ss/sd-scripts v0.9.1, library/train_util.py and train_network.py, their options.
"""

from __future__ import annotations

import importlib
import importlib.util
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .errors import SettingsError
from .naming.blocks import SD1
from .naming.presets import parse_block_weights
from .settings import Settings, declaration

Values = dict[str, Any]

# Our training setting -> (kohya_ss, sd-scripts) where a value means the same in all three.
SAME = {
    "rank": ("network_dim",) * 2, "alpha": ("network_alpha",) * 2, "dropout": ("network_dropout",) * 2,
    "scale_weight_norms": ("scale_weight_norms",) * 2, "save_precision": ("save_precision",) * 2,
    "epochs": ("epoch", "max_train_epochs"), "batch_size": ("train_batch_size",) * 2,
    "gradient_accumulation": ("gradient_accumulation_steps",) * 2, "unet_lr": ("unet_lr",) * 2,
    "text_encoder_lr": ("text_encoder_lr",) * 2, "optimizer": ("optimizer", "optimizer_type"),
    "scheduler": ("lr_scheduler",) * 2, "restarts": ("lr_scheduler_num_cycles",) * 2, "power": ("lr_scheduler_power",) * 2,
    "max_grad_norm": ("max_grad_norm",) * 2, "gradient_checkpointing": ("gradient_checkpointing",) * 2, "seed": ("seed",) * 2,
    "noise_offset": ("noise_offset",) * 2, "multires_noise_iterations": ("multires_noise_iterations",) * 2,
    "multires_noise_discount": ("multires_noise_discount",) * 2, "min_snr_gamma": ("min_snr_gamma",) * 2,
    "debiased_estimation": ("debiased_estimation_loss",) * 2, "zero_terminal_snr": ("zero_terminal_snr",) * 2,
    "min_timestep": ("min_timestep",) * 2, "max_timestep": ("max_timestep",) * 2, "loss": ("loss_type",) * 2,
    "huber_c": ("huber_c",) * 2, "huber_schedule": ("huber_schedule",) * 2, "masked_loss": ("masked_loss",) * 2,
    "prior_loss_weight": ("prior_loss_weight",) * 2, "keep_tokens": ("keep_tokens",) * 2,
    "shuffle_captions": ("shuffle_caption",) * 2, "caption_dropout": ("caption_dropout_rate",) * 2,
    "tag_dropout": ("caption_tag_dropout_rate",) * 2, "max_token_length": ("max_token_length",) * 2, "flip": ("flip_aug",) * 2,
    "color_aug": ("color_aug",) * 2, "clip_skip": ("clip_skip",) * 2, "start_from": ("network_weights",) * 2,
    "buckets": ("enable_bucket",) * 2,
}
# Further arguments of a network, fields of their own in kohya_ss and "name=value" in sd-scripts' network_args.
NETWORK = {"conv_rank": "conv_dim", "conv_alpha": "conv_alpha", "rank_dropout": "rank_dropout",
           "module_dropout": "module_dropout", "lokr_factor": "factor"}
LISTS = ("down_lr_weight", "mid_lr_weight", "up_lr_weight")
TYPES = {"LoRA": "Standard", "LoCon": "Kohya LoCon", "LoHa": "LyCORIS/LoHa", "LoKr": "LyCORIS/LoKr", "DoRA": "LyCORIS/LoCon"}
OPTIMIZERS = {"adamw": "AdamW", "adamw8bit": "AdamW8bit", "lion": "Lion", "prodigy": "Prodigy", "dadaptation": "DAdaptAdam",
              "dadaptadam": "DAdaptAdam", "adafactor": "Adafactor", "adamwschedulefree": "AdamWScheduleFree"}
PRECISIONS = {"no": "fp32", "fp16": "fp16", "bf16": "bf16"}
OFF: tuple[Any, ...] = ("", None, "None", [], 0, 0.0, False, "0")  # of what we do not have: nothing is lost


@dataclass(frozen=True)
class Imported:
    """values: our dotted names.  left: what was not carried over, key -> why."""

    values: Values
    left: dict[str, str]


@dataclass(frozen=True)
class Exported:
    """text: the file.  left: our settings that it cannot say."""

    text: str
    left: dict[str, str]


def read_foreign(text: str, name: str) -> Imported:
    """Settings from a file's text, by its name's ending: .json of kohya_ss, .toml of sd-scripts.

    Raises: SettingsError, for neither, or for text that is not what the ending says.
    """
    if name.lower().endswith(".json"):
        return _translate(_json(text, name), 0, name)
    if name.lower().endswith(".toml"):
        flat: Values = {}
        for key, value in _toml(text, name).items():
            flat.update(value if isinstance(value, dict) else {key: value})
        return _translate(_spread(flat, name), 1, name)
    raise SettingsError(f"{name}: found neither .json nor .toml, expected a kohya_ss JSON or an sd-scripts TOML")


def _json(text: str, name: str) -> Values:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise SettingsError(f"{name}: found no JSON ({error}), expected a file that kohya_ss saved") from None
    if not isinstance(values, dict):
        raise SettingsError(f"{name}: found a {type(values).__name__}, expected an object of kohya_ss' fields")
    return values


def _toml(text: str, name: str) -> Values:
    reader = next((module for module in ("tomllib", "tomli") if importlib.util.find_spec(module)), None)  # 3.10 lacks the first
    if reader is None:
        raise SettingsError(f"{name}: found no TOML reader, expected one; install it with pip install tomli")
    try:
        return dict(importlib.import_module(reader).loads(text))
    except ValueError as error:
        raise SettingsError(f"{name}: found no TOML ({error}), expected an sd-scripts configuration") from None


def _spread(flat: Values, name: str) -> Values:
    """network_args as fields of their own, and the network's module as kohya_ss' LoRA type."""
    found = dict(flat)
    arguments: Values = {}
    for piece in found.pop("network_args", None) or []:
        key, equals, value = str(piece).partition("=")
        if not equals:
            raise SettingsError(f"{name}: network_args: found {piece!r}, expected NAME=VALUE")
        arguments[key.strip()] = value.strip()
    module, algo = str(found.pop("network_module", "networks.lora")), arguments.pop("algo", "locon")
    dora = str(arguments.pop("dora_wd", arguments.pop("weight_decompose", "False"))).lower() == "true"
    if module == "lycoris.kohya":
        kinds = {"loha": "LyCORIS/LoHa", "lokr": "LyCORIS/LoKr", "locon": "LyCORIS/LoCon", "lora": "LyCORIS/LoCon"}
        found["LoRA_type"] = kinds.get(algo, f"LyCORIS/{algo}")
        found["dora_wd"] = dora
    elif module == "networks.lora":
        found["LoRA_type"] = "Kohya LoCon" if arguments.get("conv_dim") else "Standard"
    else:
        found["LoRA_type"] = module
    found["optimizer_args"] = " ".join(map(str, found.get("optimizer_args") or []))
    return {**found, **arguments}


def _translate(source: Values, column: int, name: str) -> Imported:
    rest, values, left = dict(source), Values(), dict[str, str]()
    if column == 0 and not any(key in rest for key in ("network_dim", "LoRA_type", "train_batch_size")):
        raise SettingsError(f"{name}: found none of kohya_ss' LoRA fields (network_dim, LoRA_type …), expected a file that its "
                            "LoRA tab saved")
    for ours, theirs in SAME.items():
        _take(rest, theirs[column], ours, values, left, CONVERT.get(ours))
    for ours, key in NETWORK.items():
        _take(rest, key, ours, values, left)
    _algorithm(rest, values, left)
    _rates(rest, values)
    _block_weights(rest, values)
    _warmup(rest, values)
    if (resolution := rest.pop("max_resolution" if column == 0 else "resolution", None)) not in OFF:
        sides = [int(side) for side in str(resolution).replace("x", ",").strip("()[] ").split(",")]
        values["training.resolution"] = round((sides[0] * sides[-1]) ** 0.5)
    if (precision := rest.pop("mixed_precision", None)) not in ("", None):
        values["training.precision"] = PRECISIONS.get(str(precision), "auto")
    if rest.pop("v_parameterization", False) is True:
        values["training.prediction"] = "v_prediction"
    if arguments := str(rest.pop("optimizer_args", "") or "").strip():
        values["training.optimizer_args"] = "; ".join(arguments.split())
    left.update({key: f"{value!r} has no counterpart here" for key, value in rest.items() if value not in OFF})
    return Imported(values, left)


def _take(rest: Values, key: str, ours: str, values: Values, left: dict[str, str],
          convert: Callable[[Any], Any] | None = None) -> None:
    value = rest.pop(key, None)
    if value in ("", None):
        return
    try:
        own = convert(value) if convert else value
        values[f"training.{ours}"] = declaration(f"training.{ours}").check(_whole(own))
    except SettingsError as error:
        left[key] = str(error)


def _whole(value: Any) -> Any:
    """kohya_ss writes some whole numbers as 1.0 or "1"."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _optimizer(value: Any) -> str:
    return OPTIMIZERS.get(str(value).lower().rsplit(".", 1)[-1], str(value))


def _scheduler(value: Any) -> str:
    return {"constant_with_warmup": "constant"}.get(str(value), str(value))


CONVERT: Mapping[str, Callable[[Any], Any]] = {"optimizer": _optimizer, "scheduler": _scheduler}


def _algorithm(rest: Values, values: Values, left: dict[str, str]) -> None:
    kind, dora = str(rest.pop("LoRA_type", "Standard")), bool(rest.pop("dora_wd", False))
    known = {theirs: ours for ours, theirs in TYPES.items()} | {"LyCORIS/LoCon": "LoCon", "LoCon": "LoCon", "": "LoRA"}
    if kind not in known:
        left["LoRA_type"] = f"{kind!r} is not trained here; LoRA is used"
        return
    values["training.algorithm"] = "DoRA" if dora and known[kind] == "LoCon" else known[kind]
    if dora and known[kind] != "LoCon":
        left["dora_wd"] = f"weight decomposition of {known[kind]} is not trained here"
    if values["training.algorithm"] == "LoRA":  # kohya_ss keeps the field, but its plain LoRA has no convolutions
        values.pop("training.conv_rank", None)
        values.pop("training.conv_alpha", None)


def _rates(rest: Values, values: Values) -> None:
    """One rate for both halves stands where they have none of their own."""
    shared = rest.pop("learning_rate", None)
    for half, without in (("unet_lr", "network_train_text_encoder_only"), ("text_encoder_lr", "network_train_unet_only")):
        if shared not in ("", None) and f"training.{half}" not in values:
            values[f"training.{half}"] = float(shared)
        if rest.pop(without, False) is True:
            values[f"training.{half}"] = 0.0


def _block_weights(rest: Values, values: Values) -> None:
    parts = [_joined(rest.pop(key, "")) for key in LISTS]
    threshold = float(rest.pop("block_lr_zero_threshold", 0) or 0)
    if any(parts):
        values["training.block_weights"] = "/".join(part or default for part, default in
                                                    zip(parts, ("1," * 11 + "1", "1", "1," * 11 + "1"), strict=True))
        if threshold > 0:  # what does not reach it is not trained
            lists = parse_block_weights(values["training.block_weights"], SD1).as_kohya().values()
            values["training.block_weights"] = "/".join(
                ",".join(f"{value:.6g}" if value > threshold else "0" for value in own) for own in lists)


def _joined(value: Any) -> str:
    """A list as text, however the file wrote it."""
    return ",".join(f"{item:g}" for item in value) if isinstance(value, list) else str(value or "").strip()


def _warmup(rest: Values, values: Values) -> None:
    percent, steps = rest.pop("lr_warmup", None), rest.pop("lr_warmup_steps", None)
    if steps not in ("", None, 0, "0"):
        values["training.warmup"] = float(steps)
    elif percent not in ("", None):
        values["training.warmup"] = float(percent) / 100
    elif steps is not None:
        values["training.warmup"] = 0.0


def write_foreign(settings: Settings, kind: str) -> Exported:
    """The training settings as a kohya_ss JSON (`json`) or an sd-scripts TOML (`toml`)."""
    column = 0 if kind == "json" else 1
    training = settings.training
    found: Values = {theirs[column]: getattr(training, ours) for ours, theirs in SAME.items()}
    network: Values = {theirs: getattr(training, ours) for ours, theirs in NETWORK.items()}
    network |= _lists(training.block_weights)
    if training.algorithm == "LoCon" and not training.conv_rank:
        network["conv_dim"] = training.rank
    if network["conv_dim"] and not network["conv_alpha"]:
        network["conv_alpha"] = training.alpha * network["conv_dim"] / training.rank
    found["mixed_precision"] = {"fp32": "no", "auto": "no"}.get(training.precision, training.precision)
    found["v_parameterization"] = training.prediction == "v_prediction"
    arguments = training.optimizer_args.replace(";", " ").split()
    if training.resolution:
        found["max_resolution" if column == 0 else "resolution"] = f"{training.resolution},{training.resolution}"
    changed = settings.changed_from_declared()
    left = {f"training.{name}": why for name, why in LOST.items() if f"training.{name}" in changed}
    if column == 0:
        found |= {**network, "LoRA_type": TYPES[training.algorithm], "dora_wd": training.algorithm == "DoRA"}
        found["optimizer_args"] = " ".join(arguments)
        if training.warmup < 1:
            found["lr_warmup"] = round(training.warmup * 100, 4)
        else:
            found["lr_warmup_steps"] = round(training.warmup)
        return Exported(json.dumps(found, indent=2, sort_keys=True) + "\n", left)
    found |= {"network_module": "networks.lora" if training.algorithm in ("LoRA", "LoCon") else "lycoris.kohya",
              "network_args": _network_args(training.algorithm, network), "optimizer_args": arguments,
              "lr_warmup_steps": training.warmup if training.warmup < 1 else round(training.warmup)}
    return Exported("".join(f"{key} = {json.dumps(value)}\n" for key, value in sorted(found.items())), left)


# What their files have no word for.
LOST = {
    "text_gradient": "their text encoder's gradient always runs through all blocks",
    "weight_decay": "give it as an argument of the optimizer there",
    "regularization": "prior prediction is not there; regularization pictures are used when their folder is given",
    "flip_symmetric": "their flip_aug mirrors all pictures or none",
    "mask_floor": "their masked loss has no floor",
    "class_share": "there it is one of the class for each sample of her",
    "repeats": "it stands in the name of the picture folder there",
}


def _lists(text: str) -> Values:
    """Block weights as their three lists, or nothing for all blocks alike."""
    weights = parse_block_weights(text, SD1)
    if all(weights[label] == 1 for label in SD1.labels):
        return {}
    return {name: ",".join(f"{value:g}" for value in values) for name, values in weights.as_kohya().items()}


def _network_args(algorithm: str, network: Values) -> list[str]:
    found = [f"{key}={value}" for key, value in network.items()
             if (key in LISTS or value not in OFF) and not (key == "factor" and value == -1)]
    if algorithm in ("LoHa", "LoKr"):
        found.append(f"algo={algorithm.lower()}")
    elif algorithm == "DoRA":
        found += ["algo=locon", "dora_wd=True", "wd_on_output=False"]
    return found
