"""python -m tools.torture kill|fuzz|soak|races: what is tried against the product by machines."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path


def main(arguments: Sequence[str] | None = None) -> int:
    """0 when nothing was found, 1 when something was."""
    options = _parser().parse_args(arguments)
    state = options.state or Path(tempfile.mkdtemp(prefix="singlelora-torture-"))
    if options.word == "kill":
        from .kill import torture

        found = asdict(torture(state, options.kills, options.seed))
        wrong = found["differing"]
    elif options.word == "soak":
        from .soak import torture as soak

        found = asdict(soak(state, options.minutes * 60, options.seed))
        wrong = found["broken"] or found["stuck"] or found["tracebacks"]
    elif options.word == "races":
        from .races import torture as races

        found = asdict(races(state, options.minutes, options.seed))
        wrong = found["lost"] or found["torn"] or found["broken"]
    else:
        from .fuzz import torture as fuzz

        found = asdict(fuzz(options.minutes, options.seed, options.only))
        wrong = found["found"]
    print(json.dumps(found, indent=1))
    return 1 if wrong else 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.torture", description=__doc__)
    parser.add_argument(
        "--state", type=Path, help="folder for what is tried on (default: a temporary one)"
    )
    words = parser.add_subparsers(dest="word", required=True)
    kill = words.add_parser("kill", help="SIGKILL the whole job at random moments and resume it")
    kill.add_argument("--kills", type=int, default=100)
    kill.add_argument("--seed", type=int, default=0)
    soak = words.add_parser(
        "soak", help="jobs through one server for hours, with cancels and full disks"
    )
    soak.add_argument("--minutes", type=float, default=240)
    soak.add_argument("--seed", type=int, default=0)
    races = words.add_parser("races", help="many clients on one workspace")
    races.add_argument("--minutes", type=float, default=10)
    races.add_argument("--seed", type=int, default=0)
    fuzz = words.add_parser("fuzz", help="generated inputs for every reader")
    fuzz.add_argument("--minutes", type=float, default=30)
    fuzz.add_argument("--seed", type=int, default=0)
    fuzz.add_argument(
        "--only", default="", metavar="WORDS", help="the readers whose name has these words in it"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
