"""The data set's service and HTTP routes on the real standalone host."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("fastapi")

from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image

from lib_singlelora.api import routes as api
from lib_singlelora.errors import SettingsError, WorkspaceError
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.service.dataset import DatasetService
from lib_singlelora.service.service import Service

PICTURE = Path(__file__).parents[1] / "data" / "astronaut.png"
QUICK = {
    "prepare.long_side": 256,
    "regularization.count": 2,
    "regularization.steps": 2,
    "regularization.filter": False,
    "caption.tagger": "none",
}


@pytest.fixture(scope="module")
def service(standalone_host: StandaloneHost, tmp_path_factory: pytest.TempPathFactory) -> Service:
    root = tmp_path_factory.mktemp("desk")
    made = Service(standalone_host, lambda: root)
    name = made.start(PICTURE, "eileen", "woman")
    made.change(name, QUICK)
    for word in ("prepare", "crop", "caption", "regularize"):
        assert made.submit(name, word).wait(120).error is None
    return made


@pytest.fixture
def desk(service: Service) -> DatasetService:
    return DatasetService(service)


@pytest.fixture
def client(service: Service) -> TestClient:
    app = FastAPI()
    api.mount(app, service)
    return TestClient(app)


def ask(client: TestClient, method: str, path: str, body: Any = None, status: int = 200) -> Any:
    answer = client.request(method, f"/singlelora/v1/workspaces/eileen{path}", json=body)
    assert answer.status_code == status, answer.text
    return answer.json()


def test_everything_is_told_at_once(client: TestClient) -> None:
    found = ask(client, "GET", "/dataset")
    crop = next(crop for crop in found["crops"] if crop["name"] == "face")
    assert {
        "pixels",
        "bucket",
        "enlarged",
        "confidence",
        "box",
        "symmetry",
    } <= crop.keys() and found["repeats"] > 0
    assert (
        found["captions"]["face"]["tokens"] > 2
        and found["tags"]["eileen"] == len(found["crops"])
        and found["limit"] == 75
    )
    assert [picture["name"] for picture in found["regularization"]] == ["0001", "0002"]
    assert {"kept", "reasons", "prompt", "seed", "by"} <= found["regularization"][0].keys()


def test_a_mask_by_hand_is_kept_and_one_of_another_size_refused(
    client: TestClient, service: Service
) -> None:
    workspace = service.workspace("eileen")
    with Image.open(workspace.mask) as mask:
        size = mask.size

    def sent(image: Image.Image) -> dict[str, str]:
        data = io.BytesIO()
        image.save(data, "PNG")
        return {"picture": base64.b64encode(data.getvalue()).decode()}

    before = workspace.mask.read_bytes()
    assert (
        "expected the size"
        in ask(client, "PUT", "/mask", sent(Image.new("L", (9, 9))), 422)["detail"]
    )
    assert (
        "no picture"
        in ask(client, "PUT", "/mask", {"picture": base64.b64encode(b"no").decode()}, 422)["detail"]
    )
    assert workspace.mask.read_bytes() == before
    ask(client, "PUT", "/mask", sent(Image.new("L", size, 255)))
    assert service.submit("eileen", "prepare").wait(60).error is None
    assert workspace.mask.read_bytes() != before
    assert any(
        "edited by hand" in note for note in ask(client, "GET", "/dataset")["notes"]["prepare"]
    )
    workspace.mask.write_bytes(before)


def test_a_crop_is_moved_added_and_left_out(desk: DatasetService, service: Service) -> None:
    desk.place("eileen", "face", (60, 20, 160, 120))
    desk.place("eileen", "badge", (10, 150, 90, 240))
    changed = desk.leave_out("eileen", "portrait").crop
    assert (
        changed.boxes == ("face:60:20:160:120", "badge:10:150:90:240")
        and "portrait" not in changed.views
    )
    with pytest.raises(SettingsError, match="found 'elbow', expected one of"):
        desk.leave_out("eileen", "elbow")
    with pytest.raises(SettingsError, match="expected a name and a box within the picture"):
        desk.place("eileen", "face", (60, 20, 9999, 120))
    desk.place("eileen", "badge", (10, 140, 90, 240))
    assert service.submit("eileen", "crop").wait(60).error is None
    crops = {crop["name"]: crop for crop in desk.all("eileen")["crops"]}
    assert crops["face"]["box"] == [60, 20, 160, 120] and crops["badge"]["box"] == [
        10,
        140,
        90,
        240,
    ]
    assert "portrait" not in crops
    service.change("eileen", {"crop.boxes": "", "crop.views": ""})
    assert service.submit("eileen", "crop").wait(60).error is None
    assert service.submit("eileen", "caption").wait(60).error is None


def test_captions_are_written_changed_in_all_and_taken_back(client: TestClient) -> None:
    first = ask(client, "GET", "/dataset")["captions"]
    long = ask(
        client, "PUT", "/captions/face", {"text": ", ".join(["eileen", *["orange suit"] * 40])}
    )
    assert long["captions"]["face"]["tokens"] > 75 and long["captions"]["face"]["beyond"].endswith(
        "orange suit"
    )
    assert ask(client, "POST", "/tags", {"add": ["smile"], "replace": ["woman=lady"]})["tags"][
        "smile"
    ] == len(first)
    assert "comma" in ask(client, "POST", "/tags", {"add": ["a, b"]}, 422)["detail"]
    ask(client, "POST", "/tags", {"undo": True})
    assert ask(client, "POST", "/tags", {"undo": True})["captions"] == first
    assert (
        "no change of tags to undo" in ask(client, "POST", "/tags", {"undo": True}, 404)["detail"]
    )


def test_traits_that_are_ticked_are_left_out_and_no_others(
    desk: DatasetService, service: Service
) -> None:
    workspace = service.workspace("eileen")
    record = workspace.record("caption")
    record.data["traits"] = [
        {"tag": tag, "category": category, "seen": seen, "visible": 4}
        for tag, category, seen in (
            ("brown hair", "hair colour", 4),
            ("ponytail", "hair style", 4),
            ("braid", "hair style", 1),
        )
    ]
    workspace.save_record(record)
    before = {trait["tag"]: trait["left_out"] for trait in desk.all("eileen")["traits"]}
    assert before == {"brown hair": True, "ponytail": True, "braid": False}
    changed = desk.choose_traits("eileen", ["ponytail", "braid"]).caption
    assert changed.keep == ("brown hair",) and changed.drop == ("braid",)
    assert {t["tag"] for t in desk.all("eileen")["traits"] if t["left_out"]} == {
        "ponytail",
        "braid",
    }
    changed = desk.choose_traits("eileen", ["ponytail", "brown hair"]).caption
    assert changed.keep == () and changed.drop == ()


def test_regularization_pictures_go_aside_and_come_back(client: TestClient) -> None:
    found = {own["name"]: own for own in ask(client, "POST", "/review", {"reject": ["2"]})}
    assert not found["0002"]["kept"] and found["0002"]["file"] == "reg/rejected/0002.png"
    assert found["0002"]["reasons"] == ["rejected by hand"]
    found = {own["name"]: own for own in ask(client, "POST", "/review", {"take_back": ["2"]})}
    assert found["0002"]["kept"] and found["0002"]["by"] == "hand"
    assert (
        "found no picture '77'" in ask(client, "POST", "/review", {"reject": ["77"]}, 404)["detail"]
    )


def test_a_picture_to_redraw_must_be_there(client: TestClient) -> None:
    told = ask(client, "POST", "/regularization/77/redraw", {}, 404)["detail"]
    assert "found no picture '77'" in told and "0002" in told


def test_nothing_is_changed_by_hand_under_a_running_job(
    desk: DatasetService, service: Service
) -> None:
    import threading

    begun = threading.Event()
    go_on = threading.Event()

    def work(job: Job) -> dict[str, Any]:
        begun.set()
        go_on.wait(30)
        return {}

    ticket = service.runner.submit("eileen: train", work)
    assert begun.wait(30)
    try:
        with pytest.raises(WorkspaceError, match="found the job 'eileen: train' at work"):
            desk.write_caption("eileen", "face", "x")
        assert desk.all("eileen")["crops"]  # looking is allowed
    finally:
        go_on.set()
        ticket.wait(30)


def test_the_trigger_is_checked_as_a_job(client: TestClient, service: Service) -> None:
    number = ask(client, "POST", "/trigger", {"word": "hat"}, 202)["id"]
    ticket = next(ticket for ticket in service.runner.tickets if ticket.number == number)
    assert ticket.wait(120).error is None
    result = client.get(f"/singlelora/v1/jobs/{number}").json()["result"]
    assert (
        not result["free"]
        and len(result["pictures"]) == 4
        and result["suggestions"]
        and "ordinary" in result["departures"]
    )
