"""Which samples an epoch shows, in which order.

A pure function of the seed and the epoch, so that a resume is exact.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MaskPart:
    """Where a picture's mask lies.

    path: a picture whose white is the character.
    box: the part of it, (left, top, right, bottom), pixels.
    """

    path: Path
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Picture:
    """A picture of the dataset.

    bucket: (width, height), pixels.
    repeats: how often an epoch shows it.
    regularization: it shows the class; its loss counts with prior_loss_weight.
    trigger: the tag of the caption that stands for the character.
    mask: where the character is; None for a picture without a mask.
    symmetric: it may be shown mirrored.
    timesteps: (first, end) of those it is trained at; None for all.
    class_token: what the trigger is replaced by where the class alone is meant.
    takes_turns: its caption's lines are shown by turns; else the first is.
    outfit_trigger: the tag of the caption that stands for the clothes; '' for none.
    file_size: (width, height) of its file, pixels; None takes the bucket's.
    true_size: (width, height) of the pixels it has of its own, before it was enlarged; None takes
        the file's.
    """

    path: Path
    caption: str
    bucket: tuple[int, int]
    repeats: int = 1
    regularization: bool = False
    trigger: str = ""
    mask: MaskPart | None = None
    symmetric: bool = False
    timesteps: tuple[int, int] | None = None
    class_token: str = ""
    takes_turns: bool = False
    outfit_trigger: str = ""
    file_size: tuple[int, int] | None = None
    true_size: tuple[int, int] | None = None


@dataclass(frozen=True)
class Sample:
    """One showing of a picture.

    number: unique over the training; seeds noise, flip and the order of the caption's tags.
    turn: how often the training showed the picture before.
    """

    picture: Picture
    number: int
    turn: int = 0

    @property
    def caption(self) -> str:
        """The picture's caption; the line whose turn it is, where they take turns."""
        lines = [line for line in self.picture.caption.splitlines() if line.strip()]
        if not (self.picture.takes_turns and lines):
            return self.picture.caption
        return lines[self.turn % len(lines)]


@dataclass(frozen=True)
class Budget:
    """The size of a training; shown to the user before it begins.

    train_samples, reg_samples: an epoch's, of the character and of the class.
    reg_used, reg_pictures: regularization pictures that all epochs together show, and that exist.
    steps_per_epoch: optimizer steps of the first epoch.
    steps: optimizer steps of the whole training.
    """

    train_samples: int
    reg_samples: int
    reg_used: int
    reg_pictures: int
    steps_per_epoch: int
    epochs: int
    steps: int

    def __str__(self) -> str:
        pictures = f"{self.train_samples} samples of the character"
        if self.reg_pictures:
            pictures += f" and {self.reg_samples} of the class"
        used = (
            f"; {self.reg_used} of {self.reg_pictures} regularization pictures are used"
            if self.reg_pictures
            else ""
        )
        return (
            f"{pictures} an epoch, {self.steps_per_epoch} steps; {self.epochs} epochs, {self.steps}"
            f" steps{used}"
        )


def rotation(pictures: Sequence[Picture], count: int, epoch: int, seed: int) -> list[Picture]:
    """The `count` pictures of an epoch, from an endless walk through all, each round shuffled anew.

    Epoch e takes what epoch e-1 left, so that every picture is used before any is used again.
    """
    chosen: list[Picture] = []
    first = epoch * count
    for position in range(first, first + count):
        round_number, index = divmod(position, len(pictures))
        order = list(range(len(pictures)))
        random.Random(f"{seed}/round/{round_number}").shuffle(order)
        chosen.append(pictures[order[index]])
    return chosen


def class_samples(character_samples: int, share: float) -> int:
    """Number of samples of the class that an epoch shows, at least 1.

    share: samples of the class for each sample of the character.
    """
    return max(1, round(character_samples * share))


def epoch_batches(
    pictures: Sequence[Picture], epoch: int, seed: int, batch_size: int, share: float = 1.0
) -> list[list[Sample]]:
    """Batches of one epoch; pictures of a batch share a bucket.

    share: samples of the class for each sample of the character.
    Over the epochs every regularization picture is shown (kohya registers only as many as there are
    training samples and never shows the rest; sd-scripts library/train_util.py).
    """
    character = [p for p in pictures if not p.regularization for _ in range(p.repeats)]
    reg = [p for p in pictures if p.regularization]
    shown = character
    if reg:
        shown = character + rotation(reg, class_samples(len(character), share), epoch, seed)
    first = epoch * len(shown)
    turns: dict[Path, int] = {}
    samples = []
    for index, picture in enumerate(shown):
        turn = turns.get(picture.path, epoch * picture.repeats)
        turns[picture.path] = turn + 1
        samples.append(Sample(picture, first + index, turn))
    generator = random.Random(f"{seed}/epoch/{epoch}")
    generator.shuffle(samples)
    buckets: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        buckets.setdefault(sample.picture.bucket, []).append(sample)
    batches = [
        bucket[i : i + batch_size]
        for bucket in buckets.values()
        for i in range(0, len(bucket), batch_size)
    ]
    generator.shuffle(batches)
    return batches


def epoch_steps(
    pictures: Sequence[Picture],
    epoch: int,
    seed: int,
    batch_size: int,
    accumulation: int = 1,
    share: float = 1.0,
) -> list[list[list[Sample]]]:
    """The batches of one epoch, `accumulation` to an optimizer step; the last may have fewer."""
    batches = epoch_batches(pictures, epoch, seed, batch_size, share)
    return [batches[i : i + accumulation] for i in range(0, len(batches), accumulation)]


def budget(
    pictures: Sequence[Picture],
    epochs: int,
    batch_size: int,
    seed: int,
    accumulation: int = 1,
    share: float = 1.0,
) -> Budget:
    """The size of a training, for the user and for the learning-rate schedule."""
    first = epoch_steps(pictures, 0, seed, batch_size, accumulation, share)
    # Epochs differ in the buckets of their regularization pictures and so in their number of
    # batches.
    steps = sum(
        len(epoch_steps(pictures, epoch, seed, batch_size, accumulation, share))
        for epoch in range(epochs)
    )
    flat = [sample for step in first for batch in step for sample in batch]
    reg = [p for p in pictures if p.regularization]
    reg_samples = sum(sample.picture.regularization for sample in flat)
    return Budget(
        train_samples=len(flat) - reg_samples,
        reg_samples=reg_samples,
        reg_used=min(len(reg), reg_samples * epochs),
        reg_pictures=len(reg),
        steps_per_epoch=len(first),
        epochs=epochs,
        steps=steps,
    )
