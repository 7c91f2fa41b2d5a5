"""The command line's word for the benchmark."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from typing import Any

from .output import fail

ROOT = Path(__file__).parents[2]


def add_parsers(words: Any) -> None:
    """Add the word to argparse's subparsers."""
    bench = words.add_parser(
        "bench", help="the benchmark, beside diffusers and peft; half an hour on two cores"
    )
    bench.add_argument(
        "--json",
        action="store_true",
        help="print the measurements as one JSON list and nothing else",
    )
    bench.add_argument(
        "--only",
        default="",
        help="some of steps,memory,latents,quality,job,gpu; the others keep their last figures",
    )
    bench.add_argument("--rounds", type=int, default=3, help="how often each step is timed")
    bench.set_defaults(command=run_bench)


def run_bench(options: argparse.Namespace) -> int:
    """Run the benchmark of the repository, a program of its own; returns its exit status."""
    if not (ROOT / "tools" / "bench").is_dir():
        return fail(
            f"found no benchmark in {ROOT}, expected the repository; call python singlelora.py "
            "bench in a clone of it"
        )
    words = ["--rounds", str(options.rounds)]
    if options.json:
        words.append("--json")
    if options.only:
        words += ["--only", options.only]
    return subprocess.call([sys.executable, "-m", "tools.bench", *words], cwd=ROOT)
