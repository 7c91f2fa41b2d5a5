"""What other trainers call our settings, and what they mean by leaving one out.

Names and defaults: kohya-ss/sd-scripts v0.9.1, library/train_util.py, train_network.py and
networks/lora.py; bmaltais/kohya_ss v25.2.1, kohya_gui/; LyCORIS 4, lycoris/kohya.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, Literal

from ..settings.loss_terms import LossTermSettings

Trainer = Literal["kohya_ss", "sd-scripts"]

# Our training setting -> (kohya_ss, sd-scripts), where a value means the same in all three.
SAME: Mapping[str, tuple[str, str]] = {
    "rank": ("network_dim", "network_dim"),
    "alpha": ("network_alpha", "network_alpha"),
    "dropout": ("network_dropout", "network_dropout"),
    "scale_weight_norms": ("scale_weight_norms", "scale_weight_norms"),
    "save_precision": ("save_precision", "save_precision"),
    "epochs": ("epoch", "max_train_epochs"),
    "batch_size": ("train_batch_size", "train_batch_size"),
    "gradient_accumulation": ("gradient_accumulation_steps", "gradient_accumulation_steps"),
    "optimizer": ("optimizer", "optimizer_type"),
    "scheduler": ("lr_scheduler", "lr_scheduler"),
    "restarts": ("lr_scheduler_num_cycles", "lr_scheduler_num_cycles"),
    "power": ("lr_scheduler_power", "lr_scheduler_power"),
    "max_grad_norm": ("max_grad_norm", "max_grad_norm"),
    "precision": ("mixed_precision", "mixed_precision"),
    "gradient_checkpointing": ("gradient_checkpointing", "gradient_checkpointing"),
    "seed": ("seed", "seed"),
    "noise_offset": ("noise_offset", "noise_offset"),
    "multires_noise_iterations": ("multires_noise_iterations", "multires_noise_iterations"),
    "multires_noise_discount": ("multires_noise_discount", "multires_noise_discount"),
    "min_snr_gamma": ("min_snr_gamma", "min_snr_gamma"),
    "debiased_estimation": ("debiased_estimation_loss", "debiased_estimation_loss"),
    "zero_terminal_snr": ("zero_terminal_snr", "zero_terminal_snr"),
    "min_timestep": ("min_timestep", "min_timestep"),
    "max_timestep": ("max_timestep", "max_timestep"),
    "loss": ("loss_type", "loss_type"),
    "huber_c": ("huber_c", "huber_c"),
    "huber_schedule": ("huber_schedule", "huber_schedule"),
    "masked_loss": ("masked_loss", "masked_loss"),
    "prior_loss_weight": ("prior_loss_weight", "prior_loss_weight"),
    "keep_tokens": ("keep_tokens", "keep_tokens"),
    "shuffle_captions": ("shuffle_caption", "shuffle_caption"),
    "caption_dropout": ("caption_dropout_rate", "caption_dropout_rate"),
    "tag_dropout": ("caption_tag_dropout_rate", "caption_tag_dropout_rate"),
    "max_token_length": ("max_token_length", "max_token_length"),
    "flip": ("flip_aug", "flip_aug"),
    "color_aug": ("color_aug", "color_aug"),
    "clip_skip": ("clip_skip", "clip_skip"),
    "start_from": ("network_weights", "network_weights"),
    "buckets": ("enable_bucket", "enable_bucket"),
    "repeats": ("dataset_repeats", "num_repeats"),
}
# Further arguments of a network: fields of their own in kohya_ss, in sd-scripts' network_args.
NETWORK: Mapping[str, str] = {
    "conv_rank": "conv_dim",
    "conv_alpha": "conv_alpha",
    "rank_dropout": "rank_dropout",
    "module_dropout": "module_dropout",
    "lokr_factor": "factor",
    "loraplus_ratio": "loraplus_lr_ratio",
}
LISTS = ("down_lr_weight", "mid_lr_weight", "up_lr_weight")
# Keys about the base model -> why there is nothing to set here.
BASE_MODEL: Mapping[str, str] = {
    **dict.fromkeys(
        ("sdxl", "v2"), "what is trained is the checkpoint's family; choose one of this base model"
    ),
    **dict.fromkeys(
        ("no_half_vae", "sdxl_no_half_vae"), "here the VAE never computes where fp16 gives NaN"
    ),
    **dict.fromkeys(
        (
            "cache_text_encoder_outputs",
            "cache_text_encoder_outputs_to_disk",
            "sdxl_cache_text_encoder_outputs",
        ),
        "here texts are cached by themselves while no text encoder is trained, shuffled ones too",
    ),
}

# What a file means that leaves a key out, in our names; both trainers, then each one's own.
# (Epochs, repeats, resolution and seed have no such value: they stay as they are.)
LEFT_OUT: Mapping[str, Any] = {
    "algorithm": "LoRA",
    "alpha": 1.0,
    "conv_rank": 0,
    "conv_alpha": 0.0,
    "dropout": 0.0,
    "rank_dropout": 0.0,
    "module_dropout": 0.0,
    "lokr_factor": -1,
    "loraplus_ratio": 1.0,
    "scale_weight_norms": 0.0,
    "block_weights": "ALL",
    "start_from": "",
    "batch_size": 1,
    "gradient_accumulation": 1,
    "optimizer_args": "",
    "weight_decay": -1.0,
    "restarts": 1,
    "power": 1.0,
    "max_grad_norm": 1.0,
    "gradient_checkpointing": False,
    "noise_offset": 0.0,
    "multires_noise_iterations": 0,
    "multires_noise_discount": 0.3,
    "min_snr_gamma": 0.0,
    "debiased_estimation": False,
    "zero_terminal_snr": False,
    "min_timestep": 0,
    "max_timestep": 1000,
    "loss": "l2",
    "huber_c": 0.1,
    "huber_schedule": "snr",
    "masked_loss": False,
    "prior_loss_weight": 1.0,
    "keep_tokens": 0,
    "shuffle_captions": False,
    "caption_dropout": 0.0,
    "tag_dropout": 0.0,
    "max_token_length": 75,
    "flip": False,
    "color_aug": False,
    "clip_skip": 1,
    "text_encoder_2_lr": -1.0,
    "size_conditioning": "kohya",
    # Ours alone: as if it were not there.
    "text_gradient": "all blocks",
    "regularization": "pictures",
    "class_share": 1.0,
    "full_body_share": 0.0,
    "detail_share": 0.0,
    "flip_symmetric": False,
    "ema": False,
    "view_timesteps": "off",
    "band_weights": (),
    "timestep_rank": False,
    **{item.name: item.default for item in fields(LossTermSettings)},
    "attention_loss": 0.0,
}
OWN_LEFT_OUT: Mapping[Trainer, Mapping[str, Any]] = {
    "sd-scripts": {
        "rank": 4,
        "save_precision": "fp32",
        "precision": "fp32",
        "optimizer": "AdamW",
        "scheduler": "constant",
        "warmup": 0.0,
        "buckets": False,
        "unet_lr": 2e-6,
        "text_encoder_lr": 2e-6,
    },
    "kohya_ss": {
        # Its fp16 is what a GPU of some years ago can do; auto asks the machine at hand.
        "rank": 8,
        "save_precision": "fp16",
        "precision": "auto",
        "optimizer": "AdamW8bit",
        "scheduler": "cosine",
        "warmup": 0.1,
        "buckets": True,
        "unet_lr": 1e-4,
        "text_encoder_lr": 0.0,
        "resolution": 512,
        "epochs": 1,
    },
}
# What a dataset_config alone speaks of.
OF_DATASET = (
    "batch_size",
    "buckets",
    "keep_tokens",
    "shuffle_captions",
    "flip",
    "color_aug",
    "caption_dropout",
    "tag_dropout",
    "flip_symmetric",
)

# kohya_ss' LoRA types.
TYPES: Mapping[str, str] = {
    "LoRA": "Standard",
    "LoCon": "Kohya LoCon",
    "LoHa": "LyCORIS/LoHa",
    "LoKr": "LyCORIS/LoKr",
    "DoRA": "LyCORIS/LoCon",
}
ALGORITHMS: Mapping[str, str] = {
    **{theirs: ours for ours, theirs in TYPES.items() if ours != "DoRA"},
    "LyCORIS/LoCon": "LoCon",
    "LoCon": "LoCon",
    "": "LoRA",
}
ALGOS: Mapping[str, str] = {
    "lora": "LyCORIS/LoCon",
    "locon": "LyCORIS/LoCon",
    "loha": "LyCORIS/LoHa",
    "lokr": "LyCORIS/LoKr",
}
# LyCORIS presets that leave the convolutions alone.
LINEAR_PRESETS = ("full-lin", "attn-mlp", "attn-only", "unet-transformer-only")

OPTIMIZERS: Mapping[str, str] = {
    "adamw": "AdamW",
    "adamw8bit": "AdamW8bit",
    "pagedadamw8bit": "AdamW8bit",
    "lion": "Lion",
    "prodigy": "Prodigy",
    "prodigyplusschedulefree": "ProdigyPlusScheduleFree",
    "dadaptation": "DAdaptAdam",
    "dadaptadam": "DAdaptAdam",
    "dadaptadampreprint": "DAdaptAdam",
    "adafactor": "Adafactor",
    "adamwschedulefree": "AdamWScheduleFree",
    "came": "CAME",
    "muon": "Muon",
}
# sd-scripts knows the others by their short names, and imports what has a dot in it.
OPTIMIZER_PATHS: Mapping[str, str] = {
    "AdamWScheduleFree": "schedulefree.AdamWScheduleFree",
    "ProdigyPlusScheduleFree": "prodigyplus.ProdigyPlusScheduleFree",
    "CAME": "pytorch_optimizer.CAME",
}
PRECISIONS: Mapping[str, str] = {
    "no": "fp32",
    "float": "fp32",
    "fp16": "fp16",
    "bf16": "bf16",
    "auto": "auto",
}
SCHEDULERS: Mapping[str, str] = {"constant_with_warmup": "constant"}

# What their files have no word for; our own reader finds it in a note of ours.
LOST: Mapping[str, str] = {
    "size_conditioning": "sd-scripts always tells SDXL the size of the crop's file",
    "ema": "sd-scripts keeps no running average of the weights",
    "view_timesteps": "their timesteps are the same for all pictures",
    "band_weights": "they weight timesteps by formulas alone",
    "attention_loss": "they look at no attention",
    "timestep_rank": "their rank is the same at all timesteps",
    "text_gradient": "their text encoder's gradient always runs through all blocks",
    "regularization": (
        "prior prediction is not there; regularization pictures are used when their folder is given"
    ),
    "flip_symmetric": "their flip_aug mirrors all pictures or none",
    "mask_floor": "their masked loss has no floor",
    "class_share": "there it is one picture of the class for each sample of the character",
    "full_body_share": "all pictures of a folder have its repeats there",
    "detail_share": "all pictures of a folder have its repeats there",
    "repeats": "it stands in the name of the picture folder there",
    **dict.fromkeys(
        (item.name for item in fields(LossTermSettings)),
        "sd-scripts never asks the frozen checkpoint what it predicts",
    ),
    "delta_penalty": "sd-scripts has no penalty on the norms; scale_weight_norms limits them there",
}
