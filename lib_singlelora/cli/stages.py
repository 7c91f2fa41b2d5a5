"""The command line's words for the job: run, demo, and each stage by itself."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..embedded.paths import CHECKPOINT
from ..errors import (
    ImageModelError,
    LoraFileError,
    MissingPackageError,
    PresetError,
    SettingsError,
    TaggerError,
    WildcardError,
)
from ..files.fileio import check_present
from ..files.names import check_name
from ..imaging.load import load_picture
from ..jobs import Job, Progress
from ..settings.preset_files import shipped_presets
from ..settings.schema import Settings, describe, parse_assignment
from ..workspace.preset_origin import PresetOrigin
from ..workspace.training_preset import PresetChoice, current, set_by_hand, settle, without_auto
from ..workspace.workspace import STAGES, Workspace
from . import checkpoint, regularization
from .options import add_assignments, add_checkpoint, add_json, add_workspace
from .output import ProgressPrinter

ROOT = Path(__file__).resolve().parent.parent.parent
DEMO_PICTURE = ROOT / "examples" / "isabella.png"
# What the demo ends with: parts of the source redrawn, and the character in another pose
DEMO_SETTINGS = ("inpaint.parts=head,skirt,another pose", "inpaint.count=1", "inpaint.tries=4")
# Errors that wrong settings cause: the call's settings are then taken back, for the next call.
MISTAKES = (
    SettingsError,
    PresetError,
    WildcardError,
    TaggerError,
    ImageModelError,
    MissingPackageError,
)


def add_parsers(words: Any) -> None:
    """Add the words to argparse's subparsers."""
    run = words.add_parser("run", help="the whole job on a picture")
    run.formatter_class = argparse.RawDescriptionHelpFormatter
    run.epilog = _settings_help()
    prepare = words.add_parser("prepare", help="take a picture into a workspace and prepare it")
    for sub in (run, prepare):
        sub.add_argument("picture", type=Path, metavar="PICTURE")
        sub.add_argument(
            "--trigger", required=True, help="word that will stand for the character in prompts"
        )
        sub.add_argument(
            "--class-token", required=True, help="what the character is: girl, boy, woman, dragon …"
        )
    stages = {name: words.add_parser(name, help=f"the stage {name} alone") for name in STAGES[1:]}
    inpaint = stages["inpaint"]
    inpaint.add_argument(
        "--image", type=Path, help="picture to inpaint (default: the prepared one)"
    )
    inpaint.add_argument(
        "--mask", type=Path, help="mask of that size, white is redrawn (default: the head)"
    )
    inpaint.add_argument("--prompt", help="what to draw in the masked part")
    demo = words.add_parser("demo", help="the whole job on the example picture")
    demo.add_argument(
        "--workspace",
        type=Path,
        metavar="DIR",
        default=ROOT / "workspaces" / "demo",
        help="the character's folder",
    )
    for sub in (run, prepare, *stages.values()):
        add_workspace(sub)
    for sub in (run, prepare, demo, *stages.values()):
        add_checkpoint(sub)
        add_assignments(sub)
        sub.add_argument(
            "--force", action="store_true", help="redo finished work, overwriting manual edits"
        )
        add_json(sub)
        sub.set_defaults(run=run_stages, render=render)
    demo.set_defaults(run=run_demo)
    stages["plot"].add_argument(
        "--dry-run",
        action="store_true",
        help="only tell how many pictures are missing and how long they take",
    )
    stages["plot"].set_defaults(run=run_plot, render=render_plot)
    regularization.add_options(stages["regularize"])
    stages["regularize"].set_defaults(run=run_regularize, render=render_regularize)


def _settings_help() -> str:
    """Every setting and every shipped preset, a line each."""
    presets = [f"{preset.name}  {preset.about}" for preset in shipped_presets()]
    parts = {
        "settings for --set, with their defaults:": list(describe()),
        "presets for training.preset (docs/settings.md gives the reason for each value):": presets,
    }
    return "\n\n".join("\n  ".join((title, *lines)) for title, lines in parts.items())


def run_demo(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """The whole job on the example picture, with the embedded checkpoint unless one is given."""
    options.picture = DEMO_PICTURE
    options.trigger = "isabella"
    options.class_token = "girl"
    options.checkpoint = options.checkpoint or CHECKPOINT
    options.set = [*DEMO_SETTINGS, *options.set]
    return run_stages(options, job)


def run_plot(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """The stage `plot`, or with --dry-run only what it would draw."""
    return plan_plot(options) if options.dry_run else run_stages(options, job)


def run_regularize(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """The stage `regularize`, or the review of a set that is there."""
    if regularization.is_review(options):
        return regularization.run_review(options)
    return run_stages(options, job)


def run_stages(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """The stage of that word, or all of them, in a workspace that this call holds."""
    assignments = _assignments(options)
    if hasattr(options, "picture"):
        load_picture(options.picture)  # a bad picture is told before the large imports
        workspace = Workspace.begun(options.workspace)
    else:
        workspace = Workspace(options.workspace, create=False)
    with workspace.writing(options.word):
        job.listen(_EndOnceDeleted(workspace, ProgressPrinter(sys.stderr)))
        return _run(options, workspace, job, assignments)


def plan_plot(options: argparse.Namespace) -> dict[str, Any]:
    """What `plot` would draw now; draws nothing."""
    from ..stages.context import StageContext
    from ..stages.pipeline import plan_plot

    assignments = _assignments(options)
    workspace = Workspace(options.workspace, create=False)
    host = checkpoint.host_of(workspace, options.checkpoint)
    settings = changed(workspace, current(workspace, host.asked_preset)[0], assignments)
    return plan_plot(StageContext(settings, workspace, host))


def _assignments(options: argparse.Namespace) -> dict[str, str]:
    """The settings that the call names.  Raises: SettingsError, before any folder is made."""
    assignments = dict(parse_assignment(text) for text in options.set)
    if hasattr(options, "trigger"):
        assignments["character.trigger"] = check_name(options.trigger, "trigger")
        assignments["character.class_token"] = check_name(options.class_token, "class")
    if getattr(options, "prompt", None):
        assignments["inpaint.prompt"] = options.prompt
    Settings.from_dict(without_auto(assignments))
    return assignments


def _run(
    options: argparse.Namespace, workspace: Workspace, job: Job, assignments: dict[str, str]
) -> dict[str, Any]:
    """What needs the host."""
    changed(workspace, workspace.load_settings(), assignments)
    host = checkpoint.host_of(workspace, options.checkpoint)
    from ..stages.context import StageContext
    from ..stages.pipeline import run_all, run_stage  # torch comes with it, which takes seconds

    def change(saved: Settings, origin: PresetOrigin) -> tuple[Settings, PresetOrigin]:
        changed(workspace, saved, assignments)
        return set_by_hand(saved, origin, assignments)

    before = workspace.settings_text()
    settings, preset = settle(workspace, host.asked_preset, change, host.checkpoint.path)
    context = StageContext(settings, workspace, host, job, options.force)
    try:
        if options.word in ("run", "demo"):
            result = run_all(context, options.picture)
        else:
            picture = getattr(options, "picture", None) or getattr(options, "image", None)
            mask = getattr(options, "mask", None)
            result = run_stage(options.word, context, picture, mask)
        return {**result, "training_preset": preset.as_dict()}
    except MISTAKES:
        workspace.restore_settings(before, settings)
        raise
    except LoraFileError:
        # Of one stage alone; a whole job that came so far has used the call's settings
        if options.word not in ("run", "demo"):
            workspace.restore_settings(before, settings)
        raise


def changed(workspace: Workspace, saved: Settings, assignments: Mapping[str, Any]) -> Settings:
    """The settings with those of a call.  Raises: SettingsError, for another character's too."""
    trigger = saved.character.trigger
    if trigger and assignments.get("character.trigger", trigger) != trigger:
        raise SettingsError(
            f"{workspace.root}: found a workspace of '{trigger}', expected one of "
            f"'{assignments['character.trigger']}'; choose another --workspace"
        )
    return saved.with_values(without_auto(assignments))


class _EndOnceDeleted:
    """Ends the job once its workspace was deleted; the next file may be an hour away."""

    def __init__(self, workspace: Workspace, listener: ProgressPrinter) -> None:
        self.workspace = workspace
        self.listener = listener

    def __call__(self, progress: Progress) -> None:
        check_present(self.workspace.settings_file)
        self.listener(progress)


def render_plot(result: dict[str, Any]) -> str:
    """The result of `plot`, or its plan, for people."""
    return str(result["plan"]) if "missing" in result else render(result)


def render_regularize(result: dict[str, Any]) -> str:
    """The result of `regularize`, or of a review, for people."""
    return regularization.render(result) if "by_hand" in result else render(result)


def render(result: dict[str, Any]) -> str:
    """The result of one stage or of the whole job, for people."""
    lines = [_line("workspace", result["workspace"])]
    if preset := result.get("training_preset"):
        lines.append(_line("preset", PresetChoice(**preset)))
    for key, label in (
        ("source", "prepared"),
        ("sheet", "sheet"),
        ("page", "page"),
        ("budget", "budget"),
        ("memory", "memory"),
        ("stopped", "ended"),
    ):
        if result.get(key):
            lines.append(_line(label, result[key]))
    for key in ("crops", "regularization"):
        if result.get(key):
            folder = Path(result[key][0]).parent
            lines.append(_line(key, f"{len(result[key])} pictures in {folder}"))
    for key, label in (("loras", "LoRA"), ("inpainted", "inpainted")):
        lines += [_line(label, path) for path in result.get(key) or ()]
    for key in (
        "notes",
        "crop_notes",
        "caption_notes",
        "regularization_notes",
        "warnings",
        "inpaint_notes",
    ):
        lines += [_line("note", note) for note in result.get(key) or ()]
    if result.get("recommendation"):
        lines.append(_line("take", result["recommendation"]["reason"]))
    seconds = (f"{stage} {value:.0f} s" for stage, value in result["seconds"].items())
    lines.append(_line("time", ", ".join(seconds)))
    return "\n".join(lines)


def _line(label: str, value: object) -> str:
    return f"{label:<15} {value}"
