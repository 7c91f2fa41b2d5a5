"""Files for SDXL and Stable Diffusion 2, whose trainers read some keys otherwise."""

from __future__ import annotations

import json
import sys
from typing import Any

import pytest

from lib_singlelora.families.registry import FAMILIES
from lib_singlelora.kohya.base_model import layout_of_weights
from lib_singlelora.kohya.convert import read_foreign, write_foreign
from lib_singlelora.naming.block_weights import parse_block_weights
from lib_singlelora.naming.blocks import SD1, SD2, SDXL, BlockLayout
from lib_singlelora.settings.schema import Settings

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

GUI = {"LoRA_type": "Standard", "network_dim": 16, "sdxl": True, "clip_skip": 2}
BLOCKS = {
    "down_lr_weight": "0,0,0,0,1,1,0,0.5,0.5",
    "mid_lr_weight": "0,0.25,0",
    "up_lr_weight": "1,1,0,0,0,0,0,0,0",
}


def settings(**values: Any) -> Settings:
    return Settings.from_dict({f"training.{key}": value for key, value in values.items()})


def test_what_sdxls_trainer_does_not_read_is_told() -> None:
    found = read_foreign(
        json.dumps({**GUI, "sdxl_no_half_vae": True, "sdxl_cache_text_encoder_outputs": True}),
        "xl.json",
    )
    assert set(found.left) == {
        "sdxl",
        "clip_skip",
        "sdxl_no_half_vae",
        "sdxl_cache_text_encoder_outputs",
    }
    assert "training.clip_skip" not in found.given and found.values["training.clip_skip"] == 1


def test_boxes_that_are_off_are_not_told() -> None:
    found = read_foreign(json.dumps({**GUI, "sdxl": False, "v2": False}), "one.json")
    assert found.left == {} and found.values["training.clip_skip"] == 2


def test_clip_skip_is_not_in_force_for_stable_diffusion_2_either() -> None:
    text = "v2 = true\nv_parameterization = true\nclip_skip = 2\nnetwork_dim = 4"
    assert set(read_foreign(text, "two.toml").left) == {"v2", "clip_skip"}


@pytest.mark.parametrize("form", ["json", "toml"])
def test_lists_of_9_3_9_are_sdxls(form: str) -> None:
    if form == "json":
        text = json.dumps({**GUI, **BLOCKS})
    else:
        arguments = [f"{key}={value}" for key, value in BLOCKS.items()]
        text = f"network_dim = 16\nnetwork_args = {json.dumps(arguments)}"
    value = read_foreign(text, f"a.{form}").values["training.block_weights"]
    assert layout_of_weights(value) is SDXL
    weights = parse_block_weights(value, SDXL)
    assert (weights["M00"], weights["IN07"], weights["OUT02"]) == (0.25, 0.5, 0)


def test_no_text_encoder_is_trained_with_the_unet_alone() -> None:
    text = "network_dim = 4\ntext_encoder_lr = [1e-5, 2e-5]\nnetwork_train_unet_only = true"
    found = read_foreign(text, "a.toml")
    trained = Settings.from_dict(found.values).training
    assert trained.text_encoder_rates(2) == (0.0, 0.0)


def test_a_list_that_is_missing_counts_1_in_sdxl_too() -> None:
    text = json.dumps({**GUI, "up_lr_weight": BLOCKS["up_lr_weight"]})
    value = read_foreign(text, "a.json").values["training.block_weights"]
    assert value.startswith("1,1,1,1,1,1,1,1,1/1,1,1/1,1,0")


@pytest.mark.parametrize("form", ["json", "toml"])
@pytest.mark.parametrize("layout", [SD1, SD2, SDXL], ids=lambda layout: layout.name)
@pytest.mark.parametrize(
    "values",
    [
        {"clip_skip": 2},
        {"text_encoder_lr": 1e-5, "text_encoder_2_lr": 2e-5},
        {"text_encoder_lr": 0, "text_encoder_2_lr": 2e-5},
        {"text_encoder_lr": 1e-5, "text_encoder_2_lr": 0, "block_weights": "OUTD"},
        {"size_conditioning": "constant"},
    ],
    ids=str,
)
def test_what_is_exported_for_a_base_model_comes_back(
    values: dict[str, Any], layout: BlockLayout, form: str
) -> None:
    one = settings(**values)
    text = write_foreign(one, form, layout).text
    other = Settings.from_dict(read_foreign(text, f"a.{form}").values)
    for key in values:
        was, now = one.get(f"training.{key}"), other.get(f"training.{key}")
        if key == "block_weights":
            was, now = parse_block_weights(was, layout), parse_block_weights(now, layout)
        assert now == was, key


def test_a_toml_for_sdxl_is_for_its_program() -> None:
    made = write_foreign(settings(text_encoder_lr=1e-5, text_encoder_2_lr=0), "toml", SDXL)
    fields = tomllib.loads(made.text)
    assert fields["no_half_vae"] is True and "clip_skip" not in fields
    assert fields["text_encoder_lr"] == [1e-5, 0.0]
    assert "network_train_unet_only" not in fields
    assert any("sdxl_train_network.py" in remark for remark in made.remarks)
    assert any("0.10" in remark for remark in made.remarks)


def test_text_encoders_that_are_both_untrained_are_left_out() -> None:
    fields = tomllib.loads(write_foreign(settings(text_encoder_lr=0), "toml", SDXL).text)
    assert fields["network_train_unet_only"] is True and fields["text_encoder_lr"] == 0


def test_a_json_for_sdxl_ticks_its_boxes() -> None:
    made = write_foreign(settings(text_encoder_lr=1e-5, text_encoder_2_lr=2e-5), "json", SDXL)
    fields = json.loads(made.text)
    assert fields["sdxl"] is True and fields["sdxl_no_half_vae"] is True
    assert fields["max_resolution"] == "1024,1024"
    assert "training.text_encoder_2_lr" in made.left


@pytest.mark.parametrize("preset", ["BLORA style", "1,0,0,0,0,0,1,1,1,1,1,1"])
def test_block_weights_of_sdxl_alone_tell_the_base_model(preset: str) -> None:
    fields = tomllib.loads(write_foreign(settings(block_weights=preset), "toml").text)
    lists = dict(argument.split("=") for argument in fields["network_args"])
    assert [lists[key].count(",") + 1 for key in BLOCKS] == [9, 3, 9]
    assert fields["no_half_vae"] is True


def test_every_family_has_a_layout_that_its_lists_are_read_for() -> None:
    for family in FAMILIES:
        found = read_foreign(
            json.dumps({**GUI, "sdxl": False, family.kohya_switch or "x": True, **BLOCKS}), "a.json"
        )
        parse_block_weights(found.values["training.block_weights"], family.layout)
