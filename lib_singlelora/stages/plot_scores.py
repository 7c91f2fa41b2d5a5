"""The judge's figures in plots/scores.csv and scores.json, and copies of crops in copies.png."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from ..files.fileio import write_bytes, write_json, write_text
from ..imaging.load import load_picture, read_rgb
from ..imaging.png import png_bytes
from ..judge.cells import CellSpec, Judgement
from ..judge.scale import criterion_weights
from ..metrics.copying import crop_part
from ..metrics.ranking import CRITERIA
from ..settings.schema import Settings
from ..sheets.grid import Cell, Grid, draw_sheet
from ..workspace.workspace import Workspace

MOST_COPIES = 6  # cells in the sheet of copies
# Figures whose intervals the table has
SPREADS = ("value", "retention", "flexibility", "copying", "damage", "traits")
# Columns of the table, before those of the traits
COLUMNS = (
    *"epoch strength preset prompt negative_prompt sampler cfg_scale clip_skip seed file".split(),
    *"refine recommended front value".split(),
    *CRITERIA,
    *"likeness elsewhere colours nearest harm".split(),
    *"chance pictures".split(),
    *(f"{name} ±" for name in SPREADS),
)


def write_scores(
    settings: Settings,
    workspace: Workspace,
    judged: Mapping[CellSpec, Judgement],
    best: CellSpec | None,
    why: str,
) -> list[Path]:
    """Write all three; their paths.

    why: the best is recommended: beside the cells that were compared, which these may be more than.
    """
    rows = [row(place, seen, place == best) for place, seen in judged.items()]
    tags = list(dict.fromkeys(tag for seen in judged.values() for tag in seen.traits))
    table = workspace.plots / "scores.csv"
    write_text(table, _csv(rows, tags))
    data = workspace.plots / "scores.json"
    write_json(
        data,
        {
            "recommended": why if best else None,
            "confidence": settings.judge.confidence,
            "weights": criterion_weights(settings.judge),
            "tagger": any(seen.retention for seen in judged.values()),
            "cells": rows,
        },
    )
    picture = workspace.plots / "copies.png"
    write_bytes(picture, png_bytes(copies_sheet(judged, best)))
    return [table, data, picture]


def _csv(rows: Sequence[Mapping[str, Any]], tags: Sequence[str]) -> str:
    """The rows as a table, with a column for each trait."""
    text = io.StringIO()
    columns = [*COLUMNS, *(f"trait: {tag}" for tag in tags)]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for values in rows:
        traits = {f"trait: {tag}": share for tag, share in values["traits"].items()}
        spread = {f"{name} ±": half for name, half in values["spread"].items()}
        writer.writerow({**values, **values["scores"], **spread, **traits})
    return text.getvalue()


def copies_sheet(judged: Mapping[CellSpec, Judgement], best: CellSpec | None) -> Image.Image:
    """The recommended cell and those that copy most, each beside the part of a crop it copies."""
    ordered = sorted(
        (place for place, seen in judged.items() if place.has_lora and seen.copy),
        key=lambda place: (place != best, -_copied(judged[place])),
    )
    cells = []
    names = []
    crops: dict[Path, Image.Image] = {}  # most copy the same one or two, which may be large
    for place in ordered[:MOST_COPIES]:
        seen = judged[place]
        if seen.copy:
            drawn = read_rgb(seen.copy.picture)
            crop = seen.copy.crop
            if crop not in crops:
                crops[crop] = load_picture(crop).image.convert("RGB")
            part = crop_part(crops[crop], seen.copy.box)
            cells.append(
                Cell((drawn, part), f"{seen.copy.score:.0%} {seen.nearest}", place == best)
            )
            names.append(place.words)
    grid = Grid(
        "", tuple(names), ("drawn, and the nearest crop",), tuple((cell,) for cell in cells)
    )
    return draw_sheet(
        "What is most like the crops",
        "0 % is what the checkpoint alone draws, 100 % the crop itself",
        [grid],
        160,
    )


def _copied(seen: Judgement) -> float:
    """How near to a crop its nearest picture is."""
    return seen.copy.score if seen.copy else 0.0


def row(place: CellSpec, seen: Judgement, recommended: bool) -> dict[str, Any]:
    """One cell as plain values; epoch 0 is the checkpoint without the LoRA."""
    return {
        "epoch": place.source.recorded_number,
        "strength": place.strength,
        "preset": place.preset,
        "prompt": place.prompt,
        "negative_prompt": place.negative_prompt,
        "sampler": place.sampler,
        "cfg_scale": place.cfg_scale,
        "clip_skip": place.clip_skip,
        "checkpoint": place.checkpoint,
        "seed": place.seed,
        "file": place.source.label or (place.lora.name if place.lora else ""),
        "refine": place.refine,
        "recommended": recommended,
        "front": seen.on_front,
        "value": seen.value,
        "scores": dict(seen.scores),
        "traits": dict(seen.traits),
        "colours": seen.pixels.similarity,
        "nearest": seen.nearest,
        "harm": seen.pixels.invalid or seen.damage,
        "asked": dict(seen.obeyed),
        "gained": list(seen.leaked),
        "chance": seen.chance,
        "pictures": len(next(iter(seen.by_picture.values()), ())),
        "spread": dict(seen.spread),
        "by_picture": {name: list(values) for name, values in seen.by_picture.items()},
    }
