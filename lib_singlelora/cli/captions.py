"""The command line's words for captions: tags (list, edit, undo) and trigger (is it free?)."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..files.names import check_name
from ..jobs import Job
from ..workspace.training_preset import current
from ..workspace.workspace import Workspace
from . import checkpoint
from .options import add_checkpoint, add_json, add_workspace


def add_parsers(words: Any) -> None:
    """Add the words to argparse's subparsers."""
    tags = words.add_parser("tags", help="list, edit or undo the tags of all captions")
    tags.add_argument(
        "--add",
        action="append",
        default=[],
        metavar="TAG",
        help="append to every caption; repeatable",
    )
    tags.add_argument(
        "--remove",
        action="append",
        default=[],
        metavar="TAG",
        help="remove from every caption; repeatable",
    )
    tags.add_argument(
        "--replace",
        action="append",
        default=[],
        metavar="OLD=NEW",
        help="replace in every caption; repeatable",
    )
    tags.add_argument("--undo", action="store_true", help="undo the last change")
    trigger = words.add_parser(
        "trigger",
        help="what tokenizer, tag lists and checkpoint know of the trigger; suggests free words",
    )
    trigger.add_argument(
        "--trigger", default="", metavar="WORD", help="a word other than the workspace's trigger"
    )
    add_checkpoint(trigger)
    trigger.add_argument("--force", action="store_true", help="test the checkpoint again")
    for sub in (tags, trigger):
        add_workspace(sub)
        add_json(sub)
    tags.set_defaults(run=run_tags, render=render_tags)
    trigger.set_defaults(run=run_trigger, render=render_trigger)


def run_tags(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """List, change or restore the tags of all captions.  Raises: WorkspaceError, SettingsError."""
    from ..captions.edits import parse_replacement
    from ..curation.captions import count, edit_tags, list_tags, undo_tags

    workspace = Workspace(options.workspace, create=False)
    job.events = workspace.events
    settings = workspace.load_settings()
    replace = dict(parse_replacement(text) for text in options.replace)
    changes = bool(options.add or options.remove or replace)
    for tag in (*options.add, *replace.values()):
        if not tag.strip() or "," in tag:
            raise SettingsError(
                f"tag {tag!r}: found {'a comma' if ',' in tag else 'nothing'}, expected one tag;"
                " give the option again for a second one"
            )
    if options.undo and changes:
        raise SettingsError(
            "--undo: found a change beside it, expected only one of them; call twice"
        )
    if options.undo:
        edited = undo_tags(settings, workspace)
    elif changes:
        edited = edit_tags(settings, workspace, options.add, options.remove, replace)
    else:
        edited = list_tags(settings, workspace)
    captions = {
        str(path): {"text": text, **asdict(count(text))} for path, text in edited.captions.items()
    }
    return {
        "workspace": str(workspace.root),
        "tags": edited.tags,
        "captions": captions,
        "edited": [str(path) for path in edited.changed],
        "left": [str(path) for path in edited.left],
        "undoable": edited.undoable,
    }


def run_trigger(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Check whether a trigger is free.

    Raises: WorkspaceError, SettingsError, CheckpointError, JobCancelled.
    """
    from ..stages.context import StageContext
    from ..stages.trigger import check_trigger  # torch comes with it

    workspace = Workspace(options.workspace, create=False)
    job.events = workspace.events
    word = check_name(options.trigger, "trigger") if options.trigger else ""
    with workspace.writing("trigger"):
        host = checkpoint.host_of(workspace, options.checkpoint)
        settings = current(workspace, host.asked_preset)[0]
        context = StageContext(settings, workspace, host, job, options.force)
        result = check_trigger(context, word)
    return {"workspace": str(workspace.root), **result.as_dict()}


def render_tags(result: dict[str, Any]) -> str:
    """The result of `tags` for people."""
    lines = [f"{number:4}  {tag}" for tag, number in result["tags"].items()] + [""]
    for path, caption in result["captions"].items():
        beyond = caption["beyond"]
        fitting = caption["text"].removesuffix(beyond)
        limit = f" ┃ {beyond}" if beyond else ""
        lines.append(f"{Path(path).stem} ({caption['tokens']} tokens): {fitting}{limit}")
    lines += [f"changed         {path}" for path in result["edited"]]
    lines += [f"left            {path}: edited since" for path in result["left"]]
    changes = "1 change" if result["undoable"] == 1 else f"{result['undoable']} changes"
    return "\n".join([*lines, f"undo            {changes} can be undone with --undo"])


def render_trigger(result: dict[str, Any]) -> str:
    """The result of `trigger` for people."""
    departures = result["departures"]
    verdict = "free" if result["free"] else "; ".join(result["reasons"])
    tokens = "1 token" if result["tokens"] == 1 else f"{result['tokens']} tokens"
    lines = [f"{result['word']}: {tokens}; {verdict}"]
    for kind in ("ordinary", "meaningless"):
        less = sum(value < departures["trigger"] for value in departures[kind].values())
        lines.append(
            f"it changes pictures more than {less} of {len(departures[kind])} {kind} words"
        )
    if departures["meaning"] is None:
        lines.append(
            "on this checkpoint that does not separate ordinary words from meaningless ones; judge"
            " by the pictures"
        )
    lines.append(f"free words      {', '.join(result['suggestions'])}")
    lines += [f"picture         {path}" for path in result["pictures"]]
    return "\n".join(lines)
