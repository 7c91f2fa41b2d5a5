"""Early stop: each epoch is judged by a few pictures, and training ends when they get no better."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from ..captions.text import join_tags, split_tags
from ..errors import TrainingError
from ..host import Host, TrainingModel
from ..imaging.load import read_rgb
from ..jobs import Job, Progress
from ..judge.tagged_pictures import tag_heads, tag_pictures
from ..judge.traits import CharacterTraits
from ..lora.network import LoraNetwork
from ..metrics.damage import CloserLook, Surface, measure_surface, subject_missing, surface_damage
from ..metrics.front import stop_reason
from ..metrics.probe_prompts import Probe, character_probes, count_obeyed
from ..metrics.rejection import Subject, colours_shared, describe_subject
from ..metrics.retention import measure_retention
from ..settings.declare import SEEDS
from ..settings.schema import Settings
from ..tagging.ensemble import names_of, open_taggers
from ..training.preview import sample
from ..training.trainer import Trainer
from ..workspace.crops import known_mask, view_tags
from ..workspace.kohya_folders import list_pictures, read_caption
from ..workspace.outfit import named_outfit
from ..workspace.stage_record import StageRecord
from ..workspace.workspace import Workspace
from .context import StageContext
from .train_samples import to_image

# From the widest: the framing that shows most of the character is looked at
FRAMINGS = ("full body", "cowboy shot", "upper body", "portrait")
ASKED = 2  # prompts that ask for something new; one picture each


class EarlyStop:
    """Judges epochs by pictures that the networks under training draw, and says when to end.

    The pictures have seeds of their own, so that the training's random streams stay as they are.
    The scores are kept in the stage's record, from which a resumed training goes on.
    """

    def __init__(
        self,
        settings: Settings,
        workspace: Workspace,
        host: Host,
        job: Job,
        record: StageRecord,
        resolution: int,
    ) -> None:
        self._settings = settings
        self._job = job
        self._record = record
        self._side = resolution
        self._tagger = open_taggers(settings.caption, host, job)
        self._quality = host.checkpoint.quality
        files = list_pictures(workspace.image_folder(settings))
        captions = [split_tags(read_caption(path)) for path in files]
        crops = [read_rgb(path) for path in files]
        views = {tag for tags in view_tags(workspace).values() for tag in tags}
        framing = next((tag for tag in FRAMINGS if tag in views), FRAMINGS[0])
        character = settings.character
        front = [character.trigger, character.class_token]
        self._own = Probe(join_tags([*front, "solo", framing, "looking at viewer"]))
        self._asking: Sequence[Probe] = ()
        self._traits: tuple[str, ...] = ()
        self._subject = Subject()
        if self._tagger:
            folders = self._tagger.folders
            known = names_of(folders)["tags"] if folders and not self._tagger.own else None
            clothes = named_outfit(settings, workspace).clothes
            self._asking = character_probes(front[0], front[1], captions, known, clothes)[:ASKED]
            self._traits = CharacterTraits(settings, workspace, self._tagger).of(framing)
        else:
            self._subject = describe_subject(
                [], crops, [known_mask(workspace, path) for path in files]
            )
        self._surfaces = [
            surface for image in crops if not (surface := self._surface(image)).invalid
        ]
        self._base: dict[Probe, list[Image.Image]] = {}

    def forget_after(self, epoch: int) -> None:
        """Drop the scores of later epochs: those are trained again."""
        scores = self._record.data.get("probes", {})
        self._record.data["probes"] = {
            key: values for key, values in scores.items() if int(key) <= epoch
        }

    def judge(self, epoch: int, model: TrainingModel, network: LoraNetwork) -> None:
        """Draw and score an epoch; the network must be attached.

        Raises: JobCancelled.
        """
        try:
            scores = self._scores(model, network)
        except TrainingError as error:
            # A picture that cannot be decoded is no reason to stop training.
            self._job.log("warning", message=f"epoch {epoch}: not probed: {error}")
            return
        self._record.data.setdefault("probes", {})[str(epoch)] = scores
        told = ", ".join(f"{name} {value:.2f}" for name, value in scores.items())
        self._job.log("probe", epoch=epoch, **scores)
        self._job.report(Progress("train", message=f"epoch {epoch} probed: {told}"))

    def reason(self) -> str:
        """Why training ends here, in words; '' while it goes on."""
        return reason_to_stop(self._settings, self._record)

    def _scores(self, model: TrainingModel, network: LoraNetwork) -> dict[str, float]:
        own = self._draw(self._own, model, network)
        base = self._without(self._own, model, network)
        tags = tag_pictures(self._tagger, own)
        base_tags = tag_pictures(self._tagger, base)
        valid = [*self._surfaces, *map(self._surface, base)]
        damages = [surface_damage(self._surface(image), valid)[0] for image in own]
        scores = {}
        if tags:
            heads, base_heads = tag_heads(self._tagger, own), tag_heads(self._tagger, base)
            missing = [
                subject_missing(each, base_tags, CloserLook(head, base_heads))[0]
                for each, head in zip(tags, heads, strict=True)
            ]
            damages = [max(pair) for pair in zip(damages, missing, strict=True)]
            if self._traits:
                scores["retention"] = measure_retention(self._traits, tags).score
            obeyed = possible = 0.0
            for probe in self._asking:
                drawn = tag_pictures(self._tagger, self._draw(probe, model, network))
                without = tag_pictures(self._tagger, self._without(probe, model, network))
                counts = count_obeyed(probe.asks, drawn, without)
                obeyed += counts[0]
                possible += counts[1]
            if possible:
                scores["flexibility"] = obeyed / possible
        else:
            shared = [colours_shared(image, self._subject) for image in own]
            scores["retention"] = sum(shared) / len(shared)
        scores["damage"] = sum(damages) / len(damages)
        return {name: round(value, 4) for name, value in scores.items()}

    def _without(
        self, probe: Probe, model: TrainingModel, network: LoraNetwork
    ) -> list[Image.Image]:
        """What the checkpoint alone draws of the same seeds; drawn once."""
        if probe not in self._base:
            with network.switched_off():
                self._base[probe] = self._draw(probe, model, network)
        return self._base[probe]

    def _draw(self, probe: Probe, model: TrainingModel, network: LoraNetwork) -> list[Image.Image]:
        options = self._settings.training
        count = 1 if probe.asks else options.early_stop_pictures
        images = []
        for number in range(count):
            self._job.raise_if_cancelled()
            pixels = sample(
                model,
                network,
                self._quality.in_prompt(probe.prompt),
                self._quality.in_negative(self._settings.plot.negative_prompt),
                (options.sample_seed + number) % SEEDS,
                self._side,
                options.clip_skip,
            )
            images.append(to_image(pixels))
        return images

    def _surface(self, image: Image.Image) -> Surface:
        small = image.convert("RGB")
        small.thumbnail((self._side, self._side), Image.Resampling.LANCZOS)
        return measure_surface(small)


def reason_to_stop(settings: Settings, record: StageRecord) -> str:
    """Why a training with this record ends where it is, in words; '' where it goes on."""
    options = settings.training
    if not options.early_stop:
        return ""
    scores = {int(epoch): values for epoch, values in record.data.get("probes", {}).items()}
    return stop_reason(scores, options.early_stop_patience)


def open_early_stop(
    context: StageContext, record: StageRecord, trainer: Trainer, resolution: int
) -> EarlyStop | None:
    """What judges the epochs; None where nobody asks."""
    settings = context.settings
    if not settings.training.early_stop and context.on_epoch is None:
        return None
    early_stop = EarlyStop(
        settings, context.workspace, context.host, context.job, record, resolution
    )
    early_stop.forget_after(trainer.state.epoch)
    trainer.ends_early = bool(early_stop.reason())
    return early_stop
