"""python -m tools.lab FILE [FILE …] --state DIR [--minutes N] [--table]

Trains what the experiments name, draws and measures it, and prints each table.  A later call goes
on where the last one ended; several processes may work on one state folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from lib_singlelora.embedded.paths import CHECKPOINT
from lib_singlelora.hosts.standalone.host import StandaloneHost

from .engine import Engine
from .experiment import read_experiment
from .table import write


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("experiments", nargs="+", type=Path)
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--table", action="store_true", help="only write the tables")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    engine = Engine(given.state, StandaloneHost(CHECKPOINT))
    for path in given.experiments:
        experiment = read_experiment(path)
        if not given.table:
            left = engine.run(experiment, given.minutes)
            print(f"{experiment.name}: {left} of {len(experiment.runs())} trainings are left")
        print(write(experiment, engine, given.state / "tables").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
