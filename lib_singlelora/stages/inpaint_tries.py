"""Several pictures drawn for each that is kept: which are the character most."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ..files.fileio import write_bytes
from ..imaging.load import read_rgb
from ..imaging.mask_reader import read_mask
from ..metrics.part_likeness import near_likeness
from ..metrics.placewise import fields_of, likeness
from ..settings.inpaint import InpaintSettings
from ..workspace.workspace import Workspace
from .exam_pose import pose_kept
from .inpaint_canvas import Canvas
from .inpaint_strip import before

FOLDER = "tries"  # in a batch's folder
STEPS = 3  # denoising strengths that tries on another body take in turn


def kept_files(folder: Path, count: int, seeds: Sequence[int], tries: int) -> tuple[Path, ...]:
    """The files of the pictures that are kept: one a seed, or the best of several tries."""
    if tries == 1:
        return tuple(folder / f"{seed}.png" for seed in seeds)
    return tuple(folder / f"best-{number}.png" for number in range(1, count + 1))


def tried_files(folder: Path, seeds: Sequence[int]) -> tuple[Path, ...]:
    """The file of each try."""
    return tuple(folder / FOLDER / f"{seed}.png" for seed in seeds)


def tried_denoise(options: InpaintSettings, index: int, other_body: bool) -> float:
    """The denoising strength of a try.

    Of another body more must go than of the character's own part, how much more depends on the
    body: its tries take in turn the strength that is set, and one and two thirds of the way to 1.
    """
    if options.tries == 1 or not other_body:
        return options.denoise
    return options.denoise + (1 - options.denoise) * (index % STEPS) / STEPS


def keep_best(
    tried: Sequence[Path], kept: Sequence[Path], canvas: Canvas, own: bool, workspace: Workspace
) -> dict[str, float]:
    """Copy the best tries to the files that are kept, best first; each try's score by its name.

    own: the picture is the source, so that a part is compared with what was there; of another
        picture the whole figure is compared with the source's, and it must keep its outline.
    """
    scores = _own(tried, canvas) if own else _others(tried, canvas, workspace)
    order = sorted(tried, key=lambda path: -scores[path])
    for source, target in zip(order, kept, strict=False):
        write_bytes(target, source.read_bytes())
    return {path.stem: round(scores[path], 4) for path in order}


def _own(tried: Sequence[Path], canvas: Canvas) -> dict[Path, float]:
    assert canvas.painted is not None
    size = canvas.image.size
    painted = canvas.painted.resize(size, Image.Resampling.BOX, box=canvas.shown)

    def drawn(path: Path) -> Image.Image:
        return read_rgb(path).resize(size, Image.Resampling.BOX, box=canvas.shown)

    return {path: near_likeness(drawn(path), canvas.image, painted) for path in tried}


def _others(tried: Sequence[Path], canvas: Canvas, workspace: Workspace) -> dict[Path, float]:
    wanted = fields_of(read_rgb(workspace.prepared), read_mask(workspace.mask).image)
    scores = {}
    for path in tried:
        picture = read_rgb(path)
        kept = pose_kept(before(canvas), picture) if picture.size == before(canvas).size else None
        scores[path] = likeness(fields_of(picture), wanted) * (1.0 if kept is None else kept)
    return scores
