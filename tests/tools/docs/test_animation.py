"""The animation is made of what a finished workspace holds."""

import json
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from lib_singlelora.settings.schema import Settings
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace
from tools.docs import animation

EPOCHS = {1: "isabella-000001", 2: "isabella"}


def save(path: Path, colour: str, parameters: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngImagePlugin.PngInfo()
    info.add_text("parameters", parameters)
    Image.new("RGB", (16, 16), colour).save(path, pnginfo=info)


def score(epoch: int, strength: float, file: str, kept: int) -> dict[str, object]:
    traits = {"hat": f"{int(kept > 0)}/1", "bow": f"{int(kept > 1)}/1"}
    return {"epoch": epoch, "strength": strength, "file": file, "traits": traits}


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    """A workspace as a job of two epochs and one strength leaves it, one picture put aside."""
    settings = Settings.from_dict({"character": {"trigger": "isabella", "class_token": "girl"}})
    workspace = Workspace(tmp_path / "isabella")
    workspace.save_settings(settings)
    for name in ("original", "prepared", "mask"):
        save(workspace.root / "source" / f"{name}.png", "red")
    crops = workspace.image_folder(settings)
    save(crops / "portrait.png", "red")
    (crops / "portrait.txt").write_text("isabella, girl, portrait", encoding="utf-8")
    save(workspace.reg_folder(settings) / "0001.png", "blue")
    save(workspace.root / "reg" / "rejected" / "0002.png", "green")
    views = {"portrait": {"box": [0, 0, 16, 16], "tags": ["portrait"]}}
    workspace.save_record(StageRecord("crop", data={"views": views}))
    traits = [{"tag": "hat", "category": "accessory", "seen": 1, "visible": 1}]
    workspace.save_record(StageRecord("caption", data={"traits": traits, "seen": {}}))
    for epoch in EPOCHS:
        workspace.events.write("step", step=epoch, epoch=epoch, smoothed=1 / epoch)
    cells = workspace.plots / "cells"
    save(cells / "alone-1.png", "white", "isabella, girl")
    rows = [score(0, 0.0, "", 0)]
    for epoch, stem in EPOCHS.items():
        (workspace.models / f"{stem}.safetensors").parent.mkdir(exist_ok=True)
        (workspace.models / f"{stem}.safetensors").write_bytes(b"weights")
        save(cells / f"{epoch}-1.png", "black", f"isabella <lora:{stem}:0.8>")
        rows.append(score(epoch, 0.8, f"{stem}.safetensors", epoch))
    (workspace.plots / "scores.json").write_text(json.dumps({"cells": rows}), encoding="utf-8")
    recommendation = {"epoch": 2, "strength": 0.8, "preset": "ALL", "reason": "the most traits"}
    lora = str(workspace.models / "isabella.safetensors")
    data = {"recommendation": {**recommendation, "lora": lora}}
    workspace.save_record(StageRecord("plot", complete=True, data=data))
    return workspace.root


def test_cells_are_found_by_the_lora_in_their_parameters(finished: Path) -> None:
    cells = animation.Outputs(finished).cells
    assert {place: cell.traits for place, cell in cells.items()} == {
        (0, 0.0): 0,
        (1, 0.8): 1,
        (2, 0.8): 2,
    }


def test_pruned_tags_are_those_that_no_caption_says(finished: Path) -> None:
    assert animation.Outputs(finished).pruned == ["hat"]


def test_every_scene_has_pages_of_one_size(finished: Path) -> None:
    outputs = animation.Outputs(finished)
    for scene in animation.SCENES:
        pages = [page for page, _ in scene(outputs)]
        assert pages and {page.size for page in pages} == {(animation.WIDTH, animation.HEIGHT)}


def test_the_animation_begins_again_and_keeps_white(finished: Path, tmp_path: Path) -> None:
    outputs = animation.Outputs(finished)
    out = tmp_path / "job.gif"
    animation.save(list(animation.prepare_scene(outputs)), out)
    with Image.open(out) as image:
        assert image.info["loop"] == 0 and getattr(image, "n_frames", 1) == 3
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_a_workspace_without_a_recommendation_is_refused(finished: Path) -> None:
    Workspace(finished).save_record(StageRecord("plot"))
    with pytest.raises(SystemExit, match="plot"):
        animation.Outputs(finished)
