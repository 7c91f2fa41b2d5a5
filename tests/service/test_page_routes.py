"""The routes that only a page needs: events, steps, forecast, thumbnails, deleting, pausing."""

from __future__ import annotations

import asyncio
import base64
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from lib_singlelora.api import routes as api
from lib_singlelora.api.events import Seats, stream
from lib_singlelora.errors import ConflictError, TooManyError
from lib_singlelora.files.fileio import write_text
from lib_singlelora.host import HostPaths
from lib_singlelora.jobs import Job, JobRunner, Progress
from lib_singlelora.service import trash
from lib_singlelora.service.service import Service
from lib_singlelora.service.steps import steps_of
from lib_singlelora.service.watch import Watch
from lib_singlelora.training.epoch_plan import Picture, epoch_steps
from lib_singlelora.workspace.asked import changes_since, remember_asked
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.quiet_host import QuietHost
from tests.two_colours import two_colours

API = "/singlelora/v1"


@pytest.fixture
def service(tmp_path: Path) -> Service:
    two_colours((300, 200), (200, 30, 30)).save(tmp_path / "picture.png")
    service = Service(QuietHost(), lambda: tmp_path / "workspaces")
    service.start(tmp_path / "picture.png", "mara", "girl")
    return service


@pytest.fixture
def client(service: Service) -> Iterator[TestClient]:
    app = FastAPI()
    api.mount(app, service)
    with TestClient(app) as client:
        yield client


def done(workspace: Workspace, *stages: str) -> None:
    for stage in stages:
        workspace.save_record(StageRecord(stage, "x", True))


def states(service: Service) -> dict[str, str]:
    return {step.name: step.state for step in steps_of(service, "mara")}


def first_events(service: Service, name: str, seconds: float) -> list[tuple[str, Any]]:
    async def collect() -> list[str]:
        async def never() -> bool:
            return False

        return [line async for line in stream(Watch(service), name, never, seconds)]

    lines = [line for line in asyncio.run(collect()) if line.startswith("event: ")]
    parts = [line.removeprefix("event: ").partition("\ndata: ") for line in lines]
    return [(name, json.loads(text)) for name, _, text in parts]


def test_a_new_workspace_is_ready_for_its_picture_and_says_what_the_rest_needs(
    service: Service,
) -> None:
    steps = {step.name: step for step in steps_of(service, "mara")}
    assert steps["source"].state == "ready"
    assert (steps["crops"].state, steps["crops"].needs) == ("empty", "source")
    assert (steps["test"].state, steps["test"].needs) == ("empty", "train")


def test_a_changed_setting_makes_its_step_stale_and_those_after_it(service: Service) -> None:
    workspace = service.workspace("mara")
    done(workspace, "prepare", "crop", "caption")
    remember_asked(workspace, workspace.load_settings(), "prepare")
    assert states(service)["source"] == "done"
    service.change("mara", {"prepare.long_side": 640})
    steps = {step.name: step for step in steps_of(service, "mara")}
    assert steps["source"].because[0]["name"] == "prepare.long_side"
    assert steps["source"].because[0]["now"] == "640"
    assert steps["crops"].state == "stale" and steps["crops"].after == ["source"]
    assert steps["captions"].after == ["crops"]


def test_a_painted_mask_makes_the_crops_stale(service: Service) -> None:
    workspace = service.workspace("mara")
    two_colours((64, 64), (200, 30, 30)).save(workspace.prepared)
    two_colours((64, 64), (200, 30, 30)).convert("L").save(workspace.mask)
    done(workspace, "prepare", "crop")
    settings = workspace.load_settings()
    remember_asked(workspace, settings, "crop")
    assert changes_since(workspace, settings, "crop") == []
    two_colours((64, 64), (0, 0, 0)).convert("L").save(workspace.mask)
    assert [change.name for change in changes_since(workspace, settings, "crop")] == ["mask"]


def test_a_damaged_memory_of_what_was_asked_makes_nothing_stale(service: Service) -> None:
    workspace = service.workspace("mara")
    done(workspace, "prepare")
    write_text(workspace.root / "log" / "asked.json", '{"prepare": 3}')
    service.change("mara", {"prepare.long_side": 640})
    assert states(service)["source"] == "done"


def test_a_running_stage_is_the_step_that_runs(service: Service) -> None:
    begun, end = threading.Event(), threading.Event()

    def work(job: Job) -> None:
        job.report(Progress("caption", 1, 2))
        begun.set()
        end.wait(10)

    ticket = service.runner.submit("mara: run", work)
    waiting = service.runner.submit("mara: plot", lambda job: None)
    assert begun.wait(10)
    assert states(service)["captions"] == "running" and states(service)["test"] == "waiting"
    end.set()
    ticket.wait(10)
    waiting.wait(10)


def test_events_tell_all_at_first_and_then_what_changed(service: Service) -> None:
    told = dict(first_events(service, "mara", 0))
    assert told == {}
    timer = threading.Timer(0.6, lambda: service.change("mara", {"training.rank": 3}))
    timer.start()
    events = first_events(service, "mara", 1.8)
    timer.join()
    names = [name for name, _ in events]
    assert names[:4] == ["jobs", "workspaces", "checkpoint", "workspace"]
    revisions = [value["revision"] for name, value in events if name == "workspace"]
    changed = {part for part in revisions[0] if revisions[0][part] != revisions[-1][part]}
    assert changed == {"settings"}
    assert names.count("jobs") == 1


def test_a_workspace_that_is_not_there_has_no_revision(service: Service) -> None:
    told = dict(first_events(service, "nobody", 0.1))
    assert told["workspace"] == {"name": "nobody", "revision": {}}


def test_no_more_pages_than_seats() -> None:
    seats = Seats(1)
    with seats.taken(), pytest.raises(TooManyError):
        seats.check()
    seats.check()


@pytest.mark.parametrize(
    "headers", [{"origin": "https://elsewhere.example"}, {"sec-fetch-site": "cross-site"}]
)
def test_a_page_of_another_site_takes_no_seat(client: TestClient, headers: dict[str, str]) -> None:
    assert client.get(f"{API}/events", headers=headers).status_code == 403


def test_the_page_is_given_its_own_files_only(client: TestClient) -> None:
    found = client.get(f"{API}/app/main.mjs")
    assert found.status_code == 200 and found.headers["content-type"].startswith("text/javascript")
    for path in ("nothing.mjs", "../singlelora.js", "%2e%2e/singlelora.js", "vendor/LICENSE"):
        assert client.get(f"{API}/app/{path}").status_code == 404


def test_a_glance_has_steps_settings_and_relative_files(client: TestClient) -> None:
    client.patch(f"{API}/workspaces/mara", json={"training.rank": 3})
    glance = client.get(f"{API}/workspaces/mara/glance").json()
    assert glance["steps"][0]["name"] == "source"
    assert glance["original"] == "source/original.png"
    assert glance["settings"]["character.trigger"] == "mara"
    assert glance["by_hand"] == ["training.rank"]
    assert glance["revision"]["settings"]


def test_a_forecast_tells_pictures_and_preset_before_anything_runs(client: TestClient) -> None:
    told = client.get(f"{API}/workspaces/mara/forecast").json()
    stages = {stage["stage"]: stage for stage in told["stages"]}
    assert stages["prepare"]["does"] == "does"
    assert stages["regularize"]["pictures"] == 60
    assert stages["train"]["steps"] > 0 and stages["train"]["seconds"] is None
    assert not told["seconds_known"] and told["preset"]["why"]


def test_a_forecast_takes_the_pace_of_another_workspace(
    client: TestClient, service: Service, tmp_path: Path
) -> None:
    service.start(tmp_path / "picture.png", "luna", "girl")
    events = service.workspace("luna").events
    for step in range(4):
        events.write("step", step=step, seconds=0.5)
    told = client.get(f"{API}/workspaces/mara/forecast").json()
    stages = {stage["stage"]: stage for stage in told["stages"]}
    assert stages["train"]["seconds"] == pytest.approx(0.5 * stages["train"]["steps"])


def test_a_thumbnail_is_small_and_of_this_workspace(client: TestClient) -> None:
    small = client.get(f"{API}/workspaces/mara/thumbnail")
    assert small.headers["content-type"] == "image/jpeg" and len(small.content) < 5000
    for file in ("../luna/source/original.png", "settings.json", "nothing.png"):
        asked = client.get(f"{API}/workspaces/mara/thumbnail", params={"file": file})
        assert asked.status_code == 404


def test_a_deleted_workspace_comes_back(client: TestClient, service: Service) -> None:
    service.change("mara", {"training.rank": 7})
    assert client.delete(f"{API}/workspaces/mara").status_code == 200
    assert client.get(f"{API}/workspaces").json() == []
    assert client.get(f"{API}/workspaces/mara/glance").status_code == 404
    assert client.post(f"{API}/workspaces/mara/restore").status_code == 200
    assert service.settings("mara").training.rank == 7
    assert client.post(f"{API}/workspaces/mara/restore").status_code == 404


def test_a_name_that_is_taken_is_not_overwritten_by_what_comes_back(
    client: TestClient, service: Service, tmp_path: Path
) -> None:
    client.delete(f"{API}/workspaces/mara")
    service.start(tmp_path / "picture.png", "mara", "girl")
    assert client.post(f"{API}/workspaces/mara/restore").status_code == 409


def test_a_workspace_with_a_job_is_not_deleted(service: Service) -> None:
    end = threading.Event()
    ticket = service.runner.submit("mara: train", lambda job: end.wait(10))
    with pytest.raises(ConflictError, match="train"):
        trash.delete(service, "mara")
    end.set()
    ticket.wait(10)
    assert service.names() == ["mara"]


def test_what_was_deleted_a_week_ago_goes(service: Service) -> None:
    trash.delete(service, "mara")
    trash.forget_old(service)
    assert (service.root / trash.FOLDER / "mara").exists()
    trash.forget_old(service, time.time() + trash.KEPT + 60)
    assert not (service.root / trash.FOLDER / "mara").exists()


def test_a_paused_job_goes_on_before_those_that_wait(client: TestClient, service: Service) -> None:
    ran: list[str] = []
    begun, end = threading.Event(), threading.Event()

    def work(job: Job) -> str:
        ran.append("resumed" if job.resumed else "begun")
        begun.set()
        while not job.resumed and not end.wait(0.01):
            job.raise_if_cancelled()
        return "done"

    first = service.runner.submit("mara: train", work)
    assert begun.wait(10)
    assert client.post(f"{API}/jobs/{first.number}/pause").json() == {"pausing": True}
    assert first.wait(10).state == "paused"
    blocker = service.runner.submit("luna: plot", lambda job: end.wait(10))
    last = service.runner.submit("luna: train", lambda job: ran.append("last"))
    resumed = client.post(f"{API}/jobs/{first.number}/resume")
    assert resumed.status_code == 202 and resumed.json()["workspace"] == "mara"
    assert client.post(f"{API}/jobs/{first.number}/resume").status_code == 409
    end.set()
    for ticket in (blocker, last):
        ticket.wait(10)
    assert ran == ["begun", "resumed", "last"]


def test_a_job_that_was_cancelled_cannot_be_resumed() -> None:
    runner = JobRunner()
    end = threading.Event()
    blocker = runner.submit("a: run", lambda job: end.wait(10))
    waiting = runner.submit("b: run", lambda job: None)
    assert runner.cancel(waiting.number, pause=True) and waiting.wait(5).state == "paused"
    assert runner.cancel(waiting.number) is False
    end.set()
    blocker.wait(5)
    assert runner.resume(blocker.number) is None
    again = runner.resume(waiting.number)
    assert again is not None and again.wait(5).state == "done"


def test_the_page_s_key_opens_the_api_where_only_the_api_has_users(service: Service) -> None:
    app = FastAPI()
    api.mount(app, service, {"mara": "secret"}, page_key="of the page")
    with TestClient(app) as client:
        asked = f"{API}/workspaces"
        assert client.get(asked).status_code == 401
        for key, status in (("of the page", 200), ("another", 401), ("", 401)):
            client.cookies.clear()
            client.cookies.set("singlelora-page", key)
            assert client.get(asked).status_code == status


def test_the_page_s_key_is_nothing_where_the_page_has_a_login(service: Service) -> None:
    app = FastAPI()
    api.mount(app, service, {}, lambda request: None, page_key="of the page")
    with TestClient(app, cookies={"singlelora-page": "of the page"}) as client:
        assert client.get(f"{API}/workspaces").status_code == 401


def prepared(service: Service) -> Workspace:
    """The workspace with a prepared picture, a mask and two captioned crops."""
    workspace = service.workspace("mara")
    two_colours((128, 128), (200, 30, 30)).save(workspace.prepared)
    two_colours((128, 128), (200, 30, 30)).convert("L").save(workspace.mask)
    folder = workspace.image_folder(workspace.load_settings())
    folder.mkdir(parents=True)
    for name in ("face", "legs"):
        two_colours((64, 64), (200, 30, 30)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text("mara, girl, smile", encoding="utf-8")
    views = {
        "face": {"box": [0, 0, 64, 64], "pixels": [32, 32]},
        "legs": {"box": [64, 64, 128, 128]},
    }
    workspace.save_record(StageRecord("crop", "x", True, {}, {"views": views}))
    seen = {"face": ["smile", "blue eyes"], "legs": []}
    workspace.save_record(StageRecord("caption", "x", True, {}, {"seen": seen}))
    return workspace


def test_crops_are_placed_and_left_out(client: TestClient, service: Service) -> None:
    prepared(service)
    at = f"{API}/workspaces/mara"
    shapes = client.get(f"{at}/buckets").json()
    assert (
        shapes["size"] == [128, 128] and shapes["scale"] == 0.5 and [512, 512] in shapes["buckets"]
    )
    placed = client.put(f"{at}/crops/face", json={"box": [1, 2, 50, 60]}).json()
    assert placed["crop.boxes"] == ["face:1:2:50:60"]
    for box in ([1, 2, 3], [50, 2, 1, 60], ["a", 2, 3, 4], [0, 0, 9999, 9999]):
        assert client.put(f"{at}/crops/face", json={"box": box}).status_code == 422
    assert client.delete(f"{at}/crops/legs").json()["crop.views"] == ["face"]
    assert client.delete(f"{at}/crops/nobody").status_code == 422


def test_a_crop_is_named_anew_unless_the_name_is_taken_or_none(
    client: TestClient, service: Service
) -> None:
    workspace = prepared(service)
    at = f"{API}/workspaces/mara/crops"
    answer = client.post(f"{at}/face/rename", json={"name": "her hat"}).json()
    assert answer == {
        "name": "her_hat",
        "crop.boxes": ["her_hat:0:0:64:64"],
        "crop.views": ["her_hat", "legs"],
    }
    folder = workspace.image_folder(service.settings("mara"))
    assert {path.stem for path in folder.iterdir()} == {"her_hat", "legs"}
    for crop, name, status in (
        ("her_hat", "legs", 409),
        ("her_hat", "../x", 422),
        ("face", "x", 404),
    ):
        sent = client.post(f"{at}/{crop}/rename", json={"name": name})
        assert sent.status_code == status
    assert client.post(f"{at}/legs/rename", json={"name": "legs"}).status_code == 200


def test_tags_tell_what_a_caption_left_out_and_the_categories(
    client: TestClient, service: Service
) -> None:
    prepared(service)
    known = client.get(f"{API}/workspaces/mara/tags").json()
    assert known["left"] == {"face": ["blue eyes"], "legs": []}
    assert known["categories"]["blue eyes"] == "eye colour"
    assert known["tags"] == []  # no tagger is there


def test_blocks_follow_the_setting(client: TestClient, service: Service) -> None:
    at = f"{API}/workspaces/mara/blocks"
    assert set(client.get(at).json()["now"]) == {1.0}
    service.change("mara", {"training.block_weights": "OUTD"})
    told = client.get(at).json()
    assert told["now"] == told["presets"]["OUTD"] != told["presets"]["article"]
    assert len(told["labels"]) == len(told["now"]) and told["norms"] is None
    assert "IN00" in told["labels"] and "IN00" not in told["held"]


def test_prompts_are_those_that_will_be_drawn(client: TestClient, service: Service) -> None:
    service.change("mara", {"regularization.template": "1{class}, {red|blue} hat"})
    told = client.get(f"{API}/workspaces/mara/prompts").json()["prompts"]
    again = client.get(f"{API}/workspaces/mara/prompts", params={"first": 1}).json()["prompts"]
    assert len(told) == 3 and told[1:] == again[:2]
    assert all(prompt in ("1girl, red hat", "1girl, blue hat") for prompt in told)


def test_the_training_s_log_begins_anew_with_a_training_and_goes_on_with_a_resumed_one(
    client: TestClient, service: Service
) -> None:
    events = service.workspace("mara").events
    for resumed, steps in ((None, (1, 2)), (None, (1, 2, 3)), (2, (3, 4))):
        events.write("train", resumed_at=resumed)
        for step in steps:
            events.write("step", step=step, loss=0.1 * step, smoothed=0.1, lr=1e-4)
    events.write("validation", step=4, loss=0.3, bands={100: 0.1, 900: 0.5})
    told = client.get(f"{API}/workspaces/mara/training").json()
    assert [each["step"] for each in told["steps"]] == [1, 2, 3, 4]
    bands = {"100": 0.1, "900": 0.5}
    assert told["validation"] == [{"step": 4, "loss": 0.3, "bands": bands}]
    assert told["samples"] == []


def test_a_picture_for_the_bench_is_kept_until_the_job_and_a_bad_one_refused(
    client: TestClient, service: Service, tmp_path: Path
) -> None:
    at = f"{API}/workspaces/mara/inpaint"
    end = threading.Event()
    blocker = service.runner.submit("luna: train", lambda job: end.wait(10))
    assert client.post(at, json={"picture": "bm8gcGljdHVyZQ=="}).status_code == 422
    assert not (service.workspace("mara").inpaint / "given").exists()
    assert len(service.runner.tickets) == 1
    sent = base64.b64encode((tmp_path / "picture.png").read_bytes()).decode()
    job = client.post(at, json={"picture": sent})
    assert job.status_code == 202 and job.json()["title"] == "mara: inpaint"
    assert len(list((service.workspace("mara").inpaint / "given").glob("*.png"))) == 1
    client.post(f"{API}/jobs/{job.json()['id']}/cancel")
    end.set()
    blocker.wait(10)


def test_a_picture_from_elsewhere_is_kept(client: TestClient, tmp_path: Path) -> None:
    sent = base64.b64encode((tmp_path / "picture.png").read_bytes()).decode()
    kept = client.post(f"{API}/workspaces/mara/accepted", json={"picture": sent}).json()["accepted"]
    assert len(kept) == 1 and kept[0].startswith("inpaint/accepted/")


def test_what_is_missing_is_told_with_its_size_and_the_place_for_it(
    client: TestClient, service: Service, tmp_path: Path
) -> None:
    service.host.paths = HostPaths(downloads=tmp_path / "downloads")  # type: ignore[misc]
    tools = {tool["kind"]: tool for tool in client.get(f"{API}/equipment").json()}
    assert {kind for kind, tool in tools.items() if tool["have"]} == set()
    assert tools["matting"]["size"] == 176_069_933 and tools["matting"]["uses"] == "GrabCut"
    assert tools["tagger"]["folder"].startswith(str(tmp_path / "downloads"))
    assert tools["upscaler"]["offer"] == ""
    assert client.post(f"{API}/equipment/upscaler").status_code == 404


def test_a_download_without_a_network_is_a_job_that_fails_and_says_where_to_put_it(
    client: TestClient, service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    service.host.paths = HostPaths(downloads=tmp_path / "downloads")  # type: ignore[misc]
    monkeypatch.setenv("SINGLELORA_MATTING_SITE", "http://127.0.0.1:9")
    job = client.post(f"{API}/equipment/matting").json()
    assert (job["workspace"], job["word"]) == ("models", "fetch matting")
    ticket = next(each for each in service.runner.tickets if each.number == job["id"])
    view = ticket.wait(30)
    assert view.state == "failed" and "matting" in (view.error or "")


def test_the_host_is_named_with_what_controlnet_has(client: TestClient) -> None:
    assert client.get(f"{API}/host").json() == {"title": "Quiet", "controls": []}


def test_prompts_of_a_template_that_is_still_typed(client: TestClient, service: Service) -> None:
    url = f"{API}/workspaces/mara/prompts"
    told = client.get(url, params={"template": "{class}, typed"}).json()["prompts"]
    assert told == ["girl, typed"] * 3
    assert "typed" not in service.settings("mara").regularization.template


def test_presets_are_told_with_their_reasons(client: TestClient) -> None:
    told = {each["name"]: each for each in client.get(f"{API}/presets").json()}
    assert {"recommended", "quick", "article"} <= set(told)
    quick = {each["setting"]: each for each in told["quick"]["values"]}
    assert quick["training.rank"]["value"] == 8 and "Half" in quick["training.rank"]["why"]
    assert told["quick"]["about"].startswith("A short run")


def test_an_exam_needs_a_lora(client: TestClient, service: Service) -> None:
    answer = client.post(f"{API}/workspaces/mara/exam", json={})
    assert answer.status_code >= 400 and "LoRA" in answer.json()["detail"]
    assert service.runner.tickets == []


def test_a_sheet_is_told_while_it_is_drawn(service: Service, client: TestClient) -> None:
    none = {"tables": [], "drawn": 0, "pictures": 0, "page": None}
    url = f"{API}/workspaces/mara/sheet/live"
    assert client.get(url).json() == none
    cells = service.workspace("mara").plots / "cells"
    cells.mkdir(parents=True)
    (cells / "0123456789abcdef-1.png").write_bytes(b"")
    names = [["0123456789abcdef-1.png"], ["fedcba9876543210-1.png", "../../settings.json"]]
    table = {"title": "ALL", "rows": ["epoch 1"], "columns": ["0.5", "1"], "cells": [names]}
    live = cells.parent / "live.json"
    write_text(live, json.dumps({"tables": [table]}))
    first = {"files": ["plots/cells/0123456789abcdef-1.png"], "of": 1}
    assert client.get(url).json() == {
        "tables": [{**table, "cells": [[first, {"files": [], "of": 1}]]}],
        "drawn": 1,
        "pictures": 2,
        "page": None,
    }
    for spoiled in ("{", "[]", json.dumps({"tables": [{**table, "cells": [[5]]}]})):
        write_text(live, spoiled)
        assert client.get(url).json() == none


@pytest.mark.parametrize("count", [0, 2])
@pytest.mark.parametrize("share", [1.0, 0.5])
def test_a_forecast_tells_the_steps_that_the_training_will_have(
    service: Service, client: TestClient, count: int, share: float
) -> None:
    values = {"training.repeats": 3, "training.epochs": 2, "training.class_share": share}
    settings = service.change("mara", {**values, "regularization.count": count})
    workspace = service.workspace("mara")
    of_class = [workspace.reg_folder(settings)] * bool(count)
    for folder in (workspace.image_folder(settings), *of_class):
        folder.mkdir(parents=True)
        for name in ("one", "two"):
            two_colours((64, 64), (200, 30, 30)).save(folder / f"{name}.png")
    told = client.get(f"{API}/workspaces/mara/forecast").json()["training"]
    pictures = [
        Picture(path, "", (64, 64), 3 if path.parent.parent.name == "image" else 1, is_class)
        for is_class, folder in zip(
            (False, True), (workspace.image_folder(settings), *of_class), strict=False
        )
        for path in sorted(folder.glob("*.png"))
    ]
    steps = [len(epoch_steps(pictures, epoch, 1, 1, 1, share)) for epoch in range(2)]
    assert told["steps"] == sum(steps)
