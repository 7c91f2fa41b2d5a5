"""Our training settings as files for kohya_ss and sd-scripts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from ..families.registry import family_of
from ..families.sd1 import SD1
from ..naming.block_weights import parse_block_weights
from ..naming.blocks import BlockLayout
from ..settings.optimizer_arguments import parse_arguments, split_arguments
from ..settings.optimizer_fit import fitted
from ..settings.optimizer_table import SOURCES
from ..settings.schema import Settings, declarations
from .base_model import layout_of_weights
from .reader import NOTE, Reading
from .tables import LOST, NETWORK, OPTIMIZER_PATHS, SAME, TYPES, Trainer

Values = dict[str, Any]
OFF: tuple[Any, ...] = ("", None, 0, 0.0)
# Left out when 0: for sd-scripts a missing number means off, and 0 is an error or something else.
NONE_IF_ZERO = (
    "network_dropout",
    "scale_weight_norms",
    "min_snr_gamma",
    "noise_offset",
    "multires_noise_iterations",
    "min_timestep",
    "network_weights",
)
UNKNOWN_OPTIMIZER = "AdamW"  # written in place of one that sd-scripts cannot run


@dataclass(frozen=True)
class Exported:
    """A file for another trainer.

    text: its content.
    left: dotted name of a setting that it cannot express -> why.
    remarks: sentences for its user.
    """

    text: str
    left: dict[str, str]
    remarks: tuple[str, ...] = ()


class _Words:
    """Our settings in the words of one trainer.  column: 0 kohya_ss, 1 sd-scripts."""

    def __init__(self, settings: Settings, column: int, layout: BlockLayout | None) -> None:
        fit = fitted(settings.training)
        self.settings = settings
        self.layout = layout or layout_of_weights(settings.training.block_weights)
        self.family = family_of(self.layout)
        self.column = column
        self.training = fit.settings
        changed = settings.changed_from_declared()
        self.left = {
            f"training.{name}": why for name, why in LOST.items() if f"training.{name}" in changed
        }
        self.remarks = list(fit.said)
        self.one_rate = SOURCES[self.training.optimizer].one_rate
        self.own_steps = self._chooses_its_steps()
        self.fields: Values = {
            theirs[column]: getattr(self.training, ours)
            for ours, theirs in SAME.items()
            if ours != "repeats"
        }
        # A random seed: sd-scripts draws one if there is none, kohya_ss if it is 0
        if self.training.seed < 0:
            self.fields["seed"] = 0
            if column == 1:
                del self.fields["seed"]
        self._common()
        self._base_model()
        self._optimizer()
        self._rates()

    def _common(self) -> None:
        training = self.training
        self.fields["save_precision"] = {"fp32": "float"}.get(
            training.save_precision, training.save_precision
        )
        self.fields["mixed_precision"] = {"fp32": "no", "auto": "no"}.get(
            training.precision, training.precision
        )
        self.fields["v_parameterization"] = training.prediction == "v_prediction"
        self.fields["caption_extension"] = ".txt"  # sd-scripts' own is .caption
        if training.masked_loss:
            self.fields["alpha_mask"] = True
            self.remarks.append(
                "masked loss: sd-scripts finds the mask in the pictures' transparency"
            )
        if training.precision == "auto":
            self.remarks.append(
                'mixed_precision = "no" is written for training.precision=auto: on a GPU choose'
                " fp16 or bf16"
            )

    def _base_model(self) -> None:
        """The switches of the base model, and what its trainer does not read."""
        family = self.family
        if not family.follows_clip_skip:
            del self.fields["clip_skip"]
        if family.vae_overflows:  # ours takes another precision by itself
            self.fields[("sdxl_no_half_vae", "no_half_vae")[self.column]] = True
        if family.kohya_switch and (self.column == 0 or family.is_v2):
            self.fields[family.kohya_switch] = True
        if family.kohya_program != SD1.kohya_program and self.column == 1:
            self.remarks.append(f"for {family}: run it with {family.kohya_program}")

    def _chooses_its_steps(self) -> bool:
        arguments = parse_arguments(self.training.optimizer_args)
        return self.training.optimizer == "Adafactor" and bool(arguments.get("relative_step", True))

    def _optimizer(self) -> None:
        name = self.training.optimizer
        key = ("optimizer", "optimizer_type")[self.column]
        self.arguments = self._arguments()
        self.fields[key] = OPTIMIZER_PATHS.get(name, name)
        if name == "Muon":
            self.fields[key], self.arguments = UNKNOWN_OPTIMIZER, []
            self.left["training.optimizer"] = (
                f"sd-scripts cannot tell Muon which weights are matrices; {UNKNOWN_OPTIMIZER} is "
                "written"
            )
        if SOURCES[name].averages:
            self.remarks.append(f"{name}: sd-scripts runs schedule-free optimizers from 0.10 on")

    def _arguments(self) -> list[str]:
        """NAME=VALUE each.

        sd-scripts splits at =, of which there may be one only, and expects Python literals.
        """
        arguments = split_arguments(self.training.optimizer_args)
        if self.training.weight_decay >= 0 and "weight_decay" not in dict(arguments):
            arguments.append(("weight_decay", f"{self.training.weight_decay:g}"))
        if torn := [key for key, value in arguments if "=" in value]:
            self.left["training.optimizer_args"] = (
                f"sd-scripts cannot read a value with = in it: {', '.join(torn)}"
            )
        return [
            f"{key}={_LITERALS.get(value.lower(), value)}"
            for key, value in arguments
            if "=" not in value
        ]

    def _rates(self) -> None:
        training = self.training
        unet = training.unet_lr
        texts = training.text_encoder_rates(len(self.layout.text))
        if self.one_rate and unet:
            texts = tuple(text and unet for text in texts)  # the optimizer's library refuses two
        text: float | list[float] = texts[0] if len(set(texts)) == 1 else list(texts)
        if isinstance(text, list) and self.column == 1:
            self.remarks.append("text_encoder_lr: sd-scripts reads a rate for each from 0.10 on")
        elif isinstance(text, list):
            self.left["training.text_encoder_2_lr"] = (
                "kohya_ss gives both text encoders the first one's rate"
            )
            text = texts[0]
        shared = unet or max(texts)
        self.fields |= {"unet_lr": unet, "text_encoder_lr": text, "learning_rate": shared}
        # Adafactor's own rate comes with a schedule of its own there, and refuses a warm-up.
        self.warmup = 0.0 if self.own_steps else training.warmup
        self.fields["lr_scheduler"] = self._scheduler()

    def _scheduler(self) -> str:
        """The schedule's name there: `constant` refuses a warm-up, and there is no rex."""
        name = self.training.scheduler
        if name == "rex":
            self.left["training.scheduler"] = (
                "sd-scripts has no rex; cosine is written, which is the nearest"
            )
            return "cosine"
        return "constant_with_warmup" if name == "constant" and self.warmup else name

    def network(self) -> Values:
        """conv_dim, dropouts and block weights, which sd-scripts takes in network_args."""
        training = self.training
        network: Values = {theirs: getattr(training, ours) for ours, theirs in NETWORK.items()}
        if training.algorithm == "LoCon" and not training.conv_rank:
            network["conv_dim"] = training.rank
        if network["conv_dim"] and not network["conv_alpha"]:
            network["conv_alpha"] = training.alpha * network["conv_dim"] / training.rank
        lists = _lists(training.block_weights, self.one_rate, self.layout)
        if lists and not self.plain:
            self.left["training.block_weights"] = (
                "LyCORIS has no rates per block; all blocks are trained alike there"
            )
            return network
        return network | lists

    @property
    def plain(self) -> bool:
        """True if sd-scripts' own networks.lora trains it; LyCORIS trains the rest."""
        return self.training.algorithm in ("LoRA", "LoCon")

    @property
    def preset(self) -> str:
        """LyCORIS' preset: without `full-lin` it trains convolutions too."""
        return "full" if self.plain or self.training.conv_rank else "full-lin"

    def exported(self, text: str) -> Exported:
        """The file, with a note of what reading it back would lose."""
        trainer: Trainer = "kohya_ss" if self.column == 0 else "sd-scripts"
        note = _note(
            self.settings,
            Reading("export", trainer).read(dict(self.fields), {}, {}, alone=False).values,
            self.layout,
        )
        if note and self.column == 0:
            text = _json_text({**self.fields, NOTE: note})
        elif note:
            text = f"# {NOTE}: {json.dumps(note, sort_keys=True)}\n{text}"
        return Exported(text, self.left, tuple(self.remarks))


_LITERALS = {"true": "True", "false": "False", "none": "None"}


def write_toml(settings: Settings, layout: BlockLayout | None = None) -> Exported:
    """An sd-scripts configuration for train_network.py, without checkpoint and picture paths.

    layout: of the checkpoint that it is for; None takes it from the block weights, else SD1.
    """
    words = _Words(settings, 1, layout)
    fields = words.fields
    training = words.training
    fields["network_module"] = "networks.lora" if words.plain else "lycoris.kohya"
    fields["network_args"] = _network_args(words)
    fields["optimizer_args"] = words.arguments
    # A fraction is a share of the steps there, an integer their number.
    fields["lr_warmup_steps"] = words.warmup if 0 < words.warmup < 1 else round(words.warmup)
    for half, only in (
        ("unet_lr", "network_train_text_encoder_only"),
        ("text_encoder_lr", "network_train_unet_only"),
    ):
        if not fields[half]:
            fields[only] = True
    if training.max_token_length == 75:  # sd-scripts accepts 150 and 225, and 75 if left out
        del fields["max_token_length"]
    if training.resolution:
        fields["resolution"] = f"{training.resolution},{training.resolution}"
    else:
        words.remarks.append(
            'resolution: give one, such as "512,512"; training.resolution=0 takes the'
            " checkpoint's own"
        )
    if settings.caption.outfit == "both":
        fields["enable_wildcard"] = True  # else only the first line of a caption is trained
    for key in NONE_IF_ZERO:
        if fields.get(key) in OFF:
            fields.pop(key, None)
    # TOML's strings, numbers and lists are JSON's.
    return words.exported(
        "".join(f"{key} = {json.dumps(value)}\n" for key, value in sorted(fields.items()))
    )


def write_json(settings: Settings, layout: BlockLayout | None = None) -> Exported:
    """A file for kohya_ss' LoRA tab; layout: as for `write_toml`."""
    words = _Words(settings, 0, layout)
    fields = words.fields
    training = words.training
    fields |= words.network()
    fields |= {
        "LoRA_type": TYPES[training.algorithm],
        "dora_wd": training.algorithm == "DoRA",
        "LyCORIS_preset": words.preset,
    }
    if training.algorithm == "LoRA" and training.conv_rank:
        fields["LoRA_type"] = TYPES["LoCon"]  # its plain one has no convolutions
    # kohya_ss splits at every space
    fields["optimizer_args"] = " ".join("".join(argument.split()) for argument in words.arguments)
    share = words.warmup < 1
    fields["lr_warmup"] = round(words.warmup * 100, 4) if share else 0
    fields["lr_warmup_steps"] = 0 if share else round(words.warmup)
    fields["noise_offset_type"] = "Multires" if training.multires_noise_iterations else "Original"
    if training.multires_noise_iterations and training.noise_offset:
        words.left["training.noise_offset"] = "kohya_ss has multires noise or an offset, not both"
    if settings.caption.outfit == "both":
        words.remarks.append(
            "caption.outfit: both writes two lines a caption; add --enable_wildcard to the"
            " additional parameters, else the first alone is trained"
        )
    side = training.resolution or words.family.native_size
    fields["max_resolution"] = f"{side},{side}"
    return words.exported(_json_text(fields))


def _json_text(values: Values) -> str:
    return json.dumps(values, indent=2, sort_keys=True) + "\n"


def _lists(text: str, whole: bool, layout: BlockLayout) -> Values:
    """Block weights as kohya's three lists; empty if all are 1.  whole: 0 and 1 only."""
    weights = parse_block_weights(text, layout)
    if all(weights[label] == 1 for label in layout.labels):
        return {}
    return {
        name: ",".join(f"{(1 if whole and value else value):g}" for value in values)
        for name, values in weights.as_kohya().items()
    }


def _network_args(words: _Words) -> list[str]:
    network = words.network()
    if words.training.algorithm != "LoKr":
        network.pop("factor")
    if words.training.loraplus_ratio == 1:
        network.pop("loraplus_lr_ratio")
    arguments = []
    if not words.plain:
        algo = {"DoRA": "locon"}.get(words.training.algorithm, words.training.algorithm.lower())
        arguments += [f"algo={algo}", f"preset={words.preset}"]
    arguments += [
        f"{key}={value}" if isinstance(value, str) else f"{key}={value:g}"
        for key, value in network.items()
        if value not in OFF
    ]
    if words.training.algorithm == "DoRA":
        arguments += ["dora_wd=True", "wd_on_output=False"]
    return arguments


def _note(settings: Settings, read: Values, layout: BlockLayout) -> Values:
    """The settings that reading the file does not give back: key -> {is, and what it reads}."""
    note: Values = {}
    for declared in declarations():
        if declared.section != "training" or declared.key == "preset":
            continue
        value = settings.get(declared.name)
        if declared.name not in read:
            if value != declared.default:
                note[declared.key] = {"is": value}
        elif not _same(declared.key, value, read[declared.name], layout):
            note[declared.key] = {"is": value, "reads": read[declared.name]}
    return note


def _same(key: str, one: Any, other: Any, layout: BlockLayout) -> bool:
    if key == "block_weights":
        return parse_block_weights(one, layout) == parse_block_weights(other, layout)
    return bool(one == other)
