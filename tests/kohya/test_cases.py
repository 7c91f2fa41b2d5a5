"""Files that people have: what they leave out, and how they write what they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from lib_singlelora.errors import SettingsError
from lib_singlelora.kohya.convert import dataset_config_of, read_foreign
from lib_singlelora.kohya.reader import Imported
from lib_singlelora.settings.schema import Settings

CASES = Path(__file__).parents[1] / "data" / "cases"
LYCORIS = 'network_module = "lycoris.kohya"\nnetwork_dim = 8\nnetwork_alpha = 4\n'


def values(found: Imported) -> dict[str, Any]:
    """Our training values, by their keys; all of them can be set."""
    Settings.from_dict(found.values)
    return {name.removeprefix("training."): value for name, value in found.values.items()}


def case(name: str) -> Imported:
    return read_foreign((CASES / name).read_text(encoding="utf-8"), name)


def toml(text: str) -> Imported:
    return read_foreign(text, "a.toml")


def gui(**fields: object) -> Imported:
    return read_foreign(json.dumps({"network_dim": 8, **fields}), "a.json")


# What a file leaves out
# ----------------------------------------------------------------------

SD_SCRIPTS = {
    "algorithm": "LoRA",
    "rank": 4,
    "alpha": 1,
    "conv_rank": 0,
    "scheduler": "constant",
    "warmup": 0,
    "min_snr_gamma": 0,
    "shuffle_captions": False,
    "max_token_length": 75,
    "buckets": False,
    "unet_lr": 2e-6,
    "text_encoder_lr": 2e-6,
    "keep_tokens": 0,
    "clip_skip": 1,
    "noise_offset": 0,
    "precision": "fp32",
    "save_precision": "fp32",
    "optimizer": "AdamW",
    "max_grad_norm": 1,
    "flip": False,
    "flip_symmetric": False,
    "masked_loss": False,
    "prior_loss_weight": 1,
}


def test_what_a_toml_leaves_out_is_sd_scripts_own_not_the_presets() -> None:
    found = toml('output_name = "isabella"\n')
    assert SD_SCRIPTS.items() <= values(found).items()
    assert found.assumed[
        "training.alpha"
    ] == "1.0, as sd-scripts does without network_alpha" and found.given.keys() == {
        "training.algorithm"
    }
    preset = Settings.from_dict({"training.preset": "article"})
    assert SD_SCRIPTS.items() <= vars(preset.with_values(found.values).training).items()


def test_sd_scripts_defaults_are_those_of_its_own_parser() -> None:
    table = json.loads(
        (Path(__file__).parents[1] / "golden" / "sd_scripts_options.json").read_text(
            encoding="utf-8"
        )
    )
    from lib_singlelora.kohya.tables import LEFT_OUT, OWN_LEFT_OUT, SAME

    # Left to the networks' or the trainer's own None: read off their code.
    elsewhere = {
        "rank",
        "max_token_length",
        "max_timestep",
        "clip_skip",
        "save_precision",
        "precision",
        "optimizer",
    }
    left_out = {**LEFT_OUT, **OWN_LEFT_OUT["sd-scripts"]}
    for ours, (_, theirs) in SAME.items():
        if ours in left_out and ours not in elsewhere:
            assert left_out[ours] == (table[theirs]["default"] or type(left_out[ours])()), ours
    assert (
        left_out["unet_lr"] == table["learning_rate"]["default"]
        and left_out["warmup"] == table["lr_warmup_steps"]["default"]
    )


def test_what_a_json_leaves_out_is_kohya_ss_own() -> None:
    wanted = {
        "alpha": 1,
        "optimizer": "AdamW8bit",
        "scheduler": "cosine",
        "warmup": 0.1,
        "buckets": True,
        "unet_lr": 1e-4,
        "text_encoder_lr": 0,
        "min_snr_gamma": 0,
        "max_token_length": 75,
        "shuffle_captions": False,
    }
    assert wanted.items() <= values(gui()).items()


def test_a_rank_for_convolutions_without_an_alpha_has_1() -> None:
    found = values(toml('network_dim = 16\nnetwork_alpha = 8\nnetwork_args = ["conv_dim=4"]'))
    assert (found["algorithm"], found["conv_rank"], found["conv_alpha"]) == ("LoCon", 4, 1)


@pytest.mark.parametrize(
    ("arguments", "wanted"),
    [
        ("[]", ("LoCon", 8, 4)),
        ('["algo=loha"]', ("LoHa", 8, 4)),
        ('["algo=loha", "conv_dim=0"]', ("LoHa", 8, 4)),
        ('["algo=lokr", "conv_dim=2"]', ("LoKr", 2, 4)),
        ('["algo=locon", "dora_wd=True", "wd_on_output=False"]', ("DoRA", 8, 4)),
        ('["algo=loha", "preset=attn-mlp"]', ("LoHa", 0, 0)),
        ('"algo=lokr conv_dim=2 conv_alpha=1"', ("LoKr", 2, 1)),
        ('["preset=full-lin"]', ("LoRA", 0, 0)),
    ],
)
def test_lycoris_trains_convolutions_unless_its_preset_says_no(
    arguments: str, wanted: tuple[object, ...]
) -> None:
    found = values(toml(f"{LYCORIS}network_args = {arguments}"))
    assert (found["algorithm"], found["conv_rank"], found["conv_alpha"]) == wanted


# How values are written
# ----------------------------------------------------------------------


def test_optimizer_arguments_are_not_torn() -> None:
    found = case("k_betas.json")
    assert (
        found.values["training.optimizer_args"]
        == "decouple=True; weight_decay=0.01; betas=(0.9, 0.99); d_coef=2"
    )
    assert case("t_argstr.toml").values["training.optimizer_args"] == "weight_decay=0.1"
    assert case("t_ok.toml").values["training.optimizer_args"] == "weight_decay=0.1; betas=0.9,0.99"
    assert (
        gui(optimizer_args='"betas=(0.9, 0.99)" "eps=1e-8"').values["training.optimizer_args"]
        == "betas=(0.9, 0.99); eps=1e-8"
    )
    assert (
        gui(optimizer_args=["betas=(0.9, 0.99)"]).values["training.optimizer_args"]
        == "betas=(0.9, 0.99)"
    )
    assert (
        gui(optimizer_args="['betas=(0.9, 0.99)', 'eps=1e-8']").values["training.optimizer_args"]
        == "betas=(0.9, 0.99); eps=1e-8"
    )
    assert "NAME=VALUE" in gui(optimizer_args="betas=(0.9").left["optimizer_args"]


def test_a_correct_file_loses_nothing() -> None:
    found = case("t_ok.toml")
    assert (
        found.left == {} and values(found)["conv_rank"] == 4 and values(found)["resolution"] == 512
    )


@pytest.mark.parametrize(
    "name", ["k_bom.json", "k_comma_lr.json", "k_res_float.json", "k_telr.json", "k_betas.json"]
)
def test_the_cases_are_read_as_meant(name: str) -> None:
    found = case(name)
    text = 1e-4 if name == "k_comma_lr.json" else 5e-5
    wanted = {
        "rank": 8,
        "alpha": 4,
        "epochs": 3,
        "unet_lr": 1e-4,
        "text_encoder_lr": text,
        "resolution": 512,
    }
    assert found.left == {} and wanted.items() <= values(found).items()


@pytest.mark.parametrize(
    ("fields", "ours", "wanted"),
    [
        ({"learning_rate": "0,0001", "unet_lr": ""}, "unet_lr", 1e-4),
        ({"unet_lr": "1e-4"}, "unet_lr", 1e-4),
        ({"unet_lr": [0.0002]}, "unet_lr", 2e-4),
        ({"text_encoder_lr": "[5e-05, 5e-05]"}, "text_encoder_lr", 5e-5),
        ({"text_encoder_lr": "5e-05 5e-05"}, "text_encoder_lr", 5e-5),
        ({"text_encoder_lr": "5e-05 5e-05"}, "text_encoder_2_lr", -1),
        ({"text_encoder_lr": [5e-5, 0]}, "text_encoder_2_lr", 0),
        ({"text_encoder_lr": 5e-5, "text_encoder_lr2": 1e-5}, "text_encoder_2_lr", 1e-5),
        ({"text_encoder_lr1": 5e-5, "text_encoder_lr2": 1e-5}, "text_encoder_lr", 5e-5),
        ({"learning_rate": [3e-4], "unet_lr": ""}, "unet_lr", 3e-4),
        ({"lr_warmup": "10%"}, "warmup", 0.1),
        ({"lr_warmup": "2,5"}, "warmup", 0.025),
        ({"lr_warmup_steps": "100"}, "warmup", 100),
        ({"caption_dropout_rate": "5%"}, "caption_dropout", 0.05),
        ({"caption_dropout_rate": "0,05"}, "caption_dropout", 0.05),
        ({"max_resolution": "768x768"}, "resolution", 768),
        ({"max_resolution": [640, 640]}, "resolution", 640),
        ({"max_resolution": "(512, 512)"}, "resolution", 512),
        ({"max_resolution": 512.0}, "resolution", 512),
        ({"max_resolution": "512"}, "resolution", 512),
        ({"mixed_precision": "BF16"}, "precision", "bf16"),
        ({"lr_scheduler": "Cosine"}, "scheduler", "cosine"),
        ({"flip_aug": "true"}, "flip", True),
        ({"flip_aug": 1}, "flip", True),
        ({"optimizer": "pytorch_optimizer.CAME"}, "optimizer", "CAME"),
        ({"clip_skip": "2.0"}, "clip_skip", 2),
        ({"save_precision": "float"}, "save_precision", "fp32"),
        ({"mixed_precision": "auto"}, "precision", "auto"),
        ({"max_timestep": 0}, "max_timestep", 1000),
        ({"max_train_epochs": 7, "epoch": 3}, "epochs", 7),
        ({"max_train_epochs": 0, "epoch": 3}, "epochs", 3),
        ({"unet_lr": 0, "text_encoder_lr": 0, "learning_rate": 2e-4}, "text_encoder_lr", 2e-4),
        ({"unet_lr": 1e-4, "text_encoder_lr": 0, "learning_rate": 2e-4}, "text_encoder_lr", 0),
    ],
)
def test_a_value_is_read_however_it_is_written(
    fields: dict[str, object], ours: str, wanted: object
) -> None:
    found = gui(**fields)
    assert values(found)[ours] == (pytest.approx(wanted) if isinstance(wanted, float) else wanted)
    assert found.left == {}


@pytest.mark.parametrize(
    ("fields", "key"),
    [
        ({"max_resolution": "auto"}, "max_resolution"),
        ({"max_resolution": "a,b,c"}, "max_resolution"),
        ({"max_resolution": "0,512"}, "max_resolution"),
        ({"unet_lr": "auto"}, "unet_lr"),
        ({"unet_lr": True}, "unet_lr"),
        ({"unet_lr": {"a": 1}}, "unet_lr"),
        ({"unet_lr": "1.2.3"}, "unet_lr"),
        ({"unet_lr": -1}, "unet_lr"),
        ({"text_encoder_lr": [1e-5, 2e-5, 3e-5]}, "text_encoder_lr"),
        ({"lr_warmup": "auto"}, "lr_warmup"),
        ({"lr_warmup_steps": -3}, "lr_warmup_steps"),
        ({"network_alpha": "NaN"}, "network_alpha"),
        ({"flip_aug": "maybe"}, "flip_aug"),
        ({"optimizer_args": "betas"}, "optimizer_args"),
        ({"down_lr_weight": "a,b"}, "down_lr_weight"),
        ({"block_lr_zero_threshold": "x", "down_lr_weight": "1"}, "block_lr_zero_threshold"),
        ({"seed": [1, 2]}, "seed"),
        ({"noise_offset_type": "Perlin"}, "noise_offset_type"),
        ({"optimizer": ["Lion", "AdamW"]}, "optimizer"),
        ({"LoRA_type": "LyCORIS/BOFT"}, "LoRA_type"),
        ({"clip_skip": 1.5}, "clip_skip"),
        ({"caption_extension": ".caption"}, "caption_extension"),
    ],
)
def test_what_cannot_be_read_is_named_in_one_line(fields: dict[str, object], key: str) -> None:
    found = gui(**fields)
    assert list(found.left) == [key] and "\n" not in found.left[key]
    Settings.from_dict(found.values)


def test_of_two_kinds_of_noise_the_one_in_force_counts() -> None:
    both = {"noise_offset": 0.1, "multires_noise_iterations": 6, "multires_noise_discount": 0.2}
    multires = gui(**both, noise_offset_type="Multires")
    original = gui(**both, noise_offset_type="Original")
    assert (values(multires)["noise_offset"], values(multires)["multires_noise_iterations"]) == (
        0,
        6,
    )
    assert (values(original)["noise_offset"], values(original)["multires_noise_iterations"]) == (
        0.1,
        0,
    )
    assert (
        "not in force" in multires.left["noise_offset"]
        and "not in force" in original.left["multires_noise_iterations"]
    )


def test_masked_loss_leaves_nothing_of_the_background() -> None:
    assert values(toml("masked_loss = true"))["mask_floor"] == 0 and "mask_floor" not in values(
        toml("masked_loss = false")
    )
    assert values(toml("alpha_mask = true"))["masked_loss"] is True


@pytest.mark.parametrize("text", ["[" * 99_999, '{"a": ' * 99_999, "\x00", "[1]", "null", "{,}"])
def test_a_broken_json_is_one_line(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        read_foreign(text, "a.json")
    assert "\n" not in str(caught.value)


# dataset_config
# ----------------------------------------------------------------------

DATASET = """
[general]
shuffle_caption = true
keep_tokens = 1
caption_extension = ".txt"
[[datasets]]
resolution = [640, 640]
batch_size = 4
enable_bucket = true
  [[datasets.subsets]]
  image_dir = "reg"
  is_reg = true
  num_repeats = 1
  [[datasets.subsets]]
  image_dir = "isabella"
  num_repeats = 12
  keep_tokens = 2
  flip_aug = true
"""
READ = {
    "repeats": 12,
    "keep_tokens": 2,
    "flip": True,
    "batch_size": 4,
    "resolution": 640,
    "buckets": True,
    "shuffle_captions": True,
}


def test_a_dataset_config_alone_changes_what_it_speaks_of() -> None:
    found = toml(DATASET)
    assert READ.items() <= values(found).items() and list(found.left) == ["image_dir"]
    assert (
        values(found)["caption_dropout"] == 0
        and not {"rank", "alpha", "unet_lr", "algorithm"} & values(found).keys()
    )


def test_a_dataset_config_beside_a_training_goes_before_it() -> None:
    training = (
        "network_dim = 8\ntrain_batch_size = 1\nkeep_tokens = 9\ndataset_config ="
        ' "C:\\\\sets\\\\d.toml"\n'
    )
    assert dataset_config_of(training, "a.toml") == "C:\\sets\\d.toml"
    found = read_foreign(training, "a.toml", DATASET)
    assert {**READ, "rank": 8, "alpha": 1}.items() <= values(found).items()
    together = toml(f"network_dim = 8\ntrain_batch_size = 1\n{DATASET}")
    assert {**READ, "rank": 8, "alpha": 1}.items() <= values(together).items()


def test_further_subsets_are_named() -> None:
    found = toml(
        "[[datasets]]\n[[datasets.subsets]]\nnum_repeats = 2\n[[datasets.subsets]]\nnum_repeats"
        " = 3\n"
    )
    assert values(found)["repeats"] == 2 and "2 subsets" in found.left["datasets"]


@pytest.mark.parametrize(
    "key", ["learning_rate", "seed", "lr_warmup", "down_lr_weight", "mid_lr_weight", "network_dim"]
)
def test_a_whole_number_beyond_all_bounds_is_listed(key: str) -> None:
    found = gui(**{key: 10**400})
    assert key in found.left
    values(found)


def test_the_middle_block_s_weight_may_have_a_decimal_comma() -> None:
    assert (
        values(gui(LoRA_type="Kohya LoCon", mid_lr_weight="0,5"))["block_weights"].split("/")[1]
        == "0.5"
    )


@pytest.mark.parametrize(
    ("kind", "algorithm", "told"),
    [("Kohya LoCon", "LoCon", True), ("Standard", "LoRA", True), ("LyCORIS/LoCon", "DoRA", False)],
)
def test_only_lycoris_decomposes_weights(kind: str, algorithm: str, told: bool) -> None:
    found = gui(LoRA_type=kind, dora_wd=True)
    assert values(found)["algorithm"] == algorithm
    assert ("dora_wd" in found.left) is told


def test_v_parameterization_is_a_switch_however_it_is_written() -> None:
    assert values(gui(v_parameterization=" True "))["prediction"] == "v_prediction"
    assert "v_parameterization" in gui(v_parameterization="1e-4").left


def test_a_rank_for_convolutions_that_networks_lora_does_not_read_is_listed() -> None:
    found = toml(
        'network_module = "networks.lora"\nnetwork_dim = 8\nconv_dim = 4\nconv_alpha = 2\n'
    )
    assert {"conv_dim", "conv_alpha"} <= set(found.left)
    assert values(found)["algorithm"] == "LoRA"
