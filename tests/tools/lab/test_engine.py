"""The laboratory: experiments are read whole or refused, a run is done once, tables compare."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("skia")

from lib_singlelora.embedded.paths import CHECKPOINT
from lib_singlelora.hosts.standalone.host import StandaloneHost
from tools.lab import measure
from tools.lab.engine import Engine
from tools.lab.experiment import Experiment, read_experiment
from tools.lab.prompts import OTHERS, asks_of, clothes_in
from tools.lab.subjects import known_subjects
from tools.lab.table import markdown, results_of, shared, spread

EXPERIMENTS = Path(__file__).parents[3] / "tools" / "lab" / "experiments"


def experiment(folder: Path, **data: Any) -> Experiment:
    path = folder / "one.json"
    path.write_text(json.dumps({"recipes": {"plain": {}}, "characters": ["wren"], **data}))
    return read_experiment(path)


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.glob("*.json")), ids=lambda path: path.stem)
def test_every_experiment_is_one(path: Path) -> None:
    read = read_experiment(path)
    assert read.about and read.runs()
    for run in read.runs():
        run.recipe.settings(run.subject, run.seed)


@pytest.mark.parametrize(
    "data",
    [{"recipes": 3}, {"carachters": []}, {"characters": ["nobody"]}, {"compare_with": "other"}],
)
def test_what_is_no_experiment_is_refused(data: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="expected"):
        experiment(tmp_path, **data)


def test_the_same_settings_are_one_run_in_every_experiment(tmp_path: Path) -> None:
    both = experiment(
        tmp_path,
        common={"training.rank": 4},
        recipes={"a": {"about": "x"}, "b": {"training.rank": 4}, "c": {"training.rank": 8}},
        seeds=[1],
    )
    keys = [run.key for run in both.runs()]
    assert keys[0] == keys[1] != keys[2]


def test_prompts_ask_for_nothing_that_the_character_wears() -> None:
    for subject in known_subjects().values():
        worn = subject.tags("standing", "front", "full body")
        assert subject.other_clothes not in worn
        assert {ask.plain for ask in asks_of(subject)} == {True, False}


def test_clothes_that_most_captions_keep_are_in_the_prompt() -> None:
    captions = [["x", "red dress"], ["x", "red dress", "boots"], ["x"]]
    assert clothes_in(captions) == ("red dress",)


def test_a_table_compares_only_what_every_recipe_has() -> None:
    rows = {
        "a": [{"character": "x", "seed": 1}, {"character": "y", "seed": 1}],
        "b": [{"character": "y", "seed": 1}],
        "none yet": [],
    }
    assert shared(rows) == {"a": rows["b"], "b": rows["b"]}
    assert spread([0.5, math.nan, 0.7]) == "0.60 ± 0.14"
    assert spread([math.nan]) == "–"


def test_a_run_is_done_once_and_its_figures_are_in_the_table(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "STEPS", 1)
    monkeypatch.setattr(measure, "asks_of", lambda subject: asks_of(subject)[1:3])
    monkeypatch.setattr(measure, "OTHERS", OTHERS[:1])
    one = experiment(
        tmp_path,
        common={"training.epochs": 1, "training.repeats": 1, "training.regularization": "none"},
        seeds=[1],
        strengths=[1.0],
    )
    engine = Engine(tmp_path / "state", StandaloneHost(CHECKPOINT))
    assert engine.run(one, minutes=5) == 0
    (path,) = (tmp_path / "state" / "results").iterdir()
    written = path.stat().st_mtime_ns
    result = json.loads(path.read_text())
    figures = result["strengths"]["1"]
    assert all(0 <= figures[name] <= 1 for name in ("strict", "elsewhere", "flexibility", "leak"))
    assert figures != result["without"]
    assert engine.run(one, minutes=5) == 0 and path.stat().st_mtime_ns == written
    assert "| plain | 1 |" in markdown(one, results_of(one, engine))
