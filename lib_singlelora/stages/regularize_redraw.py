"""Redraw: one picture of the regularization set anew, with its prompt and another seed."""

from __future__ import annotations

from pathlib import Path

from ..curation.regularization import STAGE, Review
from ..errors import ConflictError, NotFoundError
from ..imaging.load import load_picture, picture_size
from ..imaging.png import png_bytes
from ..jobs import Progress
from ..settings.declare import SEEDS
from ..workspace.kohya_folders import list_pictures
from .context import StageContext
from .regularize import PlannedPicture, SetDrawer, picture_request

# From one try to the next: further than any set is long, so that no other picture has the seed.
SEED_STEP = 1_000_003


def redraw(context: StageContext, name: str) -> Path:
    """Draw a picture of the set anew and let the filter judge it; where it lies then.

    It keeps number, prompt and size.  Its seed goes on by SEED_STEP, so each call gives another
    picture, and the same calls give the same ones.

    name: its number, such as 0007.
    Raises: NotFoundError, for a picture that is not there; ConflictError, for one that was edited
        by hand; JobCancelled, which leaves the picture as it was.
    """
    workspace = context.workspace
    settings = context.settings
    job = context.job
    record = workspace.record(STAGE)
    review = Review(settings, workspace, record)
    if name not in review or not (path := review.path(name)).exists():
        known = ", ".join(review) or "none; call 'regularize' first"
        raise NotFoundError(f"regularize: found no picture '{name}', expected one of {known}")
    if workspace.edited(record, path) and not context.force:
        raise ConflictError(
            f"{path.name}: found it edited by hand, expected it as it was drawn; reject it, or move"
            " it away, if you do not want it"
        )
    earlier = review.of(name)
    job.report(Progress(STAGE, 0, 1, f"picture {name} anew"))
    drawer = SetDrawer(context, review, list_pictures(workspace.image_folder(settings)), 1)
    for other in review:
        if other != name and review.of(other).kept and review.path(other).exists():
            drawer.seen.add(other, load_picture(review.path(other)).image)
    twins = drawer.twins
    picture = PlannedPicture(
        name,
        (earlier.seed + SEED_STEP) % SEEDS,
        earlier.prompt,
        picture_size(path),
        twins[(int(name) - 1) % len(twins)] if twins else None,
    )
    request = picture_request(settings, picture.prompt, picture.seed, picture.size)
    drawn = context.host.generate(request, job)[0]
    job.raise_if_cancelled()
    decision = drawer.decide(picture, drawn)
    # Killed between the two, the number is drawn again by the next call of the stage.
    was_complete = record.complete
    record.complete = False
    review.note(name, decision)
    review.place(name, png_bytes(drawn.image, drawn.parameters), context.force)
    record.complete = was_complete
    workspace.save_record(record)
    job.report(Progress(STAGE, 1, 1, earlier.prompt, pictures=(review.path(name),)))
    return review.path(name)
