"""What a sheet's own pictures tell of each cell: her traits, copies of the crops, harm."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from PIL import Image

from ..captions.atlas import category_of
from ..captions.prompt_language import tags_of
from ..host import Host
from ..imaging.load import load_picture, read_rgb
from ..imaging.mask_reader import read_mask
from ..jobs import Job, Progress
from ..metrics.copying import Copies, copying_score, crop_part, sliding_windows
from ..metrics.damage import Surface, measure_surface, subject_missing, surface_damage
from ..metrics.retention import SEEN, common_traits, measure_retention
from ..metrics.similarity import PixelCheck, check_pixels, colour_histogram
from ..settings.schema import Settings
from ..tagging.ensemble import Taggers
from ..workspace.crops import view_tags
from ..workspace.kohya_folders import list_pictures
from ..workspace.workspace import Workspace
from .cells import CellSpec, Copy, Judgement

Scores = Mapping[str, float]
# Framings from her head down, each with what the last one shows
WIDER = ("portrait", "upper body", "cowboy shot", "full body")
PARTS = 3  # of a crop, that stand for a framing which no crop has


def judge_first_round(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    drawn: Mapping[CellSpec, Sequence[Path]],
    tagger: Taggers | None,
    wanted: Sequence[str],
    job: Job,
) -> dict[CellSpec, Judgement]:
    """Every cell's judgement without flexibility and leak.

    wanted: her traits; without any, retention is not known.
    """
    picture, mask = load_picture(workspace.prepared).image, read_mask(workspace.mask).image
    source = colour_histogram(picture, mask)
    files = {path.stem: path for path in list_pictures(workspace.image_folder(settings))}
    crops = {name: load_picture(path).image.convert("RGB") for name, path in files.items()}
    base = [
        image
        for place, paths in drawn.items()
        if not place.has_lora
        for image in read_pictures(paths)
    ]
    whole_tags = tag_pictures(tagger, base) if tagger else []
    found: dict[CellSpec, Judgement] = {}
    with ExitStack() as stack:
        model = None
        if settings.judge.copying > 0 and crops:
            stack.enter_context(host.exclusive(job))
            model = stack.enter_context(host.open_for_training())
        copies = Copies(crops, model, host.checkpoint.native_size // 2)
        own = _mean([match.similarity for match in copies.find(base)]) if base else 0.0
        whole = [measure_surface(image) for image in base] + _surfaces(crops.values(), base)
        for index, (place, paths) in enumerate(drawn.items()):
            job.raise_if_cancelled()
            job.report(Progress("plot", index + 1, len(drawn), "judging"))
            images = read_pictures(paths)
            matches = copies.find(images)
            tags = tag_pictures(tagger, images) if tagger else []
            harms = (
                [surface_damage(measure_surface(image), whole) for image in images]
                if place.has_lora
                else [(0.0, "")]
            )
            if place.has_lora:
                harms = [
                    max(pair)
                    for pair in zip(
                        harms,
                        [subject_missing(one, whole_tags) for one in tags] or harms,
                        strict=True,
                    )
                ]
            kept = measure_retention(wanted, tags) if tags and wanted else None
            scores = {"retention": kept.score} if kept else {}
            if crops:
                scores["copying"] = copying_score([match.similarity for match in matches], own)
            scores["damage"] = _mean([value for value, _ in harms])
            match, path = max(zip(matches, paths, strict=True), key=lambda pair: pair[0].similarity)
            copy = Copy(path, files[match.crop], match.box) if match.crop else None
            found[place] = Judgement(
                _look(images, source),
                kept,
                {name: round(value, 4) for name, value in scores.items()},
                match.crop,
                copy,
                max(harms)[1],
            )
    return found


def character_traits(
    settings: Settings, workspace: Workspace, tagger: Taggers, prompt: str
) -> tuple[str, ...]:
    """The traits that a picture of this prompt should show: those of crops with the prompt's
    framing; without such a crop those of the next closer one, and of parts of a crop that the
    tagger calls so, as far as a crop shows them too; else of all crops.

    What the prompt itself names is left out: the checkpoint draws it without her.
    """
    asked, views = set(tags_of(prompt)), view_tags(workspace)
    crops = {
        path.stem: load_picture(path).image.convert("RGB")
        for path in list_pictures(workspace.image_folder(settings))
    }
    whole = dict(zip(crops, tag_pictures(tagger, list(crops.values())), strict=True))
    found = common_traits(
        [scores for name, scores in whole.items() if asked & set(views.get(name, ()))]
    )
    framing = next((tag for tag in tags_of(prompt) if category_of(tag) == "framing"), "")
    if not found and framing:
        shown = {tag for scores in whole.values() for tag, score in scores.items() if score >= SEEN}
        parts = [
            tag for tag in common_traits(_parts(tagger, crops.values(), framing)) if tag in shown
        ]
        found = tuple(dict.fromkeys([*common_traits(_closer(whole, views, framing)), *parts]))
    return tuple(tag for tag in found or common_traits(list(whole.values())) if tag not in asked)


def _closer(
    whole: Mapping[str, Scores], views: Mapping[str, Sequence[str]], framing: str
) -> list[Scores]:
    """What is seen in the widest of the closer crops: all of it lies in the framing too."""
    for closer in reversed(WIDER[: WIDER.index(framing)] if framing in WIDER else ()):
        if found := [scores for name, scores in whole.items() if closer in views.get(name, ())]:
            return found
    return []


def _parts(tagger: Taggers, crops: Iterable[Image.Image], framing: str) -> list[Scores]:
    """What is seen in those parts of the tallest crop that look most like the framing."""
    tallest = max(crops, key=lambda image: image.height / image.width, default=None)
    if tallest is None:
        return []
    # She stands in the middle
    middle = [box for box in sliding_windows(*tallest.size) if abs(box[0] + box[2] - 1) < 0.02]
    seen = tag_pictures(tagger, [crop_part(tallest, box) for box in middle])
    return sorted(
        (one for one in seen if one.get(framing, 0.0) >= SEEN), key=lambda one: -one[framing]
    )[:PARTS]


def tag_pictures(tagger: Taggers, images: Sequence[Image.Image]) -> list[Scores]:
    """The probabilities of the general tags, for each picture."""
    return [scores.general for scores in tagger.tag(images)]


def read_pictures(paths: Iterable[Path]) -> list[Image.Image]:
    """The pictures, in memory."""
    return [read_rgb(path) for path in paths]


def _surfaces(crops: Iterable[Image.Image], drawn: Sequence[Image.Image]) -> list[Surface]:
    """Those of the crops at the size of what was drawn; a crop of one colour says nothing of
    contrast.
    """
    side = max(drawn[0].size) if drawn else 512
    small = []
    for crop in crops:
        piece = crop.copy()
        piece.thumbnail((side, side), Image.Resampling.LANCZOS)
        if min(piece.size) > 2:
            small.append(measure_surface(piece))
    return [one for one in small if not one.invalid]


def _look(images: Sequence[Image.Image], source: np.ndarray) -> PixelCheck:
    seen = [check_pixels(image, source) for image in images]
    return PixelCheck(
        round(_mean([one.similarity for one in seen]), 4),
        next((one.invalid for one in seen if one.invalid), ""),
    )


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
