"""The command line's words for generated pictures: accept (keep) and loopback (train on them)."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..jobs import Job
from ..workspace.training_preset import current
from ..workspace.workspace import Workspace
from . import checkpoint
from .options import add_checkpoint, add_json, add_workspace


def add_parsers(words: Any) -> None:
    """Add the words to argparse's subparsers."""
    accept = words.add_parser(
        "accept", help="keep generated pictures, with their parameters, in inpaint/accepted"
    )
    accept.add_argument(
        "pictures",
        type=Path,
        nargs="+",
        metavar="PICTURE",
        help="inpainted, img2img or from the sheet",
    )
    again = words.add_parser(
        "loopback", help="add a generated picture to the next version of the dataset"
    )
    again.add_argument(
        "pictures",
        type=Path,
        nargs="+",
        metavar="PICTURE",
        help="an accepted picture, or any other",
    )
    again.add_argument(
        "--into",
        type=Path,
        metavar="DIR",
        help="the version's folder (default: beside it, -v2, -v3 …)",
    )
    again.add_argument(
        "--repeats",
        type=int,
        default=0,
        metavar="N",
        help="repeats of its crops (default: half of the others')",
    )
    again.add_argument(
        "--start",
        choices=("zero", "last"),
        default="zero",
        help="train the version from scratch, or continue from the LoRA in use",
    )
    add_checkpoint(again)
    again.add_argument(
        "--force",
        action="store_true",
        help="prepare, crop and caption it again, overwriting manual edits",
    )
    for sub in (accept, again):
        add_workspace(sub)
        add_json(sub)
    accept.set_defaults(run=run_accept, render=render_accept)
    again.set_defaults(run=run_loopback, render=render_loopback)


def run_accept(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Keep pictures with their parameters.  Raises: PictureError, WorkspaceError, LoraFileError."""
    from ..stages.accept import accept  # torch comes with it

    workspace = Workspace(options.workspace, create=False)
    job.events = workspace.events
    accepted = accept(workspace.load_settings(), workspace, options.pictures)
    return {
        "workspace": str(workspace.root),
        "accepted": {str(kept.picture): kept.how for kept in accepted},
    }


def run_loopback(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Add pictures to the next version of the dataset.

    Raises: PictureError, WorkspaceError, LoraFileError, SettingsError, JobCancelled.
    """
    from ..stages.context import StageContext
    from ..stages.loopback import loopback  # torch comes with it

    workspace = Workspace(options.workspace, create=False)
    job.events = workspace.events
    host = checkpoint.host_of(workspace, options.checkpoint)
    settings = current(workspace, host.asked_preset)[0]
    context = StageContext(settings, workspace, host, job, options.force)
    versions = [
        loopback(context, picture, options.into, options.repeats, options.start)
        for picture in options.pictures
    ]
    last = versions[-1]
    return {
        "workspace": str(last.workspace),
        "version": last.number,
        "lineage": str(last.lineage),
        "generated": {
            str(version.folder): [str(path) for path in version.crops] for version in versions
        },
    }


def render_accept(result: dict[str, Any]) -> str:
    """The result of `accept` for people."""
    return "\n".join(f"{'kept':<15} {path}" for path in result["accepted"])


def render_loopback(result: dict[str, Any]) -> str:
    """The result of `loopback` for people."""
    lines = [f"{'workspace':<15} {result['workspace']}", f"{'version':<15} {result['version']}"]
    lines += [
        f"{'added':<15} {len(crops)} crops in {folder}"
        for folder, crops in result["generated"].items()
    ]
    return "\n".join([*lines, f"{'next':<15} train and plot on that workspace"])
