"""Settings of the training, the largest section."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import SettingsError
from .declare import setting
from .loss_terms import LossTermSettings
from .timesteps import TimestepSettings

DEFAULT_PRESET = "recommended"


@dataclass(frozen=True)
class NetworkSettings:
    """Network."""

    preset: str = setting(
        DEFAULT_PRESET,
        label="Preset",
        help=(
            "Values for everything that is not set by hand: a shipped preset or one of your own; "
            "given, auto goes back to the one that the loaded checkpoint asks for."
        ),
    )
    algorithm: str = setting(
        "LoRA",
        label="Algorithm",
        choices=("LoRA", "LoCon", "LoHa", "LoKr", "DoRA"),
        help=(
            "LoRA for most; LoCon for texture, LoHa when it copies the crops, LoKr or DoRA when "
            "details are missed."
        ),
    )
    rank: int = setting(
        16,
        label="Rank",
        low=1,
        high=320,
        ss="ss_network_dim",
        help=(
            "Capacity of the LoRA; raise it when details are missed, lower it when it copies the "
            "crops."
        ),
    )
    alpha: float = setting(
        16.0,
        label="Alpha",
        low=0.001,
        high=320,
        ss="ss_network_alpha",
        help="The LoRA is scaled by alpha / rank; lower it to train more gently.",
    )
    conv_rank: int = setting(
        0,
        label="Conv rank",
        low=0,
        high=320,
        help=(
            "Above 0 the 3x3 convolutions are trained too (texture, line style); with 0 LoCon "
            "uses the rank."
        ),
    )
    conv_alpha: float = setting(
        0.0,
        label="Conv alpha",
        low=0,
        high=320,
        help="Alpha of the convolutions; 0 keeps the ratio alpha / rank.",
    )
    lokr_factor: int = setting(
        -1,
        label="LoKr factor",
        low=-1,
        high=64,
        help=(
            "How LoKr factorizes a weight: 4 to 8 for more detail and a larger file, -1 for the "
            "smallest."
        ),
    )
    dropout: float = setting(
        0.0,
        label="Dropout",
        low=0,
        high=0.9,
        ss="ss_network_dropout",
        help=(
            "Share of the LoRA's hidden activations dropped at each step; 0.1 to 0.3 when it "
            "copies the crops (LoRA, LoCon)."
        ),
    )
    rank_dropout: float = setting(
        0.0,
        label="Rank dropout",
        low=0,
        high=0.9,
        help="Share of the ranks dropped at each step; 0.1 to 0.3 when it copies the crops.",
    )
    module_dropout: float = setting(
        0.0,
        label="Module dropout",
        low=0,
        high=0.9,
        help="Share of the modules dropped at each step; 0.1 when it copies the crops.",
    )
    loraplus_ratio: float = setting(
        1.0,
        label="LoRA+ ratio",
        low=1,
        high=64,
        help=(
            "Learning rate of the up matrices as a multiple of the down matrices'; 4 to 16 "
            "learns in fewer steps, 1 is off."
        ),
    )
    scale_weight_norms: float = setting(
        0.0,
        label="Max weight norm",
        low=0,
        high=100,
        ss="ss_scale_weight_norms",
        help=(
            "Max-norm regularization: larger weight norms are scaled down to this after each "
            "step; 1 when pictures burn, 0 is off."
        ),
    )
    block_weights: str = setting(
        "ALL",
        label="Block weights",
        help=(
            "Learning-rate factor per block: a preset's name or its weights; 0 leaves a block "
            "untrained."
        ),
    )
    start_from: str = setting(
        "",
        label="Start from",
        path="workspace",
        help=(
            "LoRA file of the same algorithm and rank to continue training; empty starts from "
            "scratch."
        ),
    )
    save_precision: str = setting(
        "fp16",
        label="Save precision",
        choices=("fp16", "bf16", "fp32"),
        help="Data type in the saved file; fp32 only to continue training elsewhere.",
    )


@dataclass(frozen=True)
class LearningSettings(NetworkSettings):
    """Optimization."""

    epochs: int = setting(
        10,
        label="Epochs",
        low=1,
        high=1000,
        ss="ss_num_epochs",
        help="Every epoch is saved and compared on the sheet.",
    )
    repeats: int = setting(
        5, label="Repeats", low=1, high=1000, help="How often an epoch shows each crop."
    )
    full_body_share: float = setting(
        0.0,
        label="Full body share",
        low=0,
        high=0.9,
        help=(
            "Share of the character's samples that show the full body, as many in all as repeats "
            "say: the parts alone do not teach what goes with what. 0 shows all crops alike."
        ),
    )
    detail_share: float = setting(
        0.0,
        label="Detail share",
        low=0,
        high=0.9,
        help=(
            "At most this share of the character's samples shows a detail: a face, a close-up, a "
            "crop without the head. The others show what goes with what. 0 shows all alike."
        ),
    )
    batch_size: int = setting(
        1,
        label="Batch size",
        low=1,
        high=64,
        ss="ss_batch_size_per_device",
        help="Pictures per step; larger batches are steadier and need more memory.",
    )
    gradient_accumulation: int = setting(
        1,
        label="Gradient accumulation",
        low=1,
        high=256,
        ss="ss_gradient_accumulation_steps",
        help="Batches per optimizer step: the effect of a larger batch without its memory.",
    )
    resolution: int = setting(
        0,
        label="Resolution",
        low=0,
        high=2048,
        unit="px",
        help=(
            "Side of the square whose area the buckets have; 0 uses the checkpoint's native "
            "resolution."
        ),
    )
    buckets: bool = setting(
        True,
        label="Buckets",
        ss="ss_enable_bucket",
        help=(
            "Trains on tall and wide crops as well as square ones; off crops all to squares, for "
            "a checkpoint that was trained on squares only."
        ),
    )
    unet_lr: float = setting(
        1e-4,
        label="U-Net learning rate",
        low=0,
        high=1,
        ss="ss_unet_lr",
        help=(
            "Halve it when pictures burn, double it when the character does not show; 1 for "
            "Prodigy and D-Adaptation."
        ),
    )
    text_encoder_lr: float = setting(
        5e-5,
        label="Text encoder learning rate",
        low=0,
        high=1,
        ss="ss_text_encoder_lr",
        help="Well below the U-Net's; 0 leaves the text encoder untrained and is faster.",
    )
    text_encoder_2_lr: float = setting(
        -1.0,
        label="Second text encoder's learning rate",
        low=-1,
        high=1,
        help=(
            "Of the second text encoder, which SDXL has; -1 takes the first one's, 0 leaves it "
            "untrained."
        ),
    )
    text_gradient: str = setting(
        "all blocks",
        label="Text gradient",
        choices=("all blocks", "trained blocks"),
        help=(
            "trained blocks stops the text encoder's gradient at all other blocks: with block "
            "weights this saves time and memory, and the text encoder learns from the trained "
            "blocks only."
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
            "AdamW, unless memory is short (AdamW8bit, CAME) or you do not want to choose a "
            "learning rate (Prodigy)."
        ),
    )
    optimizer_args: str = setting(
        "",
        label="Optimizer arguments",
        help=(
            "Further arguments of the optimizer, such as 'd_coef=2; betas=(0.9, 0.99)'; rarely "
            "needed."
        ),
    )
    weight_decay: float = setting(
        -1.0,
        label="Weight decay",
        low=-1,
        high=1,
        help=(
            "Pulls weights towards 0; raise it when it copies the crops. -1 is the optimizer's "
            "default: 0.01 for AdamW, 0 for most others."
        ),
    )
    scheduler: str = setting(
        "constant",
        label="Scheduler",
        choices=("constant", "linear", "cosine", "cosine_with_restarts", "polynomial", "rex"),
        ss="ss_lr_scheduler",
        help="Learning-rate schedule: cosine decays gently, constant is the plainest.",
    )
    warmup: float = setting(
        0.05,
        label="Warm-up",
        low=0,
        high=100_000,
        help=(
            "Steps in which the learning rate rises from 0: below 1 a share of all steps, from 1 "
            "on their number."
        ),
    )
    restarts: int = setting(
        1, label="Restarts", low=1, high=100, help="Number of cycles of cosine_with_restarts."
    )
    power: float = setting(
        1.0, label="Power", low=0.1, high=10, help="Power of the polynomial schedule; 1 is linear."
    )
    max_grad_norm: float = setting(
        1.0,
        label="Gradient clipping",
        low=0,
        high=100,
        ss="ss_max_grad_norm",
        help="Larger gradient norms are clipped to this; 0 disables clipping.",
    )
    precision: str = setting(
        "auto",
        label="Precision",
        choices=("auto", "fp32", "fp16", "bf16"),
        help=(
            "Compute precision: auto uses bf16 on a GPU that supports it, else fp16 with loss "
            "scaling; on a CPU fp32, or standalone bf16 where it is measured to be quicker. fp32 "
            "in the WebUI needs its --no-half."
        ),
    )
    gradient_checkpointing: bool = setting(
        False,
        label="Gradient checkpointing",
        ss="ss_gradient_checkpointing",
        help=(
            "Recomputes activations in the backward pass: much less memory, slower steps; for "
            "when memory runs out."
        ),
    )
    auto_checkpointing: bool = setting(
        True,
        label="Checkpointing as needed",
        help=(
            "Switches gradient checkpointing on where the calculated peak does not fit into "
            "memory without it; off leaves it to you."
        ),
    )
    cuda_graphs: bool = setting(
        True,
        label="CUDA graphs",
        help=(
            "Records a training step on an NVIDIA GPU and replays it: faster at small batch "
            "sizes; off when memory is short."
        ),
    )
    channels_last: bool = setting(
        True,
        label="Channels last",
        help=(
            "Lays the U-Net's convolutions channels last on a GPU where that is measured to be "
            "quicker as training begins; off never does."
        ),
    )
    ema: bool = setting(
        False,
        label="EMA",
        help=(
            "Saves an exponential moving average of the LoRA's weights, steadier than the last "
            "step's; for high learning rates without decay."
        ),
    )
    ema_decay: float = setting(
        0.99,
        label="EMA decay",
        low=0,
        high=0.99999,
        help="Share of the average kept at each step; 0.99 averages over about 100 steps.",
    )
    seed: int = setting(
        1,
        label="Seed",
        low=-1,
        high=2**32 - 1,
        seed=True,
        ss="ss_seed",
        help="The same seed gives the same LoRA; -1 picks a random one.",
    )


@dataclass(frozen=True)
class LossSettings(LearningSettings):
    """Loss and regularization."""

    noise_offset: float = setting(
        0.0,
        label="Noise offset",
        low=0,
        high=1,
        ss="ss_noise_offset",
        help="0.05 to 0.1 helps to learn very dark and very bright pictures.",
    )
    multires_noise_iterations: int = setting(
        0,
        label="Multires noise iterations",
        low=0,
        high=10,
        ss="ss_multires_noise_iterations",
        help="6 to 10 adds coarser noise, also for dark and bright pictures; 0 is off.",
    )
    multires_noise_discount: float = setting(
        0.3,
        label="Multires noise discount",
        low=0,
        high=1,
        ss="ss_multires_noise_discount",
        help=(
            "Strength of each coarser noise relative to the previous one; 0.1 to 0.3 for small "
            "datasets."
        ),
    )
    min_snr_gamma: float = setting(
        5.0,
        label="Min-SNR gamma",
        low=0,
        high=20,
        ss="ss_min_snr_gamma",
        help="Balances the loss across noise levels; 5 is usual, 0 is off.",
    )
    debiased_estimation: bool = setting(
        False,
        label="Debiased estimation",
        ss="ss_debiased_estimation",
        help="Another weighting of the noise levels; use it or min-SNR gamma, not both.",
    )
    prediction: str = setting(
        "auto",
        label="Prediction",
        choices=("auto", "epsilon", "v_prediction"),
        help="What the checkpoint predicts, in training and drawing; auto reads it there.",
    )
    zero_terminal_snr: bool = setting(
        False,
        label="Zero terminal SNR",
        ss="ss_zero_terminal_snr",
        help="For v-prediction checkpoints that were trained with it.",
    )
    min_timestep: int = setting(
        0,
        label="Min timestep",
        low=0,
        high=999,
        help="Raise it to leave fine detail out of training.",
    )
    max_timestep: int = setting(
        1000,
        label="Max timestep",
        low=1,
        high=1000,
        help=(
            "Lower it to leave composition out of training; only timesteps below it are sampled."
        ),
    )
    loss: str = setting(
        "l2",
        label="Loss",
        choices=("l2", "huber", "smooth_l1"),
        ss="ss_loss_type",
        help=(
            "huber and smooth_l1 give outliers less weight: for single crops that are damaged or "
            "odd."
        ),
    )
    huber_c: float = setting(
        0.1,
        label="Huber c",
        low=0.001,
        high=1,
        ss="ss_huber_c",
        help="Where huber and smooth_l1 turn from quadratic to linear.",
    )
    huber_schedule: str = setting(
        "snr",
        label="Huber schedule",
        choices=("snr", "exponential", "constant"),
        ss="ss_huber_schedule",
        help="How Huber c depends on the noise level; snr is the usual one.",
    )
    masked_loss: bool = setting(
        False,
        label="Masked loss",
        help=(
            "The background counts less in the loss, by source/mask.png; for backgrounds that "
            "leak into pictures."
        ),
    )
    mask_floor: float = setting(
        0.3,
        label="Mask floor",
        low=0,
        high=1,
        help="Weight of the background in a masked loss; 0.2 to 0.5, 0 lets it drift.",
    )
    attention_loss: float = setting(
        0.0,
        label="Attention loss",
        low=0,
        high=10,
        help=(
            "Weight of a loss that keeps the trigger's attention on the character, by"
            " source/mask.png; 0.01 where it was published, 0 is off."
        ),
    )
    regularization: str = setting(
        "pictures",
        label="Regularization",
        choices=("pictures", "prior prediction", "both", "none"),
        help=(
            "What preserves the class: pictures of it, or the checkpoint's own prediction, which "
            "needs none."
        ),
    )
    class_share: float = setting(
        1.0,
        label="Class pictures per sample",
        low=0.05,
        high=10,
        help=(
            "Class pictures per sample of the character, 1 as in kohya's trainer; fewer are "
            "faster where prior prediction preserves the class as well."
        ),
    )
    prior_loss_weight: float = setting(
        1.0,
        label="Prior loss weight",
        low=0,
        high=10,
        ss="ss_prior_loss_weight",
        help="Weight of the regularization in the loss.",
    )


@dataclass(frozen=True)
class TrainingSettings(LossTermSettings, TimestepSettings, LossSettings):
    """Data, validation and samples."""

    keep_tokens: int = setting(
        2,
        label="Keep tokens",
        low=0,
        high=20,
        ss="ss_keep_tokens",
        help=(
            "Number of comma-separated tags at the front that are never shuffled or dropped: "
            "trigger and class."
        ),
    )
    shuffle_captions: bool = setting(
        True,
        label="Shuffle captions",
        ss="ss_shuffle_caption",
        help="Shuffles the other tags, so that their order means nothing.",
    )
    caption_dropout: float = setting(
        0.0,
        label="Caption dropout",
        low=0,
        high=1,
        ss="ss_caption_dropout_rate",
        help=(
            "Share of the samples without a caption; 0.05 ties the character less to the "
            "caption's words."
        ),
    )
    tag_dropout: float = setting(
        0.0,
        label="Tag dropout",
        low=0,
        high=1,
        ss="ss_caption_tag_dropout_rate",
        help=(
            "Share of the tags dropped; 0.1 when the character only shows with the whole caption."
        ),
    )
    max_token_length: int = setting(
        225,
        label="Max token length",
        low=75,
        high=225,
        unit="tokens",
        help="75, 150 or 225; longer captions are truncated.",
    )
    flip: bool = setting(
        False,
        label="Flip augmentation",
        ss="ss_flip_aug",
        help="Mirrors half of the samples; only for symmetric characters.",
    )
    flip_symmetric: bool = setting(
        True,
        label="Flip symmetric crops",
        help=(
            "Mirrors half of the samples of crops that look symmetric; off when a crop is "
            "mistaken for symmetric."
        ),
    )
    color_aug: bool = setting(
        False,
        label="Colour augmentation",
        ss="ss_color_aug",
        help=(
            "Shifts hue or gamma in a third of the samples; only if the character's colours may "
            "vary."
        ),
    )
    background_aug: bool = setting(
        False,
        label="Background augmentation",
        help=(
            "Shows half of the samples before other plain colours, which their captions name, so "
            "that the background is not learned with the character; needs a good mask."
        ),
    )
    clip_skip: int = setting(
        1,
        label="Clip skip",
        low=1,
        high=4,
        ss="ss_clip_skip",
        help="Layer of the text encoder, counted from its end; 2 for anime checkpoints.",
    )
    size_conditioning: str = setting(
        "real",
        label="Size conditioning",
        choices=("real", "kohya", "constant"),
        help=(
            "What SDXL is told of a crop's size: real is its own pixels before it was enlarged, "
            "kohya those it has now, constant the bucket's."
        ),
    )
    tensorboard: bool = setting(
        False,
        label="TensorBoard",
        help=(
            "Also logs loss, learning rates and each block's norm to log/tensorboard; needs the "
            "tensorboard package."
        ),
    )
    validation: str = setting(
        "off",
        label="Validation",
        choices=("off", "picture", "holdout"),
        help=(
            "A loss that can be compared between epochs, on the prepared picture or on held-out "
            "crops, which are not trained on; costs eight forward passes per picture and epoch."
        ),
    )
    validation_views: tuple[str, ...] = setting(
        (),
        label="Held-out crops",
        help=(
            "Names of the crops that holdout excludes from training; empty: every fifth, at least"
            " one."
        ),
    )
    sample_every: int = setting(
        0,
        label="Sample every",
        low=0,
        high=1000,
        unit="epochs",
        help=(
            "Generates sample pictures with the LoRA after every so many epochs; 0 generates none."
        ),
    )
    sample_prompts: str = setting(
        "", label="Sample prompts", help="Separated by |; empty: the trigger and the class."
    )
    sample_seed: int = setting(
        1, label="Sample seed", low=-1, high=2**32 - 1, seed=True, help="The same for every epoch."
    )
    early_stop: bool = setting(
        False,
        label="Early stop",
        help=(
            "Judges every epoch by pictures and ends training when they get no better; the rate "
            "follows its schedule to the full length, so cosine is still high where training ends."
        ),
    )
    early_stop_patience: int = setting(
        3,
        label="Early stop patience",
        low=1,
        high=1000,
        unit="epochs",
        help="So many epochs in a row may be no better before training ends.",
    )
    early_stop_pictures: int = setting(
        4,
        label="Early stop pictures",
        low=1,
        high=64,
        help="Pictures of the character that an epoch is judged by; more are less left to chance.",
    )

    @property
    def uses_masks(self) -> bool:
        """True if the loss tells the character from the background."""
        return self.masked_loss or self.masked_prior_weight > 0

    @property
    def needs_masks(self) -> bool:
        """True if training must know where in its picture the character is."""
        return self.uses_masks or self.background_aug or self.attention_loss > 0

    def text_encoder_rates(self, count: int) -> tuple[float, ...]:
        """The learning rate of each of so many text encoders; 0 leaves one untrained."""
        first, second = self.text_encoder_lr, self.text_encoder_2_lr
        return (first, *(first if second < 0 else second for _ in range(count - 1)))

    def check(self) -> None:
        """Check what depends on several settings.

        Raises: SettingsError, for values that are valid alone and contradict each other.
        """
        if self.min_timestep >= self.max_timestep:
            raise SettingsError(
                f"training.min_timestep: found {self.min_timestep}, expected less than"
                f" training.max_timestep ({self.max_timestep}): nothing lies between them; lower"
                " one or raise the other"
            )
        if self.text_encoder_2_lr < 0 and self.text_encoder_2_lr != -1:
            raise SettingsError(
                f"training.text_encoder_2_lr: found {self.text_encoder_2_lr:g}, expected a rate of"
                " 0 to 1, or -1 for the first text encoder's"
            )
        self.check_timesteps(self.min_timestep, self.max_timestep, self.algorithm)
        if self.prior_min_timestep >= self.max_timestep:
            raise SettingsError(
                f"training.prior_min_timestep: found {self.prior_min_timestep}, expected less than"
                f" training.max_timestep ({self.max_timestep}): no sample would ever be compared;"
                " lower it"
            )
