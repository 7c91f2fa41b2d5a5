"""Regularize: pictures of the class, drawn by the checkpoint from wildcard prompts and filtered."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from PIL import Image

from ..captions.prompt_language import escape, prompt_of, tags_of
from ..captions.tag_categories import plain
from ..captions.text import join_tags, split_tags
from ..captions.trigger_text import without_triggers
from ..captions.wildcards import WildcardPrompts, wildcard_folders
from ..crops.buckets import Size, nearest_bucket, training_buckets
from ..curation.regularization import STAGE, Decision, Review
from ..errors import PictureError, SettingsError, WorkspaceError
from ..files.fileio import file_hash, fingerprint
from ..host import GeneratedImage, Host, ImageRequest
from ..imaging.load import load_picture, picture_size
from ..imaging.png import png_bytes
from ..jobs import Progress, in_series
from ..metrics.rejection import (
    KeptPictures,
    Subject,
    describe_subject,
    rejection_reasons,
    summarize_reasons,
)
from ..settings.declare import SEEDS
from ..settings.regularization import FilterSettings, RegularizationSettings
from ..settings.schema import Settings
from ..tagging.ensemble import looking, open_taggers, tags_above
from ..workspace.crops import view_mask
from ..workspace.kohya_folders import list_pictures, read_caption
from ..workspace.resume import begin, finish
from ..workspace.timing import Stopwatch, save_pace
from ..workspace.workspace import Workspace
from .context import StageContext
from .train_pictures import character_samples, pictures_used, shows_the_class

GATHERED = 16  # pictures that are prepared together and sorted by size
MOST_PICTURES = 10_000  # of a set that is as large as the training wants it


@dataclass(frozen=True)
class RegularizeResult:
    """The regularization set.

    pictures: those in the folder now.
    rejected: the reasons of each picture that was put aside.
    notes: what the user should know of the set.
    """

    pictures: tuple[Path, ...]
    rejected: dict[Path, tuple[str, ...]]
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The stage's part of the JSON object."""
        return {
            "regularization": [str(path) for path in self.pictures],
            "regularization_notes": list(self.notes),
            "rejected": {str(path): list(reasons) for path, reasons in self.rejected.items()},
        }


def regularize_for_training(context: StageContext) -> RegularizeResult:
    """The set for the training that follows: nothing is drawn where training would not show it.

    What was drawn before stays.  Raises: as `regularize`.
    """
    if not (why := context.settings.class_unshown()):
        return regularize(context)
    note = f"nothing to draw: {why}"
    context.job.log("skipped", stage=STAGE, note=note)
    context.job.report(Progress(STAGE, 1, 1, note))
    folder = context.workspace.reg_folder(context.settings)
    return RegularizeResult(tuple(list_pictures(folder)), {}, (note,))


def regularize(context: StageContext) -> RegularizeResult:
    """Draw until `count` pictures stay, or as many as training uses.

    Picture n has the prompt and the seed of `regularization.seed` + n - 1.  Each is judged as it is
    drawn; with another filter, or other crops, those on disk are judged again.  What the user
    decided, edited or moved stays as it is.  It draws where training will not show the set too, and
    says so.

    Raises: WildcardError, before anything is drawn; JobCancelled, keeping what is drawn.
    """
    settings = context.settings
    workspace = context.workspace
    options = settings.regularization
    before = workspace.record(STAGE)
    record, done = begin(workspace, STAGE, _drawing_mark(context), context.force)
    if not context.force and "decisions" not in record.data:
        # Other pictures are asked for; what the user decided stays.
        earlier = before.data.get("decisions", {})
        record.data["decisions"] = {
            name: values for name, values in earlier.items() if values["by"] == "hand"
        }
    crops = list_pictures(workspace.image_folder(settings))
    filter_mark = fingerprint(
        {name: getattr(options, name) for name in sorted(_filter_names())},
        [(path.name, file_hash(path), read_caption(path)) for path in crops],
    )
    review = Review(settings, workspace, record)
    count = wanted(settings, workspace)
    notes: list[str] = record.data.get("notes", [])
    is_same_set = record.data.get("count") == count and record.data.get("judged") == filter_mark
    if not (done and is_same_set):
        # Another count is no other set: what is drawn stays, and only what is missing is added.
        record.complete = False
        if count and (why := settings.class_unshown()):
            context.job.report(Progress(STAGE, 0, count, f"{why}, these neither"))
        notes = SetDrawer(context, review, crops, count).fill(filter_mark)
        record.data |= {"count": count, "notes": notes}
        finish(workspace, record, review.files())
    rejected = {path: decision.reasons for path, decision in review.reviewed().rejected.items()}
    return RegularizeResult(
        tuple(list_pictures(review.folder)),
        rejected,
        (*notes, *_more_than_used(settings, workspace, count)),
    )


def _filter_names() -> set[str]:
    """The settings that judge pictures and do not draw them."""
    return {item.name for item in fields(FilterSettings)}


def _drawing_mark(context: StageContext) -> str:
    """The fingerprint of all that the drawn pictures depend on."""
    settings = context.settings
    beside = {"count", "as_used", *_filter_names()}
    drawing = {
        key: value for key, value in vars(settings.regularization).items() if key not in beside
    }
    twins: list[object] = []
    # A set from the template is what it was before there were twins.
    if drawing.pop("prompts") == "class twins":
        crops = list_pictures(context.workspace.image_folder(settings))
        twins = [[(twin.crop.name, twin.tags) for twin in class_twins(settings, crops)]]
    return fingerprint(
        drawing,
        *twins,
        looking(settings.caption),
        settings.character.class_token,
        context.host.checkpoint.drawing_mark,
        training_buckets(settings, context.host),
    )


@dataclass(frozen=True)
class ClassTwin:
    """A crop's caption with the class alone.

    crop: the crop's picture.
    tags: the class first.
    """

    crop: Path
    tags: tuple[str, ...]


def class_twins(settings: Settings, crops: Sequence[Path]) -> list[ClassTwin]:
    """The twin of each line of each crop's caption; without a caption that is the class."""
    character = settings.character
    triggers = (character.trigger, settings.caption.outfit_trigger)
    twins = []
    for path in crops:
        for line in read_caption(path).splitlines() or [""]:
            bare = without_triggers(line, triggers, character.class_token)
            tags = dict.fromkeys((character.class_token, *split_tags(bare)))
            twins.append(ClassTwin(path, tuple(tags)))
    return twins


def wanted(settings: Settings, workspace: Workspace) -> int:
    """How many pictures are to stay.

    Raises: WorkspaceError, when it depends on the training and there are no crops to train on.
    """
    if not settings.regularization.as_used:
        return settings.regularization.count
    used = pictures_used(settings, workspace)
    if not used:
        raise WorkspaceError(
            f"{workspace.image_folder(settings)}: found no pictures, expected crops, for"
            " regularization.as_used draws one for each time that training shows one; call 'crop'"
            " first, or name regularization.count"
        )
    if used > MOST_PICTURES:
        raise SettingsError(
            f"regularization.as_used: found a training that would want {used} pictures, expected at"
            f" most {MOST_PICTURES}; name regularization.count instead, or lower training.repeats"
            " or training.epochs"
        )
    return used if shows_the_class(settings) else 0


def sample_prompts(
    settings: Settings, workspace: Workspace, host: Host, first: int, count: int
) -> list[str]:
    """The prompts of pictures from a number on, as they will be drawn; draws nothing.

    Raises: WildcardError, for a template that cannot be read.
    """
    options = settings.regularization
    if options.prompts == "class twins":
        twins = class_twins(settings, list_pictures(workspace.image_folder(settings)))
        numbers = range(first, first + count) if twins else ()
        return [prompt_of(twins[number % len(twins)].tags) for number in numbers]
    template = options.template.replace("{class}", escape(settings.character.class_token))
    prompts = WildcardPrompts(template, _folders(options, host))
    return [prompts.draw((options.seed + number) % SEEDS) for number in range(first, first + count)]


def _more_than_used(settings: Settings, workspace: Workspace, count: int) -> list[str]:
    """A note where training is too short to use the whole set, or uses none of it."""
    if why := settings.class_unshown():
        if count:
            return [f"{why}, these neither; 'run' draws none then"]
        return [f"nothing to draw: {why}"] if settings.regularization.as_used else []
    used = pictures_used(settings, workspace)
    if not used or used >= count:
        return []
    samples = character_samples(settings, workspace)
    return [
        f"training shows {samples} samples of the character altogether, so {used} of the {count}"
        f" pictures will be used; regularization.count={used} is enough, or"
        " regularization.as_used=true"
    ]


@dataclass(frozen=True)
class PlannedPicture:
    """A picture to draw.

    name: of its file.
    size: width and height, pixels.
    twin: the crop whose caption it is drawn from; None for a prompt of the template.
    """

    name: str
    seed: int
    prompt: str
    size: Size
    twin: ClassTwin | None


class SetDrawer:
    """Draws and judges the set in one call."""

    def __init__(
        self, context: StageContext, review: Review, crops: Sequence[Path], count: int
    ) -> None:
        settings = context.settings
        self.settings = settings
        self.workspace = context.workspace
        self.host = context.host
        self.job = context.job
        self.force = context.force
        self.options = settings.regularization
        self.review = review
        self.count = count
        self.seen = KeptPictures()
        self.watch = Stopwatch()
        template = self.options.template.replace("{class}", escape(settings.character.class_token))
        self.prompts = WildcardPrompts(template, _folders(self.options, self.host))
        self.taggers = open_taggers(settings.caption, self.host, self.job) if count else None
        self.sizes = _sizes(crops, training_buckets(settings, self.host))
        is_twins = self.options.prompts == "class twins"
        self.twins = class_twins(settings, crops) if is_twins else []
        if is_twins and count and not crops:
            raise WorkspaceError(
                f"{self.workspace.image_folder(settings)}: found no pictures, expected crops with"
                " captions, for regularization.prompts is 'class twins'; call 'crop' and 'caption'"
                " first"
            )
        self.subject = self._describe(crops) if self.options.filter and count else Subject()

    def fill(self, filter_mark: str) -> list[str]:
        """Judge what is there, then draw what is missing; notes for the user.

        filter_mark: fingerprint of the filter and the crops.
        """
        record = self.review.record
        self._judge_again(record.data.get("judged") != filter_mark)
        record.data["judged"] = filter_mark
        self.review.drop_after(self.count)
        limit = math.ceil(self.count * (self.options.draw_limit if self.options.filter else 1))
        numbers = iter(range(1, limit + 1))
        try:
            while self.review.kept < self.count and (batch := self._next(numbers)):
                self._draw(batch)
        finally:
            save_pace(self.workspace, self.host, self.watch)
        return self._notes()

    def _next(self, numbers: Iterator[int]) -> list[PlannedPicture]:
        """What to draw next: no more than may stay, of sizes that the host draws in few batches.

        Pictures that belong to this set, or were taken out by hand, are left out.
        """
        missing = self.count - self.review.kept
        batch: list[PlannedPicture] = []
        while len(batch) < min(missing, GATHERED):
            number = next(numbers, None)
            if number is None:
                break
            if (name := f"{number:04d}") in self.review:
                continue
            twin = self.twins[(number - 1) % len(self.twins)] if self.twins else None
            seed = (self.options.seed + number - 1) % SEEDS
            prompt = prompt_of(twin.tags) if twin else self.prompts.draw(seed)
            batch.append(PlannedPicture(name, seed, prompt, self._size(number, twin), twin))
            if self.host.batch_limit(*batch[0].size) == 1:
                break  # one by one, so that each is on disk and to be seen at once
        return batch

    def _draw(self, batch: Sequence[PlannedPicture]) -> None:
        """Draw and judge pictures in their order; one that the user edited is taken as it is."""
        self.job.raise_if_cancelled()
        message = f"{in_series(self.review.kept, len(batch))} of {self.count}"
        self.job.report(Progress(STAGE, self.review.kept, self.count, message))
        edited = {each.name for each in batch if self._edited(each)}
        drawn = self._drawn([each for each in batch if each.name not in edited])
        for each in batch:
            picture = drawn.get(each.name)
            if picture is None:
                image = load_picture(self._path(each)).image
                data = b""
                caption = self._caption(self._tags(image), "")
                decision = Decision(True, (), "hand", each.seed, "", caption)
            else:
                image = picture.image
                data = png_bytes(image, picture.parameters)
                decision = self.decide(each, picture)
            self.review.note(each.name, decision)
            self.review.place(each.name, data, self.force)
            if decision.kept:
                self.seen.add(each.name, image)
            message = each.prompt if decision.kept else f"rejected: {decision.reasons[0]}"
            files = (self.review.path(each.name),)
            self.job.report(Progress(STAGE, self.review.kept, self.count, message, pictures=files))

    def _path(self, picture: PlannedPicture) -> Path:
        return self.review.folder / f"{picture.name}.png"

    def _edited(self, picture: PlannedPicture) -> bool:
        return not self.force and self.workspace.edited(self.review.record, self._path(picture))

    def _size(self, number: int, twin: ClassTwin | None) -> Size:
        """The bucket of a twin's own crop; else those of all crops by turns."""
        if twin:
            with contextlib.suppress(PictureError):
                buckets = training_buckets(self.settings, self.host)
                return nearest_bucket(picture_size(twin.crop), buckets)
        return self.sizes[(number - 1) % len(self.sizes)]

    def _drawn(self, batch: Sequence[PlannedPicture]) -> dict[str, GeneratedImage]:
        """New pictures by their names; those of one size are drawn together."""
        drawn: dict[str, GeneratedImage] = {}
        for size in dict.fromkeys(each.size for each in batch):
            together = [each for each in batch if each.size == size]
            requests = [
                picture_request(self.settings, each.prompt, each.seed, size) for each in together
            ]
            work = len(together) * size[0] * size[1] * self.options.steps
            with self.watch.measured(len(together), work):
                pictures = self.host.generate_batch(requests, self.job)
            drawn |= {each.name: new for each, new in zip(together, pictures, strict=True)}
        return drawn

    def decide(self, picture: PlannedPicture, drawn: GeneratedImage) -> Decision:
        """What the filter says of a new picture."""
        tags = self._tags(drawn.image)
        twin = picture.twin
        caption = join_tags(twin.tags) if twin else self._caption(tags, picture.prompt)
        if drawn.skipped:
            found = ["skipped before it was finished"]
            return Decision(False, tuple(found), "hand", picture.seed, picture.prompt, caption)
        found = self._reasons(drawn.image, tags)
        return Decision(not found, tuple(found), "filter", picture.seed, picture.prompt, caption)

    def _judge_again(self, everything: bool) -> None:
        """Look at the pictures that are there.

        everything: judge all of them, as the filter has changed; else look only at those that stay,
            to know their duplicates.
        """
        for name in self.review:
            decision = self.review.of(name)
            path = self.review.path(name)
            if not path.exists() or not (decision.kept or everything):
                continue
            self.job.raise_if_cancelled()
            image: Image.Image | None = None
            found = list(decision.reasons)
            try:
                image = load_picture(path).image
                if everything and decision.by == "filter":
                    found = self._reasons(image, self._tags(image))
            except PictureError as error:
                found = [f"broken: {error}"]
            kept = decision.kept if decision.by == "hand" else not found
            is_changed = (kept, tuple(found)) != (decision.kept, decision.reasons)
            if is_changed and decision.by == "filter":
                self.review.decide(name, kept, found)
            if kept and image:
                self.seen.add(name, image)

    def _reasons(self, image: Image.Image, tags: list[str] | None) -> list[str]:
        """Why to reject a picture; none for one that stays."""
        class_token = self.settings.character.class_token
        return rejection_reasons(image, tags, self.subject, self.seen, self.options, class_token)

    def _tags(self, image: Image.Image) -> list[str] | None:
        """The taggers' tags of a picture; None without a tagger."""
        if not self.taggers:
            return None
        return tags_above(self.taggers.tag([image])[0], self.settings.caption)

    def _caption(self, tags: list[str] | None, prompt: str) -> str:
        """The class with the tags, or without a tagger with those of the prompt."""
        described = tags_of(prompt) if tags is None else tags
        return join_tags([self.settings.character.class_token, *described])

    def _describe(self, crops: Sequence[Path]) -> Subject:
        """The character, whom no picture of the set should show."""
        images = [load_picture(path).image for path in crops]
        # What a twin names is asked for, and no sign of the character.
        named = {plain(tag) for twin in self.twins for tag in twin.tags}
        tags = [
            [
                tag
                for tag in (*(self._tags(image) or []), *split_tags(read_caption(path)))
                if plain(tag) not in named
            ]
            for image, path in zip(images, crops, strict=True)
        ]
        masks: list[Image.Image | None] = []
        for path in crops:
            try:
                masks.append(view_mask(self.workspace, path))
            except (PictureError, OSError):
                # Cut anew by hand: the character is found in it as in any other picture.
                masks.append(None)
        return describe_subject(tags, images, masks)

    def _notes(self) -> list[str]:
        """Notes on the set for the user."""
        notes = []
        decisions = {name: self.review.of(name) for name in self.review}
        rejected = {name: each.reasons for name, each in decisions.items() if not each.kept}
        if rejected:
            notes.append(
                f"{len(rejected)} pictures were put aside ({summarize_reasons(rejected)}); see them"
                " with 'regularize --list'"
            )
        if self.review.kept < self.count:
            notes.append(
                f"{self.review.kept} pictures stay, expected {self.count}: the limit of drawing was"
                " reached; take some back, change the template, or raise regularization.draw_limit"
            )
        if self.options.filter and self.count and not self.taggers:
            notes.append(
                "there is no tagger: persons and tags in common with the character were not looked"
                " at"
            )
        return notes


def _folders(options: RegularizationSettings, host: Host) -> list[Path]:
    """Wildcard folders; of equal names the last one's file counts.  Raises: WildcardError."""
    return [*host.paths.wildcards, *wildcard_folders(options.wildcards)]


def _sizes(crops: Sequence[Path], buckets: list[Size]) -> list[Size]:
    """The buckets that the crops use, one for each crop; the square where there are none."""
    sizes = []
    for path in crops:
        with contextlib.suppress(PictureError):
            sizes.append(nearest_bucket(picture_size(path), buckets))
    return sizes or [nearest_bucket((1, 1), buckets)]


def picture_request(settings: Settings, prompt: str, seed: int, size: Size) -> ImageRequest:
    """A picture of the set; size: width and height, pixels."""
    options = settings.regularization
    return ImageRequest(
        prompt,
        (seed,),
        *size,
        options.negative_prompt,
        options.sampler,
        options.steps,
        options.cfg_scale,
        settings.training.clip_skip,
    )
