"""The data set of a workspace, for the page and the HTTP API: what it holds, and changes to it."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import ConflictError, NotFoundError, SettingsError, SingleLoraError
from ..files.names import check_name
from ..jobs import Job, Ticket, plain_values
from ..settings.schema import Settings
from ..workspace.training_preset import current
from ..workspace.workspace import Workspace
from .service import Service

Box = tuple[int, int, int, int]


class DatasetService:
    """Requests on data sets; imports are late for the reason that `service.py` gives."""

    def __init__(self, service: Service) -> None:
        self.service = service

    # See
    # ----------------------------------------------------------------------------

    def all(self, name: str) -> dict[str, Any]:
        """The whole data set as plain values.  Raises: WorkspaceError."""
        from ..curation.overview import dataset_of

        return plain_values(dataset_of(*self._opened(name)))

    def shapes(self, name: str) -> dict[str, Any]:
        """What a crop is worth: the training's buckets, the picture's size, and its scale.

        scale: pixels of the user's own picture for one of the prepared picture.
        Raises: NotFoundError, when nothing is prepared; CheckpointError.
        """
        from ..crops.buckets import training_buckets
        from ..curation.overview import crops_of
        from ..imaging.load import picture_size

        settings, workspace = self._opened(name)
        if not workspace.prepared.exists():
            raise NotFoundError(f"{name}: found no prepared picture; call 'prepare' first")
        size = picture_size(workspace.prepared)
        original = workspace.original()
        scale = max(picture_size(original)) / max(size) if original else 1.0
        for crop in crops_of(settings, workspace):
            if "box" in crop and "pixels" in crop:
                left, _, right, _ = crop["box"]
                scale = crop["pixels"][0] / max(1, right - left)
                break
        buckets = [list(bucket) for bucket in training_buckets(settings, self.service.host)]
        return {"buckets": buckets, "size": list(size), "scale": round(min(1.0, scale), 4)}

    def known_tags(self, name: str) -> dict[str, Any]:
        """Tags to choose from, the category of those in use, and what each crop's caption left out.

        Raises: WorkspaceError.
        """
        from ..captions.tag_categories import category_of
        from ..captions.text import split_tags
        from ..curation.overview import captions_of

        settings, workspace = self._opened(name)
        captions = captions_of(settings, workspace)["captions"]
        seen: dict[str, list[str]] = workspace.record("caption").data.get("seen", {})
        own = {crop: split_tags(each["text"]) for crop, each in captions.items()}
        left = {
            crop: [tag for tag in tags if tag not in own.get(crop, ())]
            for crop, tags in seen.items()
        }
        used = {tag for tags in (*own.values(), *left.values()) for tag in tags}
        return plain_values(
            {
                "tags": self._tags_of_taggers(),
                "categories": {tag: category_of(tag) for tag in sorted(used)},
                "left": left,
            }
        )

    def _tags_of_taggers(self) -> list[str]:
        """The tags that the first tagger at hand knows; none without one."""
        from ..tagging.ensemble import known_folders
        from ..tagging.wd import read_tags

        with contextlib.suppress(SingleLoraError, OSError, AttributeError):
            for folder in known_folders(self.service.host)[:1]:
                return [tag for tag, category in read_tags(folder) if category == "0"]
        return []

    def prompts(self, name: str, first: int = 0, count: int = 3, template: str = "") -> list[str]:
        """Prompts of the regularization set as they will be drawn, from a number on.

        template: one that is still being typed; '' for that of the settings.
        Raises: WorkspaceError, SettingsError, and as the stage does for a template that cannot be
            read.
        """
        from ..stages.regularize import sample_prompts

        settings, workspace = self._opened(name)
        if template:
            settings = settings.with_values({"regularization.template": template})
        return sample_prompts(settings, workspace, self.service.host, first, count)

    # Change
    # ----------------------------------------------------------------------------

    def replace_mask(self, name: str, mask: Image.Image) -> None:
        """Take another mask (white is the character), of the prepared picture's size.

        Raises: WorkspaceError.
        """
        from ..curation.mask import replace_mask

        replace_mask(self._quiet(name), mask)

    def upload_mask(self, name: str, data: bytes) -> None:
        """The same from a file's bytes.  Raises: WorkspaceError, PictureError."""
        from ..curation.mask import mask_from, replace_mask

        workspace = self._quiet(name)
        replace_mask(workspace, mask_from(workspace, data))

    def place(self, name: str, crop: str, box: Box) -> Settings:
        """Have `crop` put a crop into this box (pixels of the prepared picture), or add one.

        Raises: SettingsError.
        """
        from ..curation.overview import add_box

        workspace = self.service.workspace(name)
        return self.service.change(name, lambda saved: add_box(saved, workspace, crop, box))

    def leave_out(self, name: str, crop: str) -> Settings:
        """Have `crop` cut all but this one from now on.  Raises: SettingsError."""
        from ..curation.overview import leave_out_crop

        workspace = self.service.workspace(name)
        return self.service.change(name, lambda saved: leave_out_crop(saved, workspace, crop))

    def rename_crop(self, name: str, crop: str, wanted: str) -> tuple[str, Settings]:
        """Give a crop another name, its picture and its caption too: (the name, the settings).

        Raises: WorkspaceError, SettingsError, for a name that it cannot have; ConflictError, for
            one that is taken, or while a job is at work; NotFoundError, for an unknown crop.
        """
        from ..curation.crop_name import new_name, rename_files, settings_renamed

        workspace = self._quiet(name)
        with workspace.writing("name of a crop"):
            settings = self.service.settings(name)
            given = new_name(settings, workspace, crop, wanted)
            if given == crop:
                return given, settings
            changed = self.service.change(
                name, lambda saved: settings_renamed(saved, workspace, crop, given)
            )
            rename_files(changed, workspace, crop, given)
            return given, changed

    def choose_traits(self, name: str, left_out: Collection[str]) -> Settings:
        """Have captions leave out exactly these of the character's traits.

        Raises: SettingsError.
        """
        from ..curation.overview import choose_traits

        workspace = self.service.workspace(name)
        return self.service.change(name, lambda saved: choose_traits(saved, workspace, left_out))

    def write_caption(self, name: str, crop: str, text: str) -> dict[str, Any]:
        """Write one caption; it can be undone.  Raises: WorkspaceError."""
        from ..curation.captions import write_caption

        write_caption(self.service.settings(name), self._quiet(name), crop, text)
        return self.captions(name)

    def edit_tags(
        self,
        name: str,
        add: Sequence[str] = (),
        remove: Sequence[str] = (),
        replace: Sequence[str] = (),
    ) -> dict[str, Any]:
        """The same change in every caption.

        replace: 'old=new' each.

        Raises: WorkspaceError, SettingsError.
        """
        from ..captions.edits import parse_replacement
        from ..curation.captions import edit_tags

        pairs = dict(map(parse_replacement, replace))
        for tag in (*add, *pairs.values()):
            if not tag.strip() or "," in tag:
                raise SettingsError(
                    f"tag {tag!r}: found {'a comma' if ',' in tag else 'nothing'}, expected one tag"
                )
        edit_tags(self.service.settings(name), self._quiet(name), add, remove, pairs)
        return self.captions(name)

    def undo(self, name: str) -> dict[str, Any]:
        """Take the last change of captions back.  Raises: WorkspaceError, when there is none."""
        from ..curation.captions import undo_tags

        undo_tags(self.service.settings(name), self._quiet(name))
        return self.captions(name)

    def captions(self, name: str) -> dict[str, Any]:
        """Captions with their tokens, the tags' frequencies, what can be undone."""
        from ..curation.overview import captions_of

        return plain_values(captions_of(*self._opened(name)))

    def review(
        self, name: str, take_back: Sequence[str] = (), reject: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Take regularization pictures back, or put some aside, by hand.

        Raises: WorkspaceError.
        """
        from ..curation.overview import regularization_of
        from ..curation.regularization import review

        settings = self.service.settings(name)
        workspace = self._quiet(name)
        review(settings, workspace, take_back, reject)
        return plain_values(regularization_of(settings, workspace))

    def redraw(self, name: str, picture: str) -> Ticket[dict[str, Any]]:
        """Queue a job that draws one regularization picture anew, with another seed.

        picture: its number, such as 7 or 0007.
        Raises: WorkspaceError; NotFoundError, for a picture that is not there.
        """
        from ..curation.regularization import picture_named

        settings = self.service.settings(name)
        workspace = self.service.workspace(name)
        number = picture_named(settings, workspace, picture)
        host = self.service.host

        def work(job: Job) -> dict[str, Any]:
            from ..stages.context import StageContext
            from ..stages.regularize_redraw import redraw

            with host.exclusive(job), workspace.writing("redraw"):
                now = current(workspace, host.asked_preset)[0]
                path = redraw(StageContext(now, workspace, host, job), number)
                return {"picture": str(path)}

        return self.service.runner.submit(f"{name}: redraw", work, workspace.events, host.mirror)

    def check_trigger(
        self, name: str, word: str = "", force: bool = False
    ) -> Ticket[dict[str, Any]]:
        """Queue a job that tells whether a word is free to be a trigger.

        word: the workspace's trigger where none is given.
        Raises: WorkspaceError.
        """
        if word:
            check_name(word, "trigger")
        workspace = self.service.workspace(name)
        host = self.service.host

        def work(job: Job) -> dict[str, Any]:
            from ..stages.context import StageContext
            from ..stages.trigger import check_trigger

            with host.exclusive(job), workspace.writing("trigger"):
                settings = current(workspace, host.asked_preset)[0]
                context = StageContext(settings, workspace, host, job, force)
                return check_trigger(context, word).as_dict()

        return self.service.runner.submit(f"{name}: trigger", work, workspace.events, host.mirror)

    def file(self, name: str, relative: str) -> Path:
        """A file of the workspace."""
        return self.service.file(name, relative)

    def _opened(self, name: str) -> tuple[Settings, Workspace]:
        workspace = self.service.workspace(name)
        return workspace.load_settings(), workspace

    def _quiet(self, name: str) -> Workspace:
        """The workspace, if no job is at work on it.  Raises: ConflictError."""
        workspace = self.service.workspace(name)
        running = self.service.runner.running
        if running is not None and running.job.title.rpartition(":")[0] == name:
            raise ConflictError(
                f"{name}: found the job '{running.job.title}' at work on it, expected none while"
                " files are changed by hand; wait for it, or cancel it"
            )
        return workspace
