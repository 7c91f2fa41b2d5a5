"""The facts about a training that its files' metadata hold."""

from __future__ import annotations

import inspect
import random
from collections import Counter
from collections.abc import Sequence

import torch

from ..captions.text import split_tags
from ..families.registry import family_of
from ..host import Host, TrainingModel
from ..lora.branches import LoraShape
from ..lora.metadata import TrainingFacts
from ..naming.block_weights import BlockWeights
from ..settings.optimizer_arguments import parse_arguments
from ..settings.schema import Settings
from ..training.epoch_plan import Picture, epoch_batches
from ..training.schedule import warmup_steps
from ..training.trainer import Trainer

MIXED = {torch.float32: "no", torch.float16: "fp16", torch.bfloat16: "bf16"}
# Arguments that stand elsewhere in the metadata, or change no result
LEFT_OUT = {"params", "lr", "fused", "foreach"}
ALGORITHMS = {"LoHa": "loha", "LoKr": "lokr", "DoRA": "locon"}  # LyCORIS' names


def training_facts(
    settings: Settings,
    host: Host,
    pictures: Sequence[Picture],
    trainer: Trainer,
    resolution: int,
    weights: BlockWeights,
    started: float,
) -> TrainingFacts:
    """The facts before the first epoch; started: seconds since 1970."""
    options = settings.training
    checkpoint = host.checkpoint
    model = trainer.model
    budget = trainer.budget
    folders: dict[bool, dict[str, tuple[int, int]]] = {True: {}, False: {}}
    tags: dict[str, Counter[str]] = {}
    for picture in pictures:
        name = picture.path.parent.name
        own = folders[picture.regularization]
        own[name] = (picture.repeats, own.get(name, (0, 0))[1] + 1)
        tags.setdefault(name, Counter()).update(split_tags(picture.caption))
    batches = epoch_batches(pictures, 0, options.seed, options.batch_size, options.class_share)
    shown = [sample.picture.bucket for batch in batches for sample in batch]
    plain = all(weights[label] == 1 for label in model.layout.labels)
    shape = trainer.network.shape
    return TrainingFacts(
        output_name=settings.character.trigger,
        trigger=settings.character.trigger,
        checkpoint_name=checkpoint.path.name,
        checkpoint_legacy_hash=checkpoint.legacy_hash,
        checkpoint_sha256=checkpoint.sha256,
        resolution=resolution,
        prediction=trainer.objective.prediction,
        epoch=0,
        steps=0,
        total_steps=budget.steps,
        batches_per_epoch=budget.steps_per_epoch,
        train_samples=budget.train_samples,
        reg_samples=budget.reg_samples,
        batch_size=options.batch_size,
        learning_rate=options.unet_lr,
        warmup_steps=warmup_steps(options.warmup, budget.steps),
        mixed_precision=MIXED[model.compute_dtype],
        total_batch_size=options.batch_size * options.gradient_accumulation,
        session_id=random.Random(started).getrandbits(32),
        started=started,
        finished=started,
        family=family_of(model.layout),
        text_encoder_rates=options.text_encoder_rates(len(model.layout.text)),
        folders=folders[False],
        reg_folders=folders[True],
        buckets=Counter(shown),
        tags=tags,
        settings=settings.to_dict(),
        block_lr=None if plain else weights.as_kohya(),
        algorithm=options.algorithm,
        network_arguments=_arguments(shape),
        optimizer=_optimizer(trainer),
        max_token_length=_longest(trainer.model, pictures, settings),
        conv_rank=shape.conv_rank,
        conv_alpha=shape.conv_alpha or shape.alpha * shape.conv_rank / shape.rank,
    )


def _arguments(shape: LoraShape) -> dict[str, str]:
    found = {"algo": ALGORITHMS[shape.algorithm]} if shape.algorithm in ALGORITHMS else {}
    if shape.algorithm == "LoKr":
        found["factor"] = str(shape.factor)
    if shape.algorithm == "DoRA":
        found |= {"dora_wd": "True", "wd_on_output": "False"}
    for name in ("rank_dropout", "module_dropout"):
        if value := getattr(shape, name):
            found[name] = f"{value:g}"
    return found


def _optimizer(trainer: Trainer) -> str:
    """As sd-scripts writes it: `torch.optim.adamw.AdamW(weight_decay=0.1,betas=(0.9, 0.99))`.

    What the settings name, and what else differs from the library's own values, as the optimizer
    has it.
    """
    made = trainer.optimizer.torch
    given = parse_arguments(trainer.settings.optimizer_args)
    own = inspect.signature(type(made).__init__).parameters
    for name, parameter in own.items():
        if (
            name in made.defaults
            and name not in LEFT_OUT
            and made.defaults[name] != parameter.default
        ):
            given.setdefault(name, made.defaults[name])
    arguments = ",".join(f"{name}={value}" for name, value in given.items())
    return trainer.optimizer.path + (f"({arguments})" if arguments else "")


def _longest(model: TrainingModel, pictures: Sequence[Picture], settings: Settings) -> int:
    """Tokens that the longest caption was given room for: 75, 150 or 225."""
    longest = max(model.count_tokens(picture.caption) for picture in pictures)
    room = 75 * max(1, -(-min(longest, settings.training.max_token_length) // 75))
    return min(room, 225)
