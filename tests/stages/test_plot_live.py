"""What a page is told of a sheet while it is drawn."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import pytest

pytest.importorskip("diffusers")

from lib_singlelora.errors import JobCancelled
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.service.live_sheet import live_sheet
from lib_singlelora.service.service import Service
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.plot import plot
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.test_plot import drawn, small, trained, workspace

__all__ = ["trained", "workspace"]


def told(workspace: Workspace) -> dict[str, object]:
    """As a page asks; it needs no host for that."""
    root: Path = workspace.root.parent
    return live_sheet(Service(cast(StandaloneHost, None), lambda: root), workspace.root.name)


def test_a_sheet_that_was_broken_off_shows_what_is_drawn_and_a_whole_one_itself(
    workspace: Workspace, standalone_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(standalone_host, "batch_limit", lambda *size: 2)

    def stop_after_two(progress: Progress) -> None:
        if len(drawn(workspace)) == 2:
            job.cancel()

    job = Job("plot", stop_after_two)
    context = StageContext(small(), workspace, standalone_host, job)
    with pytest.raises(JobCancelled):
        plot(context)
    seen = told(workspace)
    assert seen["drawn"] == 2 and seen["pictures"] == 5  # one without the LoRA, two by two with it
    tables = cast(list[dict[str, object]], seen["tables"])
    assert [len(cast(list[str], table["columns"])) for table in tables] == [1, 2]
    page = workspace.root / str(seen["page"])
    shown = page.read_text(encoding="utf-8")
    assert shown.count("disabled><img") == 5 and "data:image/" in shown  # the source's picture
    plot(StageContext(small(), workspace, standalone_host, Job()))
    assert told(workspace)["tables"] == [] and (workspace.plots / "sheet.html").exists()
    assert not page.exists()
