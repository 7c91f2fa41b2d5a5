"""The judged loopback: drawn, judged, added to the next version, trained."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.errors import (
    ConflictError,
    JobCancelled,
    LoraFileError,
    NotFoundError,
    SettingsError,
)
from lib_singlelora.files.fileio import file_hash
from lib_singlelora.host import GeneratedImage, ImageRequest, LoraUse
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.service.service import Service
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.judged_loopback import JudgedLoopback, judged_loopback
from lib_singlelora.stages.loopback import lineage_of
from lib_singlelora.stages.loopback_candidates import plan_candidates
from lib_singlelora.stages.train_pictures import collect_pictures
from lib_singlelora.workspace.kohya_folders import list_pictures, read_caption
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small
from tests.stages.quiet_host import quiet_host

# Without a tagger and with random weights every picture passes; chance decides nothing
LENIENT = {
    "loopback__count": 4,
    "loopback__keep": 2,
    "loopback__colours": 0,
    "loopback__copying": 1,
    "loopback__damage": 1,
    "training__epochs": 1,
    "training__repeats": 2,
}


@pytest.fixture
def drawn(
    eileen: Workspace, standalone_host: StandaloneHost, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[ImageRequest]]:
    """What the host is asked to draw; a workspace with two crops, so that training is short."""
    requests: list[ImageRequest] = []
    real = standalone_host.generate

    def generate(request: ImageRequest, job: Job) -> list[GeneratedImage]:
        requests.append(request)
        return real(request, job)

    monkeypatch.setattr(standalone_host, "generate", generate)
    for path in list_pictures(eileen.image_folder(small()))[2:]:
        path.unlink()
    yield requests


def run(
    workspace: Workspace, host: StandaloneHost, job: Job | None = None, **values: object
) -> JudgedLoopback:
    settings = small(**{**LENIENT, **values})
    workspace.save_settings(settings)
    return judged_loopback(StageContext(settings, workspace, host, job or Job("loopback")))


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): file_hash(path)
        for part in ("image", "model", "source")
        for path in (folder / part).rglob("*")
        if path.is_file()
    }


def test_the_kept_ones_train_the_next_version_and_nothing_else_changes(
    eileen: Workspace, standalone_host: StandaloneHost, drawn: list[ImageRequest]
) -> None:
    before = hashes(eileen.root)
    made = run(eileen, standalone_host)
    assert hashes(eileen.root) == before
    done = made.rounds[0]
    assert len(done.candidates) == 4 and len(done.kept) == 2 and done.version
    assert done.version.workspace == eileen.root.with_name("eileen-v2")
    assert [path.name for path in done.loras] == ["eileen.safetensors"]
    version = Workspace(done.version.workspace, create=False)
    pictures = collect_pictures(small(**LENIENT), version, make_buckets(64))
    added = [picture for picture in pictures if "generated" in picture.path.parts]
    assert len(added) == 2 and {picture.repeats for picture in added} == {1}
    for picture, candidate in zip(added, done.kept, strict=True):
        assert file_hash(picture.path) == file_hash(candidate.path)
        assert picture.caption == candidate.caption
        assert candidate.wish.ask in candidate.caption and "eileen, woman" in candidate.caption
    note = lineage_of(version)["generated"]["1"]
    assert note["pictures"].keys() == {candidate.path.name for candidate in done.kept}

    report = json.loads(json.dumps(made.as_dict()))
    assert report["version"] == 2 and report["rounds"][0]["made"] == 4
    reasons = [each["reasons"] for each in report["rounds"][0]["candidates"] if not each["kept"]]
    assert all(reasons) and sum(report["rounds"][0]["reasons"].values()) == 2
    with Image.open(done.sheet) as sheet:
        assert sheet.width > 300

    drawn.clear()
    assert run(eileen, standalone_host).as_dict() == made.as_dict() and not drawn


def test_more_candidates_are_drawn_beside_those_that_are_there(
    eileen: Workspace, standalone_host: StandaloneHost, drawn: list[ImageRequest]
) -> None:
    strict = {"loopback__damage": 0, "loopback__colours": 1}
    few = run(eileen, standalone_host, **strict)
    drawn.clear()
    more = run(eileen, standalone_host, **strict, loopback__count=5)
    assert len([request for request in drawn if request.loras]) == 1
    assert [c.path for c in more.rounds[0].candidates[:4]] == [
        c.path for c in few.rounds[0].candidates
    ]


def test_where_nothing_passes_no_version_is_made(
    eileen: Workspace, standalone_host: StandaloneHost, drawn: list[ImageRequest]
) -> None:
    made = run(eileen, standalone_host, loopback__colours=1)
    assert made.rounds[0].version is None and made.as_dict()["version"] is None
    assert all("other colours" in each.reasons[-1] for each in made.rounds[0].candidates)
    assert not eileen.root.with_name("eileen-v2").exists()


def test_a_cancelled_one_goes_on_where_it_stopped(
    eileen: Workspace, standalone_host: StandaloneHost, drawn: list[ImageRequest]
) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage == "loopback" and progress.done == 2 and progress.pictures:
            job.cancel()

    job = Job("loopback", stop)
    with pytest.raises(JobCancelled):
        run(eileen, standalone_host, job)
    assert not eileen.root.with_name("eileen-v2").exists()
    first = [request.seeds for request in drawn]
    drawn.clear()
    assert run(eileen, standalone_host).rounds[0].version
    assert not set(first) & {request.seeds for request in drawn if request.loras}


def test_a_version_that_is_trained_on_something_else_is_not_touched(
    eileen: Workspace, standalone_host: StandaloneHost, drawn: list[ImageRequest]
) -> None:
    made = run(eileen, standalone_host)
    assert made.rounds[0].version
    version = made.rounds[0].version.workspace
    before = hashes(version)
    with pytest.raises(ConflictError, match="--into"):
        run(eileen, standalone_host, loopback__keep=1)
    assert hashes(version) == before
    with pytest.raises(SettingsError, match="one round"):
        judged_loopback(StageContext(small(loopback__rounds=2), eileen, standalone_host), version)


def test_a_second_round_draws_with_the_first_one_s_lora(
    eileen: Workspace, standalone_host: StandaloneHost, drawn: list[ImageRequest]
) -> None:
    values = {"loopback__rounds": 2, "loopback__count": 2, "loopback__keep": 1}
    made = run(eileen, standalone_host, **values, loopback__sources="txt2img")
    versions = [each.version.workspace.name for each in made.rounds if each.version]
    assert versions == ["eileen-v2", "eileen-v3"] and made.as_dict()["version"] == 3
    used = {use.path.parent.parent.name for request in drawn for use in request.loras}
    assert used == {"eileen", "eileen-v2"}
    last = Workspace(eileen.root.with_name("eileen-v3"), create=False)
    assert lineage_of(last)["generated"].keys() == {"1", "2"}
    edited = read_caption(list_pictures(next((last.root / "generated/1/image").iterdir()))[0])
    assert edited.startswith("eileen, woman")


def planned(workspace: Workspace, folder: Path) -> dict[str, list[ImageRequest]]:
    """The requests of 30 candidates by source and kind."""
    lora = LoraUse(folder / "isabella.safetensors")
    found: dict[str, list[ImageRequest]] = {}
    settings = small(loopback__count=30, training__resolution=128)
    for each in plan_candidates(settings, workspace, quiet_host(folder), lora, None):
        found.setdefault(f"{each.wish.source} {each.wish.kind}", []).append(each.request)
    return found


@pytest.fixture
def standing(tmp_path: Path) -> Workspace:
    """A workspace with one crop, a whole figure of 40 by 180 pixels, its face 20 pixels high."""
    workspace = Workspace(tmp_path / "standing")
    settings = small()
    workspace.save_settings(settings)
    folder = workspace.image_folder(settings)
    folder.mkdir(parents=True)
    Image.new("RGB", (200, 200), "white").save(folder / "full_body.png")
    mask = Image.new("L", (200, 200))
    mask.paste(255, (80, 10, 120, 190))
    workspace.mask.parent.mkdir()
    mask.save(workspace.mask)
    views = {
        "full_body": {"box": [0, 0, 200, 200], "tags": ["full body"]},
        "face": {"box": [90, 20, 110, 40], "tags": ["close-up"]},
    }
    workspace.save_record(StageRecord("crop", "x", True, {}, {"views": views}))
    return workspace


def white(request: ImageRequest, x: int, y: int) -> bool:
    """Whether the mask redraws a place of the picture, which is 200 pixels wide and high."""
    assert request.mask
    scale = request.mask.width / 200
    value = request.mask.getpixel((int(x * scale), int(y * scale)))
    return bool(value == 255)


def test_each_source_redraws_its_part(standing: Workspace, tmp_path: Path) -> None:
    requests = planned(standing, tmp_path)
    whole = requests["img2img pose"]
    assert all(request.image and request.mask is None for request in whole)
    assert {request.denoise for request in whole} == {0.7, 0.85}
    assert all(request.image is None for request in requests["txt2img pose"])
    face = requests["inpaint expression"][0]
    assert white(face, 100, 30) and not white(face, 100, 100) and not white(face, 20, 30)
    place = requests["inpaint background"][0]
    assert white(place, 20, 30) and white(place, 70, 100) and not white(place, 100, 100)
    body = requests["inpaint pose"][0]
    assert white(body, 100, 100) and white(body, 20, 30) and not white(body, 100, 30)


def test_a_bust_is_not_redrawn_into_a_pose_that_it_cannot_show(
    standing: Workspace, tmp_path: Path
) -> None:
    folder = standing.image_folder(small())
    (folder / "full_body.png").rename(folder / "portrait.png")
    views = {"portrait": {"box": [0, 0, 200, 200], "tags": ["portrait"]}}
    standing.save_record(StageRecord("crop", "x", True, {}, {"views": views}))
    requests = planned(standing, tmp_path)
    assert not requests.keys() & {"inpaint pose", "img2img pose", "img2img view"}
    assert requests.keys() >= {"txt2img pose", "txt2img view", "img2img expression"}


def test_without_crops_it_says_what_to_call(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    for path in list_pictures(eileen.image_folder(small())):
        path.unlink()
    with pytest.raises(NotFoundError, match="crop"):
        run(eileen, standalone_host)


def test_the_service_queues_it_with_settings(
    eileen: Workspace, standalone_host: StandaloneHost, drawn: list[ImageRequest]
) -> None:
    service = Service(standalone_host, lambda: eileen.root.parent)
    lenient = {key.replace("__", "."): value for key, value in LENIENT.items()}
    values = {**lenient, "loopback.count": 1, "loopback.sources": "txt2img"}
    with pytest.raises(SettingsError):
        service.judged_loopback("eileen", values, "middle")
    with pytest.raises(SettingsError):
        service.judged_loopback("eileen", {"loopback.count": 0})
    with pytest.raises(LoraFileError):
        service.judged_loopback("eileen", {"loopback.lora": "nobody"})
    assert not service.runner.tickets
    ticket = service.judged_loopback("eileen", values)
    assert ticket.wait(300).state == "done"
    result = ticket.job.result
    assert result["workspace"] == "eileen-v2" and result["rounds"][0]["made"] == 1
    assert service.settings("eileen").loopback.count == 1
    assert service.results("eileen-v2")["loras"].keys() == {"eileen-v2"}
