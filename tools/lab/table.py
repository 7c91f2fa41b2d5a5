"""An experiment's table: every recipe's figures, with their spread over characters and seeds."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .engine import Engine
from .experiment import Experiment, Recipe

FIGURES = tuple("truth strict elsewhere traits flexibility leak copying damage".split())
Result = dict[str, Any]


def results_of(experiment: Experiment, engine: Engine) -> dict[str, list[Result]]:
    """What is measured so far, by recipe."""
    found: dict[str, list[Result]] = {recipe.name: [] for recipe in experiment.recipes}
    for run in experiment.runs():
        path = engine.result(run)
        if path.exists():
            found[run.recipe.name].append(json.loads(path.read_text(encoding="utf-8")))
    return found


def spread(values: Sequence[float]) -> str:
    """Mean and standard deviation."""
    known = [value for value in values if not math.isnan(value)]
    if not known:
        return "–"
    if len(known) == 1:
        return f"{known[0]:.2f}"
    return f"{statistics.mean(known):.2f} ± {statistics.stdev(known):.2f}"


def shared(found: dict[str, list[Result]]) -> dict[str, list[Result]]:
    """Only characters and seeds that every recipe has, so that rows can be compared."""
    have = [
        {(one["character"], one["seed"]) for one in results}
        for results in found.values()
        if results
    ]
    common = set.intersection(*have) if have else set()
    return {
        name: [one for one in results if (one["character"], one["seed"]) in common]
        for name, results in found.items()
        if results
    }


def markdown(experiment: Experiment, found: dict[str, list[Result]]) -> str:
    """The table, and above it what was asked and on how much it stands."""
    rows = shared(found)
    some = next(iter(rows.values()), [])
    if not some:
        return f"## {experiment.name}\n\n{experiment.about}\n\nNothing is measured yet.\n"
    characters = sorted({one["character"] for one in some})
    seeds = sorted({one["seed"] for one in some})
    recipes = {recipe.name: recipe for recipe in experiment.recipes}
    lines = [
        f"## {experiment.name}",
        "",
        experiment.about,
        "",
        f"{len(characters)} characters ({', '.join(characters)}),"
        f" seeds {', '.join(map(str, seeds))}; the last epoch.",
        "",
        "| recipe | strength | " + " | ".join(FIGURES) + " | CPU s |",
        "|" + "---|" * (len(FIGURES) + 3),
        _row("the checkpoint alone", "", [one["without"] for one in some], ""),
    ]
    for name, results in rows.items():
        seconds = [one["cpu_seconds"] for one in results if one["cpu_seconds"]]
        taken = f"{statistics.median(seconds):.0f}" if seconds else "–"
        for strength in experiment.strengths:
            lines.append(
                _row(
                    name,
                    f"{strength:g}",
                    [one["strengths"][f"{strength:g}"] for one in results],
                    taken,
                )
            )
    lines += ["", *(_about(recipes[name]) for name in rows), ""]
    return "\n".join(lines)


def _row(name: str, strength: str, figures: Sequence[dict[str, float]], taken: str) -> str:
    cells = [spread([one.get(key, math.nan) for one in figures]) for key in FIGURES]
    return f"| {name} | {strength} | " + " | ".join(cells) + f" | {taken} |"


def _about(recipe: Recipe) -> str:
    values = ", ".join(f"{key}={value}" for key, value in recipe.values.items())
    return f"- **{recipe.name}**: {recipe.about + '; ' if recipe.about else ''}`{values}`"


def write(experiment: Experiment, engine: Engine, folder: Path) -> Path:
    """The table as a Markdown file; its path."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{experiment.name}.md"
    path.write_text(markdown(experiment, results_of(experiment, engine)), encoding="utf-8")
    return path
