"""The LoRA files' service and HTTP routes on the real standalone host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("fastapi")

from fastapi import FastAPI
from fastapi.testclient import TestClient
from PIL import Image
from torch import nn

from lib_singlelora.api import routes as api
from lib_singlelora.errors import LoraFileError, PresetError, SettingsError, SingleLoraError
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.library.choose import choose_lora
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.files import read_lora, write_lora
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.service.lora_files import LoraFilesService
from lib_singlelora.service.service import Service

PICTURE = Path(__file__).parents[1] / "data" / "astronaut.png"
SMALL = {
    "training.resolution": 64,
    "training.epochs": 2,
    "plot.steps": 1,
    "plot.strengths": "1",
    "plot.sampler": "Euler",
}


@pytest.fixture(scope="module")
def service(standalone_host: StandaloneHost, tmp_path_factory: pytest.TempPathFactory) -> Service:
    """A workspace `eileen` with two epochs of random weights, and one without any."""
    root = tmp_path_factory.mktemp("bench")
    made = Service(standalone_host, lambda: root)
    name = made.start(PICTURE, "eileen", "woman")
    made.start(PICTURE, "nobody", "woman")
    made.change(name, SMALL)
    models = made.workspace(name).models
    models.mkdir(parents=True, exist_ok=True)
    with standalone_host.open_for_training() as model:
        for seed, stem in ((1, "eileen-000001"), (2, "eileen")):
            network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, seed)
            for _, branch in network.items():
                nn.init.constant_(branch.up, 0.1 * seed)
            write_lora(models / f"{stem}.safetensors", network.kohya_tensors(), {}, "fp32")
    return made


@pytest.fixture
def desk(service: Service) -> Iterator[LoraFilesService]:
    """The service; files that a test derives are deleted after it."""
    yield LoraFilesService(service)
    for path in (service.workspace("eileen").models / "made").glob("*"):
        path.unlink()


def test_a_baked_copy_can_be_used_by_its_name_at_once(
    service: Service, desk: LoraFilesService
) -> None:
    made = desk.bake("eileen", "eileen-000001", "OUTD", 0.8)
    assert made["name"] == "eileen-000001-OUTD-0.8" and list(desk.files("eileen")) == [
        "eileen-000001",
        "eileen",
        made["name"],
    ]
    workspace = service.workspace("eileen")
    path = choose_lora(workspace.load_settings(), workspace, made["name"])
    assert path == workspace.root / made["file"]
    told = read_lora(path).metadata
    assert (told["ss_baked_preset"], told["ss_baked_strength"]) == ("OUTD", "0.8")


def test_epochs_are_merged_and_cut_and_what_is_lost_is_told(
    service: Service, desk: LoraFilesService
) -> None:
    merged = desk.merge("eileen", ["eileen", "eileen-000001"], "ema")
    told = read_lora(service.file("eileen", merged["file"])).metadata["ss_merged_from"]
    assert told.startswith('["eileen-000001')  # the older first
    assert "2 files are merged" in merged["told"]
    cut = desk.resize("eileen", merged["name"], 1)
    assert cut["told"].startswith("cut to rank 1; ") and cut["told"].endswith(
        "% of what it does is lost"
    )


def test_a_lora_is_told_with_a_picture_of_its_blocks(
    service: Service, desk: LoraFilesService
) -> None:
    found = desk.summary("eileen")
    assert found["description"].startswith("LoRA for sd1 · rank 2")
    with Image.open(service.file("eileen", found["picture"])) as image:
        assert image.width == 900


def test_presets_are_drawn_without_a_workspace_and_with_the_users_own(
    service: Service, desk: LoraFilesService, tmp_path: Path
) -> None:
    with Image.open(desk.presets_picture()) as image:
        plain = image.size
    (tmp_path / "lbwpresets.txt").write_text(
        "".join(f"MINE{i}:{','.join(['0.5'] * 17)}\n" for i in range(4)), encoding="utf-8"
    )
    service.change("eileen", {"plot.preset_folders": [str(tmp_path)]})
    try:
        with Image.open(desk.presets_picture("eileen")) as image:
            assert image.height > plain[1]
    finally:
        service.change("eileen", {"plot.preset_folders": []})


@pytest.mark.parametrize(
    ("ask", "error", "told"),
    [
        (
            lambda desk: desk.bake("eileen", "../eileen", "ALL", 1),
            LoraFileError,
            "found no such LoRA in eileen, expected one of eileen-000001",
        ),
        (
            lambda desk: desk.bake("eileen", "", "OUTF", 1),
            PresetError,
            "unknown block preset 'OUTF'",
        ),
        (
            lambda desk: desk.bake("eileen", "", ",".join(["1"] * 13), 1),
            PresetError,
            "found 13 values, expected 17 or 26",
        ),
        (lambda desk: desk.merge("eileen", ["eileen"]), LoraFileError, "found 1 LoRA to merge"),
        (
            lambda desk: desk.merge("eileen", [], "median"),
            SettingsError,
            "expected one of average, ema",
        ),
        (
            lambda desk: desk.resize("eileen", "", 0),
            LoraFileError,
            "rank: found 0, expected 1 or more",
        ),
        (
            lambda desk: desk.summary("nobody"),
            LoraFileError,
            "found no LoRA, expected a trained one",
        ),
        (lambda desk: desk.plan("nobody"), LoraFileError, "found no trained epochs"),
    ],
)
def test_a_mistake_is_one_clear_line(
    desk: LoraFilesService, ask: Any, error: type[SingleLoraError], told: str
) -> None:
    with pytest.raises(error, match=told) as caught:
        ask(desk)
    assert "\n" not in str(caught.value)


def test_the_routes_do_the_same(service: Service, desk: LoraFilesService) -> None:
    app = FastAPI()
    api.mount(app, service)
    client = TestClient(app)
    at = "/singlelora/v1/workspaces/eileen"
    # The checkpoint alone, and two epochs with ALL and OUTD each
    assert client.get(f"{at}/plan").json()["missing"] == 5
    assert client.get(f"{at}/presets").content.startswith(b"\x89PNG")
    assert client.get(f"{at}/summary", params={"lora": "eileen"}).json()["algorithm"] == "LoRA"
    baked = client.post(f"{at}/bake", json={"lora": "eileen", "preset": "OUTD"})
    assert (
        baked.status_code == 201
        and client.get(f"{at}/files/{baked.json()['file']}").status_code == 200
    )
    assert (
        client.post(f"{at}/merge", json={"loras": ["eileen-000001", "eileen"]}).status_code == 201
    )
    assert client.post(f"{at}/resize", json={"rank": 1}).status_code == 201
    answer = client.post(
        f"{at}/bake", json={"lora": str(service.workspace("eileen").models / "eileen.safetensors")}
    )
    # By name only: no file of elsewhere
    assert answer.status_code == 422 and "found no such LoRA" in answer.text


def test_a_picture_from_elsewhere_is_kept_with_what_its_text_tells(
    service: Service, desk: LoraFilesService, tmp_path: Path
) -> None:
    from lib_singlelora.imaging.png import png_bytes

    path = tmp_path / "00017-5.png"
    path.write_bytes(
        png_bytes(
            Image.new("RGB", (64, 64), "red"), "eileen <lora:eileen-000001:0.7>\nSteps: 20, Seed: 5"
        )
    )
    kept = service.file("eileen", desk.accept("eileen", path))
    assert '"lora": "eileen-000001.safetensors"' in kept.with_suffix(".json").read_text(
        encoding="utf-8"
    )
