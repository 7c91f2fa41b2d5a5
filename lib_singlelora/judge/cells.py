"""The cells of a sheet, and the judgement on each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from ..metrics.copying import RelativeBox
from ..metrics.retention import Retention
from ..metrics.similarity import PixelCheck


class SourceKind(Enum):
    """Where a cell's LoRA comes from."""

    NO_LORA = "no LoRA"
    EPOCH = "epoch"
    OTHER_FILE = "other file"


@dataclass(frozen=True)
class LoraSource:
    """The LoRA file of a cell: an epoch of this workspace, a file to compare with it, or none.

    number: of the epoch, or the position in `plot.compare`, both from 1 on; 0 without a LoRA.
    label: the name of a file to compare; '' for the others.
    """

    kind: SourceKind
    number: int = 0
    label: str = ""

    @classmethod
    def epoch(cls, number: int) -> LoraSource:
        """The file of an epoch of this workspace."""
        return cls(SourceKind.EPOCH, number)

    @classmethod
    def other_file(cls, number: int, label: str) -> LoraSource:
        """The file at a position of `plot.compare`, counted from 1."""
        return cls(SourceKind.OTHER_FILE, number, label)

    @property
    def is_epoch(self) -> bool:
        """True for an epoch of this workspace."""
        return self.kind is SourceKind.EPOCH

    @property
    def recorded_number(self) -> int:
        """The number in files on disk: the epoch, 0 without a LoRA, -1, -2 … for other files."""
        return -self.number if self.kind is SourceKind.OTHER_FILE else self.number

    @property
    def name(self) -> str:
        """The source in words."""
        return self.label or f"epoch {self.number}"


NO_LORA = LoraSource(SourceKind.NO_LORA)


@dataclass(frozen=True)
class CellSpec:
    """One cell before it is drawn.

    source: the checkpoint alone (`NO_LORA`), an epoch, or a file to compare.
    strength: multiplier of the LoRA.
    preset: block weights, by name or written out.
    lora: the file to draw with, block weights baked in; None without a LoRA.
    prompt, negative_prompt, sampler, cfg_scale, clip_skip: what else the sheet varies.
    seed: None where the cell holds all seeds.
    checkpoint: the name of another checkpoint; '' is the loaded one.
    refine: strength of the LoRA when the picture is redrawn from itself (img2img); 0 where it is
        not redrawn.
    """

    source: LoraSource
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
    refine: float = 0.0

    @property
    def has_lora(self) -> bool:
        """False for the checkpoint alone."""
        return self.source.kind is not SourceKind.NO_LORA

    @property
    def words(self) -> str:
        """Source, strength and preset in words."""
        redrawn = f", redrawn at {self.refine:g}" if self.refine else ""
        return f"{self.source.name} at {self.strength:g} with {self.preset}{redrawn}"


@dataclass(frozen=True)
class Copy:
    """A drawn picture and the part of a training crop that it is most like.

    picture: the drawn one.
    crop: the training crop.
    box: left, top, right, bottom; shares of the crop's sides.
    score: 0 as near as the checkpoint's own pictures are, 1 equal.
    """

    picture: Path
    crop: Path
    box: RelativeBox
    score: float = 0.0


@dataclass(frozen=True)
class Judgement:
    """The findings of pixels, checkpoint and tagger about one cell.

    pixels: likeness of its colours to the source's, and whether a picture is invalid.
    retention: the character's traits in its pictures; None without a tagger or known traits.
    scores: those of `metrics.ranking.CRITERIA` that are known, 0 to 1; flexibility and leak of
        the probed cells alone, and copying too where the sheet asks for what the source shows.
        Beside them likeness, of its figures to the source's, and elsewhere, the traits kept in the
        probes that ask for something new.
    nearest: name of the crop that its pictures are most like.
    copy: the picture that is most like a crop.
    damage: the worst damage of its pictures in words, or ''.
    leaked: traits of the character in pictures whose prompt does not call it.
    obeyed: pictures that show a tag, of those in which the checkpoint alone does, by tag: "3/4".
    by_picture: figures of each picture, by name: retention, traits (how many are seen), copying,
        damage, colours; elsewhere, of each picture of the probes that ask for something new.
    spread: half the width of the interval of a figure, by name.
    value: what the cell is worth, which decides: 0 is the checkpoint alone; None before all are
        judged, and where a picture is invalid.
    chance: that no cell is better by more than is told apart; None where it is not known.
    on_front: True on the Pareto front.
    """

    pixels: PixelCheck
    retention: Retention | None = None
    scores: Mapping[str, float] = field(default_factory=dict)
    nearest: str = ""
    copy: Copy | None = None
    damage: str = ""
    leaked: tuple[str, ...] = ()
    obeyed: Mapping[str, str] = field(default_factory=dict)
    by_picture: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    spread: Mapping[str, float] = field(default_factory=dict)
    value: float | None = None
    chance: float | None = None
    on_front: bool = False

    @property
    def traits(self) -> Mapping[str, str]:
        """Pictures in which each trait is seen, such as {"white hat": "9/10"}."""
        if self.retention is None:
            return {}
        pictures = self.retention.pictures
        return {tag: f"{count}/{pictures}" for tag, count in self.retention.counts.items()}

    @property
    def note(self) -> str:
        """A few words to stand under the picture."""
        if self.retention is None:
            return f"{self.pixels.similarity:.0%} colours shared"
        return f"{self._seen} of {len(self.retention.counts)} traits"

    @property
    def _seen(self) -> str:
        """Traits seen in a picture with their interval, such as "9.1 ± 0.6"."""
        seen = self.retention.seen if self.retention else 0.0
        half = self.spread.get("traits")
        return f"{seen:.2g}" if half is None else f"{seen:.1f} ± {half:.1f}"
