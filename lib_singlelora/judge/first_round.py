"""The first round: what a sheet's own pictures show of each cell.

That is the character's traits, copies of the crops, and damage.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..host import Host
from ..imaging.load import load_picture, read_rgb
from ..imaging.mask_reader import read_mask
from ..jobs import Job, Progress
from ..metrics.copying import Copies, Match, copying_score
from ..metrics.damage import CloserLook, Surface, measure_surface, subject_missing, surface_damage
from ..metrics.retention import SEEN, TagProbabilities, measure_retention, trait_weights
from ..metrics.similarity import PixelCheck, check_pixels, colour_histogram
from ..settings.schema import Settings
from ..tagging.ensemble import Taggers
from ..workspace.kohya_folders import list_pictures
from ..workspace.workspace import Workspace
from .cells import CellSpec, Copy, Judgement
from .figure import SourceFigure
from .probe_round import Prober
from .tagged_pictures import tag_heads, tag_pictures


@dataclass(frozen=True)
class _Look:
    """What one picture shows, whatever it is compared with.

    tags, head: of the picture, and of where a standing figure's head is; None without a tagger.
    likeness: of its figure to the source's; None where that cannot be told.
    """

    size: tuple[int, int]
    pixels: PixelCheck
    surface: Surface
    match: Match
    tags: TagProbabilities | None
    head: TagProbabilities | None
    likeness: float | None


@dataclass(frozen=True)
class _Base:
    """What the checkpoint's own pictures show.

    similarity: with their nearest crops, the mean.
    tags, heads: none without a tagger.
    surfaces: of undamaged pictures: these, and the crops.
    weights: how much each trait counts.
    """

    similarity: float
    tags: Sequence[TagProbabilities]
    heads: Sequence[TagProbabilities]
    surfaces: Sequence[Surface]
    weights: Mapping[str, float]


class FirstRound:
    """Judges cells by their own pictures; each picture is looked at once.

    traits: the character's; without any, retention stays unknown.
    named: tags of the cells' prompt.
    prober: None where no other prompts are drawn.
    """

    def __init__(
        self,
        settings: Settings,
        workspace: Workspace,
        host: Host,
        job: Job,
        tagger: Taggers | None,
        traits: Sequence[str],
        named: Collection[str],
        prober: Prober | None = None,
    ) -> None:
        self._host = host
        self._job = job
        self._tagger = tagger
        self._traits = traits
        self._named = named
        self._source = colour_histogram(
            load_picture(workspace.prepared).image, read_mask(workspace.mask).image
        )
        self._figure = SourceFigure(workspace, named)
        self._files = {path.stem: path for path in list_pictures(workspace.image_folder(settings))}
        self._crops = {
            name: load_picture(path).image.convert("RGB") for name, path in self._files.items()
        }
        self._copies = Copies(self._crops, None, host.checkpoint.native_size // 2)
        self._uses_vae = settings.judge.copying > 0 and bool(self._crops)
        self._asks_elsewhere = bool(prober and prober.asks_for_something_new)
        self._looks: dict[Path, _Look] = {}

    @property
    def copying_is_probed(self) -> bool:
        """True where copying is told from other prompts' pictures alone.

        The sheet's own ask for the source's framing and pose then: to be like a crop is what they
        are for.
        """
        return self._figure.is_asked_for and self._asks_elsewhere and self._uses_vae

    def similarities(self, images: Sequence[Image.Image]) -> list[float]:
        """How like its nearest crop each picture is, 0 to 1.

        Raises: JobCancelled.
        """
        with self._vae():
            return [match.similarity for match in self._copies.find(images)]

    def judge(self, drawn: Mapping[CellSpec, Sequence[Path]]) -> dict[CellSpec, Judgement]:
        """Every cell's judgement without flexibility and leak.

        drawn: the pictures of each cell, the checkpoint's own among them.
        Raises: JobCancelled.
        """
        with self._vae():
            for index, paths in enumerate(drawn.values()):
                self._job.raise_if_cancelled()
                self._job.report(Progress("plot", index + 1, len(drawn), "judging"))
                self._look_at([path for path in paths if path not in self._looks])
        base = self._base(
            [self._looks[path] for s, paths in drawn.items() if not s.has_lora for path in paths]
        )
        return {spec: self._judge_cell(spec, paths, base) for spec, paths in drawn.items()}

    @contextmanager
    def _vae(self) -> Iterator[None]:
        """The host's VAE finds copies meanwhile; while pictures are drawn it is the host's own."""
        if not self._uses_vae:
            yield
            return
        with self._host.exclusive(self._job), self._host.open_for_training() as model:
            self._copies.model = model
            try:
                yield
            finally:
                self._copies.model = None

    def _look_at(self, paths: Sequence[Path]) -> None:
        images = [read_rgb(path) for path in paths]
        if not images:
            return
        tags = tag_pictures(self._tagger, images)
        heads = tag_heads(self._tagger, images)
        matches = self._copies.find(images)
        for number, (path, image) in enumerate(zip(paths, images, strict=True)):
            self._looks[path] = _Look(
                image.size,
                check_pixels(image, self._source),
                measure_surface(image),
                matches[number],
                tags[number] if tags else None,
                heads[number] if heads else None,
                self._figure.likeness(image),
            )

    def _base(self, looks: Sequence[_Look]) -> _Base:
        tags = [look.tags for look in looks if look.tags is not None]
        side = max(looks[0].size) if looks else 512
        return _Base(
            _mean([look.match.similarity for look in looks]),
            tags,
            [look.head for look in looks if look.head is not None],
            [*(look.surface for look in looks), *_crop_surfaces(self._crops.values(), side)],
            trait_weights(self._traits, self._named, tags),
        )

    def _judge_cell(self, spec: CellSpec, paths: Sequence[Path], base: _Base) -> Judgement:
        looks = [self._looks[path] for path in paths]
        tags = [look.tags for look in looks if look.tags is not None]
        traits = tuple(base.weights)
        retention = measure_retention(traits, tags, base.weights) if tags and traits else None
        damages = [_damage(look, base) if spec.has_lora else (0.0, "") for look in looks]
        by_picture = {"damage": tuple(value for value, _ in damages)}
        scores = {}
        if retention:
            scores["retention"] = retention.score
            by_picture["retention"] = retention.by_picture
            by_picture["traits"] = tuple(
                float(sum(each.get(tag, 0.0) >= SEEN for tag in traits)) for each in tags
            )
        copying = [copying_score([look.match.similarity], base.similarity) for look in looks]
        if self._files and not self.copying_is_probed:
            similarities = [look.match.similarity for look in looks]
            scores["copying"] = copying_score(similarities, base.similarity)
            by_picture["copying"] = tuple(copying)
        scores["damage"] = _mean(by_picture["damage"])
        known = [look.likeness for look in looks if look.likeness is not None]
        if known and len(known) == len(looks):
            scores["likeness"] = _mean(known)
            by_picture["likeness"] = tuple(known)
        by_picture["colours"] = tuple(look.pixels.similarity for look in looks)
        most = max(range(len(looks)), key=lambda number: looks[number].match.similarity)
        match = looks[most].match
        return Judgement(
            pixels=PixelCheck(
                round(_mean(by_picture["colours"]), 4),
                next((look.pixels.invalid for look in looks if look.pixels.invalid), ""),
            ),
            retention=retention,
            scores={name: round(value, 4) for name, value in scores.items()},
            nearest=match.crop,
            copy=Copy(paths[most], self._files[match.crop], match.box, copying[most])
            if match.crop
            else None,
            damage=max(damages)[1],
            by_picture=by_picture,
        )


def _damage(look: _Look, base: _Base) -> tuple[float, str]:
    """(0 to 1, the kind of damage) of one picture drawn with a LoRA."""
    surface = surface_damage(look.surface, base.surfaces)
    if look.tags is None or look.head is None:
        return surface
    closer = CloserLook(look.head, base.heads)
    return max(surface, subject_missing(look.tags, base.tags, closer))


def _crop_surfaces(crops: Iterable[Image.Image], side: int) -> list[Surface]:
    """Surfaces of the crops at the size of what was drawn.

    Invalid ones are left out: a crop of one colour says nothing of contrast.

    side: the longer one of what was drawn, pixels.
    """
    surfaces = []
    for crop in crops:
        small = crop.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        if min(small.size) > 2:  # noise is measured beside neighbours
            surfaces.append(measure_surface(small))
    return [surface for surface in surfaces if not surface.invalid]


def _mean(values: Sequence[float] | np.ndarray) -> float:
    return float(sum(values) / len(values)) if len(values) else 0.0
