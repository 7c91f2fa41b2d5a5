"""What a sweep leaves: a table, a sheet of the best trials, how it went, the winner's preset."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageOps

from ..files.fileio import write_bytes, write_json, write_text
from ..imaging.load import read_rgb
from ..imaging.png import png_bytes
from ..settings.preset_files import save_preset
from ..sheets.grid import Cell, Grid, draw_sheet
from ..workspace.workspace import Workspace
from .optuna_package import load_optuna
from .ranking import Ranking, rank, reasons, saved_by_pruning
from .search import OBJECTIVES
from .trial import ARTIFACTS, SweepPlan
from .unit_queue import UnitQueue, UnitState

BEST = 6  # trials on the sheet
SIDE = 192  # of a picture, pixels
ACROSS = 4  # trials side by side


def sweep_result(queue: UnitQueue, drawing: bool = True) -> dict[str, Any]:
    """The sweep as it is now, as one JSON object; its files are written anew.

    drawing: its pictures too.
    """
    plan = SweepPlan.of(queue)
    ranking = rank(queue, plan)
    states = queue.states()
    rows = [_row(state, plan, ranking) for state in states.values()]
    table = plan.folder / "trials.csv"
    write_text(table, _csv(rows, plan))
    winner = ranking.winner
    result: dict[str, Any] = {
        "workspace": str(plan.workspace),
        "sweep": plan.folder.name,
        "storage": queue.storage.url,
        "objectives": list(plan.objectives),
        "trials": rows,
        "table": str(table),
        "left": sum(not state.ended for state in states.values()),
        "saved": dict(saved_by_pruning(queue, plan)),
        "seconds": {"sweep": sum(row["seconds"] or 0.0 for row in rows)},
        "dashboard": (
            f"optuna-dashboard {queue.storage.url} --artifact-dir {plan.folder / ARTIFACTS}"
        ),
        "sheet": None,
        "front": None,
        "best": None,
        "preset": None,
    }
    if winner is not None and not drawing:
        result["best"] = _row(winner, plan, ranking)
    elif winner is not None:
        result["sheet"] = str(_sheet(plan, ranking))
        result["front"] = str(_front(queue, plan)) if len(ranking.ordered) > 1 else None
        result["best"] = _row(winner, plan, ranking)
        if not result["left"]:
            result["preset"] = _preset(queue, plan, ranking)
    write_json(plan.folder / "sweep.json", result)
    return result


def _row(state: UnitState, plan: SweepPlan, ranking: Ranking) -> dict[str, Any]:
    notes = state.notes
    folder = plan.folder / notes["folder"] if "folder" in notes else None
    sheet = folder / "plots" / "sheet.png" if folder else None
    return {
        "trial": state.key,
        "state": state.state,
        "settings": dict(notes.get("settings", state.params)),
        "figures": dict(notes.get("figures", {})),
        "epochs": {str(epoch): value for epoch, value in sorted(state.epochs.items())},
        "front": state.key in ranking.front,
        "take": dict(notes.get("best", {})),
        "reason": notes.get("reason", ""),
        "error": notes.get("error", ""),
        "seconds": notes.get("seconds"),
        "sheet": str(sheet) if sheet and sheet.exists() else None,
    }


def _csv(rows: Sequence[dict[str, Any]], plan: SweepPlan) -> str:
    text = io.StringIO()
    names = [parameter.name for parameter in plan.space]
    columns = ["trial", "state", *names, *OBJECTIVES, "last epoch's scalar", "front"]
    columns += ["epoch", "strength", "seconds", "error"]
    writer = csv.DictWriter(text, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    for row in rows:
        last = list(row["epochs"].values())[-1:]
        writer.writerow(
            {
                **row,
                **row["settings"],
                **row["figures"],
                **row["take"],
                "last epoch's scalar": last[0] if last else "",
            }
        )
    return text.getvalue()


def words_of(row: dict[str, Any]) -> str:
    """A trial's settings in words."""
    pairs = (f"{name.partition('.')[2]} {value}" for name, value in row["settings"].items())
    return ", ".join(pairs)


def _sheet(plan: SweepPlan, ranking: Ranking) -> Path:
    """The picture and the best trials side by side."""
    source = Workspace(plan.workspace, create=False).prepared
    cells = [Cell((_small(source),), "")]
    labels = ["the picture"]
    for number, state in enumerate(ranking.ordered[:BEST]):
        row = _row(state, plan, ranking)
        folder = plan.folder / state.notes["folder"]
        files = [folder / name for name in state.notes.get("pictures", ())]
        images = tuple(_small(path) for path in files if path.exists())
        figures = ", ".join(f"{name} {value:.2f}" for name, value in row["figures"].items())
        at = f"epoch {row['take']['epoch']} at {row['take']['strength']:g}" if row["take"] else ""
        cells.append(Cell(images, f"{figures}; {at}", number == 0))
        labels.append(f"{state.key}: {words_of(row)}")
    grids = [
        Grid("", ("",), tuple(labels[at : at + ACROSS]), (tuple(cells[at : at + ACROSS]),))
        for at in range(0, len(cells), ACROSS)
    ]
    title = f"{plan.workspace.name}: {len(ranking.ordered)} trials that ran to their end"
    text = f"by {', '.join(plan.objectives)}; green frame: the winner"
    path = plan.folder / "best.png"
    write_bytes(path, png_bytes(draw_sheet(title, text, grids, SIDE)))
    return path


def _small(path: Path) -> Image.Image:
    return ImageOps.contain(read_rgb(path), (SIDE, SIDE), Image.Resampling.LANCZOS)


def _front(queue: UnitQueue, plan: SweepPlan) -> Path:
    """The Pareto front, or with one objective how the search went, as Optuna draws it."""
    load_optuna()
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot
    from optuna.visualization import matplotlib as drawing

    if len(plan.objectives) > 1:
        axes = drawing.plot_pareto_front(queue.study, target_names=list(plan.objectives))
    else:
        axes = drawing.plot_optimization_history(queue.study, target_name=plan.objectives[0])
    figure: Any = axes.get_figure(root=True)
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=110, bbox_inches="tight")
    pyplot.close(figure)
    path = plan.folder / ("front.png" if len(plan.objectives) > 1 else "history.png")
    write_bytes(path, data.getvalue())
    return path


def _preset(queue: UnitQueue, plan: SweepPlan, ranking: Ranking) -> dict[str, Any]:
    """The winner as a preset of the user's own: its name, file and reasons."""
    winner = ranking.ordered[0]
    settings = plan.settings.with_values(winner.notes["settings"])
    name = f"{plan.workspace.name} {plan.folder.name}"
    figures = ", ".join(f"{key} {value:.3f}" for key, value in winner.notes["figures"].items())
    why = reasons(ranking, plan.space, plan.objectives)
    about = (
        f"The best of {len(queue.states())} trials for {settings.character.trigger} on"
        f" {queue.plan['checkpoint']['name']}, by {', '.join(plan.objectives)}: {figures}."
    )
    values = {"about": about, "why": why, **settings.to_preset()}
    write_json(plan.folder / "preset.json", values)
    return {"name": name, "file": str(save_preset(name, values)), "about": about, "why": why}
