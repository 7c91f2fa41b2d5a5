"""The command line's words for many settings, many characters and many machines."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from ..embedded.paths import CHECKPOINT
from ..jobs import Job
from ..settings.schema import Settings, parse_assignment
from ..workspace.training_preset import current
from ..workspace.workspace import Workspace
from . import checkpoint
from .options import add_assignments, add_checkpoint, add_json, add_workspace
from .stages import ROOT


def add_parsers(words: Any) -> None:
    """Add the words to argparse's subparsers."""
    sweep = words.add_parser("sweep", help="try several values of settings, and judge each trial")
    add_workspace(sweep)
    sweep.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="NAME=VALUES",
        help="training.rank=4,8,16 or training.unet_lr=1e-4..2e-3:log; one value is every trial's",
    )
    sweep.add_argument(
        "--budget", type=int, metavar="N", help="trials (default: every combination, or 20)"
    )
    sweep.add_argument(
        "--objectives",
        default="value",
        metavar="NAMES",
        help="1 to 3 of value, retention, flexibility, copying, leak, damage (default: value)",
    )
    sweep.add_argument(
        "--sampler",
        default="",
        metavar="NAME",
        help="grid, random, tpe or nsga2 (default: grid where that is within the budget, else tpe)",
    )
    sweep.add_argument(
        "--pruner",
        default="median",
        metavar="NAME",
        help="median, halving or none: which trials are given up after an epoch (default: median)",
    )
    sweep.add_argument("--name", default="", help="of the sweep (default: made from --set)")
    sweep.add_argument("--seed", type=int, default=0, help="of the search (default: 0)")
    sweep.add_argument(
        "--dry-run", action="store_true", help="only tell how many trials and how long they take"
    )
    sweep.set_defaults(run=run_sweep, render=render_sweep)
    worker = words.add_parser("worker", help="do what sweeps and batches have queued in a storage")
    worker.add_argument(
        "--wait", action="store_true", help="stay when nothing is left, for what is queued later"
    )
    worker.set_defaults(run=run_worker, render=render_worker)
    batch = words.add_parser("batch", help="the whole job on many pictures")
    batch.add_argument(
        "pictures",
        type=Path,
        metavar="FOLDER|LIST.csv",
        help="pictures named as their triggers; or a table: picture, trigger, class, settings",
    )
    batch.add_argument(
        "--out", type=Path, metavar="DIR", help="of the characters' folders (default: workspaces/…)"
    )
    batch.add_argument(
        "--class-token", default="girl", help="of pictures whose line has none (default: girl)"
    )
    add_assignments(batch)
    batch.set_defaults(run=run_batch, render=render_batch)
    for sub in (sweep, worker, batch):
        sub.add_argument(
            "--storage",
            default="",
            required=sub is worker,
            metavar="URL",
            help="a journal's path, sqlite:///FILE or postgresql://USER@HOST/NAME"
            + ("" if sub is worker else " (default: a journal beside the results)"),
        )
        sub.add_argument("--device", metavar="NAME", help="such as cuda:1 (default: the first GPU)")
        sub.add_argument(
            "--heartbeat",
            type=int,
            default=15,
            metavar="S",
            help="seconds; who misses four is taken for dead (default: 15)",
        )
        add_checkpoint(sub)
        add_json(sub)
        if sub is not worker:
            sub.add_argument(
                "--queue-only", action="store_true", help="leave the work to workers elsewhere"
            )


def run_sweep(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Do the trials that are left, with --dry-run only count them.

    Raises: SettingsError, StorageError, ConflictError, MissingPackageError, JobCancelled.
    """
    from ..sweeps.optuna_package import load_optuna
    from ..sweeps.request import SweepRequest, plan_sweep

    load_optuna()  # before the large imports
    workspace = Workspace(options.workspace, create=False)
    request = SweepRequest(
        tuple(options.set),
        options.budget,
        options.storage,
        options.objectives,
        options.sampler,
        options.pruner,
        options.name,
        options.seed,
        options.heartbeat,
    )
    plan_sweep(workspace.load_settings(), request)
    path = checkpoint.checkpoint_path(options.checkpoint, workspace)
    host = checkpoint.load_host(path, options.device)
    settings = current(workspace, host.asked_preset)[0]
    planned = plan_sweep(settings, request)
    from ..stages.context import StageContext
    from ..sweeps.estimate import estimate
    from ..sweeps.report import sweep_result
    from ..sweeps.sweep import begin_sweep
    from ..sweeps.sweep import run_sweep as do

    context = StageContext(settings, workspace, host, job)
    if options.dry_run:
        return {"workspace": str(workspace.root), **estimate(planned, workspace).as_dict()}
    queue = begin_sweep(context, planned)
    if not options.queue_only:
        do(queue, context)
    return sweep_result(queue)


def render_sweep(result: dict[str, Any]) -> str:
    """The result for people."""
    if "plan" in result:
        return str(result["plan"])
    lines = [f"{'workspace':<11} {result['workspace']}", f"{'storage':<11} {result['storage']}"]
    names = list(dict.fromkeys(name for row in result["trials"] for name in row["figures"]))
    settings = list(dict.fromkeys(name for row in result["trials"] for name in row["settings"]))
    head = ["trial", "state", *(name.partition(".")[2] for name in settings), *names, "seconds"]
    table = [head]
    for row in result["trials"]:
        figures = [_figure(row["figures"].get(name)) for name in names]
        chosen = [str(row["settings"].get(name, "")) for name in settings]
        mark = " *" if row["front"] else ""
        table.append(
            [row["trial"], row["state"] + mark, *chosen, *figures, _figure(row["seconds"])]
        )
    widths = [max(len(line[column]) for line in table) for column in range(len(head))]
    lines += [
        "  ".join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in table
    ]
    lines += [f"{'failed':<11} {r['trial']}: {r['error']}" for r in result["trials"] if r["error"]]
    saved = result["saved"]
    if saved["pruned"]:
        lines.append(
            f"{'pruned':<11} {saved['pruned']} trials, {saved['epochs']} epochs not trained,"
            f" about {saved['seconds']:.0f} s saved"
        )
    for key, label in (("table", "table"), ("sheet", "best trials"), ("front", "the search")):
        if result[key]:
            lines.append(f"{label:<11} {result[key]}")
    if result["left"]:
        lines.append(f"{'left':<11} {result['left']} trials")
    if result["preset"]:
        lines.append(f"{'preset':<11} {result['preset']['name']}: {result['preset']['about']}")
        lines += [f"{'':<11} {name}: {why}" for name, why in result["preset"]["why"].items()]
    lines.append(f"{'dashboard':<11} {result['dashboard']}")
    return "\n".join(lines)


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3g}"


def run_batch(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Do the pictures that are left.

    Raises: PictureError, SettingsError, StorageError, ConflictError, CheckpointError, JobCancelled.
    """
    from ..sweeps.optuna_package import load_optuna
    from ..sweeps.picture_list import read_list

    load_optuna()
    values = dict(parse_assignment(text) for text in options.set)
    Settings.from_dict(values)
    entries = read_list(options.pictures, options.class_token)
    out = (options.out or ROOT / "workspaces" / options.pictures.stem).expanduser().absolute()
    from ..files.fileio import make_folder
    from ..sweeps.batch import PictureHandler, batch_result, begin_batch
    from ..sweeps.storage import JOURNAL, open_storage
    from ..sweeps.worker import work

    make_folder(out)
    storage = open_storage(options.storage or str(out / JOURNAL), True, options.heartbeat)
    path = options.checkpoint or CHECKPOINT
    host = checkpoint.load_host(path.expanduser().absolute(), options.device)
    queue = begin_batch(storage, out, entries, host, values)
    if not options.queue_only:
        work(queue, PictureHandler(queue, host), job, after=batch_result)
    return batch_result(queue)


def render_batch(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [
        f"{row['trigger']:<20} {row['state']:<9} {row['error'] or row['reason']}"
        for row in result["characters"]
    ]
    lines.append(f"{'index':<11} {result['index']}")
    if result["left"]:
        lines.append(f"{'left':<11} {result['left']} characters")
    return "\n".join(lines)


def run_worker(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Do what waits in a storage.

    Raises: StorageError, CheckpointError, MissingPackageError, JobCancelled.
    """
    from ..sweeps.storage import open_storage

    storage = open_storage(options.storage, interval=options.heartbeat)
    from ..sweeps.kinds import HostOf, serve

    hosts: dict[Path, Any] = {}

    def host_of(recorded: Path) -> Any:
        path = (options.checkpoint or recorded).expanduser().absolute()
        if path not in hosts:
            hosts.clear()  # one in memory at a time
            hosts[path] = checkpoint.load_host(path, options.device)
        return hosts[path]

    served: HostOf = host_of
    return serve(storage, served, job, options.wait)


def render_worker(result: dict[str, Any]) -> str:
    """The result for people."""
    lines = [f"{name}: {ended} ended by this worker" for name, ended in result["ended"].items()]
    return "\n".join(lines) or f"{result['storage']}: nothing was left to do"
