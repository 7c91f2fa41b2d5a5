"""The service and the HTTP API on the real standalone host, and what they refuse."""

import base64
import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("fastapi")

from fastapi import FastAPI, Request
from fastapi.testclient import TestClient

from lib_singlelora.api import routes as api
from lib_singlelora.errors import LoraFileError, PictureError, SettingsError, WorkspaceError
from lib_singlelora.host import AskedPreset
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.service.service import Service
from lib_singlelora.settings.schema import declaration, declarations
from lib_singlelora.workspace.workspace import STAGES
from tests.two_colours import two_colours

DATA = Path(__file__).parents[1] / "data"
PICTURE = DATA / "astronaut.png"
QUICK = {
    "prepare.long_side": 256,
    "regularization.count": 1,
    "regularization.steps": 2,
    "training.epochs": 2,
    "training.repeats": 1,
    "training.rank": 2,
    "training.alpha": 2,
    "plot.strengths": "1",
    "plot.steps": 2,
    "inpaint.count": 1,
    "inpaint.steps": 2,
}


@pytest.fixture
def service(standalone_host: StandaloneHost, tmp_path: Path) -> Iterator[Service]:
    service = Service(standalone_host, lambda: tmp_path / "workspaces")
    yield service
    for ticket in service.runner.tickets:  # the host is the next test's too
        ticket.job.cancel()
    for ticket in service.runner.tickets:
        ticket.wait(60)


@pytest.fixture
def client(service: Service) -> TestClient:
    app = FastAPI()
    api.mount(app, service)
    return TestClient(app)


def started(service: Service, **settings: object) -> str:
    name = service.start(PICTURE, "eileen", "woman")
    service.change(
        name, {**QUICK, **{key.replace("__", "."): value for key, value in settings.items()}}
    )
    return name


def delete(folder: Path) -> None:
    """Delete a folder in which a job is writing, as a file manager does that is asked to retry."""
    while folder.exists():
        shutil.rmtree(folder, ignore_errors=True)


def test_the_whole_job_ends_after_the_stage_that_is_named(
    service: Service, client: TestClient
) -> None:
    name = started(service)
    at = f"/singlelora/v1/workspaces/{name}/jobs"
    for wrong in ({"until": "lunch"}, {"stage": "crop", "until": "crop"}):
        assert client.post(at, json=wrong).status_code == 422
    assert client.post(at, json={"until": "crop"}).status_code == 202
    assert service.runner.tickets[-1].wait(120).error is None
    workspace = service.workspace(name)
    done = [stage for stage in STAGES if workspace.record(stage).complete]
    assert done == ["prepare", "crop"]


def test_a_workspace_takes_its_triggers_name_and_another_picture_gets_another(
    service: Service, tmp_path: Path
) -> None:
    assert service.start(PICTURE, "eileen", "woman") == "eileen"
    assert service.start(PICTURE, "eileen", "woman") == "eileen"

    two_colours((300, 300), (200, 30, 30)).save(tmp_path / "other.png")
    assert service.start(tmp_path / "other.png", "eileen", "woman") == "eileen 2"
    assert set(service.names()) == {"eileen", "eileen 2"}


def test_what_cannot_be_used_leaves_nothing_behind(service: Service, tmp_path: Path) -> None:
    (tmp_path / "no.png").write_text("no picture")
    with pytest.raises(PictureError):
        service.start(tmp_path / "no.png", "eileen", "woman")
    for trigger in ("", "../x", "a/b", "CON"):
        with pytest.raises(WorkspaceError):
            service.start(PICTURE, trigger, "woman")
    assert service.names() == []
    assert not service.root.exists() or list(service.root.iterdir()) == []


def test_a_mistaken_setting_changes_nothing(service: Service) -> None:
    name = started(service)
    before = (service.root / name / "settings.json").read_text(encoding="utf-8")
    with pytest.raises(SettingsError, match=r"training\.rank"):
        service.change(name, {"training.rank": 0})
    with pytest.raises(WorkspaceError, match="trigger"):
        service.change(name, {"character.trigger": "other"})
    assert (service.root / name / "settings.json").read_text(encoding="utf-8") == before


def test_the_whole_job_and_its_results(service: Service) -> None:
    name = started(service)
    with pytest.raises(LoraFileError, match="Train"):
        service.handover(name)
    view = service.submit(name).wait(300)
    assert view.state == "done", view.error
    results = service.results(name)
    assert set(results["loras"]) == {"eileen-000001", "eileen"}
    assert results["stages"]["inpaint"] == "done" and results["sheet"] and results["inpainted"]
    handed = service.handover(name)
    tag = f"<lora:{results['recommendation']['name']}:"
    assert tag in handed.region_prompt
    # The prompt by which the LoRA was chosen
    assert handed.prompt.startswith(f"{results['recommendation']['prompt']} {tag}")
    assert handed.mask.exists() and handed.size[0] % 8 == 0
    assert "model/eileen.safetensors" in service.files(name)
    assert not any("snapshot" in path for path in service.files(name))


def test_a_second_job_waits_and_a_deleted_workspace_is_told(service: Service) -> None:
    first = started(service, training__epochs=400, regularization__count=0)
    second = "eileen 2"
    shutil.copytree(service.root / first, service.root / second)
    running = service.submit(first)
    waiting = service.submit(second, "prepare")
    while not ((view := running.job.view()).progress.stage == "train" and view.progress.done > 2):
        assert view.state in ("waiting", "running"), view
        time.sleep(0.05)  # without it this loop keeps the job's thread from Python
    assert waiting.job.view().state == "waiting"
    delete(service.root / first)
    assert running.wait(60).state == "failed"
    assert "deleted while" in str(running.job.view().error)
    assert waiting.wait(60).state == "done"
    assert not (service.root / first).exists()


def test_the_routes_do_the_whole_job(client: TestClient, service: Service) -> None:
    picture = base64.b64encode(PICTURE.read_bytes()).decode()
    made = client.post(
        "/singlelora/v1/workspaces",
        json={
            "picture": f"data:image/png;base64,{picture}",
            "trigger": "eileen",
            "class_token": "woman",
            "settings": QUICK,
        },
    )
    assert made.status_code == 201 and made.json() == {"workspace": "eileen"}
    job = client.post("/singlelora/v1/workspaces/eileen/jobs", json={"stage": "prepare"})
    assert job.status_code == 202
    service.runner.tickets[-1].wait(60)
    assert client.get(f"/singlelora/v1/jobs/{job.json()['id']}").json()["state"] == "done"
    assert client.get("/singlelora/v1/workspaces/eileen").json()["stages"]["prepare"] == "done"
    assert (
        client.patch("/singlelora/v1/workspaces/eileen", json={"training.rank": 3}).json()[
            "training"
        ]["rank"]
        == 3
    )
    assert (
        client.get("/singlelora/v1/workspaces/eileen/files/source/prepared.png").content[:4]
        == b"\x89PNG"
    )
    assert client.get("/singlelora/v1/workspaces").json() == ["eileen"]
    assert client.get("/singlelora/v1/stages").json()[0] == "run"
    assert {"name", "default", "help"} <= client.get("/singlelora/v1/settings").json()[0].keys()


def test_the_routes_tell_memory_and_quality_tags(client: TestClient, service: Service) -> None:
    name = started(service)
    url = f"/singlelora/v1/workspaces/{name}"
    budget = client.get(f"{url}/budget").json()
    assert [row["gradient_checkpointing"] for row in budget["rows"]] == [False, True]
    assert budget["rows"][0]["peak"] > budget["rows"][1]["kept"] and budget["advice"]
    assert not client.get(f"{url}/quality").json()["used"]["name"]
    assert client.patch(url, json={"quality.tags": "pony"}).status_code == 200
    told = client.get(f"{url}/quality").json()
    assert told["used"]["positive"].startswith("score_9")
    assert {"illustrious", "noobai", "pony"} <= {each["name"] for each in told["presets"]}


def test_the_routes_say_whose_preset_it_is_and_a_job_takes_that_of_the_checkpoint_of_today(
    client: TestClient,
    service: Service,
    standalone_host: StandaloneHost,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = started(service, training__regularization="none")
    url = f"/singlelora/v1/workspaces/{name}"
    before = client.get(url).json()
    assert before["training_preset"]["whose"] == "checkpoint"
    assert before["settings"]["training"]["preset"] == "recommended"
    assert before["stages"]["regularize"] == "skipped"
    monkeypatch.setattr(standalone_host, "_asked", AskedPreset("embedded", "singlelora"))
    assert client.get(url).json()["settings"]["training"]["preset"] == "embedded"
    job = client.post(f"{url}/jobs", json={"stage": "prepare"}).json()["id"]
    assert service.runner.tickets[-1].wait(60).error is None
    told = client.get(f"/singlelora/v1/jobs/{job}").json()["result"]["training_preset"]
    assert (told["name"], told["whose"], told["note"]) == ("embedded", "checkpoint", "")
    assert "'singlelora' asks for it" in told["why"]
    assert service.workspace(name).load_settings().prepare.square is True
    assert service.workspace(name).load_settings().training.rank == QUICK["training.rank"]
    client.patch(url, json={"training.preset": "recommended"})
    assert client.get(url).json()["training_preset"] == {
        "name": "recommended",
        "whose": "user",
        "why": "you chose it",
        "note": "The loaded checkpoint 'singlelora' asks for 'embedded'",
    }


@pytest.mark.parametrize(
    "path",
    ["../../x", "%2e%2e/%2e%2e/x", "/etc/passwd", "model/snapshot/state.pt", "nothing.png", "link"],
)
def test_no_file_outside_a_workspace_is_given(
    client: TestClient, service: Service, tmp_path: Path, path: str
) -> None:
    name = started(service)
    (tmp_path / "x").write_text("secret")
    (service.root / name / "link").symlink_to(tmp_path / "x")
    (service.root / name / "model" / "snapshot").mkdir(parents=True)
    (service.root / name / "model" / "snapshot" / "state.pt").write_text("state")
    answer = client.get(f"/singlelora/v1/workspaces/{name}/files/{path}")
    assert answer.status_code == 404 and "secret" not in answer.text


@pytest.mark.parametrize("setting", [d.name for d in declarations() if d.path])
def test_a_setting_reaches_no_file_outside(
    client: TestClient, service: Service, tmp_path: Path, setting: str
) -> None:
    name = started(service)
    (tmp_path / "secrets").mkdir()
    texts = [str(tmp_path / "secrets"), "../../secrets", "~/secrets", f" {tmp_path / 'x'}"]
    for text in texts + [f"a, {tmp_path / 'x'}"] * (declaration(setting).kind is not str):
        for answer in (
            client.patch(f"/singlelora/v1/workspaces/{name}", json={setting: text}),
            client.post(
                f"/singlelora/v1/workspaces/{name}/jobs", json={"settings": {setting: text}}
            ),
        ):
            assert answer.status_code == 422 and "lies outside" in answer.text
    assert service.runner.tickets == []


def test_a_setting_takes_names_and_files_inside(client: TestClient, service: Service) -> None:
    name = started(service)
    (service.root / "other").mkdir()
    inside = {
        "plot.compare": "../other",
        "caption.tagger": "wd-swinv2-tagger-v3",
        "inpaint.lora": "2",
        "regularization.wildcards": [str(service.root / "other")],
        "prepare.upscaler": "Lanczos",
    }
    assert client.patch(f"/singlelora/v1/workspaces/{name}", json=inside).status_code == 200


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"picture": "!!", "trigger": "a"}, "base64"),
        ({"picture": "aGVsbG8=", "trigger": "a"}, "picture"),
        ({"picture": "aGVsbG8=", "trigger": "../a"}, "trigger"),
    ],
)
def test_bad_bodies_are_told(client: TestClient, body: dict[str, Any], said: str) -> None:
    answer = client.post("/singlelora/v1/workspaces", json=body)
    assert answer.status_code == 422 and said in answer.text


def test_unknown_things_are_not_found(client: TestClient, service: Service) -> None:
    name = started(service)
    assert client.get("/singlelora/v1/workspaces/nobody").status_code == 404
    assert client.get("/singlelora/v1/workspaces/..").status_code == 404
    assert client.get("/singlelora/v1/jobs/99").status_code == 404
    assert (
        client.post(f"/singlelora/v1/workspaces/{name}/jobs", json={"stage": "dance"}).status_code
        == 404
    )


def test_users_and_sessions_are_asked_for(service: Service) -> None:
    def session(request: Request) -> str | None:
        return "anna" if request.cookies.get("token") == "good" else None

    app = FastAPI()
    api.mount(app, service, {"bob": "secret"}, session)
    api.mount(app, service, {"bob": "secret"}, session)  # "Reload UI" calls it again
    once = FastAPI()
    api.mount(once, service)
    assert len(app.routes) == len(once.routes)
    client = TestClient(app)
    assert client.get("/singlelora/v1/workspaces").status_code == 401
    assert client.get("/singlelora/v1/workspaces", auth=("bob", "wrong")).status_code == 401
    assert client.get("/singlelora/v1/workspaces", auth=("eve", "")).status_code == 401
    assert client.get("/singlelora/v1/workspaces", auth=("bob", "secret")).status_code == 200
    client.cookies.set("token", "good")
    assert client.get("/singlelora/v1/workspaces").status_code == 200


def test_quotes_open_no_way_out_of_the_workspaces(
    client: TestClient, service: Service, tmp_path: Path
) -> None:
    name = started(service)
    outside = json.dumps(str(tmp_path / "secrets"))
    for setting in ("plot.compare", "plot.preset_folders", "regularization.wildcards"):
        assert (
            client.patch(f"/singlelora/v1/workspaces/{name}", json={setting: outside}).status_code
            == 422
        )
