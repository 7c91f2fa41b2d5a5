"""What is exported runs in sd-scripts, by the table that its own parser gave, and comes back as it
was.

`golden/sd_scripts_options.json` holds every option of train_network.py at v0.9.1: type, choices,
default.
"""

from __future__ import annotations

import ast
import importlib
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from lib_singlelora.kohya.convert import read_foreign, write_foreign
from lib_singlelora.kohya.tables import OPTIMIZER_PATHS
from lib_singlelora.naming.block_weights import parse_block_weights
from lib_singlelora.naming.blocks import SD1
from lib_singlelora.settings.optimizer_table import SOURCES
from lib_singlelora.settings.schema import Settings, declarations

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

OPTIONS = json.loads(
    (Path(__file__).parents[1] / "golden" / "sd_scripts_options.json").read_text(encoding="utf-8")
)
TYPES = {"int": int, "float": (int, float), "int_or_float": (int, float), "str": str, "flag": bool}
# What its own get_optimizer knows without a module.
SHORT = {"AdamW", "AdamW8bit", "Lion", "Prodigy", "DAdaptAdam", "Adafactor"}
SETTINGS: list[dict[str, Any]] = [
    {},
    {"preset": "article"},
    {"preset": "embedded"},
    {"preset": "quick"},
    *[{"optimizer": name, "preset": "article"} for name in SOURCES],
    *[
        {"scheduler": name, "warmup": warmup}
        for name in ("constant", "cosine", "rex", "polynomial")
        for warmup in (0, 0.1, 30)
    ],
    *[
        {"algorithm": name, "conv_rank": rank}
        for name in ("LoRA", "LoCon", "LoHa", "LoKr", "DoRA")
        for rank in (0, 4)
    ],
    {"algorithm": "LoKr", "lokr_factor": 8, "block_weights": "OUTD", "rank_dropout": 0.1},
    {"optimizer": "Prodigy", "unet_lr": 1, "text_encoder_lr": 0.5, "block_weights": "ALL0.5"},
    {"optimizer": "Adafactor", "optimizer_args": "relative_step=False; scale_parameter=False"},
    {"optimizer_args": "betas=(0.9, 0.98); eps=1e-8; foreach=true", "weight_decay": 0.1},
    {
        "max_token_length": 75,
        "seed": 0,
        "clip_skip": 2,
        "flip": True,
        "buckets": False,
        "resolution": 640,
    },
    {
        "precision": "bf16",
        "save_precision": "fp32",
        "masked_loss": True,
        "mask_floor": 0.2,
        "loss": "huber",
        "min_timestep": 50,
    },
    {"noise_offset": 0.05, "multires_noise_iterations": 6, "dropout": 0.1, "scale_weight_norms": 1},
    {
        "start_from": "a.safetensors",
        "seed": -1,
        "ema": True,
        "validation": "holdout",
        "validation_views": ("face",),
    },
    {
        "unet_lr": 0,
        "text_encoder_lr": 1e-4,
        "prediction": "v_prediction",
        "zero_terminal_snr": True,
        "repeats": 7,
    },
    {
        "optimizer": "Lion",
        "tensorboard": True,
        "sample_prompts": 'a "girl"\n| # = [x]',
        "class_share": 0.5,
        "full_body_share": 0.4,
        "detail_share": 0.1,
    },
]


def settings(values: dict[str, Any]) -> Settings:
    return Settings.from_dict({f"training.{key}": value for key, value in values.items()})


def exported(values: dict[str, Any]) -> dict[str, Any]:
    return tomllib.loads(write_foreign(settings(values), "toml").text)


def test_captions_of_two_lines_are_trained_there_too() -> None:
    both = Settings.from_dict({"caption.outfit": "both"})
    made = tomllib.loads(write_foreign(both, "toml").text)
    assert made["enable_wildcard"] is True and "enable_wildcard" in OPTIONS
    assert "enable_wildcard" not in exported({})
    assert any("enable_wildcard" in remark for remark in write_foreign(both, "json").remarks)


@pytest.mark.parametrize("values", SETTINGS, ids=str)
def test_every_line_is_an_option_with_a_value_that_it_takes(values: dict[str, Any]) -> None:
    for key, value in exported(values).items():
        option = OPTIONS[key]
        if option.get("nargs"):
            assert isinstance(value, list) and all(isinstance(item, str) for item in value)
        else:
            assert isinstance(value, TYPES[option["type"]]) and value != ""
            assert isinstance(value, bool) == (option["type"] == "flag")
            assert value in option.get("choices", [value])


@pytest.mark.parametrize("values", SETTINGS, ids=str)
def test_sd_scripts_can_do_what_is_written(values: dict[str, Any]) -> None:
    found = exported(values)
    for argument in found["optimizer_args"]:
        key, value = argument.split("=")  # its own way to read them
        assert key.isidentifier() and ast.literal_eval(value) is not ...
    for argument in found["network_args"]:
        _, value = argument.split("=")
        assert value
    # It raises otherwise
    assert found["lr_scheduler"] != "constant" or found["lr_warmup_steps"] == 0
    assert found["caption_extension"] == ".txt"
    kind = found["optimizer_type"]
    assert kind in SHORT or kind in OPTIMIZER_PATHS.values()
    if kind in ("Prodigy", "DAdaptAdam"):  # their libraries refuse two rates
        rates = {found[half] for half in ("unet_lr", "text_encoder_lr") if found[half]}
        weights = [
            value
            for argument in found["network_args"]
            if "lr_weight" in argument
            for value in argument.partition("=")[2].split(",")
        ]
        assert len(rates) == 1 and set(weights) <= {"0", "1"}
    if kind == "Adafactor" and "relative_step=False" not in found["optimizer_args"]:
        assert found["lr_warmup_steps"] == 0  # its own schedule refuses a warm-up


@pytest.mark.parametrize("path", OPTIMIZER_PATHS.values())
def test_the_paths_of_optimizers_can_be_imported(path: str) -> None:
    module, _, name = path.rpartition(".")
    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("kind", ["toml", "json"])
@pytest.mark.parametrize("values", SETTINGS, ids=str)
def test_what_is_exported_and_imported_is_what_it_was(values: dict[str, Any], kind: str) -> None:
    one = settings(values)
    other = Settings.from_dict(read_foreign(write_foreign(one, kind).text, f"a.{kind}").values)
    for declared in declarations():
        if declared.section != "training" or declared.key == "preset":
            continue
        was = one.get(declared.name)
        now = other.get(declared.name)
        if declared.key == "block_weights":
            was = parse_block_weights(was, SD1)
            now = parse_block_weights(now, SD1)
        assert now == was, declared.name


def test_what_is_changed_in_an_exported_file_counts() -> None:
    text = write_foreign(settings({"optimizer": "Muon"}), "toml").text
    changed = text.replace('mixed_precision = "no"', 'mixed_precision = "bf16"')
    changed = changed.replace('optimizer_type = "AdamW"', 'optimizer_type = "Lion"')
    values = read_foreign(changed, "a.toml").values
    assert (values["training.precision"], values["training.optimizer"]) == ("bf16", "Lion")


def test_what_sd_scripts_lacks_is_told() -> None:
    assert "training.optimizer" in write_foreign(settings({"optimizer": "Muon"}), "toml").left
    assert "training.scheduler" in write_foreign(settings({"scheduler": "rex"}), "json").left
    assert (
        "training.block_weights"
        in write_foreign(settings({"algorithm": "LoHa", "block_weights": "OUTD"}), "toml").left
    )
    assert any(
        "becomes 1" in each
        for each in write_foreign(settings({"optimizer": "Prodigy"}), "toml").remarks
    )


def test_lycoris_without_convolutions_is_told_by_its_preset() -> None:
    arguments = exported({"algorithm": "LoHa"})["network_args"]
    assert arguments[:2] == ["algo=loha", "preset=full-lin"] and not any(
        "conv" in each for each in arguments
    )
    assert "preset=full" in exported({"algorithm": "LoHa", "conv_rank": 4})["network_args"]
