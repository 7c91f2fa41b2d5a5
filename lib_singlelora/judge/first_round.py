"""The first round: what a sheet's own pictures show of each cell.

That is the character's traits, copies of the crops, and damage.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from ..captions.prompt_language import tags_of
from ..captions.tag_categories import category_of
from ..host import Host
from ..imaging.load import load_picture, read_rgb
from ..imaging.mask_reader import read_mask
from ..jobs import Job, Progress
from ..metrics.copying import Copies, copying_score, crop_part, sliding_windows
from ..metrics.damage import Surface, measure_surface, subject_missing, surface_damage
from ..metrics.retention import SEEN, TagProbabilities, common_traits, measure_retention
from ..metrics.similarity import PixelCheck, check_pixels, colour_histogram
from ..settings.schema import Settings
from ..tagging.ensemble import Taggers
from ..workspace.crops import view_tags
from ..workspace.kohya_folders import list_pictures
from ..workspace.workspace import Workspace
from .cells import CellSpec, Copy, Judgement

# From the closest framing to the widest; each shows all that those before it do
FRAMINGS = ("portrait", "upper body", "cowboy shot", "full body")
MOST_PARTS = 3  # parts of a crop that stand for a framing which no crop has


def judge_first_round(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    drawn: Mapping[CellSpec, Sequence[Path]],
    tagger: Taggers | None,
    traits: Sequence[str],
    job: Job,
) -> dict[CellSpec, Judgement]:
    """Every cell's judgement without flexibility and leak.

    drawn: the pictures of each cell.
    traits: the character's; without any, retention stays unknown.
    Raises: JobCancelled.
    """
    judged: dict[CellSpec, Judgement] = {}
    with ExitStack() as stack:
        references = _references(settings, workspace, host, drawn, tagger, job, stack)
        for index, (spec, paths) in enumerate(drawn.items()):
            job.raise_if_cancelled()
            job.report(Progress("plot", index + 1, len(drawn), "judging"))
            judged[spec] = _judge_cell(spec, paths, references, tagger, traits)
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
    traits: Sequence[str],
) -> Judgement:
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
    retention = measure_retention(traits, tags) if tags and traits else None
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


def character_traits(
    settings: Settings, workspace: Workspace, tagger: Taggers, prompt: str
) -> tuple[str, ...]:
    """The traits of the character that a picture of this prompt should show.

    They are those of the crops with the prompt's framing.  Without such a crop they are those of
    the next closer one, and of parts of a crop that the tagger takes for this framing, as far as a
    crop shows them too; without these, those of all crops.

    What the prompt itself names is left out: the checkpoint draws that without the character.
    """
    prompt_tags = tags_of(prompt)
    views = view_tags(workspace)
    crops = {
        path.stem: load_picture(path).image.convert("RGB")
        for path in list_pictures(workspace.image_folder(settings))
    }
    crop_tags = dict(zip(crops, tag_pictures(tagger, list(crops.values())), strict=True))
    traits = common_traits(
        [tags for name, tags in crop_tags.items() if set(prompt_tags) & set(views.get(name, ()))]
    )
    framing = next((tag for tag in prompt_tags if category_of(tag) == "framing"), "")
    if not traits and framing:
        shown = {tag for tags in crop_tags.values() for tag, value in tags.items() if value >= SEEN}
        of_parts = common_traits(_parts(tagger, crops.values(), framing))
        of_closer = common_traits(_closer(crop_tags, views, framing))
        traits = tuple(dict.fromkeys([*of_closer, *(tag for tag in of_parts if tag in shown)]))
    traits = traits or common_traits(list(crop_tags.values()))
    return tuple(tag for tag in traits if tag not in prompt_tags)


def _closer(
    crop_tags: Mapping[str, TagProbabilities], views: Mapping[str, Sequence[str]], framing: str
) -> list[TagProbabilities]:
    """Tags of the widest of the closer crops: all that these show lies in the framing too."""
    narrower = FRAMINGS[: FRAMINGS.index(framing)] if framing in FRAMINGS else ()
    for closer in reversed(narrower):
        if tags := [tags for name, tags in crop_tags.items() if closer in views.get(name, ())]:
            return tags
    return []


def _parts(tagger: Taggers, crops: Iterable[Image.Image], framing: str) -> list[TagProbabilities]:
    """Tags of those parts of the tallest crop that look most like the framing."""
    tallest = max(crops, key=lambda image: image.height / image.width, default=None)
    if tallest is None:
        return []
    # The character stands in the middle
    middle = [box for box in sliding_windows(*tallest.size) if abs(box[0] + box[2] - 1) < 0.02]
    part_tags = tag_pictures(tagger, [crop_part(tallest, box) for box in middle])
    fitting = [tags for tags in part_tags if tags.get(framing, 0.0) >= SEEN]
    return sorted(fitting, key=lambda tags: -tags[framing])[:MOST_PARTS]


def tag_pictures(tagger: Taggers | None, images: Sequence[Image.Image]) -> list[TagProbabilities]:
    """The probabilities of the general tags of each picture; nothing without a tagger."""
    return [scores.general for scores in tagger.tag(images)] if tagger else []


def read_pictures(paths: Iterable[Path]) -> list[Image.Image]:
    """The pictures, in memory."""
    return [read_rgb(path) for path in paths]


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
