"""The figures of one LoRA at one strength."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from lib_singlelora.captions.tag_categories import category_of
from lib_singlelora.captions.text import split_tags
from lib_singlelora.files.fileio import file_hash, fingerprint, write_bytes
from lib_singlelora.host import Host, ImageRequest, LoraUse
from lib_singlelora.imaging.load import load_picture, read_rgb
from lib_singlelora.imaging.mask_reader import read_mask
from lib_singlelora.imaging.png import png_bytes
from lib_singlelora.jobs import Job
from lib_singlelora.metrics.copying import Copies, copying_score
from lib_singlelora.metrics.damage import measure_surface, subject_missing, surface_damage
from lib_singlelora.metrics.leak import leaked_traits, relative_change
from lib_singlelora.metrics.probe_prompts import count_obeyed
from lib_singlelora.metrics.retention import TagProbabilities, measure_retention
from lib_singlelora.settings.schema import Settings
from lib_singlelora.tagging.ensemble import Taggers
from lib_singlelora.workspace.kohya_folders import list_pictures, read_caption
from lib_singlelora.workspace.workspace import Workspace
from tools.accuracy.judge.truth import likeness

from .likeness import placewise
from .prompts import OTHERS, Ask, asks_of, clothes_in
from .subjects import Subject

STEPS = 12  # of the sampler: enough for this checkpoint, and 21 pictures a LoRA have to be drawn
FIRST_SEED = 501
MEASURE = 2  # counted up when a figure is computed differently; what was drawn stays
Pictures = list[Image.Image]
# What the checkpoint draws by itself says nothing of the character
TAGGED = frozenset(
    ("hair colour", "hair length", "hair style", "eye colour", "outfit", "accessory", "species")
)


@dataclass
class Bench:
    """Draws and measures; what lies in the folder is not drawn again.

    folder: for the pictures.
    tagger: that of the embedded world.
    """

    host: Host
    tagger: Taggers
    folder: Path
    job: Job = field(default_factory=Job)

    def figures(
        self,
        subject: Subject,
        workspace: Workspace,
        settings: Settings,
        file: Path | None,
        at: float,
    ) -> dict[str, Any]:
        """The figures of a LoRA at a strength, or of the checkpoint alone (`file` None).

        truth: likeness to the drawing, place by place, 0 to 1 (`tools/lab/likeness.py`).
        strict: the same, pixel by pixel, by the renderer (`tools/accuracy/judge/truth.py`);
            unknown for pictures by another hand, as is
        elsewhere: strict in other poses and views.
        traits: mean probability of what the drawing shows, by the tagger.
        flexibility: of what the checkpoint alone obeys.
        leak: the larger of change and traits in prompts without the trigger.
        copying, damage: as the judge's.
        """
        folder = workspace.image_folder(settings)
        captions = [split_tags(read_caption(path)) for path in list_pictures(folder)]
        clothes = clothes_in(captions)
        asks = asks_of(subject)
        use = (LoraUse(file, at, at),) if file else ()
        drawn = {ask: self._draw(ask.prompt(subject, clothes), ask.seeds, use) for ask in asks}
        base = {ask: self._draw(ask.prompt(subject, clothes), ask.seeds) for ask in asks}
        tags = {ask: self._tags(pictures) for ask, pictures in drawn.items()}
        base_tags = {ask: self._tags(pictures) for ask, pictures in base.items()}
        obeyed = [count_obeyed(ask.asks, tags[ask], base_tags[ask]) for ask in asks]
        crops = {
            path.stem: load_picture(path).image.convert("RGB") for path in list_pictures(folder)
        }
        return {
            **self._likeness(subject, workspace, drawn),
            "traits": self._traits(subject, tags),
            "flexibility": sum(one for one, _ in obeyed) / max(1, sum(all_ for _, all_ in obeyed)),
            "leak": self._leak(subject, use),
            "copying": self._copying(crops, drawn, base),
            "damage": self._damage(drawn, base, tags, base_tags),
        }

    def _likeness(
        self, subject: Subject, workspace: Workspace, drawn: dict[Ask, Pictures]
    ) -> dict[str, float]:
        picture = load_picture(workspace.prepared).image.convert("RGB")
        mask = read_mask(workspace.mask).image
        whole = [ask for ask in drawn if ask.plain and ask.framing == "full body"]
        figures = {
            "truth": _mean([placewise(one, picture, mask) for ask in whole for one in drawn[ask]])
        }
        if subject.character is None:
            return figures
        strict: dict[bool, list[float]] = {True: [], False: []}
        for ask, pictures in drawn.items():
            if ask.same_clothes and "closed eyes" not in ask.extra:
                strict[ask.plain] += [
                    likeness(one, subject.name, ask.framing, ask.pose, ask.view) for one in pictures
                ]
        return {**figures, "strict": _mean(strict[True]), "elsewhere": _mean(strict[False])}

    def _traits(self, subject: Subject, tags: dict[Ask, list[TagProbabilities]]) -> float:
        """Of the plain pictures: what the renderer shows and the tagger knows."""
        scores = []
        for ask, pictures in tags.items():
            shown = [
                tag
                for tag in subject.tags(ask.pose, ask.view, ask.framing)
                if category_of(tag) in TAGGED and pictures and tag in pictures[0]
            ]
            if ask.plain and shown:
                scores.append(measure_retention(shown, pictures).score)
        return _mean(scores)

    def _leak(self, subject: Subject, use: tuple[LoraUse, ...]) -> float:
        if not use:
            return 0.0
        under: Pictures = []
        base: Pictures = []
        other: Pictures = []
        for prompt in OTHERS:
            under += self._draw(prompt, 1, use)
            pair = self._draw(prompt, 2)
            base.append(pair[0])
            other.append(pair[1])
        change = relative_change(under, base, other)
        traits = subject.tags("standing", "front", "full body")
        gained, _ = leaked_traits(traits, self._tags(under), self._tags(base))
        return max(change, gained)

    def _copying(
        self, crops: dict[str, Image.Image], drawn: dict[Ask, Pictures], base: dict[Ask, Pictures]
    ) -> float:
        """Of pictures that ask for something new: there a copy is a fault."""
        copies = Copies(crops)

        def nearest(pictures: dict[Ask, Pictures]) -> list[float]:
            asked = [one for ask, some in pictures.items() if not ask.plain for one in some]
            return [match.similarity for match in copies.find(asked)]

        return copying_score(nearest(drawn), _mean(nearest(base)))

    def _damage(
        self,
        drawn: dict[Ask, Pictures],
        base: dict[Ask, Pictures],
        tags: dict[Ask, list[TagProbabilities]],
        base_tags: dict[Ask, list[TagProbabilities]],
    ) -> float:
        worst = []
        for ask, pictures in drawn.items():
            surfaces = [measure_surface(image) for image in base[ask]]
            for image, seen in zip(pictures, tags[ask], strict=True):
                worst.append(
                    max(
                        surface_damage(measure_surface(image), surfaces)[0],
                        subject_missing(seen, base_tags[ask])[0],
                    )
                )
        return _mean(worst)

    def _draw(self, prompt: str, count: int, use: tuple[LoraUse, ...] = ()) -> Pictures:
        mark = fingerprint(
            prompt,
            STEPS,
            [(file_hash(one.path), one.unet) for one in use],
            self.host.checkpoint.sha256,
        )
        seeds = [FIRST_SEED + index for index in range(count)]
        paths = {seed: self.folder / f"{mark}-{seed}.png" for seed in seeds}
        missing = tuple(seed for seed, path in paths.items() if not path.exists())
        if missing:
            size = self.host.checkpoint.native_size
            request = ImageRequest(prompt, missing, size, size, steps=STEPS, loras=use)
            for made in self.host.generate(request, self.job):
                write_bytes(paths[made.seed], png_bytes(made.image, made.parameters))
        return [read_rgb(path) for path in paths.values()]

    def _tags(self, pictures: Sequence[Image.Image]) -> list[TagProbabilities]:
        return [scores.general for scores in self.tagger.tag(list(pictures))]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
