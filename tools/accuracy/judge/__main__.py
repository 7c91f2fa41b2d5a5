"""How far the judge agrees with what is known: python -m tools.accuracy.judge --out FOLDER
[--minutes N] [--json].

Trains LoRAs of the embedded world's characters too little, enough and far too much (about fifteen
minutes on one core), judges each file at full strength, and compares retention with the renderer's
drawing of the same character.  What lies in FOLDER is not done again, so a call that ran out of its
minutes is continued by the next.  Exit status 1 when a check fails.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import Any

from lib_singlelora.files.fileio import file_hash, fingerprint, write_bytes, write_json
from lib_singlelora.host import Host, ImageRequest, LoraUse
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.imaging.png import png_bytes
from lib_singlelora.jobs import Job
from lib_singlelora.judge.cells import NO_LORA, CellSpec, LoraSource
from lib_singlelora.judge.recommend import judge
from lib_singlelora.judge.tagged_pictures import read_pictures
from lib_singlelora.library.epochs import epoch_files
from lib_singlelora.workspace.workspace import Workspace

from .training import OVERFIT, ROOT, RUNS, Run, train
from .truth import likeness, spearman

FRAMING = "upper body"
SEEDS = (1, 2, 3)
Row = dict[str, Any]


def judged(run: Run, host: Host, folder: Path, job: Job) -> list[Row]:
    """One row for the checkpoint alone and for each file: the judge's scores and the truth."""
    workspace, settings = train(run, host, folder, job)
    files = {
        epoch: path
        for epoch, path in epoch_files(workspace, settings).items()
        if epoch in run.epochs
    }
    settings = settings.with_values({"judge.probes": len(files)})
    prompt = f"{run.character}, girl, solo, {FRAMING}, looking at viewer, white background"
    places = [
        CellSpec(NO_LORA, 0.0, "", None),
        *(CellSpec(LoraSource.epoch(epoch), 1.0, "ALL", path) for epoch, path in files.items()),
    ]
    drawn = {
        place: _drawn(place, prompt, settings.plot.negative_prompt, workspace, host, job)
        for place in places
    }
    steps = _steps(workspace, max(epoch_files(workspace, settings)))
    rows = []
    for place, seen in judge(settings, workspace, host, drawn, prompt, job).items():
        truth = [likeness(image, run.character, FRAMING) for image in read_pictures(drawn[place])]
        rows.append(
            {
                "character": run.character,
                "condition": run.condition if place.has_lora else "untrained",
                "epoch": place.source.recorded_number,
                "steps": round(steps * place.source.recorded_number),
                **seen.scores,
                "colours": seen.pixels.similarity,
                "nearest": seen.nearest,
                "asked": dict(seen.obeyed),
                "traits": dict(seen.traits),
                "truth": round(sum(truth) / len(truth), 4),
            }
        )
    return rows


def _steps(workspace: Workspace, epochs: int) -> float:
    """Steps of one epoch."""
    return (
        max(
            (event["step"] for event in workspace.events.read() if event["event"] == "step"),
            default=0,
        )
        / epochs
    )


def _drawn(
    place: CellSpec, prompt: str, negative: str, workspace: Workspace, host: Host, job: Job
) -> list[Path]:
    mark = fingerprint(file_hash(place.lora) if place.lora else "", prompt, host.checkpoint.sha256)
    paths = {seed: workspace.plots / "bench" / f"{mark}-{seed}.png" for seed in SEEDS}
    missing = tuple(seed for seed, path in paths.items() if not path.exists())
    if missing:
        uses = (LoraUse(place.lora),) if place.lora else ()
        size = host.checkpoint.native_size
        for picture in host.generate(
            ImageRequest(prompt, missing, size, size, negative, loras=uses), job
        ):
            write_bytes(paths[picture.seed], png_bytes(picture.image, picture.parameters))
    return list(paths.values())


def summary(rows: list[Row]) -> dict[str, Any]:
    """Correlations and checks."""
    trained = [row for row in rows if row["epoch"]]
    base = {row["character"]: row for row in rows if not row["epoch"]}
    own = {name: [row for row in rows if row["character"] == name] for name in base}
    within = {
        name: spearman([r["retention"] for r in each], [r["truth"] for r in each])
        for name, each in own.items()
    }
    gains = [
        [row[key] - base[row["character"]][key] for row in trained]
        for key in ("retention", "truth")
    ]
    usual = {
        name: sorted((r for r in each if r["condition"] == "usual"), key=lambda r: r["epoch"])
        for name, each in own.items()
    }
    usual = {name: each for name, each in usual.items() if each}
    checks: dict[str, bool] = {}
    for name, each in usual.items():
        checks[f"{name}: trained keeps more than untrained"] = (
            each[-1]["retention"] > base[name]["retention"]
        )
        checks[f"{name}: trained keeps more than its first epoch"] = (
            each[-1]["retention"] > each[0]["retention"]
        )
    for row in trained:
        if row["condition"] == "overfit" and row["character"] in usual:
            last = usual[row["character"]][-1]
            name = f"{row['character']}, 100 repeats, epoch {row['epoch']}"
            if row["epoch"] == OVERFIT["training.epochs"]:  # trained to pieces by then
                checks[f"{name}: is harmed"] = row["damage"] > max(0.2, last["damage"])
                checks[f"{name}: obeys less"] = row["flexibility"] < last["flexibility"]
            else:
                checks[f"{name}: copies more"] = row["copying"] >= last["copying"]
    return {
        "loras": len(trained),
        "pictures_of_each": len(SEEDS),
        "spearman_retention_truth": round(
            spearman([r["retention"] for r in rows], [r["truth"] for r in rows]), 3
        ),
        "spearman_gain_over_untrained": round(spearman(*gains), 3),
        "spearman_by_character": {name: round(value, 3) for name, value in within.items()},
        "spearman_retention_steps": {
            name: round(spearman([r["retention"] for r in each], [r["steps"] for r in each]), 3)
            for name, each in usual.items()
        },
        "checks": checks,
        "passed": all(checks.values()) and bool(checks),
    }


def told(rows: list[Row], found: dict[str, Any]) -> str:
    """The same for a reader."""
    names = ("retention", "truth", "flexibility", "copying", "leak", "damage")
    lines = [f"{'':28} {'steps':>5}  " + "  ".join(f"{name:>11}" for name in names)]
    for row in rows:
        label = f"{row['character']} {row['condition']} {row['epoch'] or ''}"
        values = (f"{row[name]:11.3f}" if name in row else " " * 11 for name in names)
        lines.append(f"{label:28} {row['steps']:5}  " + "  ".join(values))
    lines += [f"{key}: {value}" for key, value in found.items() if key != "checks"]
    return "\n".join(
        [
            *lines,
            *(f"{'yes' if passed else 'NO '}  {name}" for name, passed in found["checks"].items()),
        ]
    )


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="where workspaces and figures lie")
    parser.add_argument(
        "--minutes", type=float, default=60, help="no further LoRA is begun after so many"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    given = parser.parse_args()
    started = time.monotonic()
    rows: list[Row] = []
    result: dict[str, Any] = {"passed": False}
    host = StandaloneHost(ROOT / "lib_singlelora" / "embedded" / "singlelora.safetensors")
    for run in RUNS:
        if time.monotonic() - started > given.minutes * 60:
            print("out of minutes; call again to go on", file=sys.stderr)
            break
        name = f"{run.character} {run.condition}"
        print(name, file=sys.stderr, flush=True)
        rows += [
            row
            for row in judged(run, host, given.out, Job(name))
            if row["epoch"] or row["character"] not in {r["character"] for r in rows}
        ]
        result = {**summary(rows), "rows": rows}
        write_json(given.out / "judge.json", result)
    if given.json:
        print(json.dumps(result))
    else:
        print(told(rows, summary(rows)))
    return 0 if result["passed"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
