"""The second round: further pictures of chosen cells.

Some prompts ask for the character in other poses, views, places and clothes, some do not call it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from PIL import Image

from ..captions.prompt_language import tags_of
from ..captions.text import split_tags
from ..crops.buckets import training_resolution
from ..files.fileio import file_hash, fingerprint, write_bytes
from ..host import Host, ImageRequest, LoraUse
from ..imaging.png import png_bytes
from ..jobs import Job, Progress
from ..metrics.copying import copying_score
from ..metrics.intervals import wilson_interval
from ..metrics.leak import leaked_traits, relative_change
from ..metrics.probe_prompts import Probe, character_probes, count_obeyed, other_probes
from ..metrics.retention import SEEN, TagProbabilities, measure_retention, trait_weights
from ..settings.declare import SEEDS
from ..settings.schema import Settings
from ..tagging.ensemble import Taggers, names_of
from ..workspace.kohya_folders import list_pictures, read_caption
from ..workspace.outfit import named_outfit
from ..workspace.workspace import Workspace
from .cells import CellSpec, Judgement
from .tagged_pictures import read_pictures, tag_pictures
from .traits import CharacterTraits

Similarities = Callable[[Sequence[Image.Image]], list[float]]


@dataclass
class _Drawer:
    """Draws probes into plots/probes.

    What lies there with the same LoRA, strength, prompt and seed is not drawn again.

    total: pictures of the whole round, for the progress.
    done: pictures so far.
    """

    settings: Settings
    workspace: Workspace
    host: Host
    job: Job
    total: int
    done: int = 0

    def draw(
        self, spec: CellSpec | None, probes: Sequence[Probe], seeds: tuple[int, ...]
    ) -> list[list[Image.Image]]:
        """One picture a seed of each probe.  spec: None is the checkpoint alone."""
        self.job.raise_if_cancelled()
        name = f"{spec.source.name} at {spec.strength:g}" if spec else "the checkpoint alone"
        asked = [(probe, seed) for probe in probes for seed in seeds]
        paths = {each: self._path(spec, *each) for each in asked}
        missing = [each for each in asked if not paths[each].exists()]
        self.done += len(asked) - len(missing)
        while missing:
            at_once = self.host.batch_limit(*self._size())
            batch, missing = missing[:at_once], missing[at_once:]
            words = "; ".join(", ".join(probe.asks) or probe.prompt for probe, _ in batch)
            message = f"trying {name}: {words}"
            self.job.report(Progress("plot", self.done, self.total, message))
            requests = [self._request(probe, seed, spec) for probe, seed in batch]
            pictures = self.host.generate_batch(requests, self.job)
            for each, picture in zip(batch, pictures, strict=True):
                write_bytes(paths[each], png_bytes(picture.image, picture.parameters))
            self.done += len(batch)
        return [read_pictures(paths[probe, seed] for seed in seeds) for probe in probes]

    def _path(self, spec: CellSpec | None, probe: Probe, seed: int) -> Path:
        lora = spec.lora if spec else None
        strength = spec.strength if spec and lora else 0.0
        # Without seed and LoRA, whose file may move
        request = replace(self._request(probe, seed, None), seeds=())
        mark = fingerprint(
            file_hash(lora) if lora else "",
            strength,
            request.as_mark(),
            self.host.checkpoint.drawing_mark,
        )
        return self.workspace.plots / "probes" / f"{mark}-{seed}.png"

    def _size(self) -> tuple[int, int]:
        side = training_resolution(self.settings, self.host)
        return side, side

    def _request(self, probe: Probe, seed: int, spec: CellSpec | None) -> ImageRequest:
        options = self.settings.plot
        width, height = self._size()
        lora = spec.lora if spec else None
        strength = spec.strength if spec else 0.0
        return ImageRequest(
            prompt=probe.prompt,
            seeds=(seed,),
            width=width,
            height=height,
            negative_prompt=options.negative_prompt,
            sampler=options.sampler,
            steps=min(options.steps, self.settings.judge.probe_steps),
            cfg_scale=options.cfg_scale,
            clip_skip=self.settings.training.clip_skip,
            loras=(LoraUse(lora, strength, strength),) if lora else (),
        )


@dataclass(frozen=True)
class _Baseline:
    """What the checkpoint alone draws of the probes.

    asking: probes that call the character.
    others: probes that do not.
    pictures: of the others, probe by probe.
    other_seeds: of the others with further seeds.
    tags: of the pictures of every probe; nothing without a tagger.
    similarity: of the asking probes' pictures with their nearest crops, the mean; None where
        copying is not probed.
    traits: the character's that a picture of each asking probe should show, and how much each
        counts; none of a probe that shows none.
    """

    asking: Sequence[Probe]
    others: Sequence[Probe]
    pictures: Sequence[Image.Image]
    other_seeds: Sequence[Image.Image]
    tags: Mapping[Probe, Sequence[TagProbabilities]]
    similarity: float | None = None
    traits: Mapping[Probe, Mapping[str, float]] = field(default_factory=dict)


class Prober:
    """Draws further prompts with one cell after another and judges what they show.

    The checkpoint's own pictures of these prompts are drawn when the first cell is probed.

    tagger: None measures no flexibility.
    traits: the character's, looked for in pictures that do not call it.
    most: cells that will be probed, for the progress.
    character: tells the traits that each probe should show; None measures none of them there.
    """

    def __init__(
        self,
        settings: Settings,
        workspace: Workspace,
        host: Host,
        job: Job,
        tagger: Taggers | None,
        traits: Sequence[str],
        most: int,
        character: CharacterTraits | None = None,
    ) -> None:
        self._seeds = tuple(
            (settings.plot.first_seed + number) % SEEDS
            for number in range(settings.judge.probe_seeds)
        )
        self._asking = _character_probes(settings, workspace, tagger) if tagger else ()
        self._others = other_probes(settings.character.class_token)
        each = len(self._asking) + len(self._others)
        pictures = each * (most + 1) + len(self._others)
        self._drawer = _Drawer(settings, workspace, host, job, pictures * len(self._seeds))
        self._tagger = tagger
        self._traits = traits
        self._expected = {
            probe: character.visible(probe.prompt, probe.asks) if character else ()
            for probe in self._asking
        }
        self._baseline: _Baseline | None = None

    @property
    def asks_for_something_new(self) -> bool:
        """True where there are prompts that ask for the character otherwise than the crops show."""
        return bool(self._asking)

    @property
    def kept_alone(self) -> float | None:
        """How much of the character the checkpoint alone shows in the asking probes, 0 to 1.

        None before a cell is probed, and where no trait could show there.
        """
        kept = _kept(self._baseline, self._baseline.tags) if self._baseline else ()
        return float(np.mean(kept)) if kept else None

    def probe(
        self, spec: CellSpec, judgement: Judgement, similarities: Similarities | None = None
    ) -> Judgement:
        """The judgement with leak and, where there is a tagger, flexibility and the traits kept.

        similarities: of pictures with their nearest crops; with it copying is told from the
            pictures that ask for something new.
        Raises: JobCancelled, keeping what is drawn.
        """
        if self._baseline is None:
            drawn = _draw_baseline(
                self._drawer, self._asking, self._others, self._seeds, self._tagger, similarities
            )
            self._baseline = replace(drawn, traits=_weighted(self._expected, drawn.tags))
        return _probe_cell(
            spec,
            judgement,
            self._drawer,
            self._baseline,
            self._seeds,
            self._tagger,
            self._traits,
            similarities,
        )


def _character_probes(
    settings: Settings, workspace: Workspace, tagger: Taggers
) -> tuple[Probe, ...]:
    crops = list_pictures(workspace.image_folder(settings))
    captions = [split_tags(text) for text in map(read_caption, crops) if text]
    character = settings.character
    known = names_of(tagger.folders)["tags"]
    clothes = named_outfit(settings, workspace).clothes
    return character_probes(character.trigger, character.class_token, captions, known, clothes)


def _draw_baseline(
    drawer: _Drawer,
    asking: Sequence[Probe],
    others: Sequence[Probe],
    seeds: tuple[int, ...],
    tagger: Taggers | None,
    similarities: Similarities | None,
) -> _Baseline:
    probes = (*asking, *others)
    drawn = dict(zip(probes, drawer.draw(None, probes, seeds), strict=True))
    further = tuple((seed + len(seeds)) % SEEDS for seed in seeds)
    other_seeds = [image for images in drawer.draw(None, others, further) for image in images]
    tags = {probe: tag_pictures(tagger, images) for probe, images in drawn.items()}
    pictures = [image for probe in others for image in drawn[probe]]
    asked = [image for probe in asking for image in drawn[probe]]
    alike = float(np.mean(similarities(asked))) if similarities and asked else None
    return _Baseline(asking, others, pictures, other_seeds, tags, alike)


def _weighted(
    expected: Mapping[Probe, Sequence[str]], base: Mapping[Probe, Sequence[TagProbabilities]]
) -> dict[Probe, dict[str, float]]:
    """How much each trait that a probe should show counts, for those that show some."""
    weights = {
        probe: trait_weights(traits, tags_of(probe.prompt), base[probe])
        for probe, traits in expected.items()
    }
    return {probe: own for probe, own in weights.items() if sum(own.values()) > 0}


def _kept(
    baseline: _Baseline, tags: Mapping[Probe, Sequence[TagProbabilities]]
) -> tuple[float, ...]:
    """How many of the character's traits each of the asking probes' pictures shows, 0 to 1."""
    return tuple(
        score
        for probe, weights in baseline.traits.items()
        for score in measure_retention(tuple(weights), tags[probe], weights).by_picture
    )


def _probe_cell(
    spec: CellSpec,
    judgement: Judgement,
    drawer: _Drawer,
    baseline: _Baseline,
    seeds: tuple[int, ...],
    tagger: Taggers | None,
    traits: Sequence[str],
    similarities: Similarities | None,
) -> Judgement:
    scores = dict(judgement.scores)
    obeyed: dict[str, str] = {}
    total_obeyed = 0.0
    total_possible = 0.0
    probes = (*baseline.asking, *baseline.others)
    pictures = dict(zip(probes, drawer.draw(spec, probes, seeds), strict=True))
    asked_tags = {probe: tag_pictures(tagger, pictures[probe]) for probe in baseline.asking}
    for probe, tags in asked_tags.items():
        base = baseline.tags[probe]
        score, possible = count_obeyed(probe.asks, tags, base)
        total_obeyed += score
        total_possible += possible
        obeyed |= _obeyed_in_words(probe, tags, base)
    spread = dict(judgement.spread)
    if total_possible:
        share = total_obeyed / total_possible
        low, high = wilson_interval(share, total_possible, drawer.settings.judge.confidence)
        scores["flexibility"] = round(share, 4)
        spread["flexibility"] = round((high - low) / 2, 4)
    if similarities and baseline.similarity is not None:
        asked = [image for probe in baseline.asking for image in pictures[probe]]
        scores["copying"] = round(copying_score(similarities(asked), baseline.similarity), 4)
    kept = _kept(baseline, asked_tags)
    by_picture = dict(judgement.by_picture)
    if kept:
        scores["elsewhere"] = round(float(np.mean(kept)), 4)
        by_picture["elsewhere"] = kept
    drawn = [image for probe in baseline.others for image in pictures[probe]]
    leak = relative_change(drawn, baseline.pictures, baseline.other_seeds)
    leaked: tuple[str, ...] = ()
    if tagger and traits:
        base = [tags for probe in baseline.others for tags in baseline.tags[probe]]
        gain, leaked = leaked_traits(traits, tag_pictures(tagger, drawn), base)
        leak = max(leak, gain)
    scores["leak"] = round(leak, 4)
    return replace(
        judgement, scores=scores, spread=spread, obeyed=obeyed, leaked=leaked, by_picture=by_picture
    )


def _obeyed_in_words(
    probe: Probe, drawn: Sequence[TagProbabilities], base: Sequence[TagProbabilities]
) -> dict[str, str]:
    """By tag, the pictures that show it of those in which the checkpoint alone does: "3/4"."""
    obeyed = {}
    for tag in probe.asks:
        able = [
            with_lora
            for with_lora, without in zip(drawn, base, strict=True)
            if without.get(tag, 0.0) >= SEEN
        ]
        if able:
            count = sum(with_lora.get(tag, 0.0) >= SEEN for with_lora in able)
            obeyed[tag] = f"{count}/{len(able)}"
    return obeyed
