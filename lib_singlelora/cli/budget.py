"""The command line's word for the memory that a training would need."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import SettingsError
from ..jobs import Job
from ..naming.blocks import LAYOUTS, SD1, SDXL, BlockLayout
from ..settings.schema import Settings, parse_assignment
from ..workspace.workspace import Workspace
from .options import add_assignments, add_json

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
    word.add_argument("--workspace", type=Path, metavar="DIR", help="take its settings")
    word.add_argument(
        "--memory", type=float, metavar="GB", help="of a GPU to plan for (default: this machine)"
    )
    add_assignments(word)
    add_json(word)
    word.set_defaults(run=run, render=render)


def run(options: argparse.Namespace, job: Job) -> dict[str, Any]:
    """Calculate.  Raises: SettingsError, WorkspaceError, PresetError."""
    from ..stages.memory_budget import USUAL_SIDES, advice, budget_rows

    given = dict(parse_assignment(text) for text in options.set)
    if options.workspace:
        saved = Workspace(options.workspace, create=False).load_settings()
        settings = saved.with_values(given)
    else:
        settings = Settings.from_dict({**PLAIN, **given})
    training = settings.training
    computer = _computer(options.memory)
    sides = (training.resolution,) if training.resolution else USUAL_SIDES
    layouts = _layouts(options.family)
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
