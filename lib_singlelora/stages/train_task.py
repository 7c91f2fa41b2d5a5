"""What a training is to learn, known before the checkpoint is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..crops.buckets import training_buckets, training_resolution
from ..errors import LoraFileError
from ..files.fileio import file_hash, fingerprint
from ..library.block_presets import known_presets, preset_key
from ..settings.loss_terms import LossTermSettings
from ..settings.optimizer_fit import fitted
from ..settings.schema import Settings, declaration
from ..settings.training import TrainingSettings
from ..training.epoch_plan import Picture
from ..workspace.workspace import Workspace
from .context import StageContext
from .train_pictures import collect_pictures, identity
from .train_validation import split_validation

# Settings that change nothing of what is learned: with others, a training goes on where it was.
NOT_LEARNED = set(
    "preset auto_checkpointing channels_last tensorboard sample_every sample_prompts sample_seed"
    " save_precision validation validation_views early_stop early_stop_patience"
    " early_stop_pictures".split()
)
# Settings that are newer than the first trainings -> what goes with each: while one is off, a
# training is what it was before there was such a setting.
SWITCHES: dict[str, tuple[str, ...]] = {
    "ema": ("ema_decay",),
    "loraplus_ratio": (),
    "background_aug": (),
    "view_timesteps": (),
    "band_weights": (),
    "attention_loss": (),
    "size_conditioning": (),
    "full_body_share": (),
    "detail_share": (),
    "text_encoder_2_lr": (),
    "timestep_rank": ("timestep_rank_min", "timestep_rank_power"),
    **{item.name: () for item in fields(LossTermSettings)},
}


@dataclass(frozen=True)
class TrainTask:
    """A training that is to be done.

    settings: with those of the training that go together.
    said: what was changed in them, in sentences.
    pictures: the dataset, pictures of the class too.
    validated: those of the validation.
    presets: of block weights, by their names.
    start: the file that training goes on from; None to start from zero.
    resolution: of the training.
    mark: fingerprint of all that decides what is learned.
    """

    settings: Settings
    said: Sequence[str]
    pictures: Sequence[Picture]
    validated: Sequence[Picture]
    presets: Mapping[str, str]
    start: Path | None
    resolution: int
    mark: str


def task_of(context: StageContext) -> TrainTask:
    """What the settings and the workspace ask for.

    Raises: TrainingError, PresetError; LoraFileError, for a file to start from that is not there.
    """
    workspace = context.workspace
    host = context.host
    fit = fitted(context.settings.training)
    settings = replace(context.settings, training=fit.settings)
    options = settings.training
    buckets = training_buckets(settings, host)
    presets = known_presets(settings, host)
    pictures, validated = split_validation(
        settings, workspace, collect_pictures(settings, workspace, buckets), buckets
    )
    learned = learned_settings(options)
    if options.dop_weight:
        learned["class_token"] = settings.character.class_token
    learned["block_weights"] = preset_key(options.block_weights, presets)
    start = _start(options, workspace)
    mark = fingerprint(
        learned,
        *identity(pictures, workspace),
        host.checkpoint.sha256,
        *([file_hash(start)] if start else []),
    )
    resolution = training_resolution(settings, host)
    return TrainTask(settings, fit.said, pictures, validated, presets, start, resolution, mark)


def learned_settings(options: TrainingSettings) -> dict[str, Any]:
    """The settings that decide what is learned, by their names."""
    idle: set[str] = set()
    for switch, others in SWITCHES.items():
        if getattr(options, switch) == declaration(f"training.{switch}").default:
            idle.update((switch, *others))
    return {name: value for name, value in vars(options).items() if name not in NOT_LEARNED | idle}


def _start(options: TrainingSettings, workspace: Workspace) -> Path | None:
    """The file that training goes on from; a relative path starts at the workspace.

    Raises: LoraFileError.
    """
    text = options.start_from.strip()
    if not text:
        return None
    path = workspace.root / Path(text).expanduser()
    if not path.is_file():
        raise LoraFileError(
            f"training.start_from: found no {path}, expected a trained LoRA; check the path, or"
            " empty it to start from zero"
        )
    return path
