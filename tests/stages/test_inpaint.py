"""Inpainting on the small checkpoint: the part that is drawn, its prompt and LoRA, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.errors import LoraFileError, PictureError, PresetError
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.inpaint import InpaintResult, inpaint, suggested_prompt
from lib_singlelora.stages.inpaint_canvas import region_prompt
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small


def draw(
    workspace: Workspace,
    host: StandaloneHost,
    image: Path | None = None,
    mask: Path | None = None,
    **values: object,
) -> InpaintResult:
    return inpaint(
        StageContext(
            small(**{f"inpaint__{key}": value for key, value in values.items()}), workspace, host
        ),
        image,
        mask=mask,
    )


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=np.int16)


def parameters(path: Path) -> str:
    with Image.open(path) as image:
        return str(image.info["parameters"])


def test_only_masked_draws_at_full_resolution_and_leaves_the_rest(
    eileen: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    hole = Image.new("L", Image.open(eileen.prepared).size)
    hole.paste(255, (100, 40, 150, 90))
    hole.save(tmp_path / "mask.png")
    made = draw(eileen, standalone_host, None, tmp_path / "mask.png", area="only masked", padding=8)
    before = pixels(eileen.prepared)
    after = pixels(made.pictures[0])
    assert after.shape == before.shape
    inside = np.asarray(hole) > 0
    assert np.array_equal(after[~inside], before[~inside])
    assert np.abs(after - before)[50:80, 110:140].mean() > 5
    assert "Inpaint area: Only masked, Masked area padding: 8" in parameters(made.pictures[0])
    whole = draw(eileen, standalone_host, None, tmp_path / "mask.png", padding=8)
    assert pixels(whole.pictures[0]).shape < before.shape and "Inpaint area" not in parameters(
        whole.pictures[0]
    )


def test_more_padding_sees_more_of_the_picture(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    drawn = [
        draw(eileen, standalone_host, area="only masked", padding=padding) for padding in (0, 60)
    ]
    assert not np.array_equal(pixels(drawn[0].pictures[0]), pixels(drawn[1].pictures[0]))


def test_each_content_starts_elsewhere(eileen: Workspace, standalone_host: StandaloneHost) -> None:
    fills = ("fill", "original", "latent noise", "latent nothing")
    drawn = [pixels(draw(eileen, standalone_host, fill=fill).pictures[0]) for fill in fills]
    assert all(not np.array_equal(one, other) for i, one in enumerate(drawn) for other in drawn[:i])


def test_the_whole_picture_is_redrawn_without_a_mask(
    eileen: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    own = tmp_path / "own.png"
    Image.linear_gradient("L").convert("RGB").save(own)
    made = draw(eileen, standalone_host, own, redraw="whole picture", denoise=0.4)
    assert made.mask is None and not (eileen.inpaint / "mask.png").exists()
    assert "Denoising strength: 0.4" in parameters(
        made.pictures[0]
    ) and "Masked content" not in parameters(made.pictures[0])
    with pytest.raises(PictureError, match=r"found no mask for it.*whole picture"):
        draw(eileen, standalone_host, own)


def test_lora_and_blocks_are_those_that_were_asked_for(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    last = draw(eileen, standalone_host)
    first = draw(eileen, standalone_host, lora="1")
    assert "<lora:eileen:0.8>" in parameters(
        last.pictures[0]
    ) and "<lora:eileen-000001:0.8>" in parameters(first.pictures[0])
    file = draw(eileen, standalone_host, lora=str(eileen.models / "eileen-000001.safetensors"))
    assert np.array_equal(pixels(file.pictures[0]), pixels(first.pictures[0]))
    blocks = draw(eileen, standalone_host, lora="1", preset="OUTD")
    assert "<lora:eileen-000001-" in parameters(blocks.pictures[0])
    assert not np.array_equal(pixels(blocks.pictures[0]), pixels(first.pictures[0]))
    how = json.loads((blocks.pictures[0].parent / "how.json").read_text(encoding="utf-8"))
    assert (
        how["lora"] == "eileen-000001.safetensors"
        and how["settings"]["preset"] == "OUTD"
        and how["mask"] == "mask.png"
    )
    with pytest.raises(LoraFileError, match=r"^9: found no such LoRA, expected an epoch \(1, 2\)"):
        draw(eileen, standalone_host, lora="9")
    with pytest.raises(PresetError):
        draw(eileen, standalone_host, preset="1,0,1")


def test_a_mask_that_does_not_fit_is_refused(
    eileen: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    Image.new("L", (10, 10), 255).save(tmp_path / "small.png")
    with pytest.raises(PictureError, match="found 10x10, expected the picture's"):
        draw(eileen, standalone_host, None, tmp_path / "small.png")
    Image.new("L", Image.open(eileen.prepared).size).save(tmp_path / "black.png")
    with pytest.raises(PictureError, match="found an empty mask"):
        draw(eileen, standalone_host, None, tmp_path / "black.png")
    with pytest.raises(PictureError, match="found no such mask"):
        draw(eileen, standalone_host, None, tmp_path / "none.png")
    assert not list(eileen.inpaint.glob("*/how.json"))


def test_the_prompt_says_framing_and_what_is_worn_in_the_masked_part(tmp_path: Path) -> None:
    settings = small()
    workspace = Workspace(tmp_path / "w")
    views = {
        "full_body": {"box": [0, 0, 100, 200], "tags": ["full body"]},
        "face": {"box": [30, 0, 70, 50], "tags": ["close-up"]},
        "lower_body": {"box": [10, 120, 90, 200], "tags": ["lower body", "head out of frame"]},
    }
    seen = {
        "full_body": ["white hat", "striped_skirt", "brown boots", "smile", "blonde hair"],
        "face": ["white hat", "smile"],
        "lower_body": ["striped skirt", "brown boots", "white background"],
    }
    workspace.save_record(StageRecord("crop", "x", True, {}, {"views": views}))
    workspace.save_record(StageRecord("caption", "x", True, {}, {"seen": seen}))

    def asked(hole: tuple[int, int, int, int] | None, box: tuple[int, int, int, int] | None) -> str:
        mask = Image.new("L", (100, 200))
        if hole:
            mask.paste(255, hole)
        mask.save(tmp_path / "mask.png")
        return region_prompt(settings, workspace, tmp_path / "mask.png" if hole else None, box)

    head = "eileen, woman, solo, "
    assert (
        asked((40, 10, 60, 40), (0, 0, 100, 200))
        == head + "full body, white hat, looking at viewer"
    )
    assert (
        asked((40, 10, 60, 40), (30, 0, 72, 52)) == head + "close-up, white hat, looking at viewer"
    )
    assert (
        asked((20, 130, 80, 190), (0, 0, 100, 200))
        == head + "full body, striped skirt, brown boots, looking at viewer"
    )
    assert asked(None, None) == head + "white hat, striped skirt, brown boots, looking at viewer"


def test_the_suggested_prompt_is_what_is_drawn(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    settings: Settings = small(inpaint__area="only masked")
    told = suggested_prompt(settings, eileen, 64)
    assert told.startswith(("eileen, woman, solo, close-up", "eileen, woman, solo, portrait"))
    assert parameters(
        inpaint(StageContext(settings, eileen, standalone_host)).pictures[0]
    ).startswith(f"{told} <lora:")
