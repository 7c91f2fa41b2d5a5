"""Train: the LoRA, one file an epoch, resumable at any step."""

from __future__ import annotations

import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from ..dataset.buckets import make_buckets, nearest_bucket
from ..dataset.captions import split_tags
from ..dataset.folders import list_pictures, read_caption
from ..errors import TrainingError
from ..host import Host, TrainingModel
from ..jobs import Job, Progress
from ..lora.files import write_lora
from ..lora.metadata import TrainingFacts, build_metadata
from ..lora.network import LoraNetwork, LoraShape
from ..naming.presets import parse_block_weights
from ..settings import Settings
from ..training.loop import Progressed, Trainer
from ..training.samples import Budget, Picture, epoch_batches
from ..workspace import Workspace, file_hash, fingerprint
from .continuing import begin, finish
from .crop import training_resolution
from .publishing import publish


@dataclass(frozen=True)
class Trained:
    """loras: the epochs' files, first to last.  budget: what was trained.  blocks: labels with branches."""

    loras: tuple[Path, ...]
    budget: str
    blocks: tuple[str, ...]


def epoch_file(workspace: Workspace, settings: Settings, epoch: int) -> Path:
    """kohya's name of an epoch's file: the last one has no number."""
    name = workspace.lora_name(settings)
    last = epoch == settings.training.epochs
    return workspace.models / (f"{name}.safetensors" if last else f"{name}-{epoch:06d}.safetensors")


def epoch_files(workspace: Workspace, settings: Settings) -> dict[int, Path]:
    """The epochs that are on disk."""
    paths = {epoch: epoch_file(workspace, settings, epoch) for epoch in range(1, settings.training.epochs + 1)}
    return {epoch: path for epoch, path in paths.items() if path.exists()}


def collect_pictures(settings: Settings, workspace: Workspace, resolution: int) -> list[Picture]:
    """Every picture of the dataset with its caption and bucket.  Raises: TrainingError, when there are no crops."""
    buckets, folder = make_buckets(resolution), workspace.image_folder(settings)
    crops, reg = list_pictures(folder), list_pictures(workspace.reg_folder(settings))
    if not crops:
        raise TrainingError(f"{folder}: found no pictures, expected crops; call 'crop' and 'caption' first")
    if not settings.regularization.count:
        reg = []
    pictures = []
    for path in (*crops, *reg):
        try:
            with Image.open(path) as image:
                bucket = nearest_bucket(image.size, buckets)
        except OSError as error:
            raise TrainingError(f"{path}: cannot be read ({error}); mend it or take it out of the folder") from error
        is_reg = path.parent == workspace.reg_folder(settings)
        default = settings.character.class_token if is_reg else f"{settings.character.trigger}, {settings.character.class_token}"
        repeats = 1 if is_reg else settings.training.repeats
        pictures.append(Picture(path, read_caption(path) or default, bucket, repeats, is_reg))
    return pictures


def train(settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool = False) -> Trained:
    """Train the LoRA on the host's checkpoint.

    Raises: TrainingError, PresetError; JobCancelled, after a snapshot from which the next call continues exactly.
    """
    options, resolution = settings.training, training_resolution(settings, host)
    pictures = collect_pictures(settings, workspace, resolution)
    shown = [(workspace.relative(p.path), file_hash(p.path), p.caption, p.bucket, p.repeats) for p in pictures]
    mark = fingerprint(vars(options), shown, host.checkpoint.sha256)
    record, done = begin(workspace, "train", mark, force)
    final = epoch_file(workspace, settings, options.epochs)
    if done and final.exists():
        publish(settings, workspace, host, epoch_files(workspace, settings))
        return _result(settings, workspace, record.data)
    snapshot = workspace.snapshot / "state.pt"
    if force and snapshot.exists():
        snapshot.unlink()
    started = time.time()
    with host.exclusive(job), host.open_for_training() as model:
        network = _network(settings, model)

        def save_epoch(epoch: int, trained: LoraNetwork, state: Progressed) -> Path:
            path = epoch_file(workspace, settings, epoch)
            now = replace(facts, epoch=epoch, steps=state.step, finished=time.time())
            write_lora(path, trained.kohya_tensors(), build_metadata(now, settings.metadata()), options.save_precision)
            workspace.note_file(record, path)
            workspace.save_record(record)
            publish(settings, workspace, host, {epoch: path})
            return path

        trainer = Trainer(model, network, pictures, options, snapshot, mark, save_epoch)
        facts = _facts(settings, host, pictures, trainer.budget, resolution, model, started)
        blocks = network.blocks_trained()
        record.data.update(budget=str(trainer.budget), blocks=blocks)
        resumed = trainer.resume()
        workspace.save_record(record)
        job.log("train", budget=str(trainer.budget), blocks=blocks, resumed_at=trainer.state.step if resumed else None)
        job.report(Progress("train", trainer.state.step, trainer.budget.steps, str(trainer.budget)))
        trainer.run(job)
    finish(workspace, record, epoch_files(workspace, settings).values())
    return _result(settings, workspace, record.data)


def _result(settings: Settings, workspace: Workspace, data: dict[str, object]) -> Trained:
    blocks = data.get("blocks")
    return Trained(tuple(epoch_files(workspace, settings).values()), str(data.get("budget", "")),
                   tuple(map(str, blocks)) if isinstance(blocks, list) else ())


def _network(settings: Settings, model: TrainingModel) -> LoraNetwork:
    options = settings.training
    weights = parse_block_weights(options.block_weights, model.layout)
    factors = {label: weights[label] for label in ("BASE", *model.layout.labels)}
    shape = LoraShape(options.rank, options.alpha, options.conv_rank)
    return LoraNetwork(model.targets(), model.layout, shape, factors, options.text_encoder_lr > 0, options.seed,
                       unet=options.unet_lr > 0)


def _facts(settings: Settings, host: Host, pictures: Sequence[Picture], budget: Budget, resolution: int,
           model: TrainingModel, started: float) -> TrainingFacts:
    options, checkpoint = settings.training, host.checkpoint
    folders: dict[bool, dict[str, tuple[int, int]]] = {True: {}, False: {}}
    tags: dict[str, Counter[str]] = {}
    for picture in pictures:
        name, own = picture.path.parent.name, folders[picture.regularization]
        own[name] = (picture.repeats, own.get(name, (0, 0))[1] + 1)
        tags.setdefault(name, Counter()).update(split_tags(picture.caption))
    shown = [sample.picture.bucket for batch in epoch_batches(pictures, 0, options.seed, options.batch_size) for sample in batch]
    weights = parse_block_weights(options.block_weights, model.layout)
    plain = all(weights[label] == 1 for label in model.layout.labels)
    return TrainingFacts(
        output_name=settings.character.trigger, trigger=settings.character.trigger, checkpoint_name=checkpoint.path.name,
        checkpoint_legacy_hash=checkpoint.legacy_hash, checkpoint_sha256=checkpoint.sha256, resolution=resolution,
        prediction=model.prediction, epoch=0, steps=0, total_steps=budget.steps, batches_per_epoch=budget.steps_per_epoch,
        train_samples=budget.train_samples, reg_samples=budget.reg_samples, batch_size=options.batch_size,
        learning_rate=options.unet_lr, warmup_steps=round(budget.steps * options.warmup), mixed_precision="no",
        session_id=random.Random(started).getrandbits(32), started=started, finished=started,
        v2=model.layout.name == "sd2", folders=folders[False], reg_folders=folders[True], buckets=Counter(shown), tags=tags,
        settings=settings.to_dict(), block_lr=None if plain else weights.as_kohya(), conv_rank=options.conv_rank,
        conv_alpha=options.alpha * options.conv_rank / options.rank)
