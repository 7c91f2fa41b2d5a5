"""What an epoch shows, in which order: a pure function of the seed and the epoch, so that a resume
is exact.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class MaskPart:
    """Where a picture's mask lies: a box (left, top, right, bottom; pixels) of a file whose white
    is she.
    """

    path: Path
    box: tuple[int, int, int, int]


@dataclass(frozen=True)
class Picture:
    """A picture of the dataset.  bucket: (width, height), pixels.  regularization: counts with the
    prior weight.

    trigger: the comma piece of the caption that the class does not have.
    symmetric: it may be shown mirrored.
    """

    path: Path
    caption: str
    bucket: tuple[int, int]
    repeats: int = 1
    regularization: bool = False
    trigger: str = ""
    mask: MaskPart | None = None
    symmetric: bool = False


@dataclass(frozen=True)
class Sample:
    """One showing of a picture.

    number: unique over the training; seeds its noise, flip and caption order.
    """

    picture: Picture
    number: int


@dataclass(frozen=True)
class Budget:
    """What an epoch is made of; shown to the user before training."""

    train_samples: int
    reg_samples: int
    reg_used: int
    reg_pictures: int
    steps_per_epoch: int
    epochs: int
    steps: int

    def __str__(self) -> str:
        pictures = f"{self.train_samples} samples of her"
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
    """The next `count` pictures of an endless walk through all of them, each round in a new order.

    Epoch e takes what epoch e-1 left, so that every picture is used before any is used again.
    """
    taken: list[Picture] = []
    first = epoch * count
    for position in range(first, first + count):
        turn, index = divmod(position, len(pictures))
        order = list(range(len(pictures)))
        random.Random(f"{seed}/round/{turn}").shuffle(order)
        taken.append(pictures[order[index]])
    return taken


def class_samples(own: int, share: float) -> int:
    """How many samples of the class an epoch shows beside those of her.

    share: of the class for each of hers.
    """
    return max(1, round(own * share))


def epoch_batches(
    pictures: Sequence[Picture], epoch: int, seed: int, batch_size: int, share: float = 1.0
) -> list[list[Sample]]:
    """Batches of one epoch; pictures of a batch share a bucket.

    The regularization pictures are rotated through all of them over the epochs: as many an epoch as
    there are training samples (kohya registers only the first ones and never shows the rest;
    sd-scripts library/train_util.py).
    """
    own = [p for p in pictures if not p.regularization for _ in range(p.repeats)]
    reg = [p for p in pictures if p.regularization]
    shown = own + (rotation(reg, class_samples(len(own), share), epoch, seed) if reg else [])
    first = epoch * len(shown)
    samples = [Sample(picture, first + index) for index, picture in enumerate(shown)]
    generator = random.Random(f"{seed}/epoch/{epoch}")
    generator.shuffle(samples)
    buckets: dict[tuple[int, int], list[Sample]] = {}
    for sample in samples:
        buckets.setdefault(sample.picture.bucket, []).append(sample)
    batches = [
        own[i : i + batch_size] for own in buckets.values() for i in range(0, len(own), batch_size)
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
    """The batches of one epoch, grouped into optimizer steps; the last step may have fewer."""
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
    """Counts for the user and for the schedule."""
    first = epoch_steps(pictures, 0, seed, batch_size, accumulation, share)
    # Epochs differ in the buckets of their regularization pictures and so in their number of
    # batches.
    steps = sum(
        len(epoch_steps(pictures, epoch, seed, batch_size, accumulation, share))
        for epoch in range(epochs)
    )
    flat = [sample for step in first for batch in step for sample in batch]
    reg = [p for p in pictures if p.regularization]
    own = sum(not sample.picture.regularization for sample in flat)
    other = len(flat) - own
    return Budget(own, other, min(len(reg), other * epochs), len(reg), len(first), epochs, steps)
