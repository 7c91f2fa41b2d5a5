"""Jobs: progress, cancellation, the one runner."""

import gc
import logging
import signal
import threading
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from lib_singlelora.errors import JobCancelled, SettingsError, TooManyError
from lib_singlelora.jobs import EventLog, Job, JobRunner, Progress, Ticket, cancel_on_interrupt


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
    job = Job("x")
    views = []

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
    runner = JobRunner()
    gate = threading.Event()
    order = []
    first = runner.submit("first", lambda job: (gate.wait(10), order.append(1)))
    second = runner.submit("second", lambda job: order.append(2))
    assert second.job.view().state == "waiting"
    gate.set()
    assert second.wait(10).state == first.wait(10).state == "done"
    assert order == [1, 2]
    assert [ticket.job.title for ticket in runner.tickets] == ["first", "second"]
    assert runner.submit("third", lambda job: 3).wait(10).state == "done"


def test_a_waiting_job_can_be_cancelled_and_never_starts() -> None:
    runner = JobRunner()
    gate = threading.Event()
    started = []
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
    work = JobRunner().submit(
        "x",
        lambda job: job.report(Progress("a", 1, 2)),
        listener=lambda job, progress: heard.append((job.title, progress.done)),
    )
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
    before = signal.getsignal(signal.SIGINT)
    job = Job("x")
    with cancel_on_interrupt(job):
        signal.raise_signal(signal.SIGINT)
        assert job.cancelled
    assert signal.getsignal(signal.SIGINT) is before


def log_that_cannot_be_written(folder: Path) -> EventLog:
    """An event log whose folder is a file: every write fails as on a full or read-only disk."""
    folder.mkdir()
    (folder / "log").write_text("a file", encoding="utf-8")
    return EventLog(folder / "log" / "events.jsonl")


class Unspeakable(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SystemExit(1),
        MemoryError(),
        KeyboardInterrupt(),
        GeneratorExit(),
        ValueError("a lone surrogate \udc80"),
        SettingsError("\ud800"),
        Unspeakable(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_next_job_runs_whatever_the_one_before_raised(
    tmp_path: Path, error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    # What is logged here no encoding takes, and pytest-xdist sends what a test logged.
    caplog.set_level(logging.CRITICAL + 1)
    runner = JobRunner()
    events = log_that_cannot_be_written(tmp_path / "w")

    def work(job: Job) -> None:
        job.report(Progress("x", message="\udcff"))
        job.log("step", text="\udcff")
        raise error

    broken = runner.submit("broken", work, events)
    after = runner.submit("after", lambda job: 1, events)
    assert broken.wait(10).state == (
        "cancelled" if isinstance(error, KeyboardInterrupt) else "failed"
    )
    assert after.wait(10).state == "done"
    view = broken.job.view()
    f"{view.error}{view.progress.message}".encode()  # the page can show it


def test_the_log_takes_what_no_encoding_takes_and_gives_it_back(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "log" / "events.jsonl")
    events.write("step", text="half \udc80, a line\u2028separator, an object", of=object())
    events.write("step", text="after")
    assert [event["text"] for event in events.read()] == [
        "half \udc80, a line\u2028separator, an object",
        "after",
    ]


def test_an_event_after_a_torn_line_is_not_lost_with_it(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "events.jsonl")
    events.path.write_text('{"event": "st', encoding="utf-8")
    events.write("step", number=2)
    assert [event["number"] for event in events.read()] == [2]


def test_the_log_stays_bounded_and_both_parts_are_read(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "log" / "events.jsonl", part_bytes=2000)
    for number in range(200):
        events.write("step", number=number)
    assert sum(path.stat().st_size for path in (tmp_path / "log").iterdir()) < 4200
    numbers = [event["number"] for event in events.read()]
    assert numbers == list(range(numbers[0], 200)) and len(numbers) > 20


def test_several_writers_lose_and_tear_no_event(tmp_path: Path) -> None:
    path = tmp_path / "log" / "events.jsonl"

    def write(writer: int) -> None:
        log = EventLog(path, part_bytes=30_000)
        for number in range(50):
            log.write("step", writer=writer, number=number, padding="x" * 100)

    threads = [threading.Thread(target=write, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = {(event["writer"], event["number"]) for event in EventLog(path).read()}
    assert found == {(writer, number) for writer in range(4) for number in range(50)}


def test_a_log_that_another_writer_begins_meanwhile_gets_the_event(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "log" / "events.jsonl"

    def at_once(look: Callable[[Path], bool]) -> Callable[[Path], bool]:
        """The same look; then the other writer's first line is there."""

        def then(self: Path) -> bool:
            found = look(self)
            if self == path:
                path.parent.mkdir(exist_ok=True)
                path.write_bytes(b'{"event": "other"}\n')
            return found

        return then

    for look in (Path.is_file, Path.exists):
        monkeypatch.setattr(Path, look.__name__, at_once(look))
    EventLog(path).write("own")
    monkeypatch.undo()
    assert [event["event"] for event in EventLog(path).read()][-1:] == ["own"]


def test_what_lies_in_the_place_of_a_log_and_of_its_events_is_passed_over(tmp_path: Path) -> None:
    events = EventLog(tmp_path / "log" / "events.jsonl")
    events.path.parent.mkdir()
    events.path.write_bytes(
        b'3\n[]\n{"no": 1}\n\xff\n' + b"[" * 100_000 + b'\n{"event": 7}\n{"event": "step"}\n'
    )
    assert [event["event"] for event in events.read()] == ["step"]


def test_a_log_is_not_written_through_a_link(tmp_path: Path) -> None:
    (tmp_path / "w" / "log").mkdir(parents=True)
    victim = tmp_path / "victim"
    victim.write_text("mine", encoding="utf-8")
    events = EventLog(tmp_path / "w" / "log" / "events.jsonl")
    try:
        events.path.symlink_to(victim)
    except OSError:
        pytest.skip("this system makes no links here")
    events.write("step")
    assert victim.read_text(encoding="utf-8") == "mine"


def test_waiting_jobs_are_bounded_and_never_out_of_sight() -> None:
    runner = JobRunner(kept=2, most_waiting=5)
    gate = threading.Event()
    ended = [runner.submit(f"ended {n}", lambda job: 1) for n in range(4)]
    for ticket in ended:
        ticket.wait(10)
    waiting = [runner.submit(f"waiting {n}", lambda job: gate.wait(10)) for n in range(6)]
    with pytest.raises(TooManyError, match="found 5 jobs waiting"):
        runner.submit("one more", lambda job: 1)
    assert [ticket.number for ticket in runner.tickets] == [3, 4, 5, 6, 7, 8, 9, 10]
    assert all(runner.cancel(ticket.number) for ticket in waiting)
    gate.set()
    states = [ticket.wait(10).state for ticket in waiting]
    assert states[1:] == ["cancelled"] * 5
    assert runner.submit("after", lambda job: 1).wait(10).state == "done"
    assert len([ticket for ticket in runner.tickets if ticket.ended]) <= 3


def test_a_job_that_was_cancelled_just_before_it_starts_does_no_work() -> None:
    """Between leaving the queue and starting it is in neither place."""
    job = Job("x")
    done = []
    ticket = Ticket(1, job, done.append)
    job.cancel()
    with pytest.raises(JobCancelled):
        job.run(done.append)
    ticket.run()
    assert done == [] and ticket.wait(1).state == "cancelled"


def test_a_job_that_comes_as_the_last_one_ends_runs_once() -> None:
    """Submitted in the moment between a thread's finding nothing left and its end."""
    runner = JobRunner()
    gate = threading.Event()
    threads = list[threading.Thread]()
    plain = runner._lock
    tickets = list[Ticket[bool]]()
    submitted = list[str]()

    def work(job: Job) -> bool:
        threads.append(threading.current_thread())
        return len(threads) == 1 or gate.wait(10)

    class Lock:
        def __enter__(self) -> None:
            plain.acquire()

        def __exit__(self, *_: object) -> None:
            plain.release()
            if threads and threading.current_thread() is threads[0] and not submitted:
                submitted.append("second")
                tickets.append(runner.submit("second", work))

    runner._lock = Lock()
    assert runner.submit("first", work).wait(10).state == "done"
    threads[0].join(10)
    assert not threads[0].is_alive()
    gate.set()
    assert tickets[0].wait(10).state == "done"
    assert len(threads) == 2


def test_every_cancel_is_heard_by_many_clients_at_once() -> None:
    runner = JobRunner(most_waiting=1000)
    work_done = []
    gate = threading.Event()
    first = runner.submit("first", lambda job: gate.wait(10))
    tickets = [runner.submit(f"{n}", work_done.append) for n in range(60)]
    answers: dict[int, list[bool]] = {ticket.number: [] for ticket in tickets}

    def cancel() -> None:
        for ticket in tickets:
            answers[ticket.number].append(runner.cancel(ticket.number))

    clients = [threading.Thread(target=cancel) for _ in range(4)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    gate.set()
    assert first.wait(10).state == "done"
    assert {ticket.wait(10).state for ticket in tickets} == {"cancelled"} and work_done == []
    assert all(any(heard) for heard in answers.values())


def test_a_job_that_ended_holds_on_to_nothing() -> None:
    class Large:
        pass

    large = Large()
    seen = weakref.ref(large)
    ticket = JobRunner().submit("x", lambda job, held=large: bool(held))
    ticket.wait(10)
    del large
    gc.collect()
    assert seen() is None
