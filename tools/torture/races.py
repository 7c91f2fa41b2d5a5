"""Many clients on one workspace by HTTP: nothing that was answered with yes is lost, nothing is
torn.
"""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .client import Answers, Client, server
from .job import checkpoint_in, fresh

CLIENTS = 8
# Each client writes settings of its own, so that a change by one that is lost by another is seen.
OWN = (
    "regularization.seed",
    "training.seed",
    "inpaint.seed",
    "plot.first_seed",
    "training.sample_seed",
    "training.epochs",
    "regularization.count",
    "inpaint.count",
)
HIGHEST = {"training.epochs": 900, "regularization.count": 2000, "inpaint.count": 100}


@dataclass
class Raced:
    """rounds: of all clients at once.

    lost, torn: what went wrong, a line each.
    answers: how many of each status.
    """

    rounds: int = 0
    changes: int = 0
    jobs: int = 0
    answers: dict[str, int] = field(default_factory=dict)
    lost: list[str] = field(default_factory=list)
    torn: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    minutes: float = 0.0


def torture(state: Path, minutes: float, seed: int = 0) -> Raced:
    """Race until the time is over."""
    os.nice(10)
    state.mkdir(parents=True, exist_ok=True)
    checkpoint = checkpoint_in(state)
    workspaces = fresh(state / "workspaces")
    workspaces.mkdir()
    found = Raced()
    answers = Answers()
    with server(workspaces, checkpoint, state / "server.txt") as (_, port):
        # A server takes its time to start
        clients = [Client(port, answers) for _ in range(CLIENTS)]
        began = time.monotonic()
        while time.monotonic() - began < minutes * 60:
            chance = random.Random(f"{seed}-{found.rounds}")
            for race in (_starts, _changes, _queue):
                race(clients, workspaces, chance, found)
            found.rounds += 1
            print(
                f"{found.rounds} rounds, {found.changes} changes, {found.jobs} jobs; lost"
                f" {len(found.lost)}, torn {len(found.torn)}, broken {len(answers.broken)}",
                file=sys.stderr,
                flush=True,
            )
        found.minutes = round((time.monotonic() - began) / 60, 1)
    found.answers = {str(status): count for status, count in sorted(answers.statuses.items())}
    found.broken = answers.broken[:50]
    return found


def _at_once(clients: list[Client], work: Callable[[int, Client], None]) -> None:
    """Let every client work at the same moment, and wait for all."""
    start = threading.Barrier(len(clients))

    def run(number: int, client: Client) -> None:
        start.wait()
        work(number, client)

    threads = [threading.Thread(target=run, args=pair) for pair in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _starts(clients: list[Client], workspaces: Path, chance: random.Random, found: Raced) -> None:
    """All start a character of the same name; whoever got a yes has a whole workspace."""
    name = f"racer {found.rounds}"
    statuses = dict[int, int]()

    def start(number: int, client: Client) -> None:
        statuses[number] = client.start(name)

    _at_once(clients, start)
    if 201 not in statuses.values():
        found.lost.append(f"{name}: nobody could start it ({sorted(statuses.values())})")
    elif not _whole(workspaces / name):
        found.torn.append(f"{name}: a yes, and no whole workspace")


def _whole(folder: Path) -> bool:
    try:
        json.loads((folder / "settings.json").read_text(encoding="utf-8"))
        return any((folder / "source").glob("original.*"))
    except (OSError, ValueError):
        return False


def _changes(clients: list[Client], workspaces: Path, chance: random.Random, found: Raced) -> None:
    """Each changes its own setting some times, and reads all meanwhile; at the end each has its
    last value.
    """
    name = f"racer {found.rounds}"
    wanted = dict[str, int]()
    values = {own: [chance.randrange(1, HIGHEST.get(own, 2**31)) for _ in range(5)] for own in OWN}

    def change(number: int, client: Client) -> None:
        own = OWN[number % len(OWN)]
        for value in values[own]:
            status, _ = client.ask("PATCH", f"/workspaces/{name}", {own: value})
            if status == 200:
                wanted[own] = value
                found.changes += 1
            status, seen = client.ask("GET", f"/workspaces/{name}")
            if status == 200 and own in wanted and _value(seen["settings"], own) != wanted[own]:
                found.lost.append(
                    f"{name}: {own} is {_value(seen['settings'], own)} right after {wanted[own]}"
                    " was taken"
                )

    _at_once(clients, change)
    try:
        saved = json.loads((workspaces / name / "settings.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        found.torn.append(f"{name}: settings.json: {error!r}")
        return
    found.lost += [
        f"{name}: {own} is {_value(saved, own)}, and {value} had been taken"
        for own, value in wanted.items()
        if _value(saved, own) != value
    ]


def _value(settings: dict[str, Any], name: str) -> Any:
    section, _, key = name.partition(".")
    return settings.get(section, {}).get(key)


def _queue(clients: list[Client], workspaces: Path, chance: random.Random, found: Raced) -> None:
    """Each queues a job, and a random one cancels each; every job that was taken is told of until
    it ended.
    """
    name = f"racer {found.rounds}"
    taken = list[int]()

    def queue(number: int, client: Client) -> None:
        status, view = client.ask(
            "POST",
            f"/workspaces/{name}/jobs",
            {"stage": ("prepare", "crop", "caption")[number % 3]},
        )
        if status == 202:
            taken.append(view["id"])
        if taken and number % 2:
            client.ask("POST", f"/jobs/{taken[-1]}/cancel")

    _at_once(clients, queue)
    found.jobs += len(taken)
    last = time.monotonic() + 300
    for job in taken:
        while (state := clients[0].job(job).get("state")) in (
            "waiting",
            "running",
        ) and time.monotonic() < last:
            time.sleep(0.2)
        if state not in ("done", "failed", "cancelled"):
            found.lost.append(f"{name}: job {job} is {state}")
    for path in (workspaces / name).rglob("*"):
        if path.suffix == ".tmp":
            found.torn.append(f"{path.relative_to(workspaces)} is left")
