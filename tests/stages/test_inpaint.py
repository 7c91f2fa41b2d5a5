"""Inpainting on the small checkpoint: the part that is drawn, its prompt and LoRA, bad input."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.errors import LoraFileError, PictureError, PresetError, SettingsError
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.settings.inpaint import InpaintSettings
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.inpaint import InpaintResult, inpaint, suggested_prompt
from lib_singlelora.stages.inpaint_canvas import part_canvas
from lib_singlelora.stages.inpaint_prompt import region_prompt
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
    hole = square_mask(eileen, (100, 40, 150, 90), tmp_path / "mask.png")
    made = draw(eileen, standalone_host, None, tmp_path / "mask.png", area="only masked", padding=8)
    before = pixels(eileen.prepared)
    after = pixels(made.pictures[0])
    assert after.shape == before.shape
    # 4 pixels of what is drawn at 64 x 64 are at most 6 of a part of 96 x 96.
    inside = np.asarray(hole.filter(ImageFilter.GaussianBlur(6))) > 0
    assert np.array_equal(after[~inside], before[~inside])
    assert np.abs(after - before)[50:80, 110:140].mean() > 5
    told = parameters(made.pictures[0])
    assert "Mask blur: 4, Inpaint area: Only masked, Masked area padding: 8" in told
    whole = draw(
        eileen, standalone_host, None, tmp_path / "mask.png", area="whole picture", padding=8
    )
    assert pixels(whole.pictures[0]).shape < before.shape
    assert "Inpaint area" not in parameters(whole.pictures[0])


def square_mask(workspace: Workspace, box: tuple[int, int, int, int], path: Path) -> Image.Image:
    """A mask of the prepared picture's size with a white rectangle in it."""
    with Image.open(workspace.prepared) as picture:
        hole = Image.new("L", picture.size)
    hole.paste(255, box)
    hole.save(path)
    return hole


def test_only_masked_is_the_default_in_a_picture_larger_than_the_models_size(
    eileen: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    made = draw(eileen, standalone_host)
    assert pixels(made.pictures[0]).shape == pixels(eileen.prepared).shape
    assert "Inpaint area: Only masked" in parameters(made.pictures[0])
    small_picture = tmp_path / "small.png"
    Image.linear_gradient("L").convert("RGB").resize((64, 64)).save(small_picture)
    hole = Image.new("L", (64, 64))
    hole.paste(255, (20, 20, 40, 40))
    hole.save(tmp_path / "hole.png")
    made = draw(eileen, standalone_host, small_picture, tmp_path / "hole.png")
    assert "Inpaint area" not in parameters(made.pictures[0])
    inside = np.asarray(hole.filter(ImageFilter.GaussianBlur(4))) > 0
    after = pixels(made.pictures[0])
    assert np.array_equal(after[~inside], pixels(small_picture)[~inside])


def test_a_transparent_picture_keeps_its_transparency_and_what_lies_beneath_it(
    eileen: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    with Image.open(eileen.prepared) as prepared:
        layer = prepared.convert("RGB")
    alpha = Image.linear_gradient("L").resize(layer.size)
    layer.putalpha(alpha)
    layer.save(tmp_path / "layer.png")
    hole = square_mask(eileen, (60, 60, 160, 220), tmp_path / "mask.png")
    made = draw(eileen, standalone_host, tmp_path / "layer.png", tmp_path / "mask.png")
    with Image.open(made.pictures[0]) as drawn:
        after = np.asarray(drawn)
    assert drawn.mode == "RGBA"
    before = np.asarray(layer)
    assert np.array_equal(after[..., 3], before[..., 3])
    inside = np.asarray(hole.filter(ImageFilter.GaussianBlur(4 * 256 / 64))) > 0
    assert np.array_equal(after[~inside], before[~inside])
    assert np.abs(after.astype(int) - before)[80:200, 80:140, :3].mean() > 5


def test_a_seam_is_soft_and_lies_within_what_was_drawn() -> None:
    layer = Image.new("RGB", (400, 300), "white")
    hole = Image.new("L", layer.size)
    hole.paste(255, (150, 100, 260, 200))
    canvas = part_canvas(layer, hole, InpaintSettings(padding=0, mask_blur=4), [[(64, 64)]])
    assert canvas.box is not None and canvas.seam is not None
    left, top, right, bottom = canvas.box
    made = np.asarray(canvas.result(Image.new("RGB", (64, 64))).convert("L")).astype(int)
    assert made[150, 205] == 0 and made[150, left] == 255 and made[top, 205] == 255
    assert made[150, right - 1] == 255 and made[bottom - 1, 205] == 255
    assert np.abs(np.diff(made, axis=1)).max() < 40


@pytest.mark.parametrize("size", [(1000, 90), (90, 1000), (700, 500), (65, 64)])
def test_a_part_of_any_shape_comes_back_undistorted(size: tuple[int, int]) -> None:
    """Tolerance: 30 of 255 for what is shrunk to the model's size and enlarged again."""
    across = np.linspace(0, 255, size[0])[None].repeat(size[1], 0)
    down = np.linspace(0, 255, size[1])[:, None].repeat(size[0], 1)
    pattern = np.stack([across, down, np.full_like(down, 99)], axis=2)
    layer = Image.fromarray(pattern.astype(np.uint8))
    for shapes in ([make_buckets(64)], [[(64, 64)], make_buckets(64)]):
        canvas = part_canvas(layer, Image.new("L", size, 255), InpaintSettings(), shapes)
        assert canvas.image.width % 8 == 0 and canvas.image.height % 8 == 0
        assert 0.5 < canvas.image.width * canvas.image.height / 64**2 < 1.5
        back = np.asarray(canvas.result(canvas.image)).astype(int)
        assert np.abs(back - pattern).max() < 30


def test_what_was_drawn_smaller_is_enlarged_by_the_given_upscaler() -> None:
    class Blue:
        name = "blue"

        def upscale(self, image: Image.Image, scale: float) -> Image.Image:
            size = (round(image.width * scale), round(image.height * scale))
            return Image.new("RGB", size, "blue")

    layer = Image.new("RGB", (400, 300), "white")
    canvas = part_canvas(layer, Image.new("L", (400, 300), 255), InpaintSettings(), [[(64, 48)]])
    assert canvas.result(Image.new("RGB", (64, 48)), Blue()).getpixel((200, 150)) == (0, 0, 255)
    assert any("enlarged" in note for note in canvas.notes)


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
    assert (
        asked((20, 130, 80, 190), (10, 120, 90, 200))
        == head + "lower body, head out of frame, striped skirt, brown boots"
    )
    assert asked(None, None) == head + "white hat, striped skirt, brown boots, looking at viewer"


def test_the_suggested_prompt_is_what_is_drawn(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    settings: Settings = small(inpaint__area="only masked")
    told = suggested_prompt(settings, eileen, standalone_host)
    assert told.startswith(("eileen, woman, solo, close-up", "eileen, woman, solo, portrait"))
    assert parameters(
        inpaint(StageContext(settings, eileen, standalone_host)).pictures[0]
    ).startswith(f"{told} <lora:")


def test_a_caption_says_what_is_worn_where_no_tagger_did(tmp_path: Path) -> None:
    settings = small()
    workspace = Workspace(tmp_path / "w")
    views = {"full_body": {"box": [0, 0, 100, 200], "tags": ["full body"]}}
    workspace.save_record(StageRecord("crop", "x", True, {}, {"views": views}))
    folder = workspace.image_folder(settings)
    folder.mkdir(parents=True)
    Image.new("RGB", (100, 200)).save(folder / "full_body.png")
    (folder / "full_body.txt").write_text("eileen, woman, full body, red scarf, smile")
    mask = Image.new("L", (100, 200), 255)
    mask.save(tmp_path / "mask.png")
    told = region_prompt(settings, workspace, tmp_path / "mask.png", (0, 0, 100, 200))
    assert told == "eileen, woman, solo, full body, red scarf, looking at viewer"


def test_the_recommended_file_is_drawn_at_its_strength_and_block_weights(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    best = {
        "epoch": 1,
        "strength": 0.55,
        "preset": "OUTD",
        "lora": "eileen-000001.safetensors",
        "reason": "",
    }
    eileen.save_record(StageRecord("plot", "x", True, {}, {"recommendation": best}))
    made = draw(eileen, standalone_host)
    how = json.loads((made.pictures[0].parent / "how.json").read_text(encoding="utf-8"))
    assert how["lora"] == "eileen-000001.safetensors"
    assert (how["settings"]["strength"], how["settings"]["preset"]) == (0.55, "OUTD")
    own = draw(eileen, standalone_host, strength=0.3, preset="ALL")
    assert "<lora:eileen-000001:0.3>" in parameters(own.pictures[0])
    other = draw(eileen, standalone_host, lora="2")
    assert "<lora:eileen:0.8>" in parameters(other.pictures[0])


def test_parts_are_redrawn_by_name_each_as_a_batch_with_a_strip(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    with Image.open(eileen.prepared) as picture:
        figure = Image.new("L", picture.size)
    figure.paste(255, (90, 10, 160, 90))
    figure.paste(255, (60, 90, 190, 250))
    figure.save(eileen.mask)
    made = draw(eileen, standalone_host, parts="head,torso,another pose")
    assert len(made.pictures) == len(made.strips) == 3
    before = pixels(eileen.prepared)
    head, torso = (pixels(path) for path in made.pictures[:2])
    assert head.shape == torso.shape == before.shape
    changed = [
        np.argwhere(np.abs(after - before).max(axis=2) > 20)[:, 0] for after in (head, torso)
    ]
    assert changed[0].mean() < changed[1].mean()
    with Image.open(made.strips[0]) as strip:
        assert strip.width > 3 * strip.height * 0.5
    record = eileen.record("inpaint")
    assert set(made.pictures) | set(made.strips) <= set(eileen.files_of(record))
    again = draw(eileen, standalone_host, parts="head,torso,another pose")
    assert again.pictures == made.pictures
    with pytest.raises(SettingsError, match=r"found 'wings', expected some of .*another pose"):
        draw(eileen, standalone_host, parts="wings")


def test_a_host_without_controlnet_draws_without_it_and_says_so(
    eileen: Workspace, standalone_host: StandaloneHost
) -> None:
    plain = draw(eileen, standalone_host)
    made = draw(eileen, standalone_host, controlnet="both")
    assert np.array_equal(pixels(made.pictures[0]), pixels(plain.pictures[0]))
    assert any("without inpaint and reference" in note for note in made.notes)
    assert not any("ControlNet" in note or "controlnet" in note for note in plain.notes)
