"""A sweep on the checkpoint that the real WebUI has loaded; without Optuna there, its refusal."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.browser import needs_chromium
from tests.webui.conftest import new_workspace
from tests.webui.process import Refused, WebUI, python_of_webui
from tests.webui.test_browser import open_step, open_workspace, our_problems
from tests.webui.test_whole_job import untouched

pytestmark = pytest.mark.timeout(1200)
TWO_TRIALS = {"values": {"training.rank": "2,4", "training.epochs": "2"}, "name": "ranks"}


@pytest.fixture(scope="module")
def optuna_there() -> bool:
    """Whether the Python of the WebUI has Optuna, which the product installs nowhere unasked."""
    done = subprocess.run([python_of_webui(), "-c", "import optuna"], capture_output=True)
    return done.returncode == 0


def sweeps_of(name: str) -> str:
    return f"/singlelora/v1/workspaces/{name}/sweeps"


def test_without_optuna_a_sweep_is_refused_with_the_line_that_installs_it(
    webui: WebUI, optuna_there: bool
) -> None:
    if optuna_there:
        pytest.skip("the WebUI's Python has Optuna")
    name = webui.prepared(new_workspace(webui, "unswept", regularization__count=0))
    before = webui.ask("/singlelora/v1/jobs")
    with pytest.raises(Refused, match=r"422.*pip install"):
        webui.ask(sweeps_of(name), TWO_TRIALS)
    assert webui.ask("/singlelora/v1/jobs") == before
    assert webui.ask(sweeps_of(name)) == []


def test_a_sweep_runs_on_the_loaded_checkpoint_and_gives_it_back(
    webui: WebUI, optuna_there: bool
) -> None:
    if not optuna_there:
        pytest.skip("needs Optuna in the WebUI's Python: pip install 'optuna>=5,<6'")
    picture = webui.picture()
    before = webui.ask("/probe/state")
    name = webui.prepared(new_workspace(webui, "swept", regularization__count=0))
    planned = webui.ask(f"{sweeps_of(name)}/plan", TWO_TRIALS)
    assert planned["trials"] == 2 and planned["sampler"] == "grid"
    job: Any = webui.ended(webui.ask(sweeps_of(name), TWO_TRIALS)["id"], timeout=600)
    assert job["state"] == "done", job["error"]
    (result,) = webui.ask(sweeps_of(name))
    assert result == job["result"]
    assert [trial["state"] for trial in result["trials"]] == ["complete", "complete"], result
    assert sorted(trial["settings"]["training.rank"] for trial in result["trials"]) == [2, 4]
    root = webui.data / "outputs" / "singlelora" / name
    for file in (result["table"], result["sheet"], result["front"], result["best"]["sheet"]):
        assert (root / Path(file)).is_file()
    assert webui.picture() == picture
    untouched(before, webui.ask("/probe/state"))
    again = webui.ended(webui.ask(sweeps_of(name), TWO_TRIALS)["id"])
    assert again["state"] == "done" and again["result"]["trials"] == result["trials"]


@needs_chromium
def test_the_tab_tries_several_values_and_shows_their_results(
    webui: WebUI, page: Any, optuna_there: bool
) -> None:
    if not optuna_there:
        pytest.skip("needs Optuna in the WebUI's Python: pip install 'optuna>=5,<6'")
    name = webui.prepared(
        new_workspace(webui, "tried", regularization__count=0, training__early_stop_pictures=1)
    )
    open_workspace(page, name)
    open_step(page, "train")
    page.locator("[data-setting='training.rank']").get_by_text("try several").click()
    page.locator("#sl-try-training-rank").fill("2,3")
    page.locator("#sl-sweep-plan").get_by_text("2 trials").wait_for()
    page.locator("#sl-sweep-start").click()
    page.locator("#sl-sweep").get_by_text("is saved as the preset").wait_for(timeout=400_000)
    assert page.locator("#sl-sweep .trials tbody tr").count() == 2
    for picture in page.locator("#sl-sweep .wide-picture").all():
        picture.scroll_into_view_if_needed()
        picture.evaluate("image => image.decode()")
    page.screenshot(path=str(webui.data / "sweep.png"))
    assert not our_problems(page)
