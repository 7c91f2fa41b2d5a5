"""The benchmark's arithmetic; its figures are measured, not tested."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

pytest.importorskip("diffusers")

from lib_singlelora.cli.main import main
from tools.bench.__main__ import PARTS, interleaved, record
from tools.bench.job import STEP, Ledger, measurements
from tools.bench.job import main as account_of
from tools.bench.measurement import Measurement, against, table
from tools.bench.retention import first_as_good


def test_a_ratio_is_of_the_value_that_it_names() -> None:
    made = against("step.full", 22.0, "s", "step.limit", 20.0)
    assert (made.ratio_to, made.ratio) == ("step.limit", 1.1)


def test_the_table_has_a_line_for_each_measurement() -> None:
    lines = table([Measurement("a", 1.5, "s"), against("b", 3.0, "s", "a", 1.5)]).splitlines()
    assert len(lines) == 3 and lines[2].split() == ["b", "3", "s", "2.000", "a"]


def test_steps_take_turns_and_the_first_round_is_not_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    order: list[str] = []
    found = interleaved({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2)
    assert order == ["a", "b"] * 3 and set(found) == {"a", "b"}
    assert capsys.readouterr().out == ""


def test_retention_counts_at_equal_flexibility_only() -> None:
    rows = [
        {"epoch": epoch, "retention": kept, "flexibility": obeys}
        for epoch, kept, obeys in ((3, 0.6, 0.9), (1, 0.6, 0.5), (2, 0.3, 0.9), (4, 0.9, 0.9))
    ]
    wanted = {"retention": 0.5, "flexibility": 0.92}
    assert first_as_good(rows, wanted) == 3
    assert first_as_good(rows[1:3], wanted) is None


def test_an_unknown_part_is_told(capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", "--only", "spede"]) == 2
    assert "steps" in capfd.readouterr().err


def test_without_the_repository_there_is_no_benchmark(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("lib_singlelora.cli.bench.ROOT", tmp_path)
    assert main(["bench"]) == 1
    assert "found no benchmark" in capfd.readouterr().err


def test_figures_of_the_same_name_are_replaced_and_others_stay(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    record(path, [Measurement("a", 1, "s"), Measurement("b", 2, "s")])
    record(path, [Measurement("b", 3, "s")])
    rows = json.loads(path.read_text(encoding="utf-8"))["measurements"]
    assert [(row["name"], row["value"]) for row in rows] == [("a", 1), ("b", 3)]


def test_the_shipped_results_have_every_name_that_the_contract_lists() -> None:
    from tools.bench.__main__ import RESULTS

    if not RESULTS.exists():
        pytest.skip("no results are recorded yet")
    rows = json.loads(RESULTS.read_text(encoding="utf-8"))["measurements"]
    pairs = {(row["name"], row["ratio_to"]) for row in rows}
    assert {
        ("step.full", "step.limit"),
        ("step.full", "step.peer"),
        ("step.outd", "step.full"),
        ("memory.full", "memory.peer"),
        ("memory.checkpointing", "memory.peer"),
        ("memory.outd", "memory.peer"),
        ("latents", "latents.peer"),
        ("time_to_quality", "time_to_quality.article"),
        ("time_to_retention", "time_to_retention.article"),
    } <= pairs
    assert "first_step_seconds" in {row["name"] for row in rows} and PARTS


def test_an_inner_account_stops_the_outer_ones_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter((10.0, 12.0, 15.0, 16.0, 20.0))
    monkeypatch.setattr("tools.bench.job.time.time", lambda: next(clock))
    ledger = Ledger(begun=9.0)
    with ledger.account("train: steps", STEP), ledger.account("train: saving"):
        pass
    ledger.close()
    assert ledger.seconds == {"start": 1.0 + 4.0, "train: steps": 2.0 + 1.0, "train: saving": 3.0}
    assert ledger.units == {STEP: [6.0]}
    assert ledger.total == 11.0


def test_the_least_of_a_job_is_every_unit_at_its_median() -> None:
    ledger = Ledger(begun=0.0)
    ledger.units[STEP] = [5.0, 1.0, 1.0]
    ledger.units["picture"] = [2.0, 4.0]
    assert ledger.least() == 3 * 1.0 + 2 * 3.0


def test_parts_of_a_job_are_told_against_the_whole() -> None:
    account = {
        "seconds": {"start": 4.0, "train: steps": 6.0, "crop: the rest": 0.01},
        "units": {STEP: {"count": 3, "median": 2.0}},
        "first_step": 2.5,
        "total": 10.0,
        "least": 6.0,
    }
    rows = {row.name: row for row in measurements(account)}
    assert rows["job.beside_the_least"].ratio == 0.4
    assert rows["job.train: steps"].ratio == 0.6
    assert "job.crop: the rest" not in rows


def test_a_timed_call_is_put_back(tmp_path: Path) -> None:
    from lib_singlelora.hosts.standalone.host import StandaloneHost

    original = StandaloneHost.generate
    out = tmp_path / "account.json"
    assert account_of(0.0, out, ["settings", "--workspace", str(tmp_path / "none")]) == 1
    assert StandaloneHost.generate is original
    assert set(json.loads(out.read_text(encoding="utf-8"))["seconds"]) == {"start"}
