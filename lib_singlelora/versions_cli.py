"""The command line's words for what was drawn: accept (keep it) and loopback (train on it too, in a next version)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .host import Host
from .jobs import Job
from .workspace import Workspace

WORDS = ("accept", "loopback")


def add_parsers(words: Any) -> None:
    """Add the words to argparse's subparsers."""
    accept = words.add_parser("accept", help="keep pictures that were drawn, with all that made them, in inpaint/accepted")
    accept.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE", help="inpainted, img2img or from the sheet")
    again = words.add_parser("loopback", help="add a picture that was drawn to the next version of the dataset")
    again.add_argument("pictures", type=Path, nargs="+", metavar="PICTURE", help="accepted or any other")
    again.add_argument("--into", type=Path, metavar="DIR", help="the version's folder (default: beside it, -v2, -v3 …)")
    again.add_argument("--repeats", type=int, default=0, metavar="N", help="of its crops (default: half of the others')")
    again.add_argument("--start", choices=("zero", "last"), default="zero",
                       help="train the version from zero, or go on from the LoRA in use")
    again.add_argument("--checkpoint", type=Path, metavar="FILE", help="Stable Diffusion 1.x, .safetensors or .ckpt")
    again.add_argument("--force", action="store_true", help="prepare, crop and caption it again, over edits by hand too")
    for sub in (accept, again):
        sub.add_argument("--workspace", type=Path, required=True, metavar="DIR", help="her folder")
        sub.add_argument("--json", action="store_true", help="print the result as one JSON object and nothing else")


def run(options: argparse.Namespace, job: Job, open_host: Callable[[Workspace], Host]) -> dict[str, Any]:
    """Do what the word asks.  Raises: PictureError, WorkspaceError, LoraFileError, SettingsError, JobCancelled."""
    from .stages.accepting import accept  # torch comes with them
    from .stages.loopback import loopback

    workspace = Workspace(options.workspace, create=False)
    settings = workspace.load_settings()
    job.events = workspace.events
    if options.word == "accept":
        made = accept(settings, workspace, options.pictures)
        return {"workspace": str(workspace.root), "accepted": {str(each.picture): each.how for each in made}}
    host, versions = open_host(workspace), []
    for picture in options.pictures:
        versions.append(loopback(settings, workspace, host, job, picture, options.into, options.repeats, options.start,
                                 options.force))
    last = versions[-1]
    return {"workspace": str(last.workspace), "version": last.number, "lineage": str(last.lineage),
            "generated": {str(each.folder): [str(path) for path in each.crops] for each in versions}}


def text(result: dict[str, Any]) -> str:
    """The result for people."""
    if "accepted" in result:
        return "\n".join(f"{'kept':<15} {path}" for path in result["accepted"])
    lines = [f"{'workspace':<15} {result['workspace']}", f"{'version':<15} {result['version']}"]
    lines += [f"{'added':<15} {len(crops)} crops in {folder}" for folder, crops in result["generated"].items()]
    return "\n".join([*lines, f"{'next':<15} train and plot on that workspace"])
