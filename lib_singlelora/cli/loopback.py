"""The command line's words for generated pictures: accept (keep) and loopback (train on them)."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..jobs import Job
from ..settings.schema import Settings, parse_assignment
from ..workspace.preset_origin import PresetOrigin
from ..workspace.training_preset import current, set_by_hand, settle
from ..workspace.workspace import Workspace
from . import checkpoint
from .options import add_assignments, add_checkpoint, add_json, add_workspace
from .stages import changed


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
        "loopback",
        help="add generated pictures to the next version of the dataset, yours or judged ones",
    )
    again.add_argument(
        "pictures",
        type=Path,
        nargs="*",
        metavar="PICTURE",
        help="an accepted picture, or any other; none with --judged",
    )
    again.add_argument(
        "--judged",
        action="store_true",
        help="draw candidates, keep those that show the character, and train the version on them",
    )
    again.add_argument(
        "--count", type=int, metavar="N", help="candidates of --judged (loopback.count)"
    )
    again.add_argument(
        "--rounds", type=int, metavar="N", help="rounds of --judged (loopback.rounds)"
    )
    add_assignments(again)
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
    again.set_defaults(usage_error=again.error)
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

    With --judged they are drawn and judged first, and the version is trained.

    Raises: PictureError, WorkspaceError, LoraFileError, SettingsError, JobCancelled.
    """
    _check_words(options)
    from ..stages.context import StageContext  # torch comes with it
    from ..stages.judged_loopback import judged_loopback
    from ..stages.loopback import loopback

    workspace = Workspace(options.workspace, create=False)
    job.events = workspace.events
    host = checkpoint.host_of(workspace, options.checkpoint)
    values = _values(options)

    def change(saved: Settings, origin: PresetOrigin) -> tuple[Settings, PresetOrigin]:
        changed(workspace, saved, values)
        return set_by_hand(saved, origin, values)

    if values:
        settings = settle(workspace, host.asked_preset, change)[0]
    else:
        settings = current(workspace, host.asked_preset)[0]
    context = StageContext(settings, workspace, host, job, options.force)
    if options.judged:
        return judged_loopback(context, options.into, options.start).as_dict()
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


def _check_words(options: argparse.Namespace) -> None:
    """Ends the program with a usage error where the words do not go together."""
    if options.judged and options.pictures:
        options.usage_error("--judged draws its own pictures; give none, or leave --judged out")
    if options.judged and options.repeats:
        options.usage_error("--repeats is for given pictures; use --set loopback.repeats=N")
    if not options.judged and not options.pictures:
        options.usage_error("a PICTURE, or --judged, is required")
    if not options.judged and (options.count is not None or options.rounds is not None):
        options.usage_error("--count and --rounds are for --judged")


def _values(options: argparse.Namespace) -> dict[str, Any]:
    """The settings of the call by their dotted names."""
    values: dict[str, Any] = dict(map(parse_assignment, options.set))
    short = {"loopback.count": options.count, "loopback.rounds": options.rounds}
    return {**values, **{name: value for name, value in short.items() if value is not None}}


def render_accept(result: dict[str, Any]) -> str:
    """The result of `accept` for people."""
    return "\n".join(f"{'kept':<15} {path}" for path in result["accepted"])


def render_loopback(result: dict[str, Any]) -> str:
    """The result of `loopback` for people."""
    if "rounds" in result:
        return "\n".join(_told(result))
    lines = [f"{'workspace':<15} {result['workspace']}", f"{'version':<15} {result['version']}"]
    lines += [
        f"{'added':<15} {len(crops)} crops in {folder}"
        for folder, crops in result["generated"].items()
    ]
    return "\n".join([*lines, f"{'next':<15} train and plot on that workspace"])


def _told(result: dict[str, Any]) -> Iterator[str]:
    """The result of a judged loopback for people."""
    for number, each in enumerate(result["rounds"], 1):
        yield f"{f'round {number}':<15} {each['kept']} of {each['made']} candidates kept"
        for reason, count in each["reasons"].items():
            yield f"{'':<15} {count} rejected: {reason}"
        yield f"{'sheet':<15} {each['sheet']}"
    if result["version"] is None:
        yield f"{'version':<15} none was made, for no candidate was kept"
    else:
        yield f"{'workspace':<15} {result['workspace']}"
        yield f"{'version':<15} {result['version']}, trained"
        yield f"{'next':<15} plot on that workspace"
