"""Metadata: every key that sd-scripts writes."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from lib_singlelora.families.registry import FAMILIES
from lib_singlelora.lora.metadata import TrainingFacts, build_metadata
from lib_singlelora.settings.schema import Settings

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "golden" / "kohya_sd1_metadata.json").read_text(
        encoding="utf-8"
    )
)
HASHES = {"sshs_legacy_hash", "sshs_model_hash"}  # known only when the file is written

# The golden run, told in our own terms.
FACTS = TrainingFacts(
    output_name="isa",
    trigger="isabella",
    checkpoint_name="rand15.safetensors",
    checkpoint_legacy_hash="d4317e99",
    checkpoint_sha256="138744aea27e1e00b27f60d09a288d43e092b0a908365cfd159ee65bb6764b93",
    resolution=512,
    prediction="epsilon",
    epoch=1,
    steps=5,
    total_steps=5,
    batches_per_epoch=30,
    train_samples=30,
    reg_samples=0,
    batch_size=1,
    learning_rate=0.001,
    warmup_steps=0,
    mixed_precision="no",
    session_id=854993644,
    started=1795383818.3492842,
    finished=1795384037.2408755,
    ar_error=0.05000000000000001,
    folders={"5_isabella": (5, 6)},
    buckets={(384, 640): 10, (448, 576): 5, (512, 512): 10, (640, 384): 5},
    tags=json.loads(GOLDEN["ss_tag_frequency"]),
)
SETTINGS = Settings.from_dict(
    {
        "training": {
            "rank": 16,
            "alpha": 16,
            "epochs": 1,
            "unet_lr": 1e-3,
            "text_encoder_lr": 5e-4,
            "noise_offset": 0.1,
            "min_snr_gamma": 0,
            "clip_skip": 2,
            "seed": 1,
            "scheduler": "constant",
        }
    }
)


def test_the_golden_runs_metadata_comes_out() -> None:
    own = build_metadata(FACTS, SETTINGS.metadata())
    told_otherwise = {
        "ss_sd_scripts_commit_hash",
        "ss_training_comment",
        "ss_min_bucket_reso",
        "ss_max_bucket_reso",
    }
    differing = {
        key: (own.get(key), value) for key, value in GOLDEN.items() if own.get(key) != value
    }
    assert differing.keys() <= HASHES | told_otherwise


def test_all_values_are_strings_and_the_settings_can_be_read_back() -> None:
    own = build_metadata(
        TrainingFacts(**{**vars(FACTS), "settings": SETTINGS.to_dict()}), SETTINGS.metadata()
    )
    assert all(isinstance(value, str) for value in own.values())
    assert Settings.from_dict(json.loads(own["ss_singlelora_settings"])) == SETTINGS


def test_block_learning_rates_are_told_as_kohyas_arguments() -> None:
    changed = {"block_lr": {"mid_lr_weight": (0.5,)}, "conv_rank": 8, "conv_alpha": 8}
    own = build_metadata(TrainingFacts(**{**vars(FACTS), **changed}), {})
    assert json.loads(own["ss_network_args"]) == {
        "conv_dim": "8",
        "conv_alpha": "8",
        "mid_lr_weight": "0.5",
    }


# As sd-scripts 0.9.1 writes them: library/sai_model_spec.py and sdxl_model_util.py
FAMILY_ENTRIES = {
    ("sd1", "epsilon"): ("sd_v1", "False", "stable-diffusion-v1/lora", "diffusers"),
    ("sd2", "epsilon"): ("sd_v2", "True", "stable-diffusion-v2-512/lora", "diffusers"),
    ("sd2", "v_prediction"): ("sd_v2", "True", "stable-diffusion-v2-768-v/lora", "diffusers"),
    ("sdxl", "epsilon"): (
        "sdxl_base_v1-0",
        "False",
        "stable-diffusion-xl-v1-base/lora",
        "https://github.com/Stability-AI/generative-models",
    ),
    ("sdxl", "v_prediction"): (
        "sdxl_base_v1-0",
        "False",
        "stable-diffusion-xl-v1-base/lora",
        "https://github.com/Stability-AI/generative-models",
    ),
}


@pytest.mark.parametrize(("family", "prediction"), FAMILY_ENTRIES)
def test_the_family_is_told_as_sd_scripts_does(family: str, prediction: str) -> None:
    chosen = next(each for each in FAMILIES if each.name == family)
    facts = replace(FACTS, family=chosen, prediction=prediction)
    own = build_metadata(facts, SETTINGS.metadata())
    names = ("ss_base_model_version", "ss_v2", "modelspec.architecture", "modelspec.implementation")
    assert tuple(own[name] for name in names) == FAMILY_ENTRIES[family, prediction]
    assert own["modelspec.prediction_type"] == ("v" if prediction == "v_prediction" else "epsilon")


def test_a_clip_skip_that_is_ignored_is_not_told() -> None:
    own = build_metadata(replace(FACTS, family=FAMILIES[-1]), SETTINGS.metadata())
    assert own["ss_clip_skip"] == "None" and "modelspec.encoder_layer" not in own


def test_each_text_encoder_s_rate_is_told_where_they_differ() -> None:
    one = build_metadata(replace(FACTS, text_encoder_rates=(5e-4, 5e-4)), SETTINGS.metadata())
    two = build_metadata(replace(FACTS, text_encoder_rates=(5e-4, 1e-5)), SETTINGS.metadata())
    assert (one["ss_text_encoder_lr"], two["ss_text_encoder_lr"]) == ("0.0005", "[0.0005, 1e-05]")
