"""The command line: `python -m lib_singlelora …`, the same words as `python singlelora.py …`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import captions_cli, regularization_cli, settings_cli, tools_cli, versions_cli
from .allocator import keep_freed_memory
from .declaring import names_a_share
from .errors import (
    CheckpointError,
    ImageModelError,
    JobCancelled,
    MissingPackageError,
    PresetError,
    SettingsError,
    SingleLoraError,
    TaggerError,
    WildcardError,
)
from .fileio import check_present, disk_error
from .imaging.load import load_picture
from .jobs import Job, Progress, cancel_on_interrupt
from .names import check_name
from .settings import Settings, describe, parse_assignment
from .workspace import STAGES, Workspace

if TYPE_CHECKING:
    from .host import Host

DONE, FAILED, USAGE, CANCELLED = 0, 1, 2, 130
ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = Path(__file__).parent / "embedded" / "singlelora.safetensors"


def parser() -> argparse.ArgumentParser:
    """The words and options of the contract."""
    main = argparse.ArgumentParser(prog="singlelora.py", description="From one picture of a character to a LoRA that draws her.")
    words = main.add_subparsers(dest="word", required=True, metavar="WORD")
    run = words.add_parser("run", help="the whole job on a picture")
    run.formatter_class = argparse.RawDescriptionHelpFormatter
    run.epilog = "settings for --set, with their defaults:\n  " + "\n  ".join(describe())
    prepare = words.add_parser("prepare", help="take a picture into a workspace and prepare it")
    for sub in (run, prepare):
        sub.add_argument("picture", type=Path, metavar="PICTURE")
        sub.add_argument("--trigger", required=True, help="the word that will call her")
        sub.add_argument("--class-token", required=True, help="what she is: girl, boy, woman …")
    stages = {name: words.add_parser(name, help=f"the stage {name} by itself") for name in STAGES[1:]}
    stages["inpaint"].add_argument("--image", type=Path, help="picture to redraw a part of; default the prepared one")
    stages["inpaint"].add_argument("--mask", type=Path, help="mask of that size, white is redrawn; default her head")
    stages["inpaint"].add_argument("--prompt", help="what to draw there")
    stages["plot"].add_argument("--dry-run", action="store_true", help="only tell how much is missing and how long it takes")
    regularization_cli.add_options(stages["regularize"])
    for sub in (run, prepare, *stages.values()):
        sub.add_argument("--workspace", type=Path, required=True, metavar="DIR", help="her folder")
    bench = words.add_parser("bench", help="the benchmark, beside diffusers and peft; half an hour on two cores")
    bench.add_argument("--json", action="store_true", help="print the measurements as one JSON list and nothing else")
    bench.add_argument("--only", default="", help="some of steps,memory,latents,quality; the others keep their last figures")
    bench.add_argument("--rounds", type=int, default=3, help="how often each step is timed")
    tools_cli.add_parsers(words)
    settings_cli.add_parsers(words)
    captions_cli.add_parsers(words)
    versions_cli.add_parsers(words)
    page = words.add_parser("ui", help="the page, on 127.0.0.1")
    page.add_argument("--port", type=int, default=7870, help="where it listens (default 7870)")
    page.add_argument("--listen", metavar="ADDRESS", default="127.0.0.1",
                      help="address of this machine, or 0.0.0.0 for all of them (default 127.0.0.1); there is no login")
    page.add_argument("--allow-host", metavar="NAME", action="append", default=[],
                      help="further host name that requests may name, such as a reverse proxy's")
    page.add_argument("--workspaces", type=Path, metavar="DIR", default=ROOT / "workspaces", help="folder of the characters")
    page.add_argument("--checkpoint", type=Path, metavar="FILE", help="Stable Diffusion 1.x, .safetensors or .ckpt")
    demo = words.add_parser("demo", help="the whole job on the example picture")
    demo.add_argument("--workspace", type=Path, metavar="DIR", default=ROOT / "workspaces" / "demo", help="her folder")
    for sub in (run, prepare, demo, *stages.values()):
        sub.add_argument("--checkpoint", type=Path, metavar="FILE", help="Stable Diffusion 1.x, .safetensors or .ckpt")
        sub.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="a setting, such as training.rank=8")
        sub.add_argument("--force", action="store_true", help="do it again, over edits by hand too")
        sub.add_argument("--json", action="store_true", help="print the result as one JSON object and nothing else")
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (0 done, 1 failed, 2 usage, 130 cancelled)."""
    # Without it MKL's sums depend on where arrays happen to lie in memory, and a resumed training would not be exact.
    os.environ.setdefault("MKL_CBWR", "AUTO")
    keep_freed_memory()
    _plain_streams()
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    if options.word in ("ui", "bench"):
        return _page(options) if options.word == "ui" else _bench(options)
    job = Job(options.word, _Reporter(sys.stderr))
    try:
        with cancel_on_interrupt(job):
            result = job.run(lambda running: _work(options, running))
    except (JobCancelled, KeyboardInterrupt):
        return _say("cancelled; the same command goes on where it stopped", CANCELLED)
    except SingleLoraError as error:
        return _say(str(error), FAILED)
    except FileNotFoundError as error:
        return _say(f"{error.filename}: found no such file, expected one; check the path", FAILED)
    except OSError as error:
        return _say(str(disk_error(error, Path(error.filename or "."))), FAILED)
    except MemoryError:
        return _say("out of memory; close other programs or lower training.batch_size and training.resolution", FAILED)
    print(json.dumps(result, ensure_ascii=False) if options.json else _summary(result), flush=True)
    return DONE


def _page(options: argparse.Namespace) -> int:
    try:
        from .ui.serve import serve
    except ImportError as error:
        return _say(f"found no {error.name}, expected the page's packages; install them with pip install "
                    "'single-image-lora[standalone,ui]', or call singlelora.py, which does", FAILED)
    try:
        checkpoint = options.checkpoint or EMBEDDED
        host = _host(Path(os.path.abspath(checkpoint.expanduser())))
        serve(host, options.workspaces, options.port, options.listen, options.allow_host)
    except SingleLoraError as error:
        return _say(str(error), FAILED)
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        return _say(f"{options.listen}, port {options.port}: {why}; choose another with --port", FAILED)
    return DONE


def _bench(options: argparse.Namespace) -> int:
    try:
        from tools.bench.__main__ import main as bench
    except ImportError as error:
        return _say(f"found no {error.name}, expected the repository with the test packages; call python singlelora.py bench "
                    "in a clone of it", FAILED)
    words = ["--rounds", str(options.rounds), *["--json"] * options.json]
    words += ["--only", options.only] if options.only else []
    return int(bench(words))


def _plain_streams() -> None:
    """Print any character on any terminal (Windows' code pages lack most of them)."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _say(text: str, status: int) -> int:
    print(f"singlelora: {' '.join(text.split())}", file=sys.stderr, flush=True)
    return status


def _work(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    if options.word in tools_cli.WORDS:
        return tools_cli.run(options)
    if options.word in settings_cli.WORDS:
        return settings_cli.run(options)
    if options.word in captions_cli.WORDS:
        return captions_cli.run(options, job, lambda own: _host(_checkpoint(getattr(options, "checkpoint", None), own)))
    if options.word in versions_cli.WORDS:
        return versions_cli.run(options, job, lambda own: _host(_checkpoint(getattr(options, "checkpoint", None), own)))
    if options.word == "regularize" and regularization_cli.asked(options):
        return regularization_cli.run(options)
    demo = options.word == "demo"
    assignments = dict(parse_assignment(text) for text in options.set)
    if demo:
        options.picture, options.trigger, options.class_token = _demo_picture(), "isabella", "girl"
    starts = options.word in ("run", "prepare", "demo")
    if starts:
        assignments |= {"character.trigger": check_name(options.trigger, "trigger"),
                        "character.class_token": check_name(options.class_token, "class")}
    if getattr(options, "prompt", None):
        assignments["inpaint.prompt"] = options.prompt
    Settings.from_dict(assignments)  # a mistake is told before a folder is made
    if starts:
        load_picture(options.picture)  # … and a bad picture before the large imports too
    workspace = Workspace.begun(options.workspace) if starts else Workspace(options.workspace, create=False)
    if getattr(options, "dry_run", False):
        return _plan(options, workspace, assignments)
    with workspace.writing(options.word):
        job.listen(_Watching(workspace, _Reporter(sys.stderr)))
        return _run(options, workspace, job, assignments)


def _plan(options: argparse.Namespace, workspace: Workspace, assignments: dict[str, str]) -> dict[str, Any]:
    from .pipeline import plan_plot

    settings = _changed(workspace, workspace.load_settings(), assignments)
    return plan_plot(settings, workspace, _host(_checkpoint(options.checkpoint, workspace)))


def _run(options: argparse.Namespace, workspace: Workspace, job: Job, assignments: dict[str, str]) -> dict[str, Any]:
    """What needs the host, in a workspace that this call holds."""
    _changed(workspace, workspace.load_settings(), assignments)
    host = _host(_checkpoint(options.checkpoint or (EMBEDDED if options.word == "demo" else None), workspace))
    from .pipeline import run_all, run_stage  # torch comes with it, which takes seconds

    def change(saved: Settings) -> Settings:
        preset = {} if saved.character.trigger else {"training.preset": host.checkpoint.preset}
        return _changed(workspace, saved, {**preset, **assignments})

    before = workspace.settings_text()
    settings = workspace.change_settings(change, host.checkpoint.path)
    try:
        if options.word in ("run", "demo"):
            return run_all(settings, workspace, host, job, options.picture, options.force)
        picture = getattr(options, "picture", None) or getattr(options, "image", None)
        return run_stage(options.word, settings, workspace, host, job, options.force, picture, getattr(options, "mask", None))
    except (SettingsError, PresetError, WildcardError, TaggerError, ImageModelError, MissingPackageError):
        workspace.restore_settings(before, settings)  # a mistake in this call must not break the next one
        raise


def _changed(workspace: Workspace, saved: Settings, assignments: dict[str, str]) -> Settings:
    trigger = saved.character.trigger
    if trigger and assignments.get("character.trigger", trigger) != trigger:
        raise SettingsError(f"{workspace.root}: found a workspace of '{trigger}', expected one of "
                            f"'{assignments['character.trigger']}'; choose another --workspace")
    return saved.with_values(assignments)


def _checkpoint(given: Path | None, workspace: Workspace) -> Path:
    saved = None if given else workspace.load_checkpoint_path()
    if saved and names_a_share(str(saved)):  # the workspace may come from anybody; see `names_a_share`
        raise CheckpointError(f"{saved}: found the checkpoint on another machine, expected it on a drive; name it yourself "
                              "with --checkpoint")
    path = given or saved or (EMBEDDED if EMBEDDED.exists() else None)
    if path is None:
        raise CheckpointError("found no checkpoint, expected --checkpoint FILE: a Stable Diffusion 1.x .safetensors or .ckpt")
    return Path(os.path.abspath(path.expanduser()))


def _host(checkpoint: Path) -> Host:
    try:
        from .hosts.standalone.host import StandaloneHost
    except ImportError as error:
        raise CheckpointError(f"found no {error.name}, expected the standalone packages; install them with "
                              "pip install 'single-image-lora[standalone]', or call singlelora.py, which does") from error
    return StandaloneHost(checkpoint)


def _demo_picture() -> Path:
    return ROOT / "examples" / "isabella.png"


class _Watching:
    """Ends the job once its workspace was deleted, instead of at the next file, which may be an hour away."""

    def __init__(self, workspace: Workspace, then: _Reporter) -> None:
        self.workspace, self.then = workspace, then

    def __call__(self, progress: Progress) -> None:
        check_present(self.workspace.settings_file)
        self.then(progress)


class _Reporter:
    """Progress on stderr: one line that moves on a terminal, a line now and then elsewhere."""

    def __init__(self, stream: Any) -> None:
        self.stream, self.terminal = stream, bool(getattr(stream, "isatty", lambda: False)())
        self.last = ("", -1.0, 0.0)

    def __call__(self, progress: Progress) -> None:
        stage, _, when = self.last
        now = time.monotonic()
        ended = progress.total and progress.done >= progress.total
        if not (progress.stage != stage or ended or now - when > (0.2 if self.terminal else 10.0)):
            return
        self.last = (progress.stage, progress.fraction, now)
        line = f"{progress.stage:>10} {progress.fraction:4.0%}  {progress.message}"
        if self.terminal:
            print(f"\r\033[K{line[:110]}", end="\n" if ended else "", file=self.stream, flush=True)
        else:
            print(line[:200], file=self.stream, flush=True)


def _summary(result: dict[str, Any]) -> str:
    """The result for people."""
    if "changed" in result:
        return settings_cli.text(result)
    if "description" in result:  # a LoRA's summary, which tells tags too
        return tools_cli.text(result)
    if "tags" in result or "word" in result:
        return captions_cli.text(result)
    if "accepted" in result or "lineage" in result:
        return versions_cli.text(result)
    if "by_hand" in result:
        return regularization_cli.text(result)
    if "missing" in result:
        return str(result["plan"])
    if "workspace" not in result:
        return tools_cli.text(result)
    lines = [f"workspace       {result['workspace']}"]
    for key, label in (("source", "prepared"), ("sheet", "sheet"), ("page", "page"), ("budget", "budget"),
                       ("memory", "memory")):
        if result.get(key):
            lines.append(f"{label:<15} {result[key]}")
    for key, label in (("crops", "crops"), ("regularization", "regularization"), ("loras", "LoRA"), ("inpainted", "inpainted")):
        for path in result.get(key) or []:
            if key in ("crops", "regularization"):
                lines.append(f"{label:<15} {len(result[key])} pictures in {Path(path).parent}")
                break
            lines.append(f"{label:<15} {path}")
    notes = ("notes", "crop_notes", "regularization_notes", "warnings", "inpaint_notes")
    told = (note for key in notes for note in result.get(key) or ())
    lines += [f"note            {note}" for note in told]
    if result.get("recommendation"):
        lines.append(f"take            {result['recommendation']['reason']}")
    seconds = ", ".join(f"{stage} {value:.0f} s" for stage, value in result["seconds"].items())
    return "\n".join([*lines, f"time            {seconds}"])


if __name__ == "__main__":
    sys.exit(main())
