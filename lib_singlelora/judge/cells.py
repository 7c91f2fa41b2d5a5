"""What is said of the sheet's cells."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ..metrics.copying import Box
from ..metrics.retention import Retention
from ..metrics.similarity import Look


@dataclass(frozen=True)
class CellSpec:
    """One cell before it is drawn; epoch 0 is the checkpoint without the LoRA.

    What follows `lora` is what else the sheet varies; seed: None where a cell holds all seeds.
    checkpoint: another one than the loaded, by its name; '' is the loaded one.
    label: what a file of elsewhere is called; its `epoch` is below 0.
    refine: the LoRA's strength when the picture is redrawn from itself (img2img); 0 where it is
        not.
    """

    epoch: int
    strength: float
    preset: str
    lora: Path | None
    prompt: str = ""
    negative_prompt: str = ""
    sampler: str = ""
    cfg_scale: float = 0.0
    clip_skip: int = 0
    seed: int | None = None
    checkpoint: str = ""
    label: str = ""
    refine: float = 0.0

    @property
    def file(self) -> str:
        """The file in words."""
        return self.label or f"epoch {self.epoch}"

    @property
    def words(self) -> str:
        """File, blocks and strength."""
        again = f", redrawn at {self.refine:g}" if self.refine else ""
        return f"{self.file} at {self.strength:g} with {self.preset}{again}"


@dataclass(frozen=True)
class Copy:
    """A drawn picture, and where it lies in a training crop.

    box: left, top, right, bottom; shares of the crop's sides.
    """

    picture: Path
    crop: Path
    box: Box


@dataclass(frozen=True)
class Judgement:
    """What pixels, the checkpoint and the tagger say of a cell.

    kept: None without a tagger, or when it knows nothing of her.
    scores: those of `evaluation.ranking.CRITERIA` that are known, 0 to 1; flexibility and leak of
        the cells that were probed.
    nearest: the crop that its pictures are most like.
    copy: the picture that is it most.
    harm: what is wrong with its surface, or ''.
    gained: her traits that turn up where nobody called her.
    asked: pictures that obey of those that could, by tag.
    value: what decides, neighbours counted in; None before all are judged.
    best_in_something: on the Pareto front.
    """

    look: Look
    kept: Retention | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    nearest: str = ""
    copy: Copy | None = None
    harm: str = ""
    gained: tuple[str, ...] = ()
    asked: Mapping[str, str] = field(default_factory=dict)
    value: float | None = None
    best_in_something: bool = False

    @property
    def traits(self) -> Mapping[str, str]:
        """In how many of the pictures each trait is seen, such as {"white hat": "9/10"}."""
        return (
            {tag: f"{count}/{self.kept.pictures}" for tag, count in self.kept.counts.items()}
            if self.kept
            else {}
        )

    @property
    def note(self) -> str:
        """A few words for under the picture."""
        if self.kept is None:
            return f"{self.look.likeness:.0%} colours shared"
        return f"{self.kept.seen:.2g} of {len(self.kept.counts)} traits"
