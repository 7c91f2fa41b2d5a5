"""The check of a trigger, on the small checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_singlelora.errors import JobCancelled, SettingsError
from lib_singlelora.files.fileio import file_hash
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.metrics.word_effect import WordEffects, measure_word_effects
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.trigger import check_trigger
from lib_singlelora.workspace.workspace import Workspace

SETTINGS = Settings.from_dict(
    {"character": {"trigger": "isabella"}, "plot": {"steps": 1}, "caption": {"tagger": "none"}}
)


def test_the_word_is_measured_drawn_and_others_are_suggested(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    made = check_trigger(StageContext(SETTINGS, workspace, standalone_host))
    assert (
        made.check.word == "isabella"
        and made.check.ordinary
        and any("token" in reason for reason in made.reasons)
    )
    assert (
        made.departures.trigger > 0
        and len(made.departures.ordinary) == len(made.departures.meaningless) == 8
    )
    assert [path.name for path in made.pictures] == ["1.png", "2.png", "3.png", "4.png"]
    assert len({file_hash(path) for path in made.pictures}) == 4
    assert len(made.suggestions) == 4


def test_the_same_word_is_not_asked_twice_and_another_one_is(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    workspace = Workspace(tmp_path)
    first = check_trigger(StageContext(SETTINGS, workspace, standalone_host))
    stamps = [path.stat().st_mtime_ns for path in first.pictures]
    assert check_trigger(StageContext(SETTINGS, workspace, standalone_host)) == first
    assert [path.stat().st_mtime_ns for path in first.pictures] == stamps
    other = check_trigger(StageContext(SETTINGS, workspace, standalone_host), "kovra")
    assert other.check.free and other.pictures[0].stat().st_mtime_ns != stamps[0]


def test_an_empty_word_moves_nothing_and_the_numbers_repeat(
    standalone_host: StandaloneHost,
) -> None:
    with standalone_host.open_for_training() as model:
        first = measure_word_effects(model, ["", "hat"], (8, 8), 1, Job())
        assert measure_word_effects(model, ["", "hat"], (8, 8), 1, Job()) == first
    assert first[""] == 0 and first["hat"] > 0


def test_meaning_lies_between_words_without_and_with_one() -> None:
    def meaning(trigger: float, ordinary: float) -> float | None:
        return WordEffects(trigger, {"a": ordinary, "b": ordinary}, {"x": 0.1, "y": 0.1}).meaning

    assert meaning(0.1, 0.3) == pytest.approx(0) and meaning(0.3, 0.3) == pytest.approx(1)
    assert meaning(0.3, 0.1) is None and meaning(0.3, 0.11) is None


def test_a_cancelled_check_is_completed_by_the_next(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    job = Job()

    def stop(progress: Progress) -> None:
        if progress.stage == "draw" and progress.done == 1:
            job.cancel()

    job.listen(stop)
    with pytest.raises(JobCancelled):
        check_trigger(StageContext(SETTINGS, Workspace(tmp_path), standalone_host, job))
    assert (
        len(check_trigger(StageContext(SETTINGS, Workspace(tmp_path), standalone_host)).pictures)
        == 4
    )


def test_without_a_word_it_says_how(standalone_host: StandaloneHost, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="--trigger"):
        check_trigger(StageContext(Settings.from_dict({}), Workspace(tmp_path), standalone_host))
