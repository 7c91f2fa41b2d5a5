"""How long until a LoRA of Isabella keeps as many traits as `article`'s last files, and
obeys as well.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from lib_singlelora.host import Host
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.workspace.workspace import Workspace
from tools.accuracy.judge.__main__ import judged
from tools.accuracy.judge.training import ROOT, Run

from .measurement import Measurement, against

# Of article's ten files: what it ends with is their mean, for one file's score swings
LAST = (8, 9, 10)
# Less flexibility that is still called equal; between epochs of one training it swings by more
EQUAL = 0.05
FIGURES = ("retention", "flexibility", "leak")


def first_as_good(rows: list[dict[str, Any]], wanted: dict[str, float]) -> int | None:
    """The first epoch with as much retention at equal flexibility."""
    good = (
        row["epoch"]
        for row in sorted(rows, key=lambda row: row["epoch"])
        if row["retention"] >= wanted["retention"]
        and row["flexibility"] >= wanted["flexibility"] - EQUAL
    )
    return next(good, None)


def _means(rows: list[dict[str, Any]]) -> dict[str, float]:
    return {name: sum(row[name] for row in rows) / len(rows) for name in FIGURES}


def _judged(
    preset: str, epochs: tuple[int, ...], host: Host, folder: Path
) -> tuple[list[dict[str, Any]], list[float]]:
    """(rows of the epochs, seconds of training at the end of each epoch)."""
    values = {
        "training.preset": preset,
        "regularization.count": 0,
        "training.regularization": "none",
    }
    run = Run("isabella", preset, values, epochs)
    rows = [row for row in judged(run, host, folder, Job(preset)) if row["epoch"]]
    seconds = [0.0] * (max(epochs) + 1)
    for event in Workspace(folder / f"isabella-{preset}").events.read():
        if event["event"] == "step":
            for epoch in range(event["epoch"], len(seconds)):
                seconds[epoch] += event["seconds"]
    return rows, seconds


def time_to_retention(preset: str = "recommended") -> list[Measurement]:
    """Seconds of training until a preset's file keeps what `article` ends with, both in one run."""
    host = StandaloneHost(ROOT / "lib_singlelora" / "embedded" / "singlelora.safetensors")
    with tempfile.TemporaryDirectory() as name:
        of_article, spent = _judged("article", LAST, host, Path(name))
        own, took = _judged(preset, tuple(range(1, max(LAST) + 1)), host, Path(name))
    wanted = _means(of_article)
    ends = _means([row for row in own if row["epoch"] in LAST])
    reached = first_as_good(own, wanted)
    return [
        *(
            Measurement(f"{name}.{whose}", round(figures[name], 3), "")
            for whose, figures in (("article", wanted), (preset, ends))
            for name in FIGURES
        ),
        Measurement("time_to_retention.article", round(spent[-1], 2), "s"),
        against(
            "time_to_retention",
            took[reached] if reached else float("inf"),
            "s",
            "time_to_retention.article",
            spent[-1],
        ),
    ]
