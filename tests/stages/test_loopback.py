"""Accepted pictures, the next version of a data set, and training that starts from a LoRA."""

import json
from pathlib import Path

import pytest
import torch
from PIL import Image

from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.errors import JobCancelled, LoraFileError, PictureError, WorkspaceError
from lib_singlelora.files.fileio import file_hash
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.lora.files import read_lora
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.accept import accept, how_made
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.inpaint import inpaint
from lib_singlelora.stages.loopback import lineage_of, loopback, next_version
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.stages.plot import plot
from lib_singlelora.stages.train_pictures import collect_pictures
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small


@pytest.fixture
def drawn(eileen: Workspace, standalone_host: StandaloneHost) -> Path:
    """A picture that the character's LoRA inpainted."""
    return inpaint(
        StageContext(small(inpaint__area="only masked"), eileen, standalone_host)
    ).pictures[0]


def test_a_kept_picture_has_all_that_made_it(eileen: Workspace, drawn: Path) -> None:
    kept = accept(small(), eileen, [drawn])[0]
    assert kept.picture.parent == eileen.inpaint / "accepted" and file_hash(
        kept.picture
    ) == file_hash(drawn)
    how = json.loads(kept.picture.with_suffix(".json").read_text(encoding="utf-8"))
    assert how == kept.how and how["lora"] == "eileen.safetensors"
    assert how["lora_sha256"] == file_hash(eileen.models / "eileen.safetensors")
    assert how["settings"]["area"] == "only masked" and "<lora:eileen:0.8>" in how["parameters"]
    assert (
        accept(small(), eileen, [drawn])[0].picture == kept.picture
        and len(list(kept.picture.parent.glob("*.png"))) == 1
    )
    with pytest.raises(PictureError):
        accept(small(), eileen, [drawn, eileen.settings_file])


def test_a_picture_of_the_sheet_tells_its_lora_by_its_text(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    plot(StageContext(small(plot__presets="OUTD", plot__epochs="1"), eileen, standalone_host))
    told = {
        how_made(small(), eileen, path).get("lora")
        for path in (eileen.plots / "cells").glob("*.png")
    }
    assert told == {None, "eileen-000001.safetensors"}


def test_the_next_version_has_the_picture_with_its_own_repeats_and_lineage(
    eileen: Workspace, drawn: Path, standalone_host: StandaloneHost
) -> None:
    settings = small(training__repeats=4)
    crop = next(eileen.image_folder(settings).glob("*.png"))
    crop.with_suffix(".txt").write_text("eileen, woman, by hand", encoding="utf-8")
    made = loopback(StageContext(settings, eileen, standalone_host), drawn)
    assert (made.workspace, made.number) == (eileen.root.with_name("eileen-v2"), 2) and made.crops
    version = Workspace(made.workspace, create=False)
    pictures = collect_pictures(settings, version, make_buckets(64))
    own = [p for p in pictures if "generated" not in p.path.parts]
    added = [p for p in pictures if "generated" in p.path.parts]
    assert {p.repeats for p in own} == {4} and {p.repeats for p in added} == {2}
    assert {p.path for p in added} == set(made.crops) and all(
        p.caption.startswith("eileen, woman") for p in added
    )
    assert "eileen, woman, by hand" in {p.caption for p in own}
    lineage = lineage_of(version)
    assert (lineage["version"], lineage["parent"]) == (2, "../eileen")
    assert (
        lineage["generated"]["1"]["lora"] == "eileen.safetensors"
        and lineage["generated"]["1"]["repeats"] == 2
    )
    assert lineage_of(eileen)["version"] == 1 and next_version(version) == eileen.root.with_name(
        "eileen-v3"
    )
    again = loopback(StageContext(settings, eileen, standalone_host), drawn, repeats=3)
    shown = collect_pictures(settings, version, make_buckets(64))
    assert again.folder == made.folder and {
        p.repeats for p in shown if "generated" in p.path.parts
    } == {3}
    other = inpaint(StageContext(small(inpaint__seed=7), eileen, standalone_host)).pictures[0]
    assert loopback(StageContext(settings, eileen, standalone_host), other).folder.name == "2"
    masked = collect_pictures(small(training__masked_loss=True), version, make_buckets(64))
    masks = [
        version.mask,
        *(version.root / f"generated/{number}/source/mask.png" for number in (1, 2)),
    ]
    assert {p.mask.path for p in masked if p.mask} == set(masks)


def test_nothing_is_made_of_what_is_no_picture_and_nothing_foreign_is_touched(
    eileen: Workspace, drawn: Path, tmp_path: Path, standalone_host: StandaloneHost
) -> None:
    with pytest.raises(PictureError):
        loopback(StageContext(small(), eileen, standalone_host), eileen.settings_file)
    assert not eileen.root.with_name("eileen-v2").exists()
    other = Workspace(tmp_path / "other")
    other.save_settings(small())
    with pytest.raises(WorkspaceError, match="was not made from eileen"):
        loopback(StageContext(small(), eileen, standalone_host), drawn, other.root)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").touch()
    with pytest.raises(WorkspaceError, match="found something that is no workspace"):
        loopback(StageContext(small(), eileen, standalone_host), drawn, tmp_path / "full")
    assert not list(tmp_path.glob(".*"))


def test_a_cancelled_loopback_is_finished_by_the_same_call(
    eileen: Workspace, drawn: Path, standalone_host: StandaloneHost
) -> None:
    def stop(progress: Progress) -> None:
        if progress.stage == "crop":
            job.cancel()

    job = Job("loopback", stop)
    with pytest.raises(JobCancelled):
        job.run(
            lambda running: loopback(StageContext(small(), eileen, standalone_host, running), drawn)
        )
    made = loopback(StageContext(small(), eileen, standalone_host), drawn)
    assert made.folder.name == "1" and len(made.crops) > 1
    assert all(path.with_suffix(".txt").exists() for path in made.crops)


def test_a_version_goes_on_from_the_last_lora(
    eileen: Workspace, drawn: Path, standalone_host: StandaloneHost
) -> None:
    made = loopback(StageContext(small(), eileen, standalone_host), drawn, start="last")
    version = Workspace(made.workspace, create=False)
    settings: Settings = version.load_settings().with_values(
        {
            "training.epochs": 1,
            "training.unet_lr": 1e-9,
            "training.text_encoder_lr": 1e-9,
            "training.save_precision": "fp32",
        }
    )
    result = run_stage("train", StageContext(settings, version, standalone_host))
    last = read_lora(eileen.models / "eileen.safetensors").tensors
    went_on = read_lora(Path(result["loras"][-1])).tensors
    assert last.keys() == went_on.keys()
    assert all(torch.allclose(last[key], went_on[key], atol=1e-6) for key in last)
    assert any(not torch.equal(last[key], went_on[key]) for key in last)  # it did train
    zero = run_stage(
        "train",
        StageContext(settings.with_values({"training.start_from": ""}), version, standalone_host),
    )
    tensors = read_lora(Path(zero["loras"][-1])).tensors
    assert max(float(tensors[key].abs().max()) for key in tensors if "lora_up" in key) < 1e-5
    with pytest.raises(LoraFileError, match=r"training\.start_from: found no"):
        run_stage(
            "train",
            StageContext(
                settings.with_values({"training.start_from": "none.safetensors"}),
                version,
                standalone_host,
            ),
        )


def test_versions_and_redrawn_pictures_lie_on_one_sheet(
    eileen: Workspace, drawn: Path, standalone_host: StandaloneHost
) -> None:
    version = Workspace(
        loopback(StageContext(small(), eileen, standalone_host), drawn, start="last").workspace,
        create=False,
    )
    version.models.mkdir()
    (version.models / "eileen.safetensors").write_bytes(
        (eileen.models / "eileen-000001.safetensors").read_bytes()
    )
    settings = small(
        training__epochs=1,
        plot__compare="../eileen",
        plot__refine="0,0.5",
        plot__refine_denoise=0.6,
    )
    made = plot(StageContext(settings, version, standalone_host))
    cells = json.loads((version.plots / "scores.json").read_text(encoding="utf-8"))["cells"]
    assert {(cell["epoch"], cell["file"], cell["refine"]) for cell in cells if cell["epoch"]} == {
        (1, "eileen.safetensors", 0),
        (1, "eileen.safetensors", 0.5),
        (-1, "eileen: eileen", 0),
        (-1, "eileen: eileen", 0.5),
    }
    assert (
        made.recommendation
        and made.recommendation.epoch == 1
        and made.recommendation.lora.parent == version.models
    )
    texts = []
    for path in (version.plots / "cells").glob("*.png"):
        with Image.open(path) as image:
            texts.append(str(image.info["parameters"]))
    assert (
        len(texts) == 5
        and sum("Denoising strength: 0.6" in text and ":0.5>" in text for text in texts) == 2
    )
    page = made.page.read_text(encoding="utf-8")
    assert "eileen: eileen" in page and "redrawn at 0.5" in page
    with pytest.raises(LoraFileError, match=r"plot\.compare: found no"):
        plot(StageContext(small(plot__compare="../nobody"), version, standalone_host))
