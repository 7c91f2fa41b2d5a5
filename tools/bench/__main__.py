"""The whole benchmark: python -m tools.bench [--json] [--only NAME,…]."""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from lib_singlelora.hosts.standalone.cpu_precision import has_bf16_units

from .measurement import Measurement, against, table

ROOT = Path(__file__).parents[2]
RESULTS = ROOT / "benchmarks" / "results.json"
# Measured on another machine, so that each file tells one
GPU_RESULTS = RESULTS.with_name("gpu.json")
SDXL_RESULTS = RESULTS.with_name("sdxl.json")  # on one thread of a machine that others used too
PARTS = ("steps", "memory", "latents", "quality")
ALONE = ("job",)  # minutes, and only when nothing else runs
OPTIONAL = (*ALONE, "sdxl", "gpu")
ROUNDS = 3


def interleaved(steps: dict[str, Callable[[], None]], rounds: int) -> dict[str, float]:
    """Median seconds of each step; one round to warm up, then all in turn, so that the machine's
    moods meet all alike.
    """
    found: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 1):
        for name, step in steps.items():
            started = time.perf_counter()
            step()
            seconds = time.perf_counter() - started
            print(f"{name} {seconds:.2f} s", file=sys.stderr, flush=True)
            if turn:
                found[name].append(seconds)
    return {name: statistics.median(values) for name, values in found.items()}


def measure_steps(rounds: int) -> list[Measurement]:
    """A step of ours against the limit, the peer, and ours with less to compute; ours and theirs
    each in a process of its own.
    """
    from .worker import worker

    with worker("ours", ["full", "outd"]) as mine:
        with worker("plain", ["limit", "peer"]) as plain:
            found = interleaved(plain | mine, rounds)
        with worker("ours", ["checkpointing"]) as again:
            price = interleaved({"full": mine["full"]} | again, rounds)
    halved = measure_bf16_steps(rounds) if has_bf16_units() else []
    return [
        Measurement("step.limit", round(found["limit"], 4), "s"),
        Measurement("step.peer", round(found["peer"], 4), "s"),
        against("step.full", found["full"], "s", "step.limit", found["limit"]),
        against("step.full", found["full"], "s", "step.peer", found["peer"]),
        against("step.outd", found["outd"], "s", "step.full", found["full"]),
        against("step.checkpointing", price["checkpointing"], "s", "step.full", price["full"]),
        *halved,
    ]


def measure_bf16_steps(rounds: int) -> list[Measurement]:
    """The same step in bf16, on a processor that multiplies it: as "auto" takes it there."""
    from .worker import worker

    with (
        worker("ours", ["full bf16"]) as mine,
        worker("plain", ["limit", "peer", "peer bf16"]) as plain,
    ):
        found = interleaved(plain | mine, rounds)
    half = found["full bf16"]
    return [
        Measurement("step.peer_bf16", round(found["peer bf16"], 4), "s"),
        against("step.full_bf16", half, "s", "step.limit", found["limit"]),
        against("step.full_bf16", half, "s", "step.peer", found["peer"]),
        against("step.full_bf16", half, "s", "step.peer_bf16", found["peer bf16"]),
    ]


def measure_memory(rounds: int) -> list[Measurement]:
    """Peak resident memory, each in a process of its own."""
    from .memory import peak_of

    peer = peak_of("peer")
    found = [Measurement("memory.peer", round(peer, 1), "MB")]
    return found + [
        against(f"memory.{kind}", peak_of(kind), "MB", "memory.peer", peer)
        for kind in ("full", "checkpointing", "outd")
    ]


def measure_latents(rounds: int) -> list[Measurement]:
    """A 512² picture to latents."""
    from .worker import worker

    with worker("ours", ["latents"]) as mine, worker("plain", ["latents.peer"]) as plain:
        found = interleaved(plain | mine, max(3, rounds))
    return [
        Measurement("latents.peer", round(found["latents.peer"], 4), "s"),
        against("latents", found["latents"], "s", "latents.peer", found["latents.peer"]),
    ]


def measure_quality(rounds: int) -> list[Measurement]:
    """On the embedded checkpoint: steps a second, time to the first step, and to what `article`
    reaches at its end.
    """
    from .quality import time_to_quality
    from .retention import time_to_retention

    return time_to_quality() + time_to_retention()


def measure_sdxl(rounds: int) -> list[Measurement]:
    """One step of SDXL's whole U-Net, on a machine with 16 GB free."""
    from .sdxl import measure_sdxl

    return measure_sdxl()


def measure_gpu(rounds: int) -> list[Measurement]:
    """On a CUDA GPU, in bf16."""
    from . import gpu

    return gpu.measure_gpu(max(10, rounds))


def measure_job(rounds: int) -> list[Measurement]:
    """The demo, once: where its seconds go."""
    from .job import measure_job

    return measure_job()


def machine() -> dict[str, object]:
    """What the figures hold for."""
    import diffusers
    import peft
    import torch

    return {
        "cores": os.cpu_count(),
        "processor": platform.machine(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "diffusers": diffusers.__version__,
        "peft": peft.__version__,
        "threads": torch.get_num_threads(),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def record(path: Path, found: Sequence[Measurement]) -> None:
    """Put measurements in the place of those of the same names."""
    before = json.loads(path.read_text(encoding="utf-8"))["measurements"] if path.exists() else []
    names = {measurement.name for measurement in found}
    whole = {name for name in ALONE if name in names}  # whose parts may be others than last time
    rows = [
        row
        for row in before
        if row["name"] not in names and row["name"].partition(".")[0] not in whole
    ] + [asdict(measurement) for measurement in found]
    path.parent.mkdir(exist_ok=True)
    path.write_text(
        json.dumps({"machine": machine(), "measurements": rows}, indent=1) + "\n", encoding="utf-8"
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="singlelora.py bench", description=__doc__)
    parser.add_argument(
        "--json",
        action="store_true",
        help="print the measurements as one JSON list and nothing else",
    )
    parser.add_argument(
        "--only",
        default=",".join(PARTS),
        help=f"some of {', '.join(PARTS + OPTIONAL)}; the others keep their last figures",
    )
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given = parser.parse_args(arguments)
    wanted = given.only.split(",")
    if unknown := [name for name in wanted if name not in PARTS + OPTIONAL]:
        parser.error(
            f"--only: found {unknown[0]!r}, expected some of {', '.join(PARTS + OPTIONAL)}"
        )
    work = {
        "steps": measure_steps,
        "memory": measure_memory,
        "latents": measure_latents,
        "quality": measure_quality,
        "job": measure_job,
        "sdxl": measure_sdxl,
        "gpu": measure_gpu,
    }
    files = {"gpu": GPU_RESULTS, "sdxl": SDXL_RESULTS}
    found = []
    for part in wanted:
        measured = work[part](given.rounds)
        record(files.get(part, RESULTS), measured)
        found += measured
    rows = [asdict(m) for m in found]
    print(json.dumps(rows) if given.json else table(found), flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
