"""The training itself, on the host's opened checkpoint."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

from ..files.fileio import fingerprint
from ..host import TrainingModel
from ..jobs import Progress
from ..library.epochs import epoch_file
from ..library.publish import publish
from ..lora.branches import shape_of
from ..lora.files import read_lora, write_lora
from ..lora.metadata import build_metadata
from ..lora.network import LoraNetwork
from ..lora.warm_start import start_from
from ..naming.block_weights import BlockWeights, parse_block_weights, remarks
from ..settings.optimizer_fit import unscaled
from ..settings.training import TrainingSettings
from ..training.epoch_plan import Picture
from ..training.memory import PeakMemory
from ..training.memory_fit import computer_of, fit_memory, gpu_peak
from ..training.tensorboard_log import TensorboardLog
from ..training.trainer import Trainer, TrainerState
from ..workspace.repeats import left_out
from ..workspace.stage_record import StageRecord
from .context import StageContext
from .prepare import unsure_mask
from .train_early_stop import open_early_stop, reason_to_stop
from .train_metadata import training_facts
from .train_pictures import oddities, unused_files
from .train_samples import draw_samples, thumbnail
from .train_task import TrainTask

PASSES = "passes"  # in the record: the precision that a training on a CPU began in


class TrainingRun:
    """One training on an opened checkpoint; `run` trains from wherever its snapshot stands.

    record: of the stage, which is saved as the training goes on.
    model: the host's, opened for training.
    Raises: TrainingError, PresetError, LoraFileError.
    """

    def __init__(
        self, context: StageContext, task: TrainTask, record: StageRecord, model: TrainingModel
    ) -> None:
        started = time.time()
        self.context = context
        self.task = task
        self.record = record
        self.model = model
        options = task.settings.training
        self.weights = parse_block_weights(options.block_weights, model.layout, task.presets)
        self.memory_fit = fit_memory(
            model.layout,
            options,
            self.weights.as_dict(),
            [picture.bucket for picture in task.pictures],
            max((model.count_tokens(picture.caption) for picture in task.pictures), default=0),
            computer_of(model),
        )
        context.job.report(Progress("train", message=f"calculated memory: {self.memory_fit.plan}"))
        self.options = options = self.memory_fit.settings
        self.settings = replace(task.settings, training=options)
        self.peak_so_far = gpu_peak(model.device)
        network = _network(options, model, self.weights)
        self.begun = start_from(network, read_lora(task.start)) if task.start else []
        self.trainer = Trainer(
            model,
            network,
            task.pictures,
            options,
            context.workspace.snapshot / "state.pt",
            task.mark,
            self._save_epoch,
            task.validated,
        )
        checkpoint = context.host.checkpoint
        if context.latents:
            encoder = fingerprint(checkpoint.sha256, options.precision, str(model.device))
            self.trainer.latents.share(context.latents, encoder)
        self.facts = training_facts(
            self.settings,
            context.host,
            task.pictures,
            self.trainer,
            task.resolution,
            self.weights,
            started,
        )
        self.blocks = network.blocks_trained()

    def run(self) -> int:
        """Train to the end; gives the epoch in which it ended, 1-based.

        Raises: TrainingError; JobCancelled, after a snapshot.
        """
        context = self.context
        trainer = self.trainer
        job = context.job
        memory = trainer.peak_memory()
        warnings = self._warnings()
        self.record.data.update(
            budget=str(trainer.budget),
            memory=str(memory),
            blocks=self.blocks,
            warnings=warnings,
            validation=self.options.validation,
            family=self.model.layout.name,
        )
        # What a CPU is quickest at is measured; a resumed training must not measure otherwise
        if str(self.model.device) == "cpu":
            mixed = self.facts.mixed_precision
            self.record.data[PASSES] = "fp32" if mixed == "no" else mixed
        resumed = trainer.resume()
        self.early_stop = open_early_stop(
            context.with_settings(self.settings), self.record, trainer, self.task.resolution
        )
        context.workspace.save_record(self.record)
        self._tell(memory, warnings, resumed)
        with (
            TensorboardLog(context.workspace.root / "log" / "tensorboard", trainer.state.step)
            if self.options.tensorboard
            else nullcontext()
        ) as board:
            trainer.log.board = board
            trainer.run(job)
        if measured := self.peak_so_far():
            calculated = round(self.memory_fit.plan.peak)
            job.log("memory", calculated_bytes=calculated, measured_bytes=round(measured))
        stopped = reason_to_stop(self.settings, self.record) if trainer.ends_early else ""
        self.record.data["stopped"] = stopped
        if stopped:
            job.log("early_stop", epoch=trainer.state.epoch, reason=stopped)
            job.report(Progress("train", message=stopped))
        return trainer.state.epoch

    def _save_epoch(self, epoch: int, trained: LoraNetwork, state: TrainerState) -> Path:
        """Write an epoch's file, let the host see it, judge and draw it where that is asked for."""
        context = self.context
        workspace = context.workspace
        options = self.options
        path = epoch_file(workspace, self.settings, epoch)
        now = replace(self.facts, epoch=epoch, steps=state.step, finished=time.time())
        mirrored = options.flip or (
            options.flip_symmetric and any(picture.symmetric for picture in self.task.pictures)
        )
        metadata = build_metadata(now, {**self.settings.metadata(), "ss_flip_aug": str(mirrored)})
        write_lora(path, trained.kohya_tensors(), metadata, options.save_precision)
        workspace.note_file(self.record, path)
        workspace.save_record(self.record)
        thumbnail(path, workspace)
        publish(self.settings, workspace, context.host, {epoch: path})
        if self.early_stop:
            self.early_stop.judge(epoch, self.model, trained)
            workspace.save_record(self.record)
            self.trainer.ends_early = bool(self.early_stop.reason())
        if context.on_epoch:
            context.on_epoch(epoch, self.record.data.get("probes", {}).get(str(epoch), {}))
        if options.sample_every and epoch % options.sample_every == 0:
            quality = context.host.checkpoint.quality
            draw_samples(
                self.settings,
                workspace,
                self.model,
                trained,
                context.job,
                epoch,
                self.task.resolution,
                quality,
            )
        return path

    def _warnings(self) -> list[str]:
        """What the user should check, in sentences."""
        workspace = self.context.workspace
        options = self.options
        model = self.model
        return [
            *self.task.said,
            *self.memory_fit.said,
            *unscaled(options, self.weights),
            *self.begun,
            *left_out(self.settings, workspace),
            *unsure_mask(workspace),
            *unused_files(self.settings, workspace),
            *oddities(
                self.task.pictures,
                self.settings.character.trigger,
                options.max_token_length,
                model.count_tokens,
            ),
            *_nothing_to_preserve(options, self.task.pictures),
            *remarks(options.block_weights, model.layout, self.task.presets),
            *_dead(self.weights, self.blocks),
        ]

    def _tell(self, memory: PeakMemory, warnings: list[str], resumed: bool) -> None:
        """Log and report what is trained before it begins."""
        trainer = self.trainer
        job = self.context.job
        checkpoint = self.context.host.checkpoint
        job.log(
            "train",
            budget=str(trainer.budget),
            memory=str(memory),
            peak_bytes=round(memory.total),
            planned_bytes=round(self.memory_fit.plan.step.total),
            blocks=self.blocks,
            warnings=warnings,
            precision=self.facts.mixed_precision,
            checkpoint=checkpoint.description,
            validated=[picture.path.stem for picture in self.task.validated],
            resumed_at=trainer.state.step if resumed else None,
        )
        for sentence in (
            *warnings,
            *([f"{checkpoint.name}: {checkpoint.description}"] if checkpoint.description else []),
            f"{trainer.budget}; trained: {', '.join(self.blocks)}; memory: {memory}",
        ):
            job.report(Progress("train", trainer.state.step, trainer.budget.steps, sentence))


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


def _nothing_to_preserve(options: TrainingSettings, pictures: Sequence[Picture]) -> list[str]:
    """That predicting pictures of the class does nothing where none is shown."""
    if not options.class_prediction or any(picture.regularization for picture in pictures):
        return []
    return [
        "training.class_prediction does nothing here: found no picture of the class in this"
        " training, expected some; set training.regularization=pictures, or turn it off"
    ]
