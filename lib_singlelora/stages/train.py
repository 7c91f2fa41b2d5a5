"""Train: the LoRA, one file an epoch, resumable at any step."""

from __future__ import annotations

import time
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from ..crops.buckets import training_buckets, training_resolution
from ..errors import LoraFileError
from ..files.fileio import file_hash, fingerprint
from ..host import TrainingModel
from ..jobs import Progress
from ..library.block_presets import known_presets, preset_key
from ..library.epochs import epoch_file, epoch_files, missing_epoch_files, no_loras_error
from ..library.publish import publish
from ..lora.branches import shape_of
from ..lora.files import read_lora, write_lora
from ..lora.metadata import build_metadata
from ..lora.network import LoraNetwork
from ..lora.warm_start import start_from
from ..naming.block_weights import BlockWeights, parse_block_weights, remarks
from ..settings.loss_terms import LossTermSettings
from ..settings.optimizer_fit import fitted, unscaled
from ..settings.schema import Settings, declaration
from ..settings.training import TrainingSettings
from ..training.memory_fit import computer_of, fit_memory, gpu_peak
from ..training.tensorboard_log import TensorboardLog
from ..training.trainer import Trainer, TrainerState
from ..workspace.repeats import left_out
from ..workspace.resume import begin, finish
from ..workspace.workspace import Workspace
from .context import StageContext
from .prepare import unsure_mask
from .train_early_stop import open_early_stop, reason_to_stop
from .train_metadata import training_facts
from .train_pictures import collect_pictures, identity, oddities, unused_files
from .train_samples import draw_samples, thumbnail
from .train_validation import split_validation

# Settings that change nothing of what is learned: with others, a training goes on where it was.
NOT_LEARNED = set(
    "preset auto_checkpointing tensorboard sample_every sample_prompts sample_seed save_precision"
    " validation validation_views early_stop early_stop_patience early_stop_pictures".split()
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
    "text_encoder_2_lr": (),
    "timestep_rank": ("timestep_rank_min", "timestep_rank_power"),
    **{item.name: () for item in fields(LossTermSettings)},
}


@dataclass(frozen=True)
class TrainResult:
    """A finished training.

    loras: the epochs' files, first to last.
    budget: what was trained, in words.
    blocks: labels of the blocks with branches.
    warnings: what the user should check.
    memory: what a step needs, calculated, in words.
    stopped: why it ended before its last epoch, in words; '' where it did not.
    """

    loras: tuple[Path, ...]
    budget: str
    blocks: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    memory: str = ""
    stopped: str = ""

    def as_dict(self) -> dict[str, Any]:
        """The stage's part of the JSON object."""
        return {
            "loras": [str(path) for path in self.loras],
            "budget": self.budget,
            "memory": self.memory,
            "blocks": list(self.blocks),
            "warnings": list(self.warnings),
            "stopped": self.stopped,
        }


def train(context: StageContext) -> TrainResult:
    """Train the LoRA on the host's checkpoint.

    Raises: TrainingError, PresetError; JobCancelled, after a snapshot from which the next call
        continues exactly.
    """
    workspace = context.workspace
    host = context.host
    job = context.job
    force = context.force
    fit = fitted(context.settings.training)
    settings = replace(context.settings, training=fit.settings)
    options = settings.training
    resolution = training_resolution(settings, host)
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
    record, done = begin(workspace, "train", mark, force)
    if done and record.data.get("stopped"):
        # It ended early; with more patience it goes on from its snapshot
        done = record.complete = bool(reason_to_stop(settings, record))
    if done:
        files = epoch_files(workspace, settings)
        if not files:
            raise no_loras_error(workspace)
        publish(settings, workspace, host, files)
        notes = [*_missing_files(workspace), *_unvalidated(settings.training, record.data)]
        warnings = [*notes, *record.data.get("warnings", ())]
        return _result(settings, workspace, {**record.data, "warnings": warnings})
    snapshot = workspace.snapshot / "state.pt"
    if force and snapshot.exists():
        snapshot.unlink()
    started = time.time()
    with host.exclusive(job), host.open_for_training(options.precision) as model:
        weights = parse_block_weights(options.block_weights, model.layout, presets)
        memory_fit = fit_memory(
            model.layout,
            options,
            weights.as_dict(),
            [picture.bucket for picture in pictures],
            max((model.count_tokens(picture.caption) for picture in pictures), default=0),
            computer_of(model),
        )
        job.report(Progress("train", message=f"calculated memory: {memory_fit.plan}"))
        options = memory_fit.settings
        settings = replace(settings, training=options)
        peak_so_far = gpu_peak(model.device)
        network = _network(options, model, weights)
        begun = start_from(network, read_lora(start)) if start else []

        mirrored = options.flip or (
            options.flip_symmetric and any(picture.symmetric for picture in pictures)
        )

        def save_epoch(epoch: int, trained: LoraNetwork, state: TrainerState) -> Path:
            path = epoch_file(workspace, settings, epoch)
            now = replace(facts, epoch=epoch, steps=state.step, finished=time.time())
            metadata = build_metadata(now, {**settings.metadata(), "ss_flip_aug": str(mirrored)})
            write_lora(path, trained.kohya_tensors(), metadata, options.save_precision)
            workspace.note_file(record, path)
            workspace.save_record(record)
            thumbnail(path, workspace)
            publish(settings, workspace, host, {epoch: path})
            if early_stop:
                early_stop.judge(epoch, model, trained)
                workspace.save_record(record)
                trainer.ends_early = bool(early_stop.reason())
            if context.on_epoch:
                context.on_epoch(epoch, record.data.get("probes", {}).get(str(epoch), {}))
            if options.sample_every and epoch % options.sample_every == 0:
                quality = host.checkpoint.quality
                draw_samples(settings, workspace, model, trained, job, epoch, resolution, quality)
            return path

        trainer = Trainer(model, network, pictures, options, snapshot, mark, save_epoch, validated)
        if context.latents:
            encoder = fingerprint(host.checkpoint.sha256, options.precision, str(model.device))
            trainer.latents.share(context.latents, encoder)
        facts = training_facts(settings, host, pictures, trainer, resolution, weights, started)
        blocks = network.blocks_trained()
        warnings = [
            *fit.said,
            *memory_fit.said,
            *unscaled(options, weights),
            *begun,
            *left_out(settings, workspace),
            *unsure_mask(workspace),
            *unused_files(settings, workspace),
            *oddities(
                pictures, settings.character.trigger, options.max_token_length, model.count_tokens
            ),
            *remarks(options.block_weights, model.layout, presets),
            *_dead(weights, blocks),
        ]
        memory = trainer.peak_memory()
        record.data.update(
            budget=str(trainer.budget),
            memory=str(memory),
            blocks=blocks,
            warnings=warnings,
            validation=options.validation,
            family=model.layout.name,
        )
        resumed = trainer.resume()
        early_stop = open_early_stop(context.with_settings(settings), record, trainer, resolution)
        workspace.save_record(record)
        job.log(
            "train",
            budget=str(trainer.budget),
            memory=str(memory),
            peak_bytes=round(memory.total),
            planned_bytes=round(memory_fit.plan.step.total),
            blocks=blocks,
            warnings=warnings,
            precision=facts.mixed_precision,
            checkpoint=host.checkpoint.description,
            validated=[picture.path.stem for picture in validated],
            resumed_at=trainer.state.step if resumed else None,
        )
        description = host.checkpoint.description
        for sentence in (
            *warnings,
            *([f"{host.checkpoint.name}: {description}"] if description else []),
            f"{trainer.budget}; trained: {', '.join(blocks)}; memory: {memory}",
        ):
            job.report(Progress("train", trainer.state.step, trainer.budget.steps, sentence))
        with (
            TensorboardLog(workspace.root / "log" / "tensorboard", trainer.state.step)
            if options.tensorboard
            else nullcontext()
        ) as board:
            trainer.log.board = board
            trainer.run(job)
        if measured := peak_so_far():
            calculated = round(memory_fit.plan.peak)
            job.log("memory", calculated_bytes=calculated, measured_bytes=round(measured))
        record.data["stopped"] = reason_to_stop(settings, record) if trainer.ends_early else ""
        if record.data["stopped"]:
            job.log("early_stop", epoch=trainer.state.epoch, reason=record.data["stopped"])
            job.report(Progress("train", message=record.data["stopped"]))
    # Of an earlier training, later epochs than the one in which this ended would count as its own
    saved = epoch_files(workspace, settings).items()
    finish(workspace, record, [path for epoch, path in saved if epoch <= trainer.state.epoch])
    return _result(settings, workspace, record.data)


def learned_settings(options: TrainingSettings) -> dict[str, Any]:
    """The settings that decide what is learned, by their names."""
    idle: set[str] = set()
    for switch, others in SWITCHES.items():
        if getattr(options, switch) == declaration(f"training.{switch}").default:
            idle.update((switch, *others))
    return {name: value for name, value in vars(options).items() if name not in NOT_LEARNED | idle}


def _result(settings: Settings, workspace: Workspace, data: dict[str, Any]) -> TrainResult:
    return TrainResult(
        tuple(epoch_files(workspace, settings).values()),
        str(data.get("budget", "")),
        tuple(data.get("blocks", ())),
        tuple(data.get("warnings", ())),
        str(data.get("memory", "")),
        str(data.get("stopped", "")),
    )


def _missing_files(workspace: Workspace) -> list[str]:
    """A note where files of a finished training were moved or deleted."""
    names = [path.name for path in missing_epoch_files(workspace)]
    if not names:
        return []
    return [
        f"model/: {', '.join(names)} {'is' if len(names) == 1 else 'are'} not there any more; the"
        " training is done and not repeated: put back what is missing, or call 'train --force'"
    ]


def _unvalidated(options: TrainingSettings, data: dict[str, Any]) -> list[str]:
    """A note where a finished training was not validated as the settings now say."""
    if options.validation in ("off", data.get("validation", "off")):
        return []
    return [
        f"training.validation={options.validation}: this training is done and was not validated so;"
        " train again with --force"
    ]


def _network(options: TrainingSettings, model: TrainingModel, weights: BlockWeights) -> LoraNetwork:
    """The branches to train."""
    return LoraNetwork(
        model.targets(),
        model.layout,
        shape_of(options),
        weights.as_dict(),
        [rate > 0 for rate in options.text_encoder_rates(len(model.layout.text))],
        options.seed,
        unet=options.unet_lr > 0,
    )


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


def _dead(weights: BlockWeights, blocks: list[str]) -> list[str]:
    """A note where weights were written for blocks that have nothing to train."""
    labels = weights.layout.labels
    if len({weights[label] for label in labels}) == 1:
        return []
    dead = [label for label in labels if weights[label] and label not in blocks]
    if not dead:
        return []
    return [
        f"block weights: {', '.join(dead)} have nothing that a LoRA without convolutions trains"
    ]
