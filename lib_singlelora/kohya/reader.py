"""One file of another trainer, read into our settings, with an account of what came from where."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import PresetError, SettingsError
from ..families.registry import family_of
from ..naming.block_weights import parse_block_weights
from ..naming.blocks import SD1, BlockLayout
from ..settings.optimizer_arguments import join_arguments, split_arguments
from ..settings.schema import declaration
from .base_model import block_lists, layout_of_file
from .tables import (
    ALGORITHMS,
    ALGOS,
    BASE_MODEL,
    LEFT_OUT,
    LINEAR_PRESETS,
    LISTS,
    NETWORK,
    OF_DATASET,
    OPTIMIZERS,
    OWN_LEFT_OUT,
    PRECISIONS,
    SAME,
    SCHEDULERS,
    Trainer,
)
from .values import as_setting, is_nothing, items, number, rates, sides

NOTE = "singlelora"  # key under which our own exporter notes what the format cannot express
Values = dict[str, Any]


@dataclass(frozen=True)
class Imported:
    """The result of reading a file.

    values: dotted name of a setting -> value, for all that change.
    left: key of the file that was not carried over -> why.
    given: dotted name -> the file's key and value that it was read from.
    assumed: dotted name -> the other trainer's default, where the file has no such key.
    """

    values: Values
    left: dict[str, str]
    given: dict[str, str] = field(default_factory=dict)
    assumed: dict[str, str] = field(default_factory=dict)


class Reading:
    """One file being read.

    rest: keys that are not read yet.
    values, given, left: as in `Imported`, without the section's name.
    """

    def __init__(self, name: str, trainer: Trainer) -> None:
        self.name = name
        self.trainer = trainer
        self.column = 0 if trainer == "kohya_ss" else 1
        self.layout: BlockLayout = SD1
        self.rest: Values = {}
        self.values: Values = {}
        self.given: dict[str, str] = {}
        self.left: dict[str, str] = {}

    def read(self, values: Values, dataset: Values, note: Values, alone: bool) -> Imported:
        """Read everything.  Raises: SettingsError, for a file that is not this trainer's."""
        self.rest = dict(values)
        if self.column == 0 and not any(
            key in self.rest for key in ("network_dim", "LoRA_type", "train_batch_size")
        ):
            raise SettingsError(
                f"{self.name}: found none of kohya_ss' LoRA fields (network_dim, LoRA_type …),"
                " expected a file that its LoRA tab saved"
            )
        self._dataset(dataset)
        self._network_arguments()
        self._base_model()
        self._optimizer_name()
        if self.rest.get("max_timestep") in (0, "0"):  # kohya_ss writes 0 for none
            del self.rest["max_timestep"]
        for ours, theirs in SAME.items():
            self.take(theirs[self.column], ours, _CONVERT.get(ours))
        for ours, key in NETWORK.items():
            self.take(key, ours)
        self._algorithm()
        self._learning_rates()
        self._block_weights()
        self._warmup()
        self._epochs()
        self._resolution()
        self._noise()
        self._masks()
        self._optimizer_arguments()
        if self.switch("v_parameterization"):
            self.put("prediction", "v_prediction", "v_parameterization", True)
        self._captions()
        assumed = self._assume(alone)
        self._noted(note)
        assumed = {
            name: why
            for name, why in assumed.items()
            if name.removeprefix("training.") not in self.given
        }
        for key, value in self.rest.items():
            if not is_nothing(value) and value not in (0, 0.0, False, "0"):
                self.left.setdefault(key, f"{value!r} has no counterpart here")
        return Imported(
            {f"training.{key}": value for key, value in self.values.items()},
            self.left,
            {f"training.{key}": why for key, why in self.given.items()},
            assumed,
        )

    # One value
    # ------------------------------------------------------------

    def take(self, key: str, ours: str, convert: Callable[[Any], Any] | None = None) -> None:
        """Read a key that means the same as a setting of ours, if the file has it."""
        value = self.rest.pop(key, None)
        if is_nothing(value):
            return
        try:
            converted = convert(value) if convert else value
            checked = as_setting(declaration(f"training.{ours}"), converted)
        except SettingsError as error:
            self.left[key] = str(error)
        else:
            self.put(ours, checked, key, value)

    def put(self, ours: str, value: Any, key: str, found: Any) -> None:
        """Set a setting of ours, and note the key and value that it comes from."""
        self.values[ours] = value
        self.given[ours] = (
            f"{key} = {found}" if isinstance(found, int | float) else f"{key} = {found!r}"
        )

    def figure(self, key: str) -> float | None:
        """The number under a key, or None; anything else there is listed as left."""
        value = self.rest.pop(key, None)
        if is_nothing(value):
            return None
        try:
            return number(value)
        except ValueError:
            self.left[key] = f"found {value!r}, expected a number"
            return None

    def switch(self, key: str) -> bool:
        """True if a key is switched on; anything but on and off is listed as left."""
        value = self.rest.pop(key, None)
        if is_nothing(value):
            return False
        try:
            return bool(as_setting(declaration("training.flip"), value))
        except SettingsError:
            self.left[key] = f"found {value!r}, expected true or false"
            return False

    # What needs more than a table
    # ------------------------------------------------------------

    def _base_model(self) -> None:
        """The layout that the file is for, and what only its base model's trainer reads."""
        self.layout = layout_of_file(self.rest)
        for key, why in BASE_MODEL.items():
            value = self.rest.pop(key, None)
            if not is_nothing(value) and value not in (False, 0, "0", "false", "False"):
                self.left[key] = f"{value!r}: {why}"
        clip_skip = self.rest.get("clip_skip")
        if not family_of(self.layout).follows_clip_skip and not is_nothing(clip_skip):
            del self.rest["clip_skip"]
            if clip_skip not in (1, "1"):
                self.left["clip_skip"] = (
                    f"{clip_skip!r} is not in force there: {family_of(self.layout)} takes a fixed"
                    " layer"
                )

    def _dataset(self, dataset: Values) -> None:
        """Values of a dataset_config: the subset's, else the dataset's, else the general ones."""
        if not dataset:
            return
        sets = [each for each in items(dataset.get("datasets")) if isinstance(each, dict)]
        subsets = [
            (each, own)
            for each in sets
            for own in items(each.get("subsets"))
            if isinstance(own, dict)
        ]
        wanted = [pair for pair in subsets if pair[1].get("is_reg") is not True]
        chosen = wanted[0] if wanted else ((sets[0], {}) if sets else ({}, {}))
        general = dataset.get("general")
        merged = {**(general if isinstance(general, dict) else {}), **chosen[0], **chosen[1]}
        merged.pop("subsets", None)
        merged.pop("is_reg", None)
        if "batch_size" in merged:
            merged["train_batch_size"] = merged.pop("batch_size")
        if len(wanted) > 1:
            self.left["datasets"] = (
                f"found {len(wanted)} subsets for training, one is read: the first"
            )
        self.rest.pop("dataset_config", None)
        self.rest = {**self.rest, **merged}

    def _network_arguments(self) -> None:
        """Turn network_args into keys of their own, and network_module into kohya_ss' LoRA type."""
        if self.column == 0:
            return
        arguments: Values = {}
        for piece in self._texts("network_args"):
            arguments.update(
                {
                    key: value.strip("\"'")
                    for key, value in split_arguments(piece, f"{self.name}: network_args")
                }
            )
        module = str(self.rest.pop("network_module", None) or "networks.lora")
        if module.startswith("lycoris"):
            algo = str(arguments.pop("algo", "lora")).lower()
            self.rest["LoRA_type"] = ALGOS.get(algo, f"LyCORIS/{algo}")
            self.rest["LyCORIS_preset"] = arguments.pop("preset", "full")
            arguments.setdefault("conv_dim", self.rest.get("network_dim", 4))
            arguments.setdefault("conv_alpha", self.rest.get("network_alpha", 1))
        elif module == "networks.lora":
            self.rest["LoRA_type"] = "Kohya LoCon" if arguments.get("conv_dim") else "Standard"
            if arguments.get("conv_dim"):
                arguments.setdefault("conv_alpha", 1)
        else:
            self.rest["LoRA_type"] = module
        self.rest = {**self.rest, **arguments}

    def _texts(self, key: str) -> list[str]:
        """A list of texts, in whatever form it was written."""
        value = self.rest.pop(key, None)
        if isinstance(value, str) and not value.strip().startswith("["):
            return [value]
        return [str(item) for item in items(value)]

    def _optimizer_name(self) -> None:
        """sd-scripts' older switches that choose an optimizer."""
        for switch, name in (("use_8bit_adam", "AdamW8bit"), ("use_lion_optimizer", "Lion")):
            if self.switch(switch) and is_nothing(self.rest.get("optimizer_type")):
                self.rest["optimizer_type"] = name

    def _algorithm(self) -> None:
        kind = str(self.rest.pop("LoRA_type", None) or "Standard")
        preset = str(self.rest.pop("LyCORIS_preset", "") or "full")
        decomposed = self.switch("dora_wd") | self.switch("weight_decompose")
        # The GUI keeps the field for every type, but only LyCORIS reads it
        if decomposed and not kind.startswith("LyCORIS"):
            self.left["dora_wd"] = f"true is not in force there: {kind} has no weight decomposition"
            decomposed = False
        if kind not in ALGORITHMS:
            self.left["LoRA_type"] = f"{kind!r} is not trained here; LoRA is used"
            kind = "Standard"
        algorithm = ALGORITHMS[kind]
        if decomposed and algorithm == "LoCon":
            algorithm = "DoRA"
            if str(self.rest.pop("wd_on_output", "")).lower() != "false":
                self.left["wd_on_output"] = (
                    "true there; here the magnitudes belong to the inputs, as the WebUI reads them"
                )
        elif decomposed:
            self.left["dora_wd"] = f"weight decomposition of {algorithm} is not trained here"
        self.put(
            "algorithm", algorithm, ("LoRA_type", "network_module, network_args")[self.column], kind
        )
        if algorithm == "LoRA":  # kohya_ss keeps the fields, but its plain LoRA has no convolutions
            for ours, theirs in (("conv_rank", "conv_dim"), ("conv_alpha", "conv_alpha")):
                if self.values.pop(ours, None) and self.column:
                    self.left[theirs] = (
                        "not in force there: networks.lora reads it from network_args alone"
                    )
                self.given.pop(ours, None)
        elif kind.startswith("LyCORIS"):
            self._lycoris(algorithm, preset)
        elif algorithm == "LoCon" and self.column == 0:
            self.values.setdefault("conv_rank", 1)
            self.values.setdefault("conv_alpha", 1.0)

    def _lycoris(self, algorithm: str, preset: str) -> None:
        """LyCORIS always trains convolutions, with the plain rank unless they have their own."""
        if self.column == 0 and "conv_rank" not in self.values:  # the GUI's field stands at 1
            self.values["conv_rank"], self.values["conv_alpha"] = 1, 1.0
        for ours, plain in (("conv_rank", "rank"), ("conv_alpha", "alpha")):
            if not self.values.get(ours):
                self.values[ours] = self.values.get(plain, self._left_out(plain))
                self.given[ours] = f"LyCORIS takes {plain} where it is 0 or missing"
        if preset in LINEAR_PRESETS:
            self.values["conv_rank"], self.values["conv_alpha"] = 0, 0.0
            if algorithm == "LoCon":
                self.values["algorithm"] = "LoRA"
            self.given["conv_rank"] = f"preset = {preset!r}"
        if preset not in ("full", "full-lin"):
            self.left["preset"] = (
                f"{preset!r} chooses modules in a way of its own; those of a LoRA or LoCon are"
                " trained here"
            )

    def _learning_rates(self) -> None:
        """Rates of U-Net and text encoders: their own, else the shared one; 0 if switched off."""
        shared = self._rate("learning_rate")
        own = {"unet_lr": self._rate("unet_lr"), "text_encoder_lr": self._text_rates()}
        if self.column == 0 and own["unet_lr"] == 0 and own["text_encoder_lr"] == 0:
            own = dict.fromkeys(own)  # in kohya_ss both at 0 mean the shared one
        for ours, without in (
            ("unet_lr", "network_train_text_encoder_only"),
            ("text_encoder_lr", "network_train_unet_only"),
        ):
            found = own[ours]
            if self.switch(without):
                self.put(ours, 0.0, without, True)
                if ours == "text_encoder_lr":  # both of them
                    self.values.pop("text_encoder_2_lr", None)
                    self.given.pop("text_encoder_2_lr", None)
            elif found is not None:
                self.put(ours, found, ours, found)
            elif shared is not None and (
                self.column == 1 or own["unet_lr"] is None or ours in self._empty
            ):
                self.put(ours, shared, "learning_rate", shared)

    _empty: frozenset[str] = frozenset()

    def _text_rates(self) -> float | None:
        """The first text encoder's rate; that of a second one is set where it differs."""
        found = self._rates("text_encoder_lr", 2)
        for index, key in enumerate(("text_encoder_lr1", "text_encoder_lr2")):
            own = self._rate(key)
            if own is not None:
                found = [*found[:index], *[own] * (1 + index - len(found[:index]))]
        if len(found) > 1 and found[1] != found[0]:
            self.put("text_encoder_2_lr", found[1], "text_encoder_lr", found)
        return found[0] if found else None

    def _rate(self, key: str) -> float | None:
        return next(iter(self._rates(key, 1)), None)

    def _rates(self, key: str, parts: int) -> list[float]:
        """The rates under a key, of at most so many parts."""
        value = self.rest.pop(key, None)
        if is_nothing(value):
            if value == "":
                self._empty |= {key}
            return []
        try:
            found = rates(value)
            own = [float(declaration("training.unet_lr").check(rate)) for rate in found]
        except (ValueError, SettingsError):
            self.left[key] = f"found {value!r}, expected a rate of 0 to 1, such as 0.0001"
            return []
        if len(set(own[parts - 1 :])) > 1:
            used = "the first two are" if parts == 2 else f"the first, {own[0]:g}, is"
            self.left[key] = f"found {value!r}, a rate for each of several parts; {used} used"
        return own[:parts]

    def _block_weights(self) -> None:
        written = {key: self.rest.pop(key, "") for key in LISTS}
        threshold = self.figure("block_lr_zero_threshold") or 0.0
        parts = block_lists(written, self.layout)
        if not any(parts):
            return
        counts = (self.layout.side, self.layout.kohya_middle, self.layout.side)
        ones = [",".join("1" * count) for count in counts]
        text = "/".join(part or default for part, default in zip(parts, ones, strict=True))
        try:
            lists = parse_block_weights(text, self.layout).as_kohya().values()
        except PresetError as error:
            self.left.update(
                {key: str(error) for key, part in zip(LISTS, parts, strict=True) if part}
            )
            return
        if threshold > 0:  # what does not reach it is not trained
            text = "/".join(
                ",".join(f"{value:.6g}" if value > threshold else "0" for value in own)
                for own in lists
            )
        self.put(
            "block_weights",
            text,
            ", ".join(key for key, part in zip(LISTS, parts, strict=True) if part),
            text,
        )

    def _warmup(self) -> None:
        """Warm-up: steps take precedence over kohya_ss' percentage; a fraction is a share."""
        percent = self.rest.get("lr_warmup") if self.column == 0 else None
        if isinstance(percent, str) and percent.strip().endswith("%"):
            self.rest["lr_warmup"] = percent.strip()[:-1]
        share = self.figure("lr_warmup")
        steps = self.figure("lr_warmup_steps")
        found, key = (
            (steps, "lr_warmup_steps") if steps or share is None else (share / 100, "lr_warmup")
        )
        if found is None:
            return
        try:
            self.put(
                "warmup",
                declaration("training.warmup").check(found),
                key,
                steps if key == "lr_warmup_steps" else share,
            )
        except SettingsError as error:
            self.left[key] = str(error)

    def _epochs(self) -> None:
        """Epochs: kohya_ss' max_train_epochs takes precedence; steps have no counterpart."""
        if self.column == 0:
            if self.rest.get("max_train_epochs") not in (0, 0.0, "0"):
                self.take("max_train_epochs", "epochs")
        elif "epochs" not in self.values:
            self.take("epoch", "epochs")
        steps = self.rest.pop("max_train_steps", None)
        if not is_nothing(steps) and steps not in (0, "0") and "epochs" not in self.given:
            self.left["max_train_steps"] = (
                f"{steps!r} is a number of steps; training.epochs stays as it is"
            )

    def _resolution(self) -> None:
        key = (
            "max_resolution" if self.column == 0 and "max_resolution" in self.rest else "resolution"
        )
        value = self.rest.pop(key, None)
        if is_nothing(value):
            return
        try:
            wide, high = sides(value)
            side = declaration("training.resolution").check(round((wide * high) ** 0.5))
        except (ValueError, SettingsError):
            self.left[key] = (
                f"found {value!r}, expected a side or two in pixels, such as 512 or 512,512"
            )
            return
        self.put("resolution", side, key, value)
        if wide != high:
            self.left[key] = f"found {value!r}; buckets here fill the area of a square of {side}"

    def _noise(self) -> None:
        """kohya_ss keeps the fields of both kinds of noise; only one kind is in force."""
        kind = self.rest.pop("noise_offset_type", None)
        if is_nothing(kind) or self.column == 1:
            return
        idle = {"multires": ("noise_offset",), "original": ("multires_noise_iterations",)}.get(
            str(kind).strip().lower()
        )
        if idle is None:
            self.left["noise_offset_type"] = f"found {kind!r}, expected Original or Multires"
            return
        for ours in idle:
            if self.values.get(ours):
                self.left[ours] = (
                    f"{self.values[ours]:g} is not in force there: noise_offset_type is {kind}"
                )
            self.values[ours] = type(declaration(f"training.{ours}").default)(0)
            self.given[ours] = f"noise_offset_type = {kind!r}"

    def _masks(self) -> None:
        """Masked loss, which ignores the background entirely there."""
        if self.switch("alpha_mask") and not self.values.get("masked_loss"):
            self.put("masked_loss", True, "alpha_mask", True)
        if self.values.get("masked_loss"):
            self.put("mask_floor", 0.0, "masked_loss", True)

    def _optimizer_arguments(self) -> None:
        found: list[tuple[str, str]] = []
        try:
            for piece in self._texts("optimizer_args"):
                found += split_arguments(piece, "optimizer_args")
        except SettingsError as error:
            self.left["optimizer_args"] = str(error)
            return
        if found:
            text = join_arguments(found)
            self.put("optimizer_args", text, "optimizer_args", text)

    def _captions(self) -> None:
        ending = self.rest.pop("caption_extension", None) or self.rest.pop(
            "caption_extention", None
        )
        if not is_nothing(ending) and str(ending).strip() != ".txt":
            self.left["caption_extension"] = f"found {ending!r}; captions are read from .txt here"

    # What the file does not say
    # ------------------------------------------------------------

    def _left_out(self, ours: str) -> Any:
        return {**LEFT_OUT, **OWN_LEFT_OUT[self.trainer]}[ours]

    def _assume(self, alone: bool) -> dict[str, str]:
        """Fill in the other trainer's defaults; dotted name -> what was assumed."""
        own = {**LEFT_OUT, **OWN_LEFT_OUT[self.trainer]}
        found = {}
        for key, value in own.items():
            if key not in self.values and (not alone or key in OF_DATASET):
                self.values[key] = value
                theirs = SAME.get(key, ("", ""))[self.column] or NETWORK.get(key, "a word of it")
                found[f"training.{key}"] = f"{value!r}, as {self.trainer} does without {theirs}"
        if self.column == 1 and "epochs" not in self.values and not alone:
            found["training.epochs"] = (
                "stays as it is; sd-scripts counts steps without max_train_epochs, 1600 unless told"
            )
        if alone:
            for key in ("algorithm", "conv_rank", "conv_alpha", "mask_floor"):
                self.values.pop(key, None)
                self.given.pop(key, None)
        return found

    def _noted(self, note: Mapping[str, Any]) -> None:
        """Apply our own exporter's note, except where the file was changed since."""
        for key, entry in note.items():
            if not isinstance(entry, Mapping) or "is" not in entry:
                continue
            try:
                declared = declaration(f"training.{key}")
                if "reads" in entry and declared.check(entry["reads"]) != self.values.get(key):
                    continue
                self.put(key, declared.check(entry["is"]), NOTE, entry["is"])
            except SettingsError as error:
                self.left[f"{NOTE}.{key}"] = str(error)


def _optimizer(value: Any) -> str:
    return OPTIMIZERS.get(str(value).strip().lower().rsplit(".", 1)[-1], str(value))


def _scheduler(value: Any) -> str:
    text = str(value).strip()
    return SCHEDULERS.get(text.lower(), text)


def _precision(value: Any) -> str:
    return PRECISIONS.get(str(value).strip().lower(), str(value))


_CONVERT: Mapping[str, Callable[[Any], Any]] = {
    "optimizer": _optimizer,
    "scheduler": _scheduler,
    "precision": _precision,
    "save_precision": _precision,
}
