"""One regularization picture drawn anew, with the host of planned pictures."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("skia")

from lib_singlelora.errors import ConflictError, JobCancelled, NotFoundError
from lib_singlelora.host import Host
from lib_singlelora.jobs import Job
from lib_singlelora.stages import regularize_redraw
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.regularize_redraw import redraw
from tests.stages.test_regularize import NOBODY, Scenery, files, other, scenery

__all__ = ["scenery"]
SEED_STEP = 20  # the planned host has few pictures


def again(scenery: Scenery, name: str, job: Job | None = None, **values: object) -> Path:
    settings = scenery.settings(**values)
    host = cast(Host, scenery.host)
    return redraw(StageContext(settings, scenery.workspace, host, job or Job()), name)


@pytest.fixture
def drawn(scenery: Scenery, monkeypatch: pytest.MonkeyPatch) -> Scenery:
    monkeypatch.setattr(regularize_redraw, "SEED_STEP", SEED_STEP)
    scenery.run()
    scenery.host.asked.clear()
    scenery.host.plan = {2 + SEED_STEP: other(12), 2 + 2 * SEED_STEP: other(13)}
    return scenery


def test_it_has_the_same_number_prompt_and_size_and_another_seed(drawn: Scenery) -> None:
    before = files(drawn.workspace.root)
    record = drawn.workspace.record("regularize").data["decisions"]["0002"]
    path = again(drawn, "0002")
    [asked] = drawn.host.asked
    assert (asked.prompt, asked.seeds) == (record["prompt"], (2 + SEED_STEP,))
    assert (asked.width, asked.height) == (128, 128) and path.stem == "0002"
    after = files(drawn.workspace.root)
    changed = {name for name in before if after.get(name) != before[name]}
    assert {Path(name).stem for name in changed} == {"0002"} and after.keys() == before.keys()
    assert path.with_suffix(".txt").read_text(encoding="utf-8").startswith("girl, ")
    again(drawn, "0002")
    assert drawn.host.asked[-1].seeds == (2 + 2 * SEED_STEP,)


def test_the_stage_called_again_leaves_it(drawn: Scenery) -> None:
    again(drawn, "0002")
    before = files(drawn.workspace.root)
    drawn.run()
    assert files(drawn.workspace.root) == before


def test_the_filter_judges_it(drawn: Scenery) -> None:
    drawn.host.plan = {2 + SEED_STEP: NOBODY}
    assert again(drawn, "0002").parent.name == "rejected"
    assert "no person" in " ".join(drawn.aside["0002"]) and "0002" not in drawn.names
    drawn.host.plan = {2 + 2 * SEED_STEP: other(12)}
    assert again(drawn, "0002").parent.name == "1_girl" and "0002" in drawn.names


def test_one_that_was_skipped_stays_aside_whatever_the_filter_says_later(drawn: Scenery) -> None:
    drawn.host.skipped = (2 + SEED_STEP,)
    assert again(drawn, "0002").parent.name == "rejected"
    assert drawn.aside["0002"] == ["skipped before it was finished"]
    drawn.run(most_edges=0.39)
    assert "0002" in drawn.aside


def test_it_is_no_duplicate_of_what_it_replaces(drawn: Scenery) -> None:
    drawn.host.plan = {2 + SEED_STEP: other(2)}  # what is there already
    assert again(drawn, "0002").parent.name == "1_girl"


def test_what_was_edited_by_hand_or_cancelled_stays(drawn: Scenery) -> None:
    path = drawn.workspace.root / "reg" / "1_girl" / "0003.png"
    other(14).save(path)
    before = files(drawn.workspace.root)
    with pytest.raises(ConflictError, match="edited by hand"):
        again(drawn, "0003")
    job = Job()
    job.cancel()
    with pytest.raises(JobCancelled):
        again(drawn, "0002", job)
    assert files(drawn.workspace.root) == before


def test_one_that_is_not_there_is_named(drawn: Scenery) -> None:
    with pytest.raises(NotFoundError, match="0001, 0002"):
        again(drawn, "0077")
