"""The inpaint exam as a sheet: each part before, masked and redrawn, with its likeness below."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from PIL import Image

from ..metrics.part_likeness import mean_of
from ..sheets.grid import Cell, Grid, draw_sheet
from .exam_part import PartMark
from .exam_pose import PoseMark

SHOWN = 2  # pictures of a part; the others count in its mean only
SMALLEST, LARGEST = 96, 160  # side of a picture, pixels
GREY = (128, 128, 128)
COLUMNS = ("source", "masked", "with the LoRA", "checkpoint alone")


def exam_sheet(
    marks: Sequence[PartMark], poses: Sequence[PoseMark], values: dict[str, Any]
) -> Image.Image:
    """Two tables: the parts, and the other bodies."""
    grids = []
    if marks:
        rows = tuple(mark.name for mark in marks)
        grids.append(Grid("Parts, redrawn from nothing", rows, COLUMNS, tuple(map(_row, marks))))
    if poses:
        columns = (
            "drawn by the checkpoint",
            *(f"redrawn at {denoise:g}" for denoise in poses[0].row.denoises),
        )
        rows = tuple(pose.row.pose for pose in poses)
        cells = tuple(map(_pose_row, poses))
        grids.append(Grid("Another body, redrawn as the character", rows, columns, cells))
    nearer = sum(mark.gain.value > 0 for mark in marks)
    subtitle = (
        f"{values['lora']} at {values['strength']:g} with {values['preset']}: {nearer} of"
        f" {len(marks)} parts are nearer to the source than the checkpoint's own"
    )
    seeds = values["seeds"]
    interval = f"; ± holds the mean of {seeds} seeds in 95 of 100 cases" if seeds > 1 else ""
    legend = (
        "The figure below pictures is likeness to the source, 1 = the same colours at all places"
        f"{interval}.",
    )
    side = max(SMALLEST, min(LARGEST, *(max(mark.canvas.image.size) for mark in marks), LARGEST))
    return draw_sheet("Inpaint exam", subtitle, grids, side, legend if marks else ())


def _row(mark: PartMark) -> tuple[Cell | None, ...]:
    """Source, masked source, and the pictures with and without the LoRA."""
    source = mark.canvas.image
    assert mark.canvas.hole is not None
    masked = Image.composite(Image.new("RGB", source.size, GREY), source, mark.canvas.hole)
    with_lora, alone = mark.pictures
    return (
        Cell((source,)),
        Cell((masked,)),
        Cell(tuple(with_lora[:SHOWN]), str(mean_of(mark.lora)), mark.gain.value > 0),
        Cell(tuple(alone[:SHOWN]), str(mean_of(mark.alone))),
    )


def _pose_row(pose: PoseMark) -> tuple[Cell | None, ...]:
    """The body, and what was made of it."""
    cells: list[Cell | None] = [Cell((pose.row.body,), f"{pose.before:.2f}")]
    for sitting, alike, kept in zip(pose.row.sittings, pose.likeness, pose.pose_kept, strict=True):
        note = f"{alike:.2f}" + (f", outline kept {kept:.2f}" if kept is not None else "")
        cells.append(Cell((sitting.pictures()[0],), note))
    return tuple(cells)
