"""The first round: what a sheet's own pictures show of each cell.

That is the character's traits, copies of the crops, and damage.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..host import Host
from ..imaging.load import load_picture
from ..imaging.mask_reader import read_mask
from ..jobs import Job, Progress
from ..metrics.copying import Copies, copying_score
from ..metrics.damage import Surface, measure_surface, subject_missing, surface_damage
from ..metrics.retention import TagProbabilities, measure_retention, trait_weights
from ..metrics.similarity import PixelCheck, check_pixels, colour_histogram
from ..settings.schema import Settings
from ..tagging.ensemble import Taggers
from ..workspace.kohya_folders import list_pictures
from ..workspace.workspace import Workspace
from .cells import CellSpec, Copy, Judgement
from .tagged_pictures import read_pictures, tag_pictures


def judge_first_round(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    drawn: Mapping[CellSpec, Sequence[Path]],
    tagger: Taggers | None,
    traits: Sequence[str],
    job: Job,
    named: Collection[str] = (),
) -> dict[CellSpec, Judgement]:
    """Every cell's judgement without flexibility and leak.

    drawn: the pictures of each cell.
    traits: the character's; without any, retention stays unknown.
    named: tags of the cells' prompt.
    Raises: JobCancelled.
    """
    judged: dict[CellSpec, Judgement] = {}
    with ExitStack() as stack:
        references = _references(settings, workspace, host, drawn, tagger, job, stack)
        weights = trait_weights(traits, named, references.base_tags)
        for index, (spec, paths) in enumerate(drawn.items()):
            job.raise_if_cancelled()
            job.report(Progress("plot", index + 1, len(drawn), "judging"))
            judged[spec] = _judge_cell(spec, paths, references, tagger, weights)
    return judged


@dataclass(frozen=True)
class _References:
    """What the cells' pictures are compared with.

    source: colour histogram of the prepared picture's foreground.
    crops: file of each training crop by its name.
    copies: looks for pictures in the crops.
    base_similarity: of the checkpoint's own pictures with their nearest crops, the mean.
    base_tags: of the checkpoint's own pictures; none without a tagger.
    surfaces: of undamaged pictures: the checkpoint's own, and the crops.
    """

    source: np.ndarray
    crops: Mapping[str, Path]
    copies: Copies
    base_similarity: float
    base_tags: Sequence[TagProbabilities]
    surfaces: Sequence[Surface]


def _references(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    drawn: Mapping[CellSpec, Sequence[Path]],
    tagger: Taggers | None,
    job: Job,
    stack: ExitStack,
) -> _References:
    """Read and measure them.  stack: keeps the host's model open, whose VAE finds copies."""
    picture = load_picture(workspace.prepared).image
    mask = read_mask(workspace.mask).image
    files = {path.stem: path for path in list_pictures(workspace.image_folder(settings))}
    crops = {name: load_picture(path).image.convert("RGB") for name, path in files.items()}
    base_paths = [path for spec, paths in drawn.items() if not spec.has_lora for path in paths]
    base = read_pictures(base_paths)
    base_tags = tag_pictures(tagger, base)
    model = None
    if settings.judge.copying > 0 and crops:
        stack.enter_context(host.exclusive(job))
        model = stack.enter_context(host.open_for_training())
    copies = Copies(crops, model, host.checkpoint.native_size // 2)
    return _References(
        source=colour_histogram(picture, mask),
        crops=files,
        copies=copies,
        base_similarity=_mean([match.similarity for match in copies.find(base)]) if base else 0.0,
        base_tags=base_tags,
        surfaces=[*map(measure_surface, base), *_crop_surfaces(crops.values(), base)],
    )


def _judge_cell(
    spec: CellSpec,
    paths: Sequence[Path],
    references: _References,
    tagger: Taggers | None,
    weights: Mapping[str, float],
) -> Judgement:
    """weights: how much each of the character's traits counts."""
    images = read_pictures(paths)
    matches = references.copies.find(images)
    tags = tag_pictures(tagger, images)
    damages = [(0.0, "")]
    if spec.has_lora:
        damages = [surface_damage(measure_surface(image), references.surfaces) for image in images]
        if tags:
            missing = [
                subject_missing(probabilities, references.base_tags) for probabilities in tags
            ]
            damages = [max(pair) for pair in zip(damages, missing, strict=True)]
    retention = measure_retention(tuple(weights), tags, weights) if tags and weights else None
    scores = {"retention": retention.score} if retention else {}
    if references.crops:
        similarities = [match.similarity for match in matches]
        scores["copying"] = copying_score(similarities, references.base_similarity)
    scores["damage"] = _mean([value for value, _ in damages])
    match, path = max(zip(matches, paths, strict=True), key=lambda pair: pair[0].similarity)
    return Judgement(
        pixels=_check_cell(images, references.source),
        retention=retention,
        scores={name: round(value, 4) for name, value in scores.items()},
        nearest=match.crop,
        copy=Copy(path, references.crops[match.crop], match.box) if match.crop else None,
        damage=max(damages)[1],
    )


def _crop_surfaces(crops: Iterable[Image.Image], drawn: Sequence[Image.Image]) -> list[Surface]:
    """Surfaces of the crops at the size of what was drawn.

    Invalid ones are left out: a crop of one colour says nothing of contrast.
    """
    side = max(drawn[0].size) if drawn else 512
    surfaces = []
    for crop in crops:
        small = crop.copy()
        small.thumbnail((side, side), Image.Resampling.LANCZOS)
        if min(small.size) > 2:  # noise is measured beside neighbours
            surfaces.append(measure_surface(small))
    return [surface for surface in surfaces if not surface.invalid]


def _check_cell(images: Sequence[Image.Image], source: np.ndarray) -> PixelCheck:
    """The mean similarity of a cell's pictures, and the first reason why one is invalid."""
    checks = [check_pixels(image, source) for image in images]
    return PixelCheck(
        round(_mean([check.similarity for check in checks]), 4),
        next((check.invalid for check in checks if check.invalid), ""),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
