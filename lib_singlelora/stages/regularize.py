"""Regularize: pictures of the class, drawn by the checkpoint from wildcard prompts; what would
spoil the set goes aside.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from PIL import Image

from ..captions.prompt_language import escape, tags_of
from ..captions.text import join_tags, split_tags
from ..captions.wildcards import WildcardPrompts, wildcard_folders
from ..crops.buckets import Size, nearest_bucket, training_buckets
from ..curation.regularization import STAGE, By, Decision, Review
from ..errors import PictureError, SettingsError, WorkspaceError
from ..files.fileio import file_hash, fingerprint
from ..host import Host, ImageRequest
from ..imaging.load import load_picture, picture_size
from ..imaging.png import png_bytes
from ..jobs import Job, Progress
from ..metrics.rejection import (
    KeptPictures,
    Subject,
    describe_subject,
    rejection_reasons,
    summarize_reasons,
)
from ..settings.declare import SEEDS
from ..settings.regularization import FilterSettings
from ..settings.schema import Settings
from ..tagging.ensemble import looking, open_taggers, tags_above
from ..workspace.crops import view_mask
from ..workspace.kohya_folders import list_pictures, read_caption
from ..workspace.resume import begin, finish
from ..workspace.timing import Stopwatch, keep
from ..workspace.workspace import Workspace
from .train_pictures import pictures_used, samples_of_her, shows_the_class

MOST_PICTURES = 10_000  # of a set that is as large as the training wants it


@dataclass(frozen=True)
class RegularizeResult:
    """pictures: what is in the folder now.

    rejected: why each picture beside it was put aside.
    notes: what to know of it.
    """

    pictures: tuple[Path, ...]
    rejected: dict[Path, tuple[str, ...]]
    notes: tuple[str, ...] = ()


def regularize(
    settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool = False
) -> RegularizeResult:
    """Draw until `count` pictures stay, or as many as training uses.

    Picture n has the prompt and the seed of `regularization.seed` + n - 1.

    Each is judged as it is drawn; another filter, or other crops, judge anew what is drawn
    already.  What a person decided, edited or moved stays as it is.
    Raises: WildcardError, before anything is drawn; JobCancelled, keeping what is drawn.
    """
    options, buckets = settings.regularization, training_buckets(settings, host)
    filters = {item.name for item in fields(FilterSettings)}
    drawing = {
        key: value
        for key, value in vars(options).items()
        if key not in ("count", "as_used", *filters)
    }
    mark = fingerprint(
        drawing,
        looking(settings.caption),
        settings.character.class_token,
        host.checkpoint.sha256,
        buckets,
    )
    before = workspace.record(STAGE)
    record, done = begin(workspace, STAGE, mark, force)
    # Other pictures are asked for; what a person chose stays
    if not force and "decisions" not in record.data:
        earlier = before.data.get("decisions", {})
        record.data["decisions"] = {
            name: values for name, values in earlier.items() if values["by"] == "hand"
        }
    crops = list_pictures(workspace.image_folder(settings))
    judged = fingerprint(
        {name: getattr(options, name) for name in sorted(filters)},
        [(path.name, file_hash(path), read_caption(path)) for path in crops],
    )
    own, count = Review(settings, workspace, record), wanted(settings, workspace)
    # A smaller or larger number is no other set: what is drawn stays, and only what is missing is
    # added.
    notes: list[str] = record.data.get("notes", [])
    if not (done and record.data.get("count") == count and record.data.get("judged") == judged):
        record.complete = False
        notes = _Drawing(settings, workspace, host, job, force, own, crops, count).fill(judged)
        record.data |= {"count": count, "notes": notes}
        finish(workspace, record, own.files())
    state = own.reviewed()
    rejected = {path: found.reasons for path, found in state.rejected.items()}
    return RegularizeResult(
        tuple(list_pictures(own.folder)),
        rejected,
        (*notes, *_more_than_used(settings, workspace, count)),
    )


def wanted(settings: Settings, workspace: Workspace) -> int:
    """How many pictures are to stay.

    Raises: WorkspaceError, when the training is to say so and there is nothing to train on.
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


def _more_than_used(settings: Settings, workspace: Workspace, count: int) -> list[str]:
    """A note where training is too short to see the whole set, or looks at none of it."""
    if count and not shows_the_class(settings):
        return [
            f"training.regularization is '{settings.training.regularization}', which uses none of"
            " these pictures; regularization.count=0 draws none"
        ]
    used = pictures_used(settings, workspace)
    if not used or used >= count:
        return []
    shown = samples_of_her(settings, workspace)
    return [
        f"training shows {shown} samples of her altogether, so {used} of the {count} pictures will"
        f" be used; regularization.count={used} would do, or regularization.as_used=true"
    ]


class _Drawing:
    """One call's work on the set."""

    def __init__(
        self,
        settings: Settings,
        workspace: Workspace,
        host: Host,
        job: Job,
        force: bool,
        own: Review,
        crops: Sequence[Path],
        count: int,
    ) -> None:
        self.settings, self.workspace, self.host, self.job, self.force = (
            settings,
            workspace,
            host,
            job,
            force,
        )
        self.options, self.own, self.seen, self.watch = (
            settings.regularization,
            own,
            KeptPictures(),
            Stopwatch(),
        )
        self.count = count
        template = self.options.template.replace("{class}", escape(settings.character.class_token))
        self.prompts = WildcardPrompts(template, _folders(settings, host))
        self.taggers = open_taggers(settings.caption, host, job) if self.count else None
        self.sizes = _sizes(crops, training_buckets(settings, host))
        self.subject = self._describe(crops) if self.options.filter and self.count else Subject()

    def fill(self, judged: str) -> list[str]:
        """Judge what is there, then draw what is missing; what a person should know."""
        record = self.own.record
        self._judge_again(record.data.get("judged") != judged)
        record.data["judged"] = judged
        self.own.drop_after(self.count)
        most = math.ceil(self.count * (self.options.draw_limit if self.options.filter else 1))
        number = 0
        try:
            while self.own.kept < self.count and number < most:
                number += 1
                name = f"{number:04d}"
                if name not in self.own:  # else it is this set's own, or taken out by hand
                    self.job.raise_if_cancelled()
                    self._draw(name, number)
        finally:
            keep(self.workspace, self.host, self.watch)
        return self._notes()

    def _draw(self, name: str, number: int) -> None:
        kept, count = self.own.kept, self.count
        self.job.report(Progress(STAGE, kept, count, f"picture {kept + 1} of {count}"))
        seed = (self.options.seed + number - 1) % SEEDS
        prompt, path = self.prompts.draw(seed), self.own.folder / f"{name}.png"
        if self.workspace.edited(self.own.record, path) and not self.force:
            image = load_picture(path).image
            decision, data = (
                Decision(True, (), "hand", seed, "", self._caption(self._tags(image), "")),
                b"",
            )
        else:
            size = self.sizes[(number - 1) % len(self.sizes)]
            with self.watch.measured(1, size[0] * size[1] * self.options.steps):
                drawn = self.host.generate(_request(self.settings, prompt, seed, size), self.job)[0]
            image, data = drawn.image, png_bytes(drawn.image, drawn.parameters)
            tags = self._tags(image)
            found = (
                ["skipped before it was finished"] if drawn.skipped else self._reasons(image, tags)
            )
            by: By = "hand" if drawn.skipped else "filter"
            decision = Decision(
                not found, tuple(found), by, seed, prompt, self._caption(tags, prompt)
            )
        self.own.note(name, decision)
        self.own.place(name, data, self.force)
        if decision.kept:
            self.seen.add(name, image)
        self.job.report(
            Progress(
                STAGE,
                self.own.kept,
                count,
                prompt if decision.kept else f"rejected: {decision.reasons[0]}",
                pictures=(self.own.path(name),),
            )
        )

    def _judge_again(self, anew: bool) -> None:
        """Look at what is there: all of it under another filter, else only to know duplicates of
        what stays.
        """
        for name in self.own:
            decision, path = self.own.of(name), self.own.path(name)
            if not path.exists() or not (decision.kept or anew):
                continue
            self.job.raise_if_cancelled()
            try:
                image = load_picture(path).image
                found = (
                    self._reasons(image, self._tags(image))
                    if anew and decision.by == "filter"
                    else list(decision.reasons)
                )
            except PictureError as error:
                image, found = None, [f"broken: {error}"]
            kept = decision.kept if decision.by == "hand" else not found
            if (kept, tuple(found)) != (
                decision.kept,
                decision.reasons,
            ) and decision.by == "filter":
                self.own.decide(name, kept, found)
            if kept and image:
                self.seen.add(name, image)

    def _reasons(self, image: Image.Image, tags: list[str] | None) -> list[str]:
        return rejection_reasons(
            image, tags, self.subject, self.seen, self.options, self.settings.character.class_token
        )

    def _tags(self, image: Image.Image) -> list[str] | None:
        return (
            tags_above(self.taggers.tag([image])[0], self.settings.caption)
            if self.taggers
            else None
        )

    def _caption(self, tags: list[str] | None, prompt: str) -> str:
        return join_tags(
            [self.settings.character.class_token, *(tags_of(prompt) if tags is None else tags)]
        )

    def _describe(self, crops: Sequence[Path]) -> Subject:
        images = [load_picture(path).image for path in crops]
        tags = [
            [*(self._tags(image) or []), *split_tags(read_caption(path))]
            for image, path in zip(images, crops, strict=True)
        ]
        masks: list[Image.Image | None] = []
        for path in crops:
            try:
                masks.append(view_mask(self.workspace, path))
            # Cut anew by hand: she is found in it as in any other picture
            except (PictureError, OSError):
                masks.append(None)
        return describe_subject(tags, images, masks)

    def _notes(self) -> list[str]:
        found, rejected = (
            [],
            {name: self.own.of(name).reasons for name in self.own if not self.own.of(name).kept},
        )
        if rejected:
            found.append(
                f"{len(rejected)} pictures were put aside ({summarize_reasons(rejected)}); see them with"
                " 'regularize --list'"
            )
        if self.own.kept < self.count:
            found.append(
                f"{self.own.kept} pictures stay, expected {self.count}: the limit of drawing was"
                " reached; take some back, change the template, or raise regularization.draw_limit"
            )
        if self.options.filter and self.count and not self.taggers:
            found.append(
                "there is no tagger: persons and tags in common with her were not looked at"
            )
        return found


def _folders(settings: Settings, host: Host) -> list[Path]:
    """Wildcard folders; of equal names the last one's file counts.  Raises: WildcardError."""
    return [*host.paths.wildcards, *wildcard_folders(settings.regularization.wildcards)]


def _sizes(crops: Sequence[Path], buckets: list[Size]) -> list[Size]:
    """The buckets that the crops use, one for each crop; the square where there are none."""
    found = []
    for path in crops:
        try:
            found.append(nearest_bucket(picture_size(path), buckets))
        except PictureError:
            continue
    return found or [nearest_bucket((1, 1), buckets)]


def _request(settings: Settings, prompt: str, seed: int, size: Size) -> ImageRequest:
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
