"""Prepare and crop on the example drawing: artifacts, masks, backgrounds, and edits by hand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lib_singlelora.errors import (
    ImageModelError,
    JobCancelled,
    PictureError,
    SettingsError,
    WorkspaceError,
)
from lib_singlelora.files.fileio import file_hash
from lib_singlelora.host import CheckpointInfo, Host
from lib_singlelora.imaging.load import load_picture
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.crop import crop
from lib_singlelora.stages.prepare import PrepareResult, prepare
from lib_singlelora.workspace.crops import view_mask, view_symmetry
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.substeps import substeps_of
from lib_singlelora.workspace.workspace import Workspace

EXAMPLE = Path(__file__).parents[2] / "examples" / "isabella.png"
SPOTS = ((232, 600, 5, 5), (240, 350, 4, 3), (400, 350, 3, 3))


class Tripler:
    name = "tripler"

    def upscale(self, image: Image.Image, scale: float) -> Image.Image:
        return image.resize((image.width * 3, image.height * 3), Image.Resampling.NEAREST)


class Bare:
    """As much of a host as prepare and crop ask for."""

    def __init__(self, *upscalers: Tripler) -> None:
        self._upscalers = upscalers
        self.checkpoint = CheckpointInfo("none", Path("none"))

    def upscalers(self) -> tuple[Tripler, ...]:
        return self._upscalers


def settings(**values: object) -> Settings:
    own = {f"prepare.{key}": value for key, value in values.items()}
    return Settings.from_dict({"character.trigger": "isabella", "prepare.long_side": 1152, **own})


def context(
    wanted: Settings,
    workspace: Workspace,
    job: Job | None = None,
    host: Bare | None = None,
    force: bool = False,
) -> StageContext:
    return StageContext(wanted, workspace, cast(Host, host or Bare()), job or Job(), force)


def run(
    workspace: Workspace,
    wanted: Settings,
    picture: Path | None = None,
    force: bool = False,
    host: Bare | None = None,
) -> PrepareResult:
    return prepare(context(wanted, workspace, host=host, force=force), picture)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "isabella")


@pytest.fixture(scope="module")
def specked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "specked.png"
    with Image.open(EXAMPLE) as image:
        drawing = image.convert("RGB")
    pen = ImageDraw.Draw(drawing)
    for x, y, wide, high in SPOTS:
        pen.rectangle((x, y, x + wide - 1, y + high - 1), fill=(40, 70, 230))
    drawing.save(path)
    return path


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"), dtype=int)


# Artifacts
# ----------------------------------------------------------------------------


def test_artifacts_are_listed_and_shown_and_left_alone(workspace: Workspace, specked: Path) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV")
    made = run(workspace, settings(), specked)
    assert made.artifacts == workspace.artifacts
    listed = json.loads(workspace.artifacts.read_text(encoding="utf-8"))
    assert [a["name"] for a in listed["artifacts"]] == ["1", "2", "3"] and listed["cleaned"] == []
    assert {tuple(a["box"]) for a in listed["artifacts"]} == {
        (x, y, x + w, y + h) for x, y, w, h in SPOTS
    }
    assert workspace.artifacts.with_suffix(".png").exists() and not workspace.uncleaned.exists()
    assert any("3 stray colours (none cleaned" in note for note in made.notes)
    assert np.array_equal(
        pixels(workspace.prepared)[600:605, 232:237], pixels(specked)[600:605, 232:237]
    )


def test_cleaning_paints_them_over_and_keeps_the_picture_before(
    workspace: Workspace, specked: Path
) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV")
    run(workspace, settings(clean_artifacts="all"), specked)
    assert np.array_equal(pixels(workspace.uncleaned), pixels(specked))
    error = np.abs(pixels(workspace.prepared) - pixels(EXAMPLE)).max(axis=2)
    assert error[340:620, 220:420].max() < 40 and error.mean() < 0.1
    run(workspace, settings(clean_artifacts="off"))
    assert not workspace.uncleaned.exists()  # what is no longer so is not kept


def test_some_are_cleaned_by_their_numbers_and_a_wrong_number_loses_nothing(
    workspace: Workspace, specked: Path
) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV")
    run(workspace, settings(clean_artifacts="2"), specked)
    cleaned = {
        a["name"]: a["cleaned"]
        for a in json.loads(workspace.artifacts.read_text(encoding="utf-8"))["artifacts"]
    }
    assert cleaned == {"1": False, "2": True, "3": False}
    before = file_hash(workspace.prepared)
    with pytest.raises(SettingsError, match=r"found 7, .*numbers from 1 to 3"):
        run(workspace, settings(clean_artifacts="7"))
    assert file_hash(workspace.prepared) == before


def test_a_clean_drawing_gets_an_empty_list_and_no_sheet(workspace: Workspace) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV")
    run(workspace, settings(), EXAMPLE)
    assert json.loads(workspace.artifacts.read_text(encoding="utf-8"))["artifacts"] == []
    assert not workspace.artifacts.with_suffix(".png").exists()


# Substeps
# ----------------------------------------------------------------------------


def test_the_picture_after_each_substep_that_happened_is_kept(
    workspace: Workspace, specked: Path
) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV")
    run(workspace, settings(long_side=1500, clean_artifacts="all", background="#305080"), specked)
    kept = {each["name"]: workspace.root / each["file"] for each in substeps_of(workspace)}
    assert list(kept) == ["original", "upscaled", "cleaned", "background", "prepared"]
    scale = 1500 / 1152
    speck = tuple(round((at + 2) * scale) for at in SPOTS[0][:2])
    blue = {name: pixels(kept[name])[speck[1], speck[0]][2] for name in ("upscaled", "cleaned")}
    assert blue["upscaled"] > 180 and blue["cleaned"] < 150
    corner = pixels(kept["background"])[5, 5]
    assert np.abs(corner - (0x30, 0x50, 0x80)).max() < 4
    run(workspace, settings(background="keep"))
    assert [each["name"] for each in substeps_of(workspace)] == ["original", "prepared"]
    assert not list(workspace.root.glob("source/*.jpg"))  # what is no longer so is not kept


def test_a_widened_picture_tells_where_the_others_lie_in_it(workspace: Workspace) -> None:
    run(workspace, settings(square=True, background="keep"), EXAMPLE)
    boxes = {each["name"]: each["box"] for each in substeps_of(workspace)}
    left, right = (1152 - 768) // 2, (1152 + 768) // 2
    assert boxes == {
        "original": [left, 0, right, 1152],
        "widened": [0, 0, 1152, 1152],
        "prepared": [0, 0, 1152, 1152],
    }


def test_a_record_from_elsewhere_names_no_other_file(workspace: Workspace) -> None:
    run(workspace, settings(), EXAMPLE)
    names = {"substeps": ["../../secret", "cleaned"]}
    workspace.save_record(StageRecord("prepare", "x", True, {}, names))
    assert [each["name"] for each in substeps_of(workspace)] == ["original", "prepared"]


# Enlarging
# ----------------------------------------------------------------------------


def test_the_host_s_best_upscaler_is_taken_and_lanczos_can_be_asked_for(
    workspace: Workspace,
) -> None:
    host = Bare(Tripler())
    assert any(
        "with tripler" in note
        for note in run(workspace, settings(long_side=1500), EXAMPLE, host=host).notes
    )
    assert any(
        "with Lanczos" in note
        for note in run(workspace, settings(long_side=1500, upscaler="Lanczos"), host=host).notes
    )


def test_a_wrong_upscaler_is_told_and_what_was_there_stays(
    workspace: Workspace, tmp_path: Path
) -> None:
    run(workspace, settings(), EXAMPLE)
    before = file_hash(workspace.prepared)
    (tmp_path / "bad.pth").write_text("no model")
    for wish, words in (
        ("tripla", "expected a model file"),
        (str(tmp_path / "none.pth"), "no such file"),
        (str(tmp_path / "bad.pth"), "bad.pth: found no weights"),
    ):
        with pytest.raises(ImageModelError, match=words):
            run(workspace, settings(upscaler=wish, long_side=1500))
    assert file_hash(workspace.prepared) == before


# Mask and background
# ----------------------------------------------------------------------------


def test_the_background_takes_any_colour_without_a_rim_of_the_old_one(workspace: Workspace) -> None:
    run(workspace, settings(background="#305080"), EXAMPLE)
    made = pixels(workspace.prepared)
    assert tuple(made[5, 5]) == (0x30, 0x50, 0x80)
    with Image.open(workspace.mask) as mask:
        share = np.asarray(mask, dtype=float) / 255
    edge = (share > 0.2) & (share < 0.8)
    assert edge.sum() > 300
    assert made[edge].mean() < 110  # dark outline and blue; the white there was is brighter


def test_a_word_that_is_no_background_is_told() -> None:
    for wrong in ("blue", "#12345", "#1234567"):
        with pytest.raises(
            SettingsError, match=r"prepare\.background: .*white, grey, keep, or a colour such as"
        ):
            settings(background=wrong)


def test_a_mask_edited_by_hand_is_kept_and_the_background_follows_it(workspace: Workspace) -> None:
    run(workspace, settings(background="grey"), EXAMPLE)
    mask = Image.new("L", (768, 1152), 0)
    mask.paste(255, (200, 300, 500, 700))
    mask.save(workspace.mask)
    made = run(workspace, settings(background="grey"))
    assert any("edited by hand" in note for note in made.notes)
    assert np.array_equal(pixels(workspace.mask)[..., 0], np.asarray(mask))
    assert tuple(pixels(workspace.prepared)[800, 400]) == (128, 128, 128)
    assert np.array_equal(
        pixels(workspace.prepared)[300:700, 200:500], pixels(EXAMPLE)[300:700, 200:500]
    )
    before = workspace.prepared.stat().st_mtime_ns
    run(workspace, settings(background="grey"))
    assert workspace.prepared.stat().st_mtime_ns == before  # done once
    run(workspace, settings(background="grey"), force=True)
    assert not np.array_equal(pixels(workspace.mask)[..., 0], np.asarray(mask))


def test_an_edited_mask_of_another_size_is_told_and_kept(workspace: Workspace) -> None:
    run(workspace, settings(), EXAMPLE)
    Image.new("L", (60, 60), 255).save(workspace.mask)
    before = [file_hash(path) for path in (workspace.mask, workspace.prepared)]
    with pytest.raises(WorkspaceError, match="found 60x60, expected the picture's 768x1152"):
        run(workspace, settings())
    assert [file_hash(path) for path in (workspace.mask, workspace.prepared)] == before


def test_an_edited_picture_is_kept_until_force(workspace: Workspace) -> None:
    run(workspace, settings(), EXAMPLE)
    Image.new("RGB", (768, 1152), "red").save(workspace.prepared)
    assert any(
        "prepared.png was edited" in note
        for note in run(workspace, settings(background="grey")).notes
    )
    assert tuple(pixels(workspace.prepared)[5, 5]) == (255, 0, 0)
    run(workspace, settings(background="grey"), force=True)
    assert tuple(pixels(workspace.prepared)[5, 5]) == (128, 128, 128)


def test_a_mask_method_and_a_model_that_cannot_be_had_are_told(
    workspace: Workspace, tmp_path: Path
) -> None:
    with pytest.raises(PictureError, match="transparency"):
        run(workspace, settings(mask="transparency"), EXAMPLE)
    (tmp_path / "bad.onnx").write_text("no model")
    for name, words in (
        ("bad.onnx", "no ONNX model"),
        ("none.onnx", "no such file"),
        ("u2net.pth", "expected an .onnx file"),
    ):
        if name == "bad.onnx":
            pytest.importorskip("onnxruntime")
        with pytest.raises(ImageModelError, match=words):
            run(workspace, settings(matting_model=str(tmp_path / name)))
    assert workspace.original() is not None


def test_a_matting_model_makes_the_mask(workspace: Workspace, tmp_path: Path) -> None:
    pytest.importorskip("onnx", reason="builds its model with onnx")
    pytest.importorskip("onnxruntime")
    from tests.imaging.test_matting import write_model

    # What is not bright red or white is the character
    model = write_model(tmp_path / "u2net.onnx", 64, gain=-20, bias=40)
    made = run(workspace, settings(matting_model=str(model)), EXAMPLE)
    assert "foreground: matting model" in made.notes


def test_it_can_be_cancelled_while_it_searches(workspace: Workspace) -> None:
    pytest.importorskip("cv2", reason="needs OpenCV")
    job = Job()

    def stop(progress: Progress) -> None:
        if "looking" in progress.message:
            job.cancel()

    job.listen(stop)
    with pytest.raises(JobCancelled):
        prepare(context(settings(), workspace, job), EXAMPLE)
    assert not workspace.prepared.exists()
    assert run(workspace, settings()).source.exists()


# Crops
# ----------------------------------------------------------------------------


def test_each_crop_has_its_mask_and_its_symmetry(workspace: Workspace) -> None:
    run(workspace, settings(), EXAMPLE)
    crops = crop(context(settings(), workspace)).crops
    with Image.open(workspace.mask) as mask:
        whole = np.asarray(mask)
    for path in crops:
        box = workspace.record("crop").data["views"][path.stem]["box"]
        found = view_mask(workspace, path)
        assert found is not None and np.array_equal(
            np.asarray(found), whole[box[1] : box[3], box[0] : box[2]]
        )
        assert view_symmetry(workspace, path.stem) is not None
    everything = view_symmetry(workspace)
    assert everything is not None and not everything.flip and "headwear" in everything.sentence
    lower = view_symmetry(workspace, "lower_body")
    assert lower is not None and lower.flip


def test_a_picture_brought_by_hand_has_no_mask(workspace: Workspace) -> None:
    run(workspace, settings(), EXAMPLE)
    folder = crop(context(settings(), workspace)).crops[0].parent
    Image.new("RGB", (64, 64)).save(folder / "mine.png")
    assert view_mask(workspace, folder / "mine.png") is None
    assert view_symmetry(workspace, "mine") is None


def test_a_square_takes_in_the_whole_figure_where_a_checkpoint_draws_squares_only(
    workspace: Workspace,
) -> None:
    wish = Settings.from_dict({**settings(square=True).to_dict(), "training": {"buckets": False}})
    made = run(workspace, wish, EXAMPLE)
    assert any("widened from 768 to 1152 px" in note for note in made.notes)
    crops = crop(context(wish, workspace)).crops
    shapes = {path.stem: load_picture(path).image.size for path in crops}
    assert {"full_body", "cowboy_shot", "upper_body", "lower_body", "portrait"} <= shapes.keys()
    assert all(abs(wide - high) <= 2 for wide, high in shapes.values())
    with Image.open(workspace.mask) as mask:
        figure, (left, top, right, bottom) = (
            mask.getbbox(),
            workspace.record("crop").data["views"]["full_body"]["box"],
        )
        assert mask.size == (1152, 1152) and figure is not None
        assert left < figure[0] and top <= figure[1] and right > figure[2] and bottom >= figure[3]
        edited = mask.convert("L")
    edited.paste(255, (0, 0, 20, 20))
    edited.save(workspace.mask)
    run(
        workspace,
        Settings.from_dict(
            {**wish.to_dict(), "prepare": {**wish.to_dict()["prepare"], "background": "grey"}}
        ),
    )
    assert pixels(workspace.prepared)[5, 5].tolist() == [255, 255, 255], (
        "a mask of the widened picture, edited, counts"
    )


def test_what_cannot_be_widened_says_so_and_keeps_its_shape(workspace: Workspace) -> None:
    photograph = EXAMPLE.parents[1] / "tests" / "data" / "astronaut.png"
    with Image.open(photograph) as image:
        image.convert("RGB").crop((0, 0, image.width // 2, image.height)).save(
            workspace.root / "tall.png"
        )
    made = run(workspace, settings(square=True, long_side=256), workspace.root / "tall.png")
    assert any("no plain background" in note for note in made.notes)
    with Image.open(made.source) as kept:
        assert kept.width < kept.height
