"""The command line's word for the inpaint exam."""

from __future__ import annotations

import argparse
import time
from typing import TYPE_CHECKING, Any

from ..jobs import Job
from ..settings.declare import split_list
from ..settings.schema import parse_assignment
from ..workspace.workspace import Workspace
from . import checkpoint
from .options import add_checkpoint, add_json, add_workspace

if TYPE_CHECKING:
    from ..stages.context import StageContext
    from ..stages.exam import ExamOptions


def add_parsers(words: Any) -> None:
    """Add the word to argparse's subparsers."""
    exam = words.add_parser(
        "exam", help="redraw parts of the source with the LoRA and compare them with it"
    )
    add_workspace(exam)
    exam.add_argument(
        "--lora", default="", help="an epoch's number or a file (default: the recommended one)"
    )
    exam.add_argument(
        "--strength", type=float, default=0.0, metavar="S", help="default: the recommended one"
    )
    exam.add_argument("--preset", default="", help="block weights (default: the recommended ones)")
    exam.add_argument(
        "--parts", default="", metavar="NAMES", help="such as head,torso,feet (default: all)"
    )
    exam.add_argument(
        "--seeds", type=int, default=2, metavar="N", help="pictures of each part (default: 2)"
    )
    exam.add_argument(
        "--poses",
        metavar="TAGS",
        help="of the other bodies, such as 'arms up,sitting'; '' for none",
    )
    exam.add_argument(
        "--denoises",
        metavar="LIST",
        help="denoising strengths at which they are redrawn (default: 0.5,0.65,0.8)",
    )
    exam.add_argument(
        "--dry-run",
        action="store_true",
        help="only tell how many pictures are missing and how long they take",
    )
    add_checkpoint(exam)
    exam.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a setting for this call, such as inpaint.steps=12",
    )
    exam.add_argument("--force", action="store_true", help="draw again what is drawn")
    add_json(exam)
    exam.set_defaults(run=run_exam, render=render_exam)


def run_exam(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Examine the LoRA, or with --dry-run tell what that costs.

    Raises: LoraFileError, PictureError, PresetError, SettingsError, JobCancelled.
    """
    workspace = Workspace(options.workspace, create=False)
    assignments = dict(parse_assignment(text) for text in options.set)
    settings = workspace.load_settings().with_values(assignments)
    host = checkpoint.host_of(workspace, options.checkpoint)
    from ..stages.context import StageContext  # torch comes with it

    context = StageContext(settings, workspace, host, job, options.force)
    return examined(context, _exam_options(options), options.dry_run)


def examined(context: StageContext, wanted: ExamOptions, dry_run: bool = False) -> dict[str, Any]:
    """The exam's part of the result, with its seconds.  Raises: as `run_exam`."""
    from ..stages.exam import exam, plan_exam

    workspace = context.workspace
    root = {"workspace": str(workspace.root)}
    if dry_run:
        return {**root, **plan_exam(context, wanted)}
    started = time.monotonic()
    with workspace.writing("exam"):
        context.job.events = workspace.events
        result = exam(context, wanted)
    seconds = round(time.monotonic() - started, 2)
    return {**root, **result.as_dict(), "seconds": {"exam": seconds}}


def _exam_options(options: argparse.Namespace) -> ExamOptions:
    """Raises: SettingsError."""
    from ..errors import SettingsError
    from ..stages.exam import ExamOptions

    wanted: dict[str, Any] = {
        "lora": options.lora,
        "strength": options.strength,
        "preset": options.preset,
        "parts": tuple(split_list(options.parts)),
        "seeds": options.seeds,
    }
    if options.poses is not None:
        wanted["poses"] = tuple(split_list(options.poses))
    if options.denoises is not None:
        try:
            wanted["denoises"] = tuple(float(text) for text in split_list(options.denoises))
        except ValueError:
            raise SettingsError(
                f"--denoises: found {options.denoises!r}, expected numbers such as 0.5,0.8"
            ) from None
    return ExamOptions(**wanted)


def render_exam(result: dict[str, Any]) -> str:
    """The result for people."""
    if "plan" in result:
        return str(result["plan"])
    exam = result["exam"]
    lines = [f"{'sheet':<15} {exam['sheet']}", f"{'scores':<15} {exam['scores']}"]
    lines += [
        f"{part['part']:<15} {_mean(part['lora_mean'])} with the LoRA, "
        f"{_mean(part['alone_mean'])} without"
        for part in exam["parts"]
    ]
    for pose in exam["poses"]:
        steps = ", ".join(
            f"{each['likeness']:.2f} at {each['denoise']:g}" for each in pose["redrawn"]
        )
        lines.append(f"{pose['pose']:<15} {pose['before']:.2f} untouched, redrawn {steps}")
    nearer = sum(part["nearer"] for part in exam["parts"])
    lines.append(f"{'nearer':<15} {nearer} of {len(exam['parts'])} parts")
    lines.append(f"{'time':<15} exam {result['seconds']['exam']:.0f} s")
    return "\n".join(lines)


def _mean(mean: dict[str, float | None]) -> str:
    margin = mean["margin"]
    return f"{mean['mean']:.2f}" + (f" ± {margin:.2f}" if margin is not None else "")
