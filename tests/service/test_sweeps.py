"""Sweeps by HTTP: the plan before, the job, the results after."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("fastapi")
pytest.importorskip("diffusers")
pytest.importorskip("optuna")

from fastapi import FastAPI
from fastapi.testclient import TestClient

from lib_singlelora.api import routes as api
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.service.service import Service
from lib_singlelora.workspace.workspace import Workspace
from tests.sweeps.conftest import _cropped as _cropped
from tests.sweeps.conftest import cropped as cropped
from tests.sweeps.conftest import own_presets as own_presets

V1 = "/singlelora/v1/workspaces/eileen"


@pytest.fixture
def service(
    standalone_host: StandaloneHost, tmp_path: Path, cropped: Workspace
) -> Iterator[Service]:
    root = tmp_path / "workspaces"
    root.mkdir()
    shutil.move(cropped.root, root / "eileen")
    service = Service(standalone_host, lambda: root)
    yield service
    for ticket in service.runner.tickets:  # the host is the next test's too
        ticket.job.cancel()
        ticket.wait(60)


@pytest.fixture
def client(service: Service) -> TestClient:
    app = FastAPI()
    api.mount(app, service)
    return TestClient(app)


def test_the_plan_tells_the_count_and_touches_nothing(client: TestClient, tmp_path: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    asked = {"values": {"training.rank": "2,3,4", "training.alpha": "1,2"}}
    plan = client.post(f"{V1}/sweeps/plan", json=asked).json()
    assert plan["trials"] == 6 and plan["sampler"] == "grid" and plan["expected_seconds"] is None
    assert "6 trials" in plan["plan"]
    asked = {"values": {"training.unet_lr": "1e-4..1e-3:log"}, "budget": 7}
    plan = client.post(f"{V1}/sweeps/plan", json=asked).json()
    assert plan["trials"] == 7 and plan["sampler"] == "tpe"
    after = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    assert after == before and client.get(f"{V1}/sweeps").json() == []


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"values": {"training.rnak": "2,3"}}, "training.rank"),
        ({"values": {"training.rank": "2"}}, "several values"),
        ({"values": ["training.rank=2,3"]}, "values"),
        ({"values": {"training.rank": [2, 3]}}, "values"),
        ({"values": {"training.rank": "2,3"}, "objectives": "beauty"}, "objectives"),
        ({"values": {"training.rank": "2,3"}, "sampler": "genius"}, "sampler"),
        ({"values": {"training.rank": "2..4"}, "sampler": "grid"}, "range"),
        ({"values": {"training.rank": "2,3"}, "name": "../up"}, "sweep"),
        ({"values": {"training.start_from": "a.safetensors,../../b.safetensors"}}, "outside"),
    ],
)
def test_what_cannot_be_tried_is_refused(
    asked: dict[str, Any], word: str, client: TestClient
) -> None:
    for route in ("sweeps/plan", "sweeps"):
        answer = client.post(f"{V1}/{route}", json=asked)
        assert answer.status_code == 422 and word in answer.json()["detail"], answer.json()


def test_a_sweep_that_is_not_there_is_404(client: TestClient) -> None:
    answer = client.get(f"{V1}/sweeps/none")
    assert answer.status_code == 404 and "none yet" in answer.json()["detail"]


def test_a_sweep_runs_and_its_files_are_served(
    client: TestClient, service: Service, own_presets: Path
) -> None:
    values = {
        "training.rank": "2,3",
        "training.epochs": "1",
        "training.repeats": "1",
        "training.early_stop_pictures": "1",
    }
    asked = {"values": values, "pruner": "none", "name": "ranks"}
    answer = client.post(f"{V1}/sweeps", json=asked)
    assert answer.status_code == 202 and answer.json()["title"] == "eileen: sweep"
    service.runner.tickets[-1].wait(300)
    job = client.get("/singlelora/v1/jobs/1").json()
    assert job["state"] == "done", job["error"]
    [result] = client.get(f"{V1}/sweeps").json()
    assert result == job["result"] == client.get(f"{V1}/sweeps/ranks").json()
    assert [trial["settings"] for trial in result["trials"]] == [
        {"training.rank": 2},
        {"training.rank": 3},
    ]
    assert {trial["state"] for trial in result["trials"]} == {"complete"} and not result["left"]
    files = [result[name] for name in ("table", "sheet", "front")]
    for file in (*files, *(trial["sheet"] for trial in result["trials"])):
        assert client.get(f"{V1}/files/{file}").status_code == 200, file
    assert "training.rank" in result["preset"]["why"]
    assert Path(result["preset"]["file"]).parent == own_presets
    # The crops' folder of the user keeps the name that his own repeats give it
    assert [path.name for path in (service.root / "eileen" / "image").iterdir()] == ["2_eileen"]
    again = client.post(f"{V1}/sweeps", json=asked)
    assert again.status_code == 202
    service.runner.tickets[-1].wait(60)
    assert client.get(f"{V1}/sweeps/ranks").json()["trials"] == result["trials"]
