"""How a LoRA is trained: the largest section of the settings."""

from __future__ import annotations

from dataclasses import dataclass

from .declaring import setting

DEFAULT_PRESET = "recommended"


@dataclass(frozen=True)
class TrainingSettings:
    """The LoRA and how it learns."""

    preset: str = setting(DEFAULT_PRESET, label="Preset", help="Values for all that is not set by hand: a file in presets.")
    rank: int = setting(16, label="Rank", low=1, high=320, ss="ss_network_dim",
                        help="Size of the LoRA; raise it when details are missed, lower it when it copies.")
    alpha: float = setting(16.0, label="Alpha", low=0.001, high=320, ss="ss_network_alpha",
                           help="Scales the LoRA by alpha / rank; lower it to train more gently.")
    conv_rank: int = setting(0, label="Conv rank", low=0, high=320,
                             help="Above 0 the 3x3 convolutions are trained too (LoCon): texture and line style.")
    epochs: int = setting(10, label="Epochs", low=1, high=1000, ss="ss_num_epochs", help="Each one is saved and compared.")
    repeats: int = setting(5, label="Repeats", low=1, high=1000, help="How often an epoch shows each crop.")
    batch_size: int = setting(1, label="Batch size", low=1, high=64, ss="ss_batch_size_per_device",
                              help="Pictures a step; more is steadier and needs memory.")
    resolution: int = setting(0, label="Resolution", low=0, high=2048, unit="px",
                              help="Side of the square whose area the buckets fill; 0 takes the checkpoint's own.")
    unet_lr: float = setting(1e-4, label="U-Net learning rate", low=0, high=1, ss="ss_unet_lr",
                             help="Halve it when pictures burn, double it when she does not appear.")
    text_encoder_lr: float = setting(5e-5, label="Text encoder learning rate", low=0, high=1, ss="ss_text_encoder_lr",
                                     help="Well below the U-Net's; 0 leaves the text encoder alone and is faster.")
    optimizer: str = setting("AdamW", label="Optimizer", choices=("AdamW",), help="AdamW from torch.")
    scheduler: str = setting("constant", label="Schedule", choices=("constant", "linear", "cosine"),
                             ss="ss_lr_scheduler", help="How the learning rate goes down over the training.")
    warmup: float = setting(0.05, label="Warm-up", low=0, high=1, help="Share of the steps in which the rate rises from 0.")
    max_grad_norm: float = setting(1.0, label="Gradient clip", low=0, high=100, ss="ss_max_grad_norm",
                                   help="Longer gradients are shortened to this; 0 switches it off.")
    noise_offset: float = setting(0.0, label="Noise offset", low=0, high=1, ss="ss_noise_offset",
                                  help="0.05 to 0.1 lets very dark and very bright pictures be learned.")
    min_snr_gamma: float = setting(5.0, label="Min-SNR gamma", low=0, high=20, ss="ss_min_snr_gamma",
                                   help="5 balances easy and hard noise levels; 0 switches it off.")
    prior_loss_weight: float = setting(1.0, label="Prior loss weight", low=0, high=10, ss="ss_prior_loss_weight",
                                       help="How much the regularization pictures count.")
    keep_tokens: int = setting(2, label="Keep tokens", low=0, high=20, ss="ss_keep_tokens",
                               help="Comma pieces at the front that are never shuffled: trigger and class.")
    shuffle_captions: bool = setting(True, label="Shuffle captions", ss="ss_shuffle_caption",
                                     help="Shuffles the rest of the caption, so that order means nothing.")
    flip: bool = setting(False, label="Flip", ss="ss_flip_aug", help="Mirrors half of the samples; only for symmetric ones.")
    clip_skip: int = setting(1, label="Clip skip", low=1, high=4, ss="ss_clip_skip",
                             help="Layer of the text encoder counted from its end; 2 for anime checkpoints.")
    block_weights: str = setting("ALL", label="Block weights",
                                 help="Learning-rate factor of each block: a preset's name or its values; 0 trains none.")
    save_precision: str = setting("fp16", label="Save as", choices=("fp16", "bf16", "fp32"), help="Numbers in the file.")
    seed: int = setting(1, label="Seed", low=0, high=2**32 - 1, ss="ss_seed", help="The same seed gives the same LoRA.")
