"""Jobs: progress, cancellation, the one runner."""

import signal
import threading
from pathlib import Path

import pytest

from lib_singlelora.errors import JobCancelled
from lib_singlelora.jobs import EventLog, Job, JobRunner, Progress, cancel_on_interrupt


def test_a_cancelled_job_stops_at_its_next_safe_point() -> None:
    job = Job("train")
    job.cancel()
    with pytest.raises(JobCancelled):
        job.run(lambda running: running.raise_if_cancelled())
    assert job.view().state == "cancelled"


def test_a_failed_job_keeps_its_traceback() -> None:
    job = Job("train")
    with pytest.raises(ZeroDivisionError):
        job.run(lambda running: 1 / 0)
    assert job.view().state == "failed"
    assert job.trace is not None and "ZeroDivisionError" in job.trace


def test_the_time_left_is_estimated_from_the_stage_itself() -> None:
    job, views = Job("x"), []

    def work(running: Job) -> None:
        running.report(Progress("a", 0, 4))
        views.append(running.view())
        running.report(Progress("a", 1, 4))
        views.append(running.view())

    job.run(work)
    assert views[0].eta is None
    assert views[1].eta is not None and views[1].eta >= 0
    assert views[1].progress.fraction == 0.25


def test_the_runner_takes_one_job_after_another() -> None:
    runner, gate, order = JobRunner(), threading.Event(), []
    first = runner.submit("first", lambda job: (gate.wait(10), order.append(1)))
    second = runner.submit("second", lambda job: order.append(2))
    assert second.job.view().state == "waiting"
    gate.set()
    assert second.wait(10).state == first.wait(10).state == "done"
    assert order == [1, 2]
    assert [ticket.job.title for ticket in runner.tickets] == ["first", "second"]
    assert runner.submit("third", lambda job: 3).wait(10).state == "done"


def test_a_waiting_job_can_be_cancelled_and_never_starts() -> None:
    runner, gate, started = JobRunner(), threading.Event(), []
    first = runner.submit("first", lambda job: gate.wait(10))
    second = runner.submit("second", started.append)
    assert runner.cancel(second.number)
    assert second.wait(1).state == "cancelled"
    gate.set()
    assert first.wait(10).state == "done"
    assert started == []
    assert not runner.cancel(second.number)


def test_the_listener_sees_each_report_with_its_job() -> None:
    heard: list[tuple[str, int]] = []
    work = JobRunner().submit("x", lambda job: job.report(Progress("a", 1, 2)),
                              listener=lambda job, progress: heard.append((job.title, progress.done)))
    work.wait(10)
    assert heard == [("x", 1)]


def test_the_runner_logs_a_failure_with_its_traceback(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "log" / "events.jsonl")
    JobRunner().submit("boom", lambda job: 1 / 0, events).wait(10)
    assert events.read()[-1]["event"] == "failed"
    assert "ZeroDivisionError" in events.read()[-1]["traceback"]


def test_a_torn_last_line_of_the_log_is_skipped(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "events.jsonl")
    events.write("step", loss=1.0)
    with events.path.open("a") as file:
        file.write('{"event": "st')
    assert [event["event"] for event in events.read()] == ["step"]


def test_ctrl_c_cancels_and_the_old_handler_comes_back() -> None:
    before, job = signal.getsignal(signal.SIGINT), Job("x")
    with cancel_on_interrupt(job):
        signal.raise_signal(signal.SIGINT)
        assert job.cancelled
    assert signal.getsignal(signal.SIGINT) is before
