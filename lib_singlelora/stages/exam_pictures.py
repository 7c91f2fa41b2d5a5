"""The pictures of the inpaint exam: what is asked for, and drawing what is not drawn yet."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from ..files.fileio import file_hash, fingerprint
from ..host import ImageRequest
from ..imaging.load import read_rgb
from ..imaging.png import save_picture
from ..jobs import Progress, in_series
from ..workspace.timing import Stopwatch, in_words, save_pace, seconds_per_picture
from .context import StageContext


@dataclass(frozen=True)
class Sitting:
    """One request of the exam, whose pictures are kept.

    title: for the progress bar.
    """

    title: str
    request: ImageRequest
    files: tuple[Path, ...]

    @classmethod
    def of(cls, title: str, request: ImageRequest, context: StageContext) -> Sitting:
        """The request with a file for each of its seeds, named by all that the picture shows."""
        mark = fingerprint(
            vars(replace(request, seeds=(), loras=(), image=None, mask=None)),
            [
                (use.unet, use.text_encoder, file_hash(use.path) if use.path.is_file() else "")
                for use in request.loras
            ],
            [_digest(image) for image in (request.image, request.mask)],
            context.host.checkpoint.drawing_mark,
        )
        folder = context.workspace.plots / "exam"
        return cls(title, request, tuple(folder / f"{mark}-{seed}.png" for seed in request.seeds))

    def missing(self, force: bool) -> list[tuple[int, Path]]:
        """Seeds and files that are to be drawn."""
        pairs = zip(self.request.seeds, self.files, strict=True)
        return [(seed, path) for seed, path in pairs if force or not path.exists()]

    def pictures(self) -> list[Image.Image]:
        """What was drawn, one a seed."""
        return [read_rgb(path) for path in self.files]


def draw_sittings(context: StageContext, sittings: Sequence[Sitting]) -> None:
    """Draw what is missing.  Raises: JobCancelled, keeping what is drawn."""
    job = context.job
    todo = [
        (sitting, missing) for sitting in sittings if (missing := sitting.missing(context.force))
    ]
    total = sum(len(missing) for _, missing in todo)
    done = 0
    watch = Stopwatch()
    for sitting, missing in todo:
        request = sitting.request
        while missing:
            job.raise_if_cancelled()
            at_once = (
                1 if request.controls else context.host.batch_limit(request.width, request.height)
            )
            batch, missing = missing[:at_once], missing[at_once:]
            series = f"{in_series(done, len(batch))} of {total}"
            message = f"{sitting.title}: {series}{watch.left(total)}"
            job.report(Progress("exam", done, total, message))
            asked = replace(request, seeds=tuple(seed for seed, _ in batch))
            work = len(batch) * request.width * request.height * request.steps
            with watch.measured(len(batch), work):
                drawn = context.host.generate(asked, job)
            for (_, path), picture in zip(batch, drawn, strict=True):
                save_picture(path, picture)
            done += len(batch)
    save_pace(context.workspace, context.host, watch)
    job.report(Progress("exam", total, max(1, total), "comparing"))


def cost_of(context: StageContext, sittings: Sequence[Sitting]) -> tuple[int, float | None]:
    """(pictures to draw, seconds that they take; None where nothing was drawn here yet)."""
    count = 0
    seconds: float | None = 0.0
    for sitting in sittings:
        missing = len(sitting.missing(context.force))
        request = sitting.request
        size = (request.width, request.height)
        each = seconds_per_picture(context.workspace, context.host, size, request.steps)
        count += missing
        seconds = None if each is None or seconds is None else seconds + missing * each
    return count, seconds


def cost_in_words(count: int, seconds: float | None) -> str:
    """As the user is told before anything is drawn."""
    return f"{count} pictures to draw" + (f", about {in_words(seconds)}" if seconds else "")


def _digest(image: Image.Image | None) -> str:
    if image is None:
        return ""
    return hashlib.sha256(repr((image.mode, image.size)).encode() + image.tobytes()).hexdigest()
