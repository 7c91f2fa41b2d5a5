"""The race of a sheet on the small checkpoint: what it draws, and what its files tell."""

from __future__ import annotations

import csv
import json

import pytest

from lib_singlelora.errors import JobCancelled
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.judge.cells import CellSpec, LoraSource
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.plot import plan, plot
from lib_singlelora.stages.plot_race import left_for_later
from lib_singlelora.workspace.workspace import Workspace

from .test_plot import SMALL, trained, workspace

__all__ = ["trained", "workspace"]  # fixtures

BUDGET = 5
SHEET = 5  # two epochs at two strengths, and the checkpoint alone
ALONE = 2  # further pictures of the checkpoint alone


def raced(**values: object) -> Settings:
    return Settings.from_dict(
        {**SMALL, "judge.race": True, "judge.budget": BUDGET, "judge.probes": 0, **values}
    )


def pictures(workspace: Workspace) -> dict[str, int]:
    cells = workspace.plots / "cells"
    return {path.name: path.stat().st_mtime_ns for path in cells.glob("*.png")}


def test_a_race_adds_its_budget_and_a_second_call_draws_nothing(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    context = StageContext(raced(), workspace, standalone_host)
    assert f"a race of {BUDGET + ALONE} at most" in plan(context).sentence
    made = plot(context)
    drawn = pictures(workspace)
    assert SHEET + ALONE < len(drawn) <= SHEET + ALONE + BUDGET
    assert made.recommendation is not None and 0 < made.recommendation.confidence <= 1
    assert "as good as the best with" in made.recommendation.reason
    (workspace.plots / "sheet.html").unlink()  # so that it is judged again
    again = plot(context)
    assert pictures(workspace) == drawn and again.recommendation == made.recommendation


def test_a_cancelled_race_goes_on_where_it_stopped_and_ends_the_same(
    workspace: Workspace, standalone_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standalone_host, "batch_limit", lambda *size: 2)
    whole = plot(StageContext(raced(), workspace, standalone_host))
    wanted = set(pictures(workspace))
    for path in (*(workspace.plots / "cells").iterdir(), workspace.plots / "sheet.html"):
        path.unlink()

    def stop_in_the_race(progress: Progress) -> None:
        if "race, round" in progress.message and progress.done == 2:
            job.cancel()

    job = Job("plot", stop_in_the_race)
    with pytest.raises(JobCancelled):
        plot(StageContext(raced(), workspace, standalone_host, job))
    left = pictures(workspace)
    assert SHEET + ALONE <= len(left) < len(wanted)
    made = plot(StageContext(raced(), workspace, standalone_host))
    after = pictures(workspace)
    assert set(after) == wanted and all(after[name] == time for name, time in left.items())
    assert made.recommendation == whole.recommendation


def test_the_files_tell_chance_intervals_and_further_pictures(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    made = plot(StageContext(raced(), workspace, standalone_host))
    data = json.loads((workspace.plots / "scores.json").read_text(encoding="utf-8"))
    cells = {(cell["epoch"], cell["strength"]): cell for cell in data["cells"]}
    assert cells[(0, 0.0)]["pictures"] == 1 + ALONE
    raced_cells = [cell for cell in cells.values() if cell["pictures"] > 1 and cell["epoch"]]
    assert raced_cells and all("copying" in cell["spread"] for cell in raced_cells)
    assert all(0 <= cell["chance"] <= 1 for cell in cells.values() if cell["epoch"])
    rows = list(csv.DictReader((workspace.plots / "scores.csv").open(encoding="utf-8")))
    assert {"chance", "pictures", "value ±"} <= set(rows[0])
    page = made.page.read_text(encoding="utf-8")
    facts = json.loads(page.split('id="data">')[1].split("</script>")[0])
    more = [cell["further"] for cell in facts["cells"]]
    # The sheet shows its own seed; what the race added is in the large view
    assert sum(map(len, more)) == len(pictures(workspace)) - SHEET
    assert all(len(cell["files"]) == 1 for cell in facts["cells"])


def test_the_files_give_the_recommendation_s_own_reason_where_other_cells_are_not_compared(
    workspace: Workspace, standalone_host: StandaloneHost
) -> None:
    options = raced(**{"plot.cfg_scales": "2,7", "judge.confidence": 0.99})
    made = plot(StageContext(options, workspace, standalone_host))
    data = json.loads((workspace.plots / "scores.json").read_text(encoding="utf-8"))
    assert made.recommendation is not None and "not told apart" in made.recommendation.reason
    assert data["recommended"] == made.recommendation.reason


@pytest.mark.parametrize(
    "values",
    [
        {"judge.race": False},
        {"judge.budget": 0},
        {"plot.x": "seed", "plot.y": "epoch", "plot.z": "strength"},
    ],
)
def test_without_a_race_the_sheet_alone_is_drawn(
    workspace: Workspace, standalone_host: StandaloneHost, values: dict[str, object]
) -> None:
    plot(StageContext(raced(**values), workspace, standalone_host))
    assert len(pictures(workspace)) == SHEET


def test_a_coarse_first_round_draws_a_quarter_of_the_cells_the_last_and_strongest_among_them() -> (
    None
):
    cells = [
        CellSpec(LoraSource.epoch(epoch), strength, preset, None)
        for preset in ("ALL", "OUTD")
        for epoch in range(1, 11)
        for strength in (0.4, 0.6, 0.8, 1.0)
    ]
    first = [spec for spec in cells if spec not in left_for_later(cells)]
    assert len(first) == 20
    own = {(spec.source.number, spec.strength) for spec in first if spec.preset == "ALL"}
    assert own == {
        *((epoch, strength) for epoch in (10, 6, 2) for strength in (1.0, 0.6)),
        *((epoch, strength) for epoch in (8, 4) for strength in (0.8, 0.4)),
    }
    few = [spec for spec in cells if spec.source.number > 6]
    assert not left_for_later(few)
    single = [spec for spec in cells if spec.strength == 1.0]
    assert len([spec for spec in single if spec not in left_for_later(single)]) == 10
