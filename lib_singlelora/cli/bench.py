"""The command line's word for the benchmark."""

from __future__ import annotations

import argparse
from typing import Any

from .output import fail


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
        help="some of steps,memory,latents,quality; the others keep their last figures",
    )
    bench.add_argument("--rounds", type=int, default=3, help="how often each step is timed")
    bench.set_defaults(command=run_bench)


def run_bench(options: argparse.Namespace) -> int:
    """Run the benchmark of the repository; returns the exit status."""
    try:
        from tools.bench.__main__ import main
    except ImportError as error:
        return fail(
            f"found no {error.name}, expected the repository with the test packages; call "
            "python singlelora.py bench in a clone of it"
        )
    words = ["--rounds", str(options.rounds)]
    if options.json:
        words.append("--json")
    if options.only:
        words += ["--only", options.only]
    return int(main(words))
