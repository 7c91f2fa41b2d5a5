"""The metadata that kohya's tools and the WebUI read from a LoRA file: `ss_*` and `modelspec.*`.

Source: sd-scripts train_network.py and library/sai_model_spec.py, v0.9.1.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone

from ..families.family import Family
from ..families.sd1 import SD1

# Options that this trainer does not have, with the values that sd-scripts writes when they are off
ABSENT = {
    "ss_adaptive_noise_scale": "None",
    "ss_bucket_no_upscale": "False",
    "ss_cache_latents": "True",
    "ss_caption_dropout_every_n_epochs": "0",
    "ss_enable_bucket": "True",
    "ss_face_crop_aug_range": "None",
    "ss_full_fp16": "False",
    "ss_ip_noise_gamma": "None",
    "ss_ip_noise_gamma_random_strength": "False",
    "ss_lowram": "False",
    "ss_max_token_length": "None",
    "ss_noise_offset_random_strength": "False",
    "ss_random_crop": "False",
    "ss_sd_scripts_commit_hash": "None",
}


@dataclass(frozen=True)
class TrainingFacts:
    """What the metadata says about a training.

    resolution: pixels.
    family: of the checkpoint.
    text_encoder_rates: of each text encoder; none where it is the declared one.
    started, finished: seconds since 1970.
    folders, reg_folders: name -> (repeats, pictures).
    buckets: (width, height) in pixels -> samples an epoch.
    tags: folder -> tag -> count.
    total_batch_size: pictures of an optimizer step, accumulated ones too; 0 for batch_size.
    """

    output_name: str
    trigger: str
    checkpoint_name: str
    checkpoint_legacy_hash: str
    checkpoint_sha256: str
    resolution: int
    prediction: str
    epoch: int
    steps: int
    total_steps: int
    batches_per_epoch: int
    train_samples: int
    reg_samples: int
    batch_size: int
    learning_rate: float
    warmup_steps: int
    mixed_precision: str
    session_id: int
    started: float
    finished: float
    ar_error: float = 0.0
    family: Family = SD1
    folders: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    reg_folders: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    buckets: Mapping[tuple[int, int], int] = field(default_factory=dict)
    tags: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    settings: Mapping[str, object] = field(default_factory=dict)
    block_lr: Mapping[str, tuple[float, ...]] | None = None
    algorithm: str = "LoRA"
    network_arguments: Mapping[str, str] = field(default_factory=dict)
    optimizer: str = "torch.optim.adamw.AdamW"
    max_token_length: int = 75
    total_batch_size: int = 0
    conv_rank: int = 0
    conv_alpha: float = 0.0
    text_encoder_rates: tuple[float, ...] = ()


def build_metadata(facts: TrainingFacts, declared: Mapping[str, str]) -> dict[str, str]:
    """The whole dictionary without the hashes.

    declared: the entries that settings themselves declare.
    """
    finished = datetime.fromtimestamp(facts.finished, tz=timezone.utc)
    size = f"{facts.resolution}x{facts.resolution}"
    family = facts.family
    predicts_v = facts.prediction == "v_prediction"
    architecture = (family.architecture_v if predicts_v else "") or family.architecture
    spec = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{architecture}/lora",
        "modelspec.implementation": family.implementation,
        "modelspec.title": facts.output_name,
        "modelspec.date": finished.replace(tzinfo=None, microsecond=0).isoformat(),
        "modelspec.resolution": size,
        "modelspec.prediction_type": "v" if predicts_v else "epsilon",
        "modelspec.trigger_phrase": facts.trigger,
    }
    fixed = {}
    if family.follows_clip_skip:
        spec["modelspec.encoder_layer"] = declared.get("ss_clip_skip", "1")
    else:
        fixed["ss_clip_skip"] = "None"
    if len(set(facts.text_encoder_rates)) > 1:
        fixed["ss_text_encoder_lr"] = str(list(facts.text_encoder_rates))
    own = {
        "ss_base_model_version": family.base_model_version,
        "ss_v2": str(family.is_v2),
        "ss_batch_size_per_device": str(facts.batch_size),
        "ss_total_batch_size": str(facts.total_batch_size or facts.batch_size),
        "ss_max_token_length": (
            "None" if facts.max_token_length <= 75 else str(facts.max_token_length)
        ),
        "ss_bucket_info": json.dumps(_buckets(facts)),
        "ss_min_bucket_reso": str(
            min((min(size) for size in facts.buckets), default=facts.resolution)
        ),
        "ss_max_bucket_reso": str(
            max((max(size) for size in facts.buckets), default=facts.resolution)
        ),
        "ss_dataset_dirs": json.dumps(_folders(facts.folders)),
        "ss_reg_dataset_dirs": json.dumps(_folders(facts.reg_folders)),
        "ss_tag_frequency": json.dumps(facts.tags),
        "ss_epoch": str(facts.epoch),
        "ss_steps": str(facts.steps),
        "ss_learning_rate": str(facts.learning_rate),
        "ss_lr_warmup_steps": str(facts.warmup_steps),
        "ss_max_train_steps": str(facts.total_steps),
        "ss_mixed_precision": facts.mixed_precision,
        "ss_network_module": (
            "networks.lora" if facts.algorithm in ("LoRA", "LoCon") else "lycoris.kohya"
        ),
        "ss_optimizer": facts.optimizer,
        "ss_num_batches_per_epoch": str(facts.batches_per_epoch),
        "ss_num_train_images": str(facts.train_samples),
        "ss_num_reg_images": str(facts.reg_samples),
        "ss_output_name": facts.output_name,
        "ss_resolution": f"({facts.resolution}, {facts.resolution})",
        "ss_sd_model_name": facts.checkpoint_name,
        "ss_sd_model_hash": facts.checkpoint_legacy_hash,
        "ss_new_sd_model_hash": facts.checkpoint_sha256,
        "ss_session_id": str(facts.session_id),
        "ss_training_comment": f"trigger: {facts.trigger}",
        "ss_training_started_at": str(facts.started),
        "ss_training_finished_at": str(facts.finished),
        "ss_singlelora_settings": json.dumps(facts.settings, ensure_ascii=False),
    }
    arguments: dict[str, str] = dict(facts.network_arguments)
    if facts.conv_rank:
        arguments |= {"conv_dim": str(facts.conv_rank), "conv_alpha": f"{facts.conv_alpha:g}"}
    for name, values in (facts.block_lr or {}).items():
        arguments[name] = ",".join(f"{value:g}" for value in values)
    if arguments:
        own["ss_network_args"] = json.dumps(arguments)
    return {**ABSENT, **own, **declared, **spec, **fixed}


def _folders(folders: Mapping[str, tuple[int, int]]) -> dict[str, dict[str, int]]:
    return {
        name: {"n_repeats": repeats, "img_count": count}
        for name, (repeats, count) in folders.items()
    }


def _buckets(facts: TrainingFacts) -> dict[str, object]:
    numbered = {
        str(i): {"resolution": list(size), "count": facts.buckets[size]}
        for i, size in enumerate(sorted(facts.buckets))
    }
    return {"buckets": numbered, "mean_img_ar_error": facts.ar_error}
