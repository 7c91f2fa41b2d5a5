"""The data set of a workspace, for the page and the HTTP API: what it holds, and changes to it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ..errors import ConflictError, SettingsError
from ..files.names import check_name
from ..jobs import Job, Ticket, plain_values
from ..settings.schema import Settings
from ..workspace.training_preset import current
from ..workspace.workspace import Workspace
from .service import Service

Box = tuple[int, int, int, int]
RECORDS = {
    "picture": "prepare",
    "crops": "crop",
    "captions": "caption",
    "regularization": "regularize",
}


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

    def overlay(self, name: str) -> Image.Image:
        """The picture with the background under red.

        Raises: NotFoundError, when nothing is prepared.
        """
        from ..curation.mask import mask_overlay

        return mask_overlay(self.service.workspace(name))

    def boxes(self, name: str) -> Image.Image:
        """The picture with the boxes of the crops.

        Raises: NotFoundError, when nothing is prepared.
        """
        from ..curation.overview import boxes_picture

        return boxes_picture(*self._opened(name))

    def scale_of_boxes(self, name: str) -> float:
        """Pixels of the prepared picture for one of the picture with the boxes."""
        from ..imaging.load import picture_size

        return picture_size(self.service.workspace(name).prepared)[0] / self.boxes(name).width

    def count(self, text: str) -> tuple[int, str, int]:
        """(CLIP tokens of a caption, its part beyond the limit, the limit)."""
        from ..captions.tokens import LIMIT
        from ..curation.captions import count

        counted = count(text)
        return counted.tokens, counted.beyond, LIMIT

    def marks(self, name: str) -> list[str]:
        """A text for each part of the data set that changes when the part does; '' for none yet.

        The parts are those of RECORDS.  A set that is being drawn changes once, when it is done.
        """
        if name not in self.service.names():
            return [""] * len(RECORDS)
        workspace = self.service.workspace(name)
        state = {stage: workspace.record(stage) for stage in RECORDS.values()}
        beside = {
            "prepare": [workspace.mask],
            "crop": [workspace.prepared],
            "caption": [workspace.root / "log" / "edits.json"],
            "regularize": [],
        }
        marks = []
        for stage, record in state.items():
            files = [workspace.root / "log" / f"{stage}.json", *beside[stage]]
            times = [str(path.stat().st_mtime_ns) for path in files if path.exists()]
            marks.append(" ".join(times) if record.complete else "")
        return marks

    # Change
    # ----------------------------------------------------------------------------

    def paint(self, name: str, strokes: Image.Image, add: bool) -> None:
        """Add painted strokes (L) to the character's mask, or take them away.

        Raises: WorkspaceError.
        """
        from ..curation.mask import change_mask

        change_mask(self._quiet(name), strokes, add)

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

    def clean(self, name: str, artifacts: Collection[str]) -> Settings:
        """Have `prepare` clean these artifacts from now on; none for none.

        Raises: SettingsError.
        """
        known = {str(artifact["name"]) for artifact in self.all(name)["artifacts"]}
        for artifact in artifacts:
            if artifact not in known:
                raise SettingsError(
                    f"artifacts: found '{artifact}', expected some of"
                    f" {', '.join(sorted(known)) or 'none'}"
                )
        return self.service.change(name, {"prepare.clean_artifacts": ",".join(artifacts) or "off"})

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
