"""The command line's words for captions: tags (see them, change them in all, take it back) and trigger (is the word free?)."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .errors import SettingsError
from .host import Host
from .jobs import Job
from .names import check_name
from .workspace import Workspace

WORDS = ("tags", "trigger")


def add_parsers(words: Any) -> None:
    """Add the words to argparse's subparsers."""
    tags = words.add_parser("tags", help="all captions of a workspace: their tags, the same change in each, the way back")
    tags.add_argument("--add", action="append", default=[], metavar="TAG", help="at the end of every caption; may be given again")
    tags.add_argument("--remove", action="append", default=[], metavar="TAG", help="out of every caption; may be given again")
    tags.add_argument("--replace", action="append", default=[], metavar="OLD=NEW", help="in its place; may be given again")
    tags.add_argument("--undo", action="store_true", help="take the last change back")
    trigger = words.add_parser("trigger", help="what tokenizer, tag lists and the checkpoint know of her trigger, and free words")
    trigger.add_argument("--trigger", default="", metavar="WORD", help="another word than the workspace's")
    trigger.add_argument("--checkpoint", type=Path, metavar="FILE", help="Stable Diffusion 1.x, .safetensors or .ckpt")
    trigger.add_argument("--force", action="store_true", help="ask the checkpoint again")
    for sub in (tags, trigger):
        sub.add_argument("--workspace", type=Path, required=True, metavar="DIR", help="her folder")
        sub.add_argument("--json", action="store_true", help="print the result as one JSON object and nothing else")


def run(options: argparse.Namespace, job: Job, open_host: Callable[[Workspace], Host]) -> dict[str, Any]:
    """Do what the word asks.  Raises: WorkspaceError, SettingsError, CheckpointError, JobCancelled."""
    workspace = Workspace(options.workspace, create=False)
    job.events = workspace.events
    return _tags(options, workspace) if options.word == "tags" else _trigger(options, workspace, job, open_host)


def _tags(options: argparse.Namespace, workspace: Workspace) -> dict[str, Any]:
    from .dataset.edits import parse_replacement
    from .stages.tags import count, edit_tags, list_tags, undo_tags

    settings, replace = workspace.load_settings(), dict(parse_replacement(text) for text in options.replace)
    changes = bool(options.add or options.remove or replace)
    for tag in (*options.add, *replace.values()):
        if not tag.strip() or "," in tag:
            raise SettingsError(f"tag {tag!r}: found {'a comma' if ',' in tag else 'nothing'}, expected one tag; give the option "
                                "again for a second one")
    if options.undo and changes:
        raise SettingsError("--undo: found a change beside it, expected one of both; call twice")
    if options.undo:
        made = undo_tags(settings, workspace)
    else:
        made = edit_tags(settings, workspace, options.add, options.remove, replace) if changes else list_tags(settings, workspace)
    captions = {str(path): {"text": text, **asdict(count(text))} for path, text in made.captions.items()}
    return {"workspace": str(workspace.root), "tags": made.tags, "captions": captions, "edited": [str(p) for p in made.changed],
            "left": [str(p) for p in made.left], "undoable": made.undoable}


def _trigger(options: argparse.Namespace, workspace: Workspace, job: Job,
             open_host: Callable[[Workspace], Host]) -> dict[str, Any]:
    from .stages.trigger import as_dict, check_trigger  # torch comes with it

    word = check_name(options.trigger, "trigger") if options.trigger else ""
    with workspace.writing("trigger"):
        made = check_trigger(workspace.load_settings(), workspace, open_host(workspace), job, word, options.force)
    return {"workspace": str(workspace.root), **as_dict(made)}


def text(result: dict[str, Any]) -> str:
    """The result for people."""
    return "\n".join(_tag_lines(result) if "tags" in result else _trigger_lines(result))


def _tag_lines(result: dict[str, Any]) -> list[str]:
    lines = [f"{number:4}  {tag}" for tag, number in result["tags"].items()] + [""]
    for path, own in result["captions"].items():
        fits = own["text"][: len(own["text"]) - len(own["beyond"])] if own["beyond"] else own["text"]
        limit = f" ┃ {own['beyond']}" if own["beyond"] else ""
        lines.append(f"{Path(path).stem} ({own['tokens']} tokens): {fits}{limit}")
    lines += [f"changed         {path}" for path in result["edited"]]
    lines += [f"left            {path}: it was changed since" for path in result["left"]]
    return [*lines, f"undo            {result['undoable']} change{'s' * (result['undoable'] != 1)} can be taken back with --undo"]


def _trigger_lines(result: dict[str, Any]) -> list[str]:
    found = result["departures"]
    verdict = "free" if result["free"] else "; ".join(result["reasons"])
    lines = [f"{result['word']}: {result['tokens']} token{'s' * (result['tokens'] != 1)}; {verdict}"]
    for kind in ("ordinary", "meaningless"):
        less = sum(value < found["trigger"] for value in found[kind].values())
        lines.append(f"it moves the checkpoint more than {less} of {len(found[kind])} {kind} words")
    if found["meaning"] is None:
        lines.append("this checkpoint does not tell ordinary words from others by that; judge by the pictures")
    lines.append(f"free words      {', '.join(result['suggestions'])}")
    return lines + [f"picture         {path}" for path in result["pictures"]]
