"""The inpainting bench: pictures and masks that a page sends, kept as long as a job needs them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..files.fileio import fingerprint, is_own_file, write_bytes
from ..jobs import Job, Ticket
from .lora_files import LoraFilesService
from .service import Service

FOLDER = "given"  # below `inpaint/`
KEPT = 40  # pictures and masks from a page


class Bench:
    """Requests on inpainting; imports are late for the reason that `service.py` gives."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def inpaint(
        self, name: str, picture: bytes = b"", mask: bytes = b"", force: bool = False
    ) -> Ticket[dict[str, Any]]:
        """Queue inpainting.

        picture: a file's bytes; none for the prepared picture.
        mask: white is redrawn; none for the head, or what `inpaint.parts` names.
        Raises: WorkspaceError, PictureError, TooManyError; nothing is queued then.
        """
        own, hole = (self._taken(name, data) if data else None for data in (picture, mask))
        return self.service.submit(name, "inpaint", force, own, hole)

    def exam(self, name: str) -> Ticket[dict[str, Any]]:
        """Queue the exam: parts of the picture are redrawn with the LoRA in use, and compared.

        Raises: WorkspaceError, LoraFileError, TooManyError; nothing is queued then.
        """
        from ..library.choose import choose_lora

        service = self.service
        workspace = service.workspace(name)
        choose_lora(service.settings(name), workspace, "")

        def work(job: Job) -> dict[str, Any]:
            from ..stages.context import StageContext
            from ..stages.exam import ExamOptions, exam

            with service.host.exclusive(job):
                context = StageContext(service.settings(name), workspace, service.host, job)
                return exam(context, ExamOptions()).as_dict()

        title = f"{name}: exam"
        return service.runner.submit(title, work, workspace.events, service.host.mirror)

    def suggest(self, name: str, picture: bytes = b"", mask: bytes = b"") -> str:
        """The prompt with which `inpaint` would draw where none is set.

        Raises: WorkspaceError, PictureError, CheckpointError.
        """
        with _scratch(picture, mask) as (own, hole):
            return self.service.suggest(name, own, hole)

    def keep(self, name: str, picture: bytes) -> str:
        """Keep a picture from elsewhere; where it lies now, relative.

        Raises: WorkspaceError, PictureError.
        """
        with _scratch(picture, b"") as (own, _):
            assert own is not None
            return LoraFilesService(self.service).accept(name, own)

    def _taken(self, name: str, data: bytes) -> Path:
        """The file of a workspace that holds a picture's bytes; old ones go.  Raises: PictureError.

        A job may wait long, and the program may be started anew meanwhile.
        """
        from ..imaging.load import load_picture

        with _scratch(data, b"") as (own, _):
            assert own is not None
            load_picture(own)  # refused before anything is kept
        workspace = self.service.workspace(name)
        folder = workspace.inpaint / FOLDER
        path = folder / f"{fingerprint(data.hex())[:16]}.png"
        with workspace.adding():
            if not is_own_file(path):
                write_bytes(path, data)
            path.touch()
            files = sorted(folder.glob("*.png"), key=lambda each: -each.stat().st_mtime_ns)
            for old in files[KEPT:]:
                old.unlink(missing_ok=True)
        return path


@contextmanager
def _scratch(picture: bytes, mask: bytes) -> Iterator[tuple[Path | None, Path | None]]:
    """The bytes as files of a folder that is deleted afterwards; None where there are none."""
    with tempfile.TemporaryDirectory(prefix="singlelora-") as folder:
        paths: list[Path | None] = []
        for word, data in (("picture", picture), ("mask", mask)):
            path = Path(folder) / f"{word}.png"
            if data:
                path.write_bytes(data)
            paths.append(path if data else None)
        yield paths[0], paths[1]
