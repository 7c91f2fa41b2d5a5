"""Units are claimed once, given back, taken over; storages say what is wrong with them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

pytest.importorskip("optuna", reason="sweeps need optuna: pip install 'single-image-lora[sweep]'")

from lib_singlelora.errors import (
    ConflictError,
    JobCancelled,
    NotFoundError,
    StorageError,
    TrainingError,
)
from lib_singlelora.jobs import Job
from lib_singlelora.sweeps import storage as storages
from lib_singlelora.sweeps.storage import Storage, open_storage
from lib_singlelora.sweeps.unit_queue import WORKER, Unit, UnitQueue, names
from lib_singlelora.sweeps.worker import Pruned, work


@pytest.fixture(params=["journal", "sqlite", "postgresql"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Storage]:
    urls = {"journal": str(tmp_path / "journal.log"), "sqlite": f"sqlite:///{tmp_path}/s.db"}
    url = urls.get(request.param) or request.getfixturevalue("postgresql")
    opened = open_storage(url, create=True, interval=1)
    yield opened
    opened.close()


@pytest.fixture
def queue(storage: Storage, request: pytest.FixtureRequest) -> UnitQueue:
    made = UnitQueue.begin(storage, request.node.name, {"kind": "test"})
    assert made.add({"a": {}, "b": {}, "c": {}}) == 3
    return made


def states(queue: UnitQueue) -> dict[str, str]:
    return {key: state.state for key, state in queue.states().items()}


def test_every_unit_is_claimed_once(queue: UnitQueue) -> None:
    other = UnitQueue(queue.storage, queue.name)
    claimed = [unit.key for unit in (queue.claim(), other.claim(), queue.claim()) if unit]
    assert claimed == ["a", "b", "c"] and other.claim() is None
    assert not queue.is_done and queue.name in names(queue.storage)


def test_units_end_in_each_way_and_are_not_queued_again(queue: UnitQueue) -> None:
    def handler(unit: Unit, job: Job) -> Sequence[float]:
        unit.report(1, 0.25)
        if unit.key == "b":
            raise Pruned
        if unit.key == "c":
            raise TrainingError("loss is NaN")
        return [0.5]

    assert work(queue, handler, Job()) == 3
    assert states(queue) == {"a": "complete", "b": "pruned", "c": "failed"}
    found = queue.states()
    assert found["a"].values == (0.5,) and found["b"].epochs == {1: 0.25}
    assert "NaN" in found["c"].notes["error"]
    assert queue.add({"a": {}, "b": {}, "c": {}}) == 0
    assert queue.add({"a": {}, "b": {}, "c": {}}, again="failed") == 1
    assert queue.add({"a": {}, "b": {}, "c": {}}, again="ended") == 2
    assert states(queue) == dict.fromkeys("abc", "waiting")


def test_a_cancelled_unit_waits_for_another_worker(queue: UnitQueue) -> None:
    job = Job()

    def handler(unit: Unit, running: Job) -> Sequence[float]:
        running.cancel()
        running.raise_if_cancelled()
        return [1.0]

    with pytest.raises(JobCancelled):
        work(queue, handler, job)
    assert states(queue) == dict.fromkeys("abc", "waiting")


def test_a_unit_that_another_process_still_writes_is_given_back(
    queue: UnitQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("lib_singlelora.sweeps.worker.PAUSE", 0)
    tries: list[str] = []

    def handler(unit: Unit, job: Job) -> Sequence[float]:
        tries.append(unit.key)
        if len(tries) == 1:
            raise ConflictError("held by another writer")
        return [1.0]

    assert work(queue, handler, Job()) == 3
    assert tries == ["a", "b", "c", "a"]  # the others first


def test_a_dead_process_of_this_machine_is_noticed_at_once(queue: UnitQueue) -> None:
    unit = queue.claim()
    assert unit is not None
    unit.report(1, 0.5)
    unit.note(WORKER, {**unit.notes[WORKER], "process": 2**22 + 1})  # above any process id
    queue.bury_the_dead()
    assert states(queue)["a"] == "waiting"
    assert queue.states()["a"].epochs == {1: 0.5}
    assert not queue.complete(unit, [1.0])  # it was alive after all, and comes too late


@pytest.mark.parametrize("interval", [0, -15])
def test_a_heartbeat_of_none_is_refused(tmp_path: Path, interval: int) -> None:
    with pytest.raises(StorageError, match="expected 1 or more"):
        open_storage(str(tmp_path / "journal.log"), create=True, interval=interval)
    assert not (tmp_path / "journal.log").exists()


def test_a_worker_elsewhere_that_misses_its_heartbeats_is_dead(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.log")
    queue = UnitQueue.begin(open_storage(path, create=True, interval=1), "far", {"kind": "test"})
    queue.add({"a": {}})
    unit = queue.claim()
    assert unit is not None
    unit.note(WORKER, {"machine": "another", "process": 1})
    queue.bury_the_dead()
    assert states(queue)["a"] == "running"
    queue.backend.set_trial_system_attr(unit.trial_id, "heartbeat", time.time() - 60)
    queue.bury_the_dead()
    assert states(queue)["a"] == "waiting"


def test_a_worker_whose_heartbeat_is_slower_is_not_taken_for_dead(storage: Storage) -> None:
    slow = open_storage(storage.url, interval=60)
    working = UnitQueue.begin(slow, "two paces", {"kind": "test"})
    working.add({"a": {}})
    unit = working.claim()
    assert unit is not None
    unit.note(WORKER, {**unit.notes[WORKER], "machine": "another"})
    quick = UnitQueue.begin(storage, "two paces", {"kind": "test"})
    # More than four heartbeats of the quick one, by clocks that tell whole seconds
    time.sleep(5.5)
    quick.bury_the_dead()
    assert states(quick)["a"] == "running"
    # By its own measure it does miss them
    unit.note(WORKER, {**unit.notes[WORKER], "heartbeat": 1})
    quick.bury_the_dead()
    assert states(quick)["a"] == "waiting"
    slow.close()


def test_a_living_worker_is_heard(tmp_path: Path) -> None:
    path = str(tmp_path / "journal.log")
    queue = UnitQueue.begin(open_storage(path, create=True, interval=1), "near", {"kind": "test"})
    queue.add({"a": {}})
    unit = queue.claim()
    assert unit is not None
    queue.backend.set_trial_system_attr(unit.trial_id, "heartbeat", 0.0)
    with queue.beating(unit):
        deadline = time.monotonic() + 10
        while not queue.backend.get_trial(unit.trial_id).system_attrs["heartbeat"]:
            assert time.monotonic() < deadline
    assert queue.complete(unit, [1.0])


def test_a_storage_that_is_not_there_is_told(tmp_path: Path) -> None:
    for url in (tmp_path / "none.log", f"sqlite:///{tmp_path}/none.db", tmp_path / "a" / "b.log"):
        with pytest.raises(StorageError, match="found no storage there"):
            open_storage(str(url))
    with pytest.raises(StorageError, match="its folder"):
        open_storage(str(tmp_path / "a" / "b.log"), create=True)
    with pytest.raises(StorageError, match="found a folder"):
        open_storage(str(tmp_path), create=True)
    assert list(tmp_path.iterdir()) == []


def test_a_server_that_does_not_answer_is_told_without_its_password() -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StorageError, match="can be used") as told:
        open_storage("postgresql://me:secret@127.0.0.1:1/none")
    assert "secret" not in str(told.value) and "127.0.0.1" in str(told.value)
    with pytest.raises(StorageError, match="can be used"):
        open_storage("oracel://host/none")


def test_a_file_that_is_no_storage_is_told(tmp_path: Path) -> None:
    for name, url in (("notes.log", "{}"), ("notes.db", "sqlite:///{}")):
        path = tmp_path / name
        path.write_text("bread\nmilk\n")
        with pytest.raises(StorageError, match="found"):
            open_storage(url.format(path))


@pytest.mark.parametrize(
    "content", [b"junk", b"junk\n", b"{\n", b'{"a": 1}\n', b"\x89PNG\r\n", b"\0"]
)
def test_a_file_of_the_users_is_no_journal_and_stays_as_it_is(
    tmp_path: Path, content: bytes
) -> None:
    """Optuna would append to a file whose only line it cannot read."""
    path = tmp_path / "letter.txt"
    path.write_bytes(content)
    with pytest.raises(StorageError, match="no journal"):
        open_storage(str(path), create=True)
    assert path.read_bytes() == content


def test_a_storage_of_another_version_is_told(tmp_path: Path) -> None:
    path = tmp_path / "s.db"
    opened = open_storage(f"sqlite:///{path}", create=True)
    opened.close()
    with sqlite3.connect(path) as database:
        database.execute("update alembic_version set version_num = 'v0.9.0.a'")
        database.execute("update version_info set schema_version = 99")
    with pytest.raises(StorageError, match="another version"):
        open_storage(f"sqlite:///{path}")


def test_a_plan_of_another_version_is_told(storage: Storage) -> None:
    queue = UnitQueue.begin(storage, "newer", {"kind": "test"})
    queue.study.set_user_attr("singlelora", {"format": 99})
    with pytest.raises(StorageError, match="format 99"):
        UnitQueue(storage, "newer")
    with pytest.raises(NotFoundError, match="newer"):
        UnitQueue(storage, "older")


@pytest.mark.parametrize(("seconds", "word"), [(300, "ahead"), (-300, "behind")])
def test_clocks_that_are_apart_are_told(
    storage: Storage, seconds: float, word: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storages, "clock", lambda: time.time() + seconds)
    with pytest.raises(StorageError, match=f"(29|30).* s {word}"):
        storages._check_clock(storage)
