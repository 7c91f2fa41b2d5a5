"""kohya_ss' JSON and sd-scripts' TOML, read and written; nothing is dropped in silence."""

from __future__ import annotations

import errno
import json
import math
import os
from pathlib import Path

import pytest

from lib_singlelora.errors import SettingsError
from lib_singlelora.kohya.convert import read_foreign, write_foreign
from lib_singlelora.naming.block_weights import parse_block_weights
from lib_singlelora.naming.blocks import SD1
from lib_singlelora.settings import preset_files
from lib_singlelora.settings.preset_files import preset_names, save_preset
from lib_singlelora.settings.schema import Settings

# As kohya_ss saves them: numbers as text, whole numbers as 1.0, empty text for what is off.
KOHYA_SS = {
    "LoRA_type": "LyCORIS/LoHa",
    "network_dim": 32,
    "network_alpha": 16,
    "conv_dim": 8,
    "conv_alpha": 4,
    "learning_rate": 0.0001,
    "unet_lr": 0.0002,
    "text_encoder_lr": "",
    "epoch": 2,
    "train_batch_size": 1,
    "gradient_accumulation_steps": 4.0,
    "optimizer": "AdamW8bit",
    "optimizer_args": "betas=0.9,0.99",
    "lr_scheduler": "cosine",
    "lr_warmup": 5,
    "keep_tokens": "2",
    "max_resolution": "512,512",
    "min_snr_gamma": 10,
    "multires_noise_iterations": 8,
    "multires_noise_discount": 0.2,
    "mixed_precision": "bf16",
    "save_precision": "fp16",
    "seed": "",
    "clip_skip": "2",
    "shuffle_caption": True,
    "max_token_length": "150",
    "v_parameterization": False,
    "xformers": True,
    "use_wandb": False,
    "bucket_reso_steps": 1,
    "caption_extension": ".txt",
    "scale_weight_norms": 1,
    "module_dropout": 0,
    "down_lr_weight": "",
    "wandb_api_key": "",
}


def test_kohya_ss_values_arrive_as_ours() -> None:
    found = read_foreign(json.dumps(KOHYA_SS), "mine.json")
    expected = {
        "training.algorithm": "LoHa",
        "training.rank": 32,
        "training.alpha": 16.0,
        "training.conv_rank": 8,
        "training.conv_alpha": 4,
        "training.unet_lr": 0.0002,
        "training.text_encoder_lr": 0.0001,
        "training.epochs": 2,
        "training.batch_size": 1,
        "training.gradient_accumulation": 4,
        "training.optimizer": "AdamW8bit",
        "training.optimizer_args": "betas=0.9,0.99",
        "training.scheduler": "cosine",
        "training.warmup": 0.05,
        "training.keep_tokens": 2,
        "training.resolution": 512,
        "training.min_snr_gamma": 10,
        "training.multires_noise_iterations": 8,
        "training.multires_noise_discount": 0.2,
        "training.precision": "bf16",
        "training.save_precision": "fp16",
        "training.clip_skip": 2,
        "training.shuffle_captions": True,
        "training.max_token_length": 150,
        "training.scale_weight_norms": 1,
        "training.module_dropout": 0,
    }
    assert {name: found.values[name] for name in found.given} == expected
    assert Settings.from_dict(found.values).training.rank == 32


def test_what_has_no_counterpart_is_listed_and_what_is_off_is_not() -> None:
    left = read_foreign(json.dumps(KOHYA_SS), "mine.json").left
    assert set(left) == {"xformers", "bucket_reso_steps"}


def test_a_value_out_of_range_is_listed_with_its_reason() -> None:
    left = read_foreign(
        json.dumps({**KOHYA_SS, "network_dim": 4096, "optimizer": "SGDNesterov"}), "mine.json"
    ).left
    assert "1 to 320" in left["network_dim"] and "AdamW" in left["optimizer"]


def test_an_sd_scripts_file_is_read_with_its_sections_and_network_args() -> None:
    text = """
    [network]
    network_module = "networks.lora"
    network_dim = 16
    network_args = [
        "conv_dim=8", "conv_alpha=4", "down_lr_weight=0,0,0,0,0,0,0,0,0,0,0,0", "mid_lr_weight=0",
    ]
    [optimizer]
    optimizer_type = "prodigy"
    optimizer_args = ["d_coef=2", "betas=0.9,0.99"]
    learning_rate = 1.0
    lr_warmup_steps = 100
    max_data_loader_n_workers = 2
    network_train_unet_only = true
    """
    found = read_foreign(text, "config.toml")
    assert found.values["training.algorithm"] == "LoCon" and found.values["training.conv_rank"] == 8
    assert found.values["training.optimizer_args"] == "d_coef=2; betas=0.9,0.99"
    assert (found.values["training.unet_lr"], found.values["training.text_encoder_lr"]) == (
        1.0,
        0.0,
    )
    assert found.values["training.warmup"] == 100
    assert found.values["training.block_weights"].startswith("0,0,0,0,0,0,0,0,0,0,0,0/0/1,")
    assert list(found.left) == ["max_data_loader_n_workers"]


@pytest.mark.parametrize("kind", ["json", "toml"])
@pytest.mark.parametrize(
    "values",
    [
        {},
        {"algorithm": "DoRA", "rank": 8, "conv_rank": 4, "conv_alpha": 2},
        {"algorithm": "LoKr", "lokr_factor": 8, "warmup": 0.1},
        {
            "block_weights": "article",
            "optimizer": "Lion",
            "optimizer_args": "betas=(0.9,0.98)",
            "warmup": 40,
        },
        {
            "loss": "huber",
            "masked_loss": True,
            "min_timestep": 200,
            "precision": "fp16",
            "resolution": 640,
            "flip": True,
        },
    ],
)
def test_what_is_written_is_read_back(kind: str, values: dict[str, object]) -> None:
    settings = Settings.from_dict({f"training.{name}": value for name, value in values.items()})
    made = write_foreign(settings, kind)
    back = Settings.from_dict(read_foreign(made.text, f"made.{kind}").values)
    for name, value in values.items():
        if name == "block_weights":
            assert (
                back.training.block_weights == "1,0,0,0,0,0,0,1,1,1,1,1/0/0,1,1,1,1,1,0,0,0,0,1,1"
            )
        else:
            assert getattr(back.training, name) == value
    assert back.training.unet_lr == settings.training.unet_lr and made.left == {}


def test_what_their_files_cannot_say_is_listed() -> None:
    made = write_foreign(
        Settings.from_dict(
            {"training.regularization": "prior prediction", "training.mask_floor": 0.4}
        ),
        "toml",
    )
    assert set(made.left) == {"training.regularization", "training.mask_floor"}


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a.yaml", "", "neither .json nor .toml"),
        ("a.json", "{", "no JSON"),
        ("a.json", "[]", "expected an object"),
        ("a.json", "{}", "LoRA fields"),
        ("a.toml", "= 3", "no TOML"),
        ("a.toml", 'network_args = ["conv_dim"]', "NAME=VALUE"),
    ],
)
def test_other_files_are_told(name: str, text: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words):
        read_foreign(text, name)


def test_an_own_preset_is_saved_listed_and_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preset_files, "OWN_PRESETS", tmp_path / "own")
    save_preset(
        "my anime", Settings.from_dict({"training": {"rank": 24, "preset": "outd"}}).to_preset()
    )
    assert "my anime" in preset_names()
    made = Settings.from_dict({"training": {"preset": "my anime"}}).training
    assert (made.rank, made.block_weights) == (24, "OUTD")


@pytest.mark.parametrize("name", ["", "../x", "recommended", " a", "nul", "COM¹", "a\0b"])
def test_names_that_cannot_be_a_preset_are_told(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preset_files, "OWN_PRESETS", tmp_path / "own")
    with pytest.raises(SettingsError, match="preset"):
        save_preset(name, Settings().to_preset())


def test_a_full_disk_leaves_the_preset_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(preset_files, "OWN_PRESETS", tmp_path / "own")
    path = save_preset("mine", Settings.from_dict({"training": {"rank": 24}}).to_preset())
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SettingsError, match="the disk is full"):
        save_preset("mine", Settings.from_dict({"training": {"rank": 8}}).to_preset())
    assert path.read_bytes() == before and list(path.parent.iterdir()) == [path]


def test_a_broken_own_preset_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preset_files, "OWN_PRESETS", tmp_path)
    (tmp_path / "broken.json").write_text("{", encoding="utf-8")
    with pytest.raises(SettingsError, match="broken"):
        Settings.from_dict({"training": {"preset": "broken"}})


def test_kohyas_shapes_and_its_threshold_are_carried_over() -> None:
    text = (
        '[network_arguments]\nnetwork_dim = 4\nnetwork_args = ["down_lr_weight=cosine",'
        ' "mid_lr_weight=.5", '
    )
    assert (
        read_foreign(text + '"up_lr_weight=linear+.1"]', "a.toml").values["training.block_weights"]
        == "cosine/.5/linear+.1"
    )
    cut = read_foreign(text + '"up_lr_weight=zeros+.1", "block_lr_zero_threshold=0.2"]', "a.toml")
    weights = parse_block_weights(cut.values["training.block_weights"], SD1)
    assert (
        cut.left == {}
        and weights["OUT00"] == weights["IN11"] == weights["IN10"] == 0
        and weights["M00"] == 0.5
    )
    assert weights["IN00"] == 1 and weights["IN09"] == pytest.approx(
        math.sin(math.pi / 11), abs=1e-5
    )
    lists = read_foreign(
        '{"network_dim": 4, "up_lr_weight": [1, 0.5], "network_weights": "/her/lora.safetensors"}',
        "a.json",
    )
    assert lists.values["training.block_weights"].endswith("/1/1,0.5")
    assert lists.values["training.start_from"] == "/her/lora.safetensors"
