"""How a LoRA is trained: the largest section of the settings."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import SettingsError
from .declare import setting

DEFAULT_PRESET = "recommended"


@dataclass(frozen=True)
class NetworkSettings:
    """The LoRA itself."""

    preset: str = setting(
        DEFAULT_PRESET,
        label="Preset",
        help="Values for all that is not set by hand: a file in presets.",
    )
    algorithm: str = setting(
        "LoRA",
        label="Algorithm",
        choices=("LoRA", "LoCon", "LoHa", "LoKr", "DoRA"),
        help=(
            "LoRA for most; LoCon for texture, LoHa when it copies, LoKr or DoRA when details are"
            " missed."
        ),
    )
    rank: int = setting(
        16,
        label="Rank",
        low=1,
        high=320,
        ss="ss_network_dim",
        help="Size of the LoRA; raise it when details are missed, lower it when it copies.",
    )
    alpha: float = setting(
        16.0,
        label="Alpha",
        low=0.001,
        high=320,
        ss="ss_network_alpha",
        help="Scales the LoRA by alpha / rank; lower it to train more gently.",
    )
    conv_rank: int = setting(
        0,
        label="Conv rank",
        low=0,
        high=320,
        help=(
            "Above 0 the 3x3 convolutions are trained too: texture, line style; LoCon takes rank"
            " for 0."
        ),
    )
    conv_alpha: float = setting(
        0.0,
        label="Conv alpha",
        low=0,
        high=320,
        help="Alpha of the convolutions; 0 keeps alpha / rank.",
    )
    lokr_factor: int = setting(
        -1,
        label="LoKr factor",
        low=-1,
        high=64,
        help=(
            "How LoKr splits a weight: 4 to 8 for more detail and a larger file, -1 for the"
            " smallest."
        ),
    )
    dropout: float = setting(
        0.0,
        label="Dropout",
        low=0,
        high=0.9,
        ss="ss_network_dropout",
        help=(
            "Share of the inner values left out at each step; 0.1 to 0.3 when it copies (LoRA,"
            " LoCon)."
        ),
    )
    rank_dropout: float = setting(
        0.0,
        label="Rank dropout",
        low=0,
        high=0.9,
        help="Share of the ranks left out at each step; 0.1 to 0.3 when it copies.",
    )
    module_dropout: float = setting(
        0.0,
        label="Module dropout",
        low=0,
        high=0.9,
        help="Share of the modules left out at each step; 0.1 when it copies.",
    )
    scale_weight_norms: float = setting(
        0.0,
        label="Largest weight norm",
        low=0,
        high=100,
        ss="ss_scale_weight_norms",
        help="Longer changes are shortened to this after each step; 1 when it burns; 0 is off.",
    )
    block_weights: str = setting(
        "ALL",
        label="Block weights",
        help="Learning-rate factor of each block: a preset's name or its values; 0 trains none.",
    )
    start_from: str = setting(
        "",
        label="Start from",
        path="workspace",
        help=(
            "A trained LoRA of the same algorithm and rank that goes on learning; empty starts from"
            " zero."
        ),
    )
    save_precision: str = setting(
        "fp16",
        label="Save as",
        choices=("fp16", "bf16", "fp32"),
        help="Numbers in the file; fp32 only to train on from it elsewhere.",
    )


@dataclass(frozen=True)
class LearningSettings(NetworkSettings):
    """How it learns."""

    epochs: int = setting(
        10,
        label="Epochs",
        low=1,
        high=1000,
        ss="ss_num_epochs",
        help="Each one is saved and compared.",
    )
    repeats: int = setting(
        5, label="Repeats", low=1, high=1000, help="How often an epoch shows each crop."
    )
    batch_size: int = setting(
        1,
        label="Batch size",
        low=1,
        high=64,
        ss="ss_batch_size_per_device",
        help="Pictures a step; more is steadier and needs memory.",
    )
    gradient_accumulation: int = setting(
        1,
        label="Gradient accumulation",
        low=1,
        high=256,
        ss="ss_gradient_accumulation_steps",
        help="Batches a step: the effect of a larger batch without its memory.",
    )
    resolution: int = setting(
        0,
        label="Resolution",
        low=0,
        high=2048,
        unit="px",
        help="Side of the square whose area the buckets fill; 0 takes the checkpoint's own.",
    )
    buckets: bool = setting(
        True,
        label="Buckets",
        ss="ss_enable_bucket",
        help=(
            "Tall and wide crops beside square ones; off "
            "makes all square, for a checkpoint that only ever drew squares."
        ),
    )
    unet_lr: float = setting(
        1e-4,
        label="U-Net learning rate",
        low=0,
        high=1,
        ss="ss_unet_lr",
        help=(
            "Halve it when pictures burn, double it when she does not appear; 1 for Prodigy,"
            " D-Adaptation."
        ),
    )
    text_encoder_lr: float = setting(
        5e-5,
        label="Text encoder learning rate",
        low=0,
        high=1,
        ss="ss_text_encoder_lr",
        help="Well below the U-Net's; 0 leaves the text encoder alone and is faster.",
    )
    text_gradient: str = setting(
        "all blocks",
        label="Text gradient",
        choices=("all blocks", "trained blocks"),
        help=(
            "'trained blocks' cuts the text encoder's gradient elsewhere: with block weights it"
            " saves time and memory, and the text encoder learns from those blocks only."
        ),
    )
    optimizer: str = setting(
        "AdamW",
        label="Optimizer",
        choices=(
            "AdamW",
            "AdamW8bit",
            "Lion",
            "Prodigy",
            "ProdigyPlusScheduleFree",
            "DAdaptAdam",
            "Adafactor",
            "AdamWScheduleFree",
            "CAME",
            "Muon",
        ),
        help=(
            "AdamW unless memory is short (AdamW8bit, CAME) or you want no rate to choose"
            " (Prodigy)."
        ),
    )
    optimizer_args: str = setting(
        "",
        label="Optimizer arguments",
        help="Its own further arguments, such as 'd_coef=2; betas=(0.9, 0.99)'; rarely needed.",
    )
    weight_decay: float = setting(
        -1.0,
        label="Weight decay",
        low=-1,
        high=1,
        help=(
            "Pulls weights to 0; raise it when it copies. -1 is the optimizer's own: 0.01 for "
            "AdamW, 0 for most others."
        ),
    )
    scheduler: str = setting(
        "constant",
        label="Schedule",
        choices=("constant", "linear", "cosine", "cosine_with_restarts", "polynomial", "rex"),
        ss="ss_lr_scheduler",
        help="How the rate goes down; cosine ends gently, constant is plainest.",
    )
    warmup: float = setting(
        0.05,
        label="Warm-up",
        low=0,
        high=100_000,
        help=(
            "Below 1 a share of the steps, from 1 on a number of steps in which the rate rises"
            " from 0."
        ),
    )
    restarts: int = setting(
        1, label="Restarts", low=1, high=100, help="Cycles of cosine_with_restarts."
    )
    power: float = setting(
        1.0, label="Power", low=0.1, high=10, help="Power of the polynomial schedule; 1 is linear."
    )
    max_grad_norm: float = setting(
        1.0,
        label="Gradient clip",
        low=0,
        high=100,
        ss="ss_max_grad_norm",
        help="Longer gradients are shortened to this; 0 switches it off.",
    )
    precision: str = setting(
        "auto",
        label="Precision",
        choices=("auto", "fp32", "fp16", "bf16"),
        help=(
            "Numbers of the computation; auto takes bf16 on a GPU that has it, else fp16 with loss "
            "scaling, and fp32 on a CPU. fp32 in the WebUI wants its --no-half."
        ),
    )
    gradient_checkpointing: bool = setting(
        False,
        label="Gradient checkpointing",
        ss="ss_gradient_checkpointing",
        help="Computes blocks twice to need much less memory; for when it runs out.",
    )
    cuda_graphs: bool = setting(
        True,
        label="CUDA graphs",
        help=(
            "Records a step on an NVIDIA GPU and replays it, which is faster "
            "at small batches; off when memory is short."
        ),
    )
    ema: bool = setting(
        False,
        label="Average of weights",
        help=(
            "Saves a running average of the LoRA's weights, which is "
            "steadier than the last step's; for high rates that do not fall."
        ),
    )
    ema_decay: float = setting(
        0.99,
        label="Average's decay",
        low=0,
        high=0.99999,
        help="Share that the average keeps at each step; 0.99 looks back over some 100 steps.",
    )
    seed: int = setting(
        1,
        label="Seed",
        low=-1,
        high=2**32 - 1,
        seed=True,
        ss="ss_seed",
        help="The same seed gives the same LoRA; -1 takes a random one.",
    )


@dataclass(frozen=True)
class LossSettings(LearningSettings):
    """What a step is judged by."""

    noise_offset: float = setting(
        0.0,
        label="Noise offset",
        low=0,
        high=1,
        ss="ss_noise_offset",
        help="0.05 to 0.1 lets very dark and very bright pictures be learned.",
    )
    multires_noise_iterations: int = setting(
        0,
        label="Multires noise",
        low=0,
        high=10,
        ss="ss_multires_noise_iterations",
        help="6 to 10 mixes in coarser noise, also for dark and bright; 0 is off.",
    )
    multires_noise_discount: float = setting(
        0.3,
        label="Multires discount",
        low=0,
        high=1,
        ss="ss_multires_noise_discount",
        help="Share that each coarser noise keeps of the last; 0.1 to 0.3 for small sets.",
    )
    min_snr_gamma: float = setting(
        5.0,
        label="Min-SNR gamma",
        low=0,
        high=20,
        ss="ss_min_snr_gamma",
        help="5 balances easy and hard noise levels; 0 switches it off.",
    )
    debiased_estimation: bool = setting(
        False,
        label="Debiased estimation",
        ss="ss_debiased_estimation",
        help="Another balance of noise levels; use it or min-SNR, not both.",
    )
    prediction: str = setting(
        "auto",
        label="Prediction",
        choices=("auto", "epsilon", "v_prediction"),
        help="What the checkpoint predicts; auto takes what its config says.",
    )
    zero_terminal_snr: bool = setting(
        False,
        label="Zero terminal SNR",
        ss="ss_zero_terminal_snr",
        help="For v-prediction checkpoints that were trained so.",
    )
    min_timestep: int = setting(
        0,
        label="First timestep",
        low=0,
        high=999,
        help="Raise it to leave fine detail out of training.",
    )
    max_timestep: int = setting(
        1000,
        label="Last timestep",
        low=1,
        high=1000,
        help="Lower it to leave composition out of training; timesteps below it are drawn.",
    )
    loss: str = setting(
        "l2",
        label="Loss",
        choices=("l2", "huber", "smooth_l1"),
        ss="ss_loss_type",
        help="huber or smooth_l1 when single crops are damaged or odd: outliers count less.",
    )
    huber_c: float = setting(
        0.1,
        label="Huber c",
        low=0.001,
        high=1,
        ss="ss_huber_c",
        help="Where huber turns to a line.",
    )
    huber_schedule: str = setting(
        "snr",
        label="Huber schedule",
        choices=("snr", "exponential", "constant"),
        ss="ss_huber_schedule",
        help="How huber's c follows the noise level; snr is the usual one.",
    )
    masked_loss: bool = setting(
        False,
        label="Masked loss",
        help=(
            "Her background counts less, by source/mask.png; switch it on when the background"
            " leaks."
        ),
    )
    mask_floor: float = setting(
        0.3,
        label="Mask floor",
        low=0,
        high=1,
        help="What the background still counts; 0.2 to 0.5, 0 lets it drift.",
    )
    regularization: str = setting(
        "pictures",
        label="Regularization",
        choices=("pictures", "prior prediction", "both", "none"),
        help="What keeps the class: its pictures, or the checkpoint's own prediction without any.",
    )
    class_share: float = setting(
        1.0,
        label="Class pictures per sample",
        low=0.05,
        high=10,
        help=(
            "Of the class for each sample of her, 1 as in kohya's; fewer is faster where prior "
            "prediction keeps the class as well."
        ),
    )
    prior_loss_weight: float = setting(
        1.0,
        label="Prior loss weight",
        low=0,
        high=10,
        ss="ss_prior_loss_weight",
        help="How much the regularization counts.",
    )


@dataclass(frozen=True)
class TrainingSettings(LossSettings):
    """How pictures and captions are shown, and what is drawn meanwhile."""

    keep_tokens: int = setting(
        2,
        label="Keep tokens",
        low=0,
        high=20,
        ss="ss_keep_tokens",
        help="Comma pieces at the front that are never shuffled: trigger and class.",
    )
    shuffle_captions: bool = setting(
        True,
        label="Shuffle captions",
        ss="ss_shuffle_caption",
        help="Shuffles the rest of the caption, so that order means nothing.",
    )
    caption_dropout: float = setting(
        0.0,
        label="Caption dropout",
        low=0,
        high=1,
        ss="ss_caption_dropout_rate",
        help="Share of the samples without any caption; 0.05 ties her less to her words.",
    )
    tag_dropout: float = setting(
        0.0,
        label="Tag dropout",
        low=0,
        high=1,
        ss="ss_caption_tag_dropout_rate",
        help="Share of the tags left out; 0.1 when she only appears with the whole caption.",
    )
    max_token_length: int = setting(
        225,
        label="Longest caption",
        low=75,
        high=225,
        unit="tokens",
        help="75, 150 or 225 tokens; what is longer is cut.",
    )
    flip: bool = setting(
        False,
        label="Flip",
        ss="ss_flip_aug",
        help="Mirrors half of the samples; only for symmetric ones.",
    )
    flip_symmetric: bool = setting(
        True,
        label="Flip symmetric crops",
        help=(
            "Mirrors half of the samples of crops that look the "
            "same from both sides; off when a crop is mistaken for one."
        ),
    )
    color_aug: bool = setting(
        False,
        label="Colour augmentation",
        ss="ss_color_aug",
        help="Shifts hue or gamma of a third of the samples; only when her colours may vary.",
    )
    clip_skip: int = setting(
        1,
        label="Clip skip",
        low=1,
        high=4,
        ss="ss_clip_skip",
        help="Layer of the text encoder counted from its end; 2 for anime checkpoints.",
    )
    tensorboard: bool = setting(
        False,
        label="TensorBoard",
        help=(
            "Also writes loss, rates and each block's norm to "
            "log/tensorboard; wants the package tensorboard."
        ),
    )
    validation: str = setting(
        "off",
        label="Validation",
        choices=("off", "picture", "holdout"),
        help=(
            "A loss that can be compared from epoch to epoch, on the prepared picture or on crops"
            " that are then not trained on; costs eight passes a picture and epoch."
        ),
    )
    validation_views: tuple[str, ...] = setting(
        (),
        label="Held-out crops",
        help=(
            "Names of the crops that 'holdout' keeps from "
            "the training; empty takes every fifth, at least one."
        ),
    )
    sample_every: int = setting(
        0,
        label="Sample every",
        low=0,
        high=1000,
        unit="epochs",
        help=(
            "Draws sample pictures with the LoRA in training after every so many epochs; 0 draws"
            " none."
        ),
    )
    sample_prompts: str = setting(
        "", label="Sample prompts", help="Prompts with | between; empty: the trigger and the class."
    )
    sample_seed: int = setting(
        1,
        label="Sample seed",
        low=-1,
        high=2**32 - 1,
        seed=True,
        help="The same noise at every epoch.",
    )

    def check(self) -> None:
        """Raises: SettingsError, for values that are right alone and wrong together."""
        if self.min_timestep >= self.max_timestep:
            raise SettingsError(
                f"training.min_timestep: found {self.min_timestep}, expected less than"
                f" training.max_timestep ({self.max_timestep}): nothing lies between them; lower"
                " one or raise the other"
            )
