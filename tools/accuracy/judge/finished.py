"""How far the judge agrees with the truth in trainings of the laboratory: python -m
tools.accuracy.judge.finished --state DIR [--match WORD] --out FILE.

For each of the renderer's characters in a state folder of `tools.lab` some epochs of one training
are drawn as the sheet draws them; what the judge says of each is compared with the renderer's
drawing.  Nothing is probed.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from lib_singlelora.embedded.paths import CHECKPOINT
from lib_singlelora.files.fileio import file_hash, fingerprint, write_bytes, write_json
from lib_singlelora.host import Host, ImageRequest, LoraUse
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.imaging.load import load_picture, read_rgb
from lib_singlelora.imaging.mask_reader import read_mask
from lib_singlelora.imaging.png import png_bytes
from lib_singlelora.jobs import Job
from lib_singlelora.judge.cells import NO_LORA, CellSpec, LoraSource
from lib_singlelora.judge.recommend import judge
from lib_singlelora.judge.scale import Scale
from lib_singlelora.library.epochs import epoch_files
from lib_singlelora.settings.schema import Settings
from lib_singlelora.workspace.workspace import Workspace
from tools.lab.likeness import placewise

from .truth import CHARACTERS, likeness, spearman

FRAMING = "full body"
SEEDS = (1, 2, 3)
STEPS = 12
EPOCHS = (1, 2, 3, 4, 6, 8, 10)
FIGURES = ("retention", "colours", "place by place", "together")


def rows_of(
    workspace: Workspace, name: str, values: dict[str, Any], host: Host
) -> list[dict[str, Any]]:
    """One row for the checkpoint alone and for each epoch: the judge's figures and the truth."""
    settings = Settings.from_dict(
        {
            "character.trigger": name,
            "character.class_token": "girl",
            "training.preset": "embedded",
            "judge.probes": 0,
            "judge.copying": 0,
            **values,
        }
    )
    files = epoch_files(workspace, settings)
    places = [
        CellSpec(NO_LORA, 0.0, "", None),
        *(
            CellSpec(LoraSource.epoch(epoch), 1.0, "ALL", path)
            for epoch, path in files.items()
            if epoch in EPOCHS
        ),
    ]
    prompt = f"{name}, girl, solo, {FRAMING}, standing, looking at viewer, white background"
    drawn = {place: _drawn(place, prompt, workspace, host) for place in places}
    picture = load_picture(workspace.prepared).image.convert("RGB")
    mask = read_mask(workspace.mask).image
    rows = []
    for place, seen in judge(settings, workspace, host, drawn, prompt, Job(name)).items():
        images = [read_rgb(path) for path in drawn[place]]
        rows.append(
            {
                "epoch": place.source.recorded_number,
                "retention": seen.scores.get("retention"),
                "colours": seen.pixels.similarity,
                "place by place": _mean([placewise(image, picture, mask) for image in images]),
                "truth": _mean([likeness(image, name, FRAMING) for image in images]),
            }
        )
    return rows


def _drawn(place: CellSpec, prompt: str, workspace: Workspace, host: Host) -> list[Path]:
    mark = fingerprint(file_hash(place.lora) if place.lora else "", prompt, STEPS)
    paths = {seed: workspace.plots / "agreement" / f"{mark}-{seed}.png" for seed in SEEDS}
    missing = tuple(seed for seed, path in paths.items() if not path.exists())
    if missing:
        size = host.checkpoint.native_size
        uses = (LoraUse(place.lora),) if place.lora else ()
        request = ImageRequest(prompt, missing, size, size, steps=STEPS, loras=uses)
        for made in host.generate(request, Job(workspace.root.name)):
            write_bytes(paths[made.seed], png_bytes(made.image, made.parameters))
    return list(paths.values())


def together(rows: Sequence[dict[str, Any]]) -> None:
    """Add to the rows what the judge goes by: traits and colours at their places.

    rows: the checkpoint alone first.
    """
    base = rows[0]
    scale = Scale({}, base["retention"] or 0.0, base["place by place"], 0.0, 1.0)
    for row in rows:
        row["together"] = round(
            scale.retention_of(row["retention"] or 0.0, row["place by place"]), 4
        )


def agreement(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Rank correlation of each figure with the truth."""
    truth = [row["truth"] for row in rows]
    together(rows)
    return {
        figure: round(spearman([row[figure] or 0.0 for row in rows], truth), 2)
        for figure in FIGURES
    }


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / len(values), 4)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--state", type=Path, required=True)
    parser.add_argument("--match", default="background_aug", help="a word of the recipe's settings")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    torch.set_num_threads(1)
    host = StandaloneHost(CHECKPOINT)
    found: dict[str, Any] = {}
    for path in sorted((given.state / "results").glob("*.json")):
        result = json.loads(path.read_text(encoding="utf-8"))
        name = result["character"]
        if name not in CHARACTERS or name in found or given.match not in str(result["settings"]):
            continue
        workspace = Workspace(given.state / "runs" / path.stem)
        rows = rows_of(workspace, name, result["settings"], host)
        found[name] = {"spearman": agreement(rows), "rows": rows}
        print(f"{name:10} {found[name]['spearman']}", flush=True)
        write_json(given.out, found)


if __name__ == "__main__":
    main()
