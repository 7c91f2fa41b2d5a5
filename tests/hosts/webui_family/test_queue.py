"""The WebUI's queue lock, its state and its options while a job runs."""

import threading
import time
from pathlib import Path

import pytest

from lib_singlelora.errors import JobCancelled
from lib_singlelora.jobs import Job, Progress
from tests.hosts.webui.stand_in import StandIn


def test_the_queue_is_held_and_given_back(webui: StandIn) -> None:
    from lib_singlelora.hosts.webui_family.queue import QueueLock

    queue = QueueLock()
    job = Job("isabella: run")
    with queue.acquire(job), queue.acquire(Job("inner")):
        assert not webui.lock.acquire(blocking=False)
        assert queue.job is job
    assert webui.lock.acquire(blocking=False)
    assert webui.state.begun == ["Single LoRA: isabella: run"] and webui.state.job == ""


def test_it_is_given_back_after_an_error(webui: StandIn) -> None:
    from lib_singlelora.hosts.webui_family.queue import QueueLock

    queue = QueueLock()
    with pytest.raises(ValueError, match="boom"), queue.acquire(Job("x")):
        raise ValueError("boom")
    assert webui.lock.acquire(blocking=False)


def test_a_waiting_job_can_be_cancelled_and_takes_nothing_later(webui: StandIn) -> None:
    from lib_singlelora.hosts.webui_family.queue import QueueLock

    queue = QueueLock()
    job = Job("x")
    ended = threading.Event()

    def wait() -> None:
        with pytest.raises(JobCancelled), queue.acquire(job):
            pytest.fail("it must not be let in")
        ended.set()

    webui.lock.acquire()
    threading.Thread(target=wait).start()
    time.sleep(0.3)
    assert "waiting" in job.view().progress.message
    job.cancel()
    assert ended.wait(5)
    webui.lock.release()
    time.sleep(0.3)
    assert webui.lock.acquire(blocking=False)  # the helper that waited gave it back


def test_the_webuis_interrupt_cancels_the_job_and_progress_is_shown(webui: StandIn) -> None:
    from lib_singlelora.hosts.webui_family.queue import QueueLock

    queue = QueueLock()
    job = Job("x")
    with queue.acquire(job):
        queue.mirror(Progress("train", 3, 10, "epoch 1"))
        assert (webui.state.job_no, webui.state.job_count) == (3, 10)
        assert not job.cancelled
        webui.state.interrupt()
        queue.mirror(Progress("train", 4, 10))
        assert job.cancelled


def test_the_checkpoint_is_locked_while_a_job_runs(webui: StandIn) -> None:
    from lib_singlelora.hosts.webui_family.queue import QueueLock

    before = webui.opts.data_labels["sd_model_checkpoint"].onchange
    with QueueLock().acquire(Job("x")):
        assert not webui.opts.set("sd_model_checkpoint", "b")
    assert webui.opts.data["sd_model_checkpoint"] == "a"
    assert webui.opts.data_labels["sd_model_checkpoint"].onchange is before
    assert webui.opts.set("sd_model_checkpoint", "b")


def test_the_workspaces_lie_in_the_output_folder_or_where_the_settings_say(
    webui: StandIn, tmp_path: Path
) -> None:
    from lib_singlelora.extension.options import add_options, workspace_root

    add_options()
    assert workspace_root() == tmp_path / "outputs" / "singlelora"
    webui.opts.data["singlelora_workspaces"] = str(tmp_path / "elsewhere")
    assert workspace_root() == tmp_path / "elsewhere"
