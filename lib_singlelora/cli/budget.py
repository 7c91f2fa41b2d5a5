"""The command line's word for the memory that a training would need."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CheckpointError, SettingsError
from ..jobs import Job
from ..naming.blocks import LAYOUTS, SD1, SDXL, BlockLayout
from ..settings.schema import Settings, parse_assignment
from ..workspace.workspace import Workspace
from . import checkpoint
from .options import add_assignments, add_checkpoint, add_json

if TYPE_CHECKING:
    from ..training.memory_plan import Computer

GIGABYTE = 1e9
GIB = 2**30
# So that nothing but what is trained by default is counted
PLAIN = {"training.text_encoder_lr": "0"}


def add_parsers(words: Any) -> None:
    """Add the word to argparse's subparsers."""
    word = words.add_parser(
        "budget", help="the memory that a training would need, before anything is loaded"
    )
    word.add_argument(
        "--family",
        action="append",
        choices=[layout.name for layout in LAYOUTS],
        help="whose checkpoints (default: sd1 and sdxl); may be given several times",
    )
    add_checkpoint(word)
    word.add_argument(
        "--workspace", type=Path, metavar="DIR", help="take its settings and its checkpoint"
    )
    word.add_argument(
        "--memory", type=float, metavar="GB", help="of a GPU to plan for (default: this machine)"
    )
    add_assignments(word)
    add_json(word)
    word.set_defaults(run=run, render=render)


def run(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Calculate.  Raises: SettingsError, WorkspaceError, CheckpointError, PresetError."""
    from ..stages.memory_budget import USUAL_SIDES, advice, budget_rows

    given = dict(parse_assignment(text) for text in options.set)
    sides: tuple[int, ...] = USUAL_SIDES
    layouts = _layouts(options.family)
    settings = Settings.from_dict({**PLAIN, **given})
    workspace = Workspace(options.workspace, create=False) if options.workspace else None
    if workspace:
        settings = workspace.load_settings().with_values(given)
    if (workspace or options.checkpoint) and not options.family:
        layout, native = _of_checkpoint(options.checkpoint, workspace)
        layouts = [layout]
        sides = (native,)
    training = settings.training
    sides = (training.resolution,) if training.resolution else sides
    computer = _computer(options.memory)
    rows = budget_rows(layouts, sides, training, computer)
    pairs = [rows[i : i + 2] for i in range(0, len(rows), 2)]
    return {
        "computer": {"name": computer.name, "gpu": computer.is_gpu, "bytes": computer.bytes},
        "rank": training.rank,
        "batch_size": training.batch_size,
        "rows": [row.as_dict() for row in rows],
        "advice": [
            {
                "family": pair[0].family,
                "resolution": pair[0].side,
                "text": advice(pair, training, computer),
            }
            for pair in pairs
        ],
    }


def _of_checkpoint(given: Path | None, workspace: Workspace | None) -> tuple[BlockLayout, int]:
    """(layout, native size in pixels) of a checkpoint, by the header of its file.

    Raises: CheckpointError.
    """
    from ..families.recognition import recognize
    from ..files.weights import UnreadableWeights, read_header
    from ..stages.memory_budget import narrowed

    path = given.expanduser() if workspace is None and given else None
    if path is None and workspace:
        path = checkpoint.checkpoint_path(given, workspace)
    assert path is not None
    try:
        header = read_header(path)
    except UnreadableWeights as error:
        raise CheckpointError(
            f"{path}: found no header of tensors ({error}), expected a .safetensors; name the"
            " --family instead"
        ) from None
    family = recognize(header.shapes, path.name)
    text = header.metadata.get("native_size", "")
    native = int(text) if text.isdecimal() and 64 <= int(text) <= 2048 else family.native_size
    return narrowed(family, header.shapes), native


def _layouts(names: list[str] | None) -> list[BlockLayout]:
    wanted = names or [SD1.name, SDXL.name]
    return [layout for layout in LAYOUTS if layout.name in wanted]


def _computer(memory: float | None) -> Computer:
    """This machine, or a GPU of so many GB.  Raises: SettingsError."""
    from ..training.memory_fit import likely_computer
    from ..training.memory_plan import Computer

    if memory is None:
        return likely_computer()
    if not 0 < memory < 10_000:
        raise SettingsError(
            f"--memory: found {memory:g}, expected the GPU's memory in GB, such as 12"
        )
    return replace(Computer(f"a GPU of {memory:g} GB", True), bytes=memory * GIB)


def render(result: dict[str, Any]) -> str:
    """The result for people."""
    computer = result["computer"]
    lines = [
        f"rank {result['rank']}, batch {result['batch_size']}, on {computer['name']}"
        + (f" ({computer['bytes'] / GIGABYTE:.1f} GB)" if computer["bytes"] else ""),
        f"{'':<6} {'side':>5}  {'checkpointing':<13} {'step':>8} {'weights':>8} {'LoRA':>6}"
        f" {'state':>6} {'passes':>7} {'encoding':>9}",
    ]
    for row in result["rows"]:
        lines.append(
            f"{row['family']:<6} {row['resolution']:>5} "
            f" {'with' if row['gradient_checkpointing'] else 'without':<13}"
            f" {_gb(row['peak']):>8} {_gb(row['weights']):>8} {_gb(row['lora']):>6}"
            f" {_gb(row['optimizer']):>6} {_gb(row['kept'] + row['work']):>7}"
            f" {_gb(row['caching']):>9}" + ("" if row["fits"] is not False else "  too large")
        )
    lines += [
        f"{each['family']} at {each['resolution']}: {each['text']}" for each in result["advice"]
    ]
    lines.append("GB; CUDA's own memory comes on top.")
    return "\n".join(lines)


def _gb(count: float) -> str:
    return f"{count / GIGABYTE:.2f}"
