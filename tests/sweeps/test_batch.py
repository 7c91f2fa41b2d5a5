"""Many pictures: what a list may say, and the whole job on each with an index page."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image

pytest.importorskip("optuna", reason="sweeps need optuna: pip install 'single-image-lora[sweep]'")

from lib_singlelora.errors import (
    CheckpointError,
    ConflictError,
    PictureError,
    SettingsError,
    SingleLoraError,
    WorkspaceError,
)
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.sweeps.batch import PictureHandler, batch_result, begin_batch
from lib_singlelora.sweeps.picture_list import Entry, read_list
from lib_singlelora.sweeps.storage import JOURNAL, open_storage
from lib_singlelora.sweeps.unit_queue import UnitQueue
from lib_singlelora.sweeps.worker import work
from tests.stages.conftest import PHOTOGRAPH, SMALL

VALUES = {
    **{name: value for name, value in SMALL.items() if not name.startswith("character.")},
    "training.epochs": 1,
    "training.repeats": 1,
    "crop.views": ["portrait"],
    "inpaint.count": 1,
    "inpaint.steps": 1,
}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    with Image.open(PHOTOGRAPH) as image:
        image.resize((192, 192)).save(folder / "eileen.png")
        image.resize((192, 192)).rotate(5).save(folder / "ann b.jpg")
    (folder / "notes.txt").write_text("no picture")
    return folder


def test_a_folders_pictures_are_named_as_their_triggers(pictures: Path) -> None:
    assert read_list(pictures, "woman") == [
        Entry(pictures / "ann b.jpg", "ann b", "woman"),
        Entry(pictures / "eileen.png", "eileen", "woman"),
    ]


def test_a_table_says_more(pictures: Path) -> None:
    table = pictures / "list.csv"
    table.write_text("picture, trigger,class,training.rank\neileen.png,elsa,,8\nann b.jpg,,man,\n")
    assert read_list(table, "woman") == [
        Entry(pictures / "eileen.png", "elsa", "woman", {"training.rank": "8"}),
        Entry(pictures / "ann b.jpg", "ann b", "man"),
    ]


@pytest.mark.parametrize(
    ("text", "error", "word"),
    [
        ("file,trigger\neileen.png,a\n", SettingsError, "called picture"),
        ("picture,training.rnak\neileen.png,8\n", SettingsError, "training.rank"),
        ("picture,training.rank\neileen.png,many\n", SettingsError, "eileen.png"),
        ("picture,trigger\neileen.png,elsa\nann b.jpg,Elsa\n", SettingsError, "has too"),
        ("picture,trigger\n,elsa\n", PictureError, "line 2"),
        ("picture\nnone.png\n", SingleLoraError, "none.png"),
        ("picture\nnotes.txt\n", SingleLoraError, "notes.txt"),
        ("picture,class\neileen.png,eileen\n", SettingsError, "class"),
        ("picture\n", WorkspaceError, "no picture"),
        ("", SettingsError, "none"),
    ],
)
def test_a_mistake_in_a_table_is_told(
    text: str, error: type[SingleLoraError], word: str, pictures: Path
) -> None:
    table = pictures / "list.csv"
    table.write_text(text)
    with pytest.raises(error, match=word):
        read_list(table, "woman")


def test_a_list_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SingleLoraError, match="none"):
        read_list(tmp_path / "none.csv", "girl")


@pytest.mark.slow  # the whole job on two pictures
def test_a_batch_goes_on_past_a_failure_and_its_index_shows_all(
    pictures: Path, tmp_path: Path, standalone_host: StandaloneHost
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    storage = open_storage(str(out / JOURNAL), create=True)
    entries = read_list(pictures, "woman")
    queue = begin_batch(storage, out, entries, standalone_host, VALUES)
    kept = tmp_path / "kept.jpg"
    shutil.move(pictures / "ann b.jpg", kept)  # between the queueing and the work
    work(queue, PictureHandler(queue, standalone_host), Job())
    result = batch_result(queue)
    assert {row["trigger"]: row["state"] for row in result["characters"]} == {
        "ann b": "failed",
        "eileen": "complete",
    }
    page = (out / "index.html").read_text(encoding="utf-8")
    assert 'href="eileen/plots/sheet.html"' in page and "ann b.jpg" in page
    shutil.move(kept, pictures / "ann b.jpg")
    again = begin_batch(storage, out, read_list(pictures, "woman"), standalone_host, VALUES)
    assert work(again, PictureHandler(again, standalone_host), Job()) == 1
    result = batch_result(again)
    assert {row["state"] for row in result["characters"]} == {"complete"} and not result["failed"]
    assert 'href="ann%20b/plots/sheet.html"' in (out / "index.html").read_text(encoding="utf-8")
    assert all(row["sheet"] and row["figures"] for row in result["characters"])
    for row in result["characters"]:
        assert any("plots" in path for path in row["drawn"]), row["drawn"]
        assert any("inpaint" in path for path in row["drawn"]), row["drawn"]
    page = (out / "index.html").read_text(encoding="utf-8")
    assert page.count(', drawn">') == sum(len(row["drawn"]) for row in result["characters"])


def test_the_index_shows_nothing_from_outside_the_characters_folder(
    pictures: Path, tmp_path: Path, standalone_host: StandaloneHost
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    storage = open_storage(str(out / JOURNAL), create=True)
    queue = begin_batch(storage, out, read_list(pictures, "woman"), standalone_host, VALUES)
    outside = shutil.copy(pictures / "ann b.jpg", out / "secret.jpg")
    unit = queue.claim()
    assert unit
    unit.note("drawn", ["../secret.jpg", str(outside)])
    assert [row["drawn"] for row in batch_result(queue)["characters"]] == [[], []]


def test_other_settings_or_another_checkpoint_are_told(
    pictures: Path, tmp_path: Path, standalone_host: StandaloneHost
) -> None:
    storage = open_storage(str(tmp_path / JOURNAL), create=True)
    entries = read_list(pictures, "woman")
    out = tmp_path / "out"
    queue = begin_batch(storage, out, entries, standalone_host, {"training.rank": "4"})
    with pytest.raises(ConflictError, match="--out"):
        begin_batch(storage, out, entries, standalone_host, {"training.rank": "8"})
    plan = queue.plan
    other = {**plan["checkpoint"], "name": "other", "sha256": "f" * 64}
    queue.study.set_user_attr("singlelora", {**plan, "checkpoint": other})
    changed = UnitQueue(storage, queue.name)
    with pytest.raises(CheckpointError, match="ffffffffffff") as told:
        PictureHandler(changed, standalone_host)
    assert standalone_host.checkpoint.sha256[:12] in str(told.value)
