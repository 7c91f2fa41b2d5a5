"""Tries chosen cells with prompts of other poses, views, places and clothes, and with prompts that
do not call her.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from PIL import Image

from ..captions.text import split_tags
from ..crops.buckets import training_resolution
from ..files.fileio import file_hash, fingerprint, write_bytes
from ..host import Host, ImageRequest, LoraUse
from ..imaging.png import png_bytes
from ..jobs import Job, Progress
from ..metrics.leak import leaked_traits, relative_change
from ..metrics.probe_prompts import Probe, character_probes, count_obeyed, other_probes
from ..metrics.retention import SEEN
from ..settings.declare import SEEDS
from ..settings.schema import Settings
from ..tagging.ensemble import Taggers, names_of
from ..workspace.kohya_folders import list_pictures, read_caption
from ..workspace.workspace import Workspace
from .cells import CellSpec, Judgement
from .first_round import read_pictures, tag_pictures


@dataclass
class _Drawer:
    """Draws probes; what lies in plots/probes with the same LoRA, strength, prompt and seed is not
    drawn again.
    """

    settings: Settings
    workspace: Workspace
    host: Host
    job: Job
    total: int
    done: int = 0

    def draw(
        self, place: CellSpec | None, probe: Probe, seeds: tuple[int, ...]
    ) -> list[Image.Image]:
        """One picture a seed.  place: None is the checkpoint alone."""
        self.job.raise_if_cancelled()
        options = self.settings.plot
        side = training_resolution(self.settings, self.host)
        lora = place.lora if place else None
        uses = (LoraUse(lora, place.strength, place.strength),) if place and lora else ()
        request = ImageRequest(
            probe.prompt,
            (),
            side,
            side,
            options.negative_prompt,
            options.sampler,
            min(options.steps, self.settings.judge.probe_steps),
            options.cfg_scale,
            self.settings.training.clip_skip,
        )
        what = fingerprint(
            file_hash(lora) if lora else "",
            place.strength if lora and place else 0.0,
            asdict(request),
            self.host.checkpoint.sha256,
        )
        paths = {seed: self.workspace.plots / "probes" / f"{what}-{seed}.png" for seed in seeds}
        missing = tuple(seed for seed, path in paths.items() if not path.exists())
        name = f"{place.source.name} at {place.strength:g}" if place else "the checkpoint alone"
        self.job.report(
            Progress(
                "plot",
                self.done,
                self.total,
                f"trying {name}: {', '.join(probe.asks) or probe.prompt}",
            )
        )
        if missing:
            for picture in self.host.generate(
                replace(request, seeds=missing, loras=uses), self.job
            ):
                write_bytes(paths[picture.seed], png_bytes(picture.image, picture.parameters))
        self.done += len(seeds)
        return read_pictures(paths.values())


def probe(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    job: Job,
    judged: dict[CellSpec, Judgement],
    chosen: Sequence[CellSpec],
    tagger: Taggers | None,
    wanted: Sequence[str],
) -> dict[CellSpec, Judgement]:
    """The chosen cells' judgements with leak and, where there is a tagger, flexibility.

    wanted: her traits, looked for in pictures that do not call her.
    Raises: JobCancelled, keeping what is drawn.
    """
    options = settings.judge
    if not chosen:
        return {}
    seeds = tuple(
        (settings.plot.first_seed + number) % SEEDS for number in range(options.probe_seeds)
    )
    further = tuple((seed + options.probe_seeds) % SEEDS for seed in seeds)
    crops = list_pictures(workspace.image_folder(settings))
    captions = [split_tags(text) for text in map(read_caption, crops) if text]
    character = settings.character
    asking = (
        character_probes(
            character.trigger, character.class_token, captions, names_of(tagger.folders)["tags"]
        )
        if tagger
        else ()
    )
    others = other_probes(character.class_token)
    pictures = (len(asking) + len(others)) * (len(chosen) + 1) + len(others)
    drawer = _Drawer(settings, workspace, host, job, pictures * len(seeds))
    base = {each: drawer.draw(None, each, seeds) for each in (*asking, *others)}
    another = [image for each in others for image in drawer.draw(None, each, further)]
    plain = [image for each in others for image in base[each]]
    told = {each: tag_pictures(tagger, images) for each, images in base.items()} if tagger else {}
    found = {}
    for place in chosen:
        scores, asked = dict(judged[place].scores), {}
        kept = could = 0.0
        for each in asking:
            seen = tag_pictures(tagger, drawer.draw(place, each, seeds)) if tagger else []
            part = count_obeyed(each.asks, seen, told[each])
            kept, could = kept + part[0], could + part[1]
            for tag in each.asks:
                able = [
                    own
                    for own, alone in zip(seen, told[each], strict=True)
                    if alone.get(tag, 0.0) >= SEEN
                ]
                if able:
                    asked[tag] = f"{sum(own.get(tag, 0.0) >= SEEN for own in able)}/{len(able)}"
        if could:
            scores["flexibility"] = round(kept / could, 4)
        under = [image for each in others for image in drawer.draw(place, each, seeds)]
        new: tuple[str, ...] = ()
        leak = relative_change(under, plain, another)
        if tagger and wanted:
            share, new = leaked_traits(
                wanted,
                tag_pictures(tagger, under),
                [alone for each in others for alone in told[each]],
            )
            leak = max(leak, share)
        scores["leak"] = round(leak, 4)
        found[place] = replace(judged[place], scores=scores, obeyed=asked, leaked=new)
    return found
