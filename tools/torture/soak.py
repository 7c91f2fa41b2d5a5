"""Jobs for hours through one server: two clients, cancels, full disks, workspaces that are deleted.

Does anything grow?
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .client import Answers, Client, server, temporary_folder
from .job import checkpoint_in

DISK = 48 * 2**20  # bytes of the tmpfs: some fifteen small workspaces
BETWEEN = 20.0  # seconds from one look at the process to the next
WARM = 6  # jobs before memory is called steady: every path of the code was gone once
STAGES = ("run", "run", "run", "crop", "caption", "regularize", "train", "plot", "inpaint")


@dataclass
class Soaked:
    """Figures.  before, after: medians of the first and the last quarter of the looks after the
    first jobs.

    rss in MB; handles, threads: of the server's process; temporaries: files of ours in the folder
    of workspaces and in the system's.  full_disks: times the disk was filled, 0 where no tmpfs
    could be made.  failures: why jobs
    full_disks: times the disk was filled, 0 where no tmpfs could be made.
    failures: why jobs failed, as they told it.
    """

    hours: float = 0.0
    jobs: dict[str, int] = field(default_factory=dict)
    answers: dict[str, int] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    tracebacks: int = 0
    full_disks: int = 0
    before: dict[str, float] = field(default_factory=dict)
    after: dict[str, float] = field(default_factory=dict)
    stuck: list[str] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)


def torture(state: Path, seconds: float, seed: int = 0) -> Soaked:
    """Soak for so long."""
    os.nice(10)
    state.mkdir(parents=True, exist_ok=True)
    checkpoint = checkpoint_in(state)
    output = state / "server.txt"
    workspaces = state / "workspaces"
    output.unlink(missing_ok=True)
    found = Soaked()
    answers = Answers()
    looks = list[dict[str, Any]]()
    with _disk(workspaces) as small, server(workspaces, checkpoint, output) as (process, port):
        began = time.time()
        until = time.time() + seconds
        lock = threading.Lock()
        jobs = Counter[str]()
        shared = (workspaces, until, jobs, lock, found, seed)
        clients = [
            threading.Thread(
                target=_client, args=(number, Client(port, answers), *shared), daemon=True
            )
            for number in range(2)
        ]
        if small:
            clients.append(
                threading.Thread(target=_fill, args=(workspaces, until, found, seed), daemon=True)
            )
        for client in clients:
            client.start()
        with (state / "looks.jsonl").open("w", encoding="utf-8") as log:
            while time.time() < until and process.poll() is None:
                time.sleep(min(BETWEEN, max(0.1, until - time.time())))
                looks.append(
                    {
                        **_look(process.pid, workspaces, temporary_folder(output)),
                        "jobs": sum(jobs.values()),
                        "time": round(time.time() - began),
                    }
                )
                log.write(json.dumps(looks[-1]) + "\n")
                log.flush()
                print(
                    looks[-1],
                    dict(jobs),
                    found.full_disks,
                    len(answers.broken),
                    file=sys.stderr,
                    flush=True,
                )
        if process.poll() is not None:
            found.broken.append(f"the server ended with {process.returncode}")
        for client in clients:
            client.join(60)
    found.hours = round((time.time() - began) / 3600, 2)
    found.jobs = dict(jobs)
    found.answers = {str(status): count for status, count in sorted(answers.statuses.items())}
    found.broken += answers.broken[:50]
    found.tracebacks = output.read_text(encoding="utf-8", errors="replace").count("Traceback")
    steady = [look for look in looks if look["jobs"] >= WARM]
    quarter = max(1, len(steady) // 4)
    for name in ("rss", "handles", "threads", "temporaries"):
        if steady:
            found.before[name] = statistics.median(look[name] for look in steady[:quarter])
            found.after[name] = statistics.median(look[name] for look in steady[-quarter:])
    return found


def _client(
    number: int,
    client: Client,
    workspaces: Path,
    until: float,
    jobs: Counter[str],
    lock: threading.Lock,
    found: Soaked,
    seed: int,
) -> None:
    """One user: starts, changes, cancels, looks, deletes."""
    chance = random.Random(f"{seed}-{number}")
    while time.time() < until:
        name = f"character {number}-{chance.randrange(3)}"
        if not (workspaces / name / "settings.json").exists() and client.start(name) != 201:
            time.sleep(2)
            continue
        client.ask(
            "PATCH",
            f"/workspaces/{name}",
            {"training.seed": chance.randrange(1000), "regularization.seed": chance.randrange(3)},
        )
        status, view = client.ask(
            "POST",
            f"/workspaces/{name}/jobs",
            {"stage": chance.choice(STAGES), "force": chance.random() < 0.3},
        )
        if status != 202:
            time.sleep(1)
            continue
        state = _watched(client, view["id"], name, until, chance, found)
        with lock:
            jobs[state] += 1
        if chance.random() < 0.1:
            shutil.rmtree(workspaces / name, ignore_errors=True)


def _watched(
    client: Client, job: int, name: str, until: float, chance: random.Random, found: Soaked
) -> str:
    """How a job ended that was looked at, and cancelled in one of three cases."""
    cancel = time.time() + chance.uniform(0, 20) if chance.random() < 0.33 else None
    last = time.time() + 600
    while (view := client.job(job)).get("state") in ("waiting", "running"):
        if time.time() > min(last, until + 30):
            if time.time() > last:
                found.stuck.append(f"job {job}: {view}")
            return "unfinished"
        if cancel is not None and time.time() > cancel:
            client.ask("POST", f"/jobs/{job}/cancel")
            cancel = None
        client.ask(
            "GET",
            chance.choice(
                (
                    f"/workspaces/{name}",
                    "/workspaces",
                    "/jobs",
                    f"/workspaces/{name}/files",
                    f"/workspaces/{name}/dataset",
                )
            ),
        )
        time.sleep(1)
    if view.get("state") == "failed":
        words = re.sub(r"\d+", "#", str(view["error"]).rpartition("/")[2])[:120]
        found.failures[words] = found.failures.get(words, 0) + 1
    return str(view.get("state", "forgotten"))


def _fill(workspaces: Path, until: float, found: Soaked, seed: int) -> None:
    """Fill the disk for a while, at times."""
    chance = random.Random(f"{seed}-disk")
    ballast = workspaces / ".ballast"
    while time.time() < until:
        time.sleep(min(chance.uniform(60, 180), max(0.0, until - time.time())))
        with contextlib.suppress(OSError), ballast.open("wb") as file:
            found.full_disks += 1
            while True:
                file.write(bytes(4096))
                file.flush()
        time.sleep(min(chance.uniform(5, 30), max(0.0, until - time.time())))
        with contextlib.suppress(OSError):
            ballast.unlink()


def _look(process: int, workspaces: Path, temporary: Path) -> dict[str, Any]:
    """Resident memory (MB), file handles and threads of a process (from /proc), and temporary files
    of ours.
    """
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    values = dict(line.split(":", 1) for line in status.splitlines() if ":" in line)
    temporaries = sum(path.name.endswith(".tmp") for path in workspaces.rglob(".*"))
    temporaries += sum(path.is_file() for path in temporary.rglob("*"))
    return {
        "rss": round(int(values["VmRSS"].split()[0]) / 1024, 1),
        "threads": int(values["Threads"]),
        "handles": len(list(Path(f"/proc/{process}/fd").iterdir())),
        "temporaries": temporaries,
    }


@contextmanager
def _disk(folder: Path) -> Iterator[bool]:
    """A small disk of its own, where the system lets us mount one (False where not)."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    words = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(folder)]
    mounted = (
        hasattr(os, "geteuid")
        and os.geteuid() == 0
        and subprocess.run(words, check=False).returncode == 0
    )
    if not mounted:
        print(
            "no tmpfs could be mounted (that wants root): full disks are left out", file=sys.stderr
        )
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], check=False)
