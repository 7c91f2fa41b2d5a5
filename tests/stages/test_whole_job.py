"""All stages on the small checkpoint, standalone, on the photograph."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors import safe_open

from lib_singlelora.errors import (
    JobCancelled,
    LoraFileError,
    PictureError,
    PresetError,
    SettingsError,
    WorkspaceError,
)
from lib_singlelora.files.fileio import file_hash
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.lora.files import read_lora
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import STAGES, run_all, run_stage
from lib_singlelora.workspace.workspace import Workspace

PICTURE = Path(__file__).parent.parent / "data" / "astronaut.png"
QUICK = {
    "character.trigger": "eileen",
    "character.class_token": "woman",
    "prepare.long_side": 512,
    "regularization.count": 3,
    "regularization.steps": 2,
    "training.epochs": 2,
    "training.repeats": 1,
    "training.rank": 2,
    "training.alpha": 2,
    "training.text_encoder_lr": 5e-5,
    "plot.strengths": "0.5,1",
    "plot.steps": 2,
    "plot.presets": "ALL,OUTD",
    "inpaint.count": 2,
    "inpaint.steps": 3,
}


def quick(**values: object) -> Settings:
    return Settings.from_dict(
        {**QUICK, **{key.replace("__", "."): value for key, value in values.items()}}
    )


def state(workspace: Workspace) -> dict[str, tuple[str, int]]:
    """Hash and time of change of every file that a stage makes."""
    skipped = {"log", "settings.json"}
    return {
        p.relative_to(workspace.root).as_posix(): (file_hash(p), p.stat().st_mtime_ns)
        for p in sorted(workspace.root.rglob("*"))
        if p.is_file() and p.relative_to(workspace.root).parts[0] not in skipped
    }


@pytest.fixture(scope="module")
def finished(
    tmp_path_factory: pytest.TempPathFactory, standalone_host: StandaloneHost
) -> tuple[Workspace, dict[str, object]]:
    workspace = Workspace(tmp_path_factory.mktemp("job") / "a workspace")
    return workspace, run_all(StageContext(quick(), workspace, standalone_host), PICTURE)


@pytest.fixture
def copy(finished: tuple[Workspace, dict[str, object]], tmp_path: Path) -> Iterator[Workspace]:
    import shutil

    shutil.copytree(finished[0].root, tmp_path / "copy")
    yield Workspace(tmp_path / "copy")


def test_the_result_names_files_that_are_there(
    finished: tuple[Workspace, dict[str, object]],
) -> None:
    _, result = finished
    assert {
        "workspace",
        "source",
        "crops",
        "regularization",
        "loras",
        "sheet",
        "page",
        "inpainted",
        "recommendation",
        "seconds",
    } <= result.keys()
    for key in ("crops", "regularization", "loras", "inpainted"):
        paths = result[key]
        assert isinstance(paths, list) and paths
        assert all(Path(path).is_absolute() and Path(path).is_file() for path in paths), key
    assert Path(str(result["sheet"])).is_file() and Path(str(result["page"])).is_file()
    assert list(result["seconds"]) == list(STAGES)


def test_the_folders_are_kohyas(finished: tuple[Workspace, dict[str, object]]) -> None:
    root = finished[0].root
    crops = sorted((root / "image" / "1_eileen").glob("*.png"))
    assert crops and all(
        path.with_suffix(".txt").read_text().startswith("eileen, woman, ") for path in crops
    )
    assert [path.name for path in sorted((root / "reg" / "1_woman").glob("*.png"))] == [
        "0001.png",
        "0002.png",
        "0003.png",
    ]
    models = sorted(path.name for path in (root / "model").glob("*.safetensors"))
    assert models == ["eileen-000001.safetensors", "eileen.safetensors"]


def test_regularization_draws_anew_for_each_picture_and_keeps_seed_and_prompt(
    finished: tuple[Workspace, dict[str, object]],
) -> None:
    texts = []
    for path in sorted((finished[0].root / "reg" / "1_woman").glob("*.png")):
        with Image.open(path) as image:
            texts.append(image.info["parameters"])
        assert path.with_suffix(".txt").read_text().startswith("woman, ")
    assert len(set(texts)) == 3
    assert [f"Seed: {n}" in text for n, text in enumerate(texts, 1)] == [True] * 3
    assert not any("__" in text for text in texts)


def test_the_lora_says_what_it_is(finished: tuple[Workspace, dict[str, object]]) -> None:
    path = finished[0].root / "model" / "eileen.safetensors"
    lora = read_lora(path)
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    assert (
        metadata["ss_network_dim"] == "2"
        and metadata["ss_epoch"] == "2"
        and metadata["ss_num_epochs"] == "2"
    )
    assert (
        metadata["modelspec.trigger_phrase"] == "eileen"
        and '"1_woman"' in metadata["ss_reg_dataset_dirs"]
    )
    assert any(float(parts["lora_up.weight"].abs().max()) > 0 for parts in lora.modules.values())
    assert all(torch.isfinite(tensor).all() for tensor in lora.tensors.values())


def test_a_second_call_does_nothing_again(copy: Workspace, standalone_host: StandaloneHost) -> None:
    before = state(copy)
    run_all(StageContext(quick(), copy, standalone_host), PICTURE)
    assert state(copy) == before


def test_a_job_whose_training_shows_no_class_draws_none(
    tmp_path: Path, standalone_host: StandaloneHost
) -> None:
    workspace = Workspace(tmp_path / "alone")
    settings = quick(
        training__regularization="none",
        training__epochs=1,
        plot__strengths="1",
        plot__presets="ALL",
    )
    workspace.save_settings(settings)
    result = run_all(StageContext(settings, workspace, standalone_host), PICTURE)
    assert result["regularization"] == [] and not workspace.reg_folder(settings).exists()
    assert "shows no pictures of the class" in result["regularization_notes"][0]
    assert Path(result["loras"][0]).exists() and result["inpainted"]
    with_set = run_stage("regularize", StageContext(settings, workspace, standalone_host))
    assert len(with_set["regularization"]) == 3


def test_an_edited_caption_is_kept_and_force_overwrites_it(
    copy: Workspace, standalone_host: StandaloneHost
) -> None:
    caption = next((copy.root / "image" / "1_eileen").glob("*.txt"))
    caption.write_text("by hand", encoding="utf-8")
    changed = quick(caption__general_threshold=0.5)
    result = run_stage("caption", StageContext(changed, copy, standalone_host))
    assert caption.read_text() == "by hand" and result["kept"] == [str(caption)]
    run_stage("caption", StageContext(changed, copy, standalone_host, force=True))
    assert caption.read_text().startswith("eileen, woman")


def test_a_crop_taken_out_by_hand_stays_out(
    copy: Workspace, standalone_host: StandaloneHost
) -> None:
    crop = sorted((copy.root / "image" / "1_eileen").glob("*.png"))[0]
    crop.unlink()
    result = run_stage("crop", StageContext(quick(), copy, standalone_host))
    assert str(crop) not in result["crops"] and not crop.exists()


def test_an_edited_regularization_picture_is_kept(
    copy: Workspace, standalone_host: StandaloneHost
) -> None:
    path = copy.root / "reg" / "1_woman" / "0002.png"
    Image.new("RGB", (64, 64), "red").save(path)
    run_stage("regularize", StageContext(quick(regularization__steps=3), copy, standalone_host))
    with Image.open(path) as image:
        assert image.convert("RGB").getpixel((5, 5)) == (255, 0, 0)


def test_more_regularization_pictures_add_to_those_drawn(
    copy: Workspace, standalone_host: StandaloneHost
) -> None:
    before = state(copy)
    result = run_stage(
        "regularize", StageContext(quick(regularization__count=5), copy, standalone_host)
    )
    assert len(result["regularization"]) == 5
    after = state(copy)
    assert all(after[name] == before[name] for name in before if name.startswith("reg/"))


def test_another_trigger_or_picture_is_refused(
    copy: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    other = tmp_path / "other.png"
    Image.effect_noise((256, 256), 50).save(other)
    with pytest.raises(WorkspaceError, match="another picture"):
        run_stage("prepare", StageContext(quick(), copy, standalone_host), other)


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_cancelled_in_the_middle_is_completed_by_the_next_call(
    stage: str,
    standalone_host: StandaloneHost,
    tmp_path: Path,
    finished: tuple[Workspace, dict[str, object]],
) -> None:
    workspace = Workspace(tmp_path)
    settings = quick(plot__presets="ALL", plot__epochs="2")
    job = Job()

    def stop(progress: Progress) -> None:
        if progress.stage == stage and progress.done >= 1:
            job.cancel()

    job._listener = stop
    with pytest.raises(JobCancelled):
        job.run(
            lambda running: (
                run_all(StageContext(settings, workspace, standalone_host, running), PICTURE)
                and running.raise_if_cancelled()
            )
        )
    result = run_all(StageContext(settings, workspace, standalone_host), PICTURE)
    assert (
        len(result["loras"]) == 2
        and len(result["inpainted"]) == 2
        and len(result["regularization"]) == 3
    )
    ours, theirs = (
        read_lora(root / "model" / "eileen.safetensors").tensors
        for root in (tmp_path, finished[0].root)
    )
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)
    assert not list(tmp_path.rglob("*.tmp"))


def test_training_again_with_other_settings_replaces_the_epochs(
    copy: Workspace, standalone_host: StandaloneHost
) -> None:
    result = run_stage("train", StageContext(quick(training__epochs=1), copy, standalone_host))
    assert [Path(path).name for path in result["loras"]] == ["eileen.safetensors"]
    assert not (copy.root / "model" / "eileen-000001.safetensors").exists()


def test_the_sheet_draws_only_what_is_missing(
    copy: Workspace, standalone_host: StandaloneHost
) -> None:
    cells = copy.root / "plots" / "cells"
    before = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.png")}
    gone = sorted(cells.glob("*-1.png"))[0]  # of the first seed: the sheet's, not the race's
    gone.unlink()
    settings = quick(plot__strengths="0.5,1,0.25", judge__race=False)
    run_stage("plot", StageContext(settings, copy, standalone_host))
    after = {path.name: path.stat().st_mtime_ns for path in cells.glob("*.png")}
    assert all(after[name] == before[name] for name in before if name != gone.name)
    assert gone.name in after and len(after) == len(before) + 4


def test_what_cannot_be_plotted_is_told(copy: Workspace, standalone_host: StandaloneHost) -> None:
    with pytest.raises(LoraFileError, match="epoch 9"):
        run_stage("plot", StageContext(quick(plot__epochs="9"), copy, standalone_host))
    with pytest.raises(PresetError, match="did you mean"):
        run_stage("plot", StageContext(quick(plot__presets="OUTF"), copy, standalone_host))
    with pytest.raises(SettingsError, match=r"plot\.strengths"):
        run_stage("plot", StageContext(quick(plot__strengths=""), copy, standalone_host))
    (copy.root / "model" / "eileen.safetensors").write_bytes(b"short")
    with pytest.raises(LoraFileError, match=r"eileen\.safetensors"):
        run_stage(
            "plot",
            StageContext(quick(plot__presets="OUTD", plot__epochs="2"), copy, standalone_host),
        )


def test_inpainting_changes_the_masked_part_only(
    copy: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    picture = tmp_path / "p.png"
    mask = tmp_path / "m.png"
    with Image.open(PICTURE) as image:
        image.convert("RGB").resize((64, 64)).save(picture)
    hole = Image.new("L", (64, 64))
    hole.paste(255, (16, 16, 48, 48))
    hole.save(mask)
    result = run_stage("inpaint", StageContext(quick(), copy, standalone_host), picture, mask=mask)
    with Image.open(result["inpainted"][0]) as drawn, Image.open(picture) as original:
        big = original.resize(drawn.size, Image.Resampling.LANCZOS)
        corner = [
            abs(a - b)
            for a, b in zip(
                drawn.crop((0, 0, 8, 8)).tobytes(), big.crop((0, 0, 8, 8)).tobytes(), strict=True
            )
        ]
        middle = (
            drawn.width // 2 - 4,
            drawn.height // 2 - 4,
            drawn.width // 2 + 4,
            drawn.height // 2 + 4,
        )
        assert max(corner) <= 2
        assert drawn.crop(middle).tobytes() != big.crop(middle).tobytes()


def test_the_log_tells_every_step(finished: tuple[Workspace, dict[str, object]]) -> None:
    events = finished[0].events.read()
    steps = [event for event in events if event["event"] == "step"]
    assert [event["step"] for event in steps] == list(range(1, len(steps) + 1))
    assert {"loss", "smoothed", "lr", "rates", "seconds", "samples_per_second", "epoch"} <= steps[
        0
    ].keys()
    norms = [event["norms"] for event in events if event["event"] == "epoch"]
    assert norms and all({"BASE", "M00", "OUT03"} <= each.keys() for each in norms)
    assert [event["stage"] for event in events if event["event"] == "stage"] == list(STAGES)


def test_tensorboard_is_told_the_same(copy: Workspace, standalone_host: StandaloneHost) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    # It is trained already
    run_stage("train", StageContext(quick(training__tensorboard=True), copy, standalone_host))
    assert not (copy.root / "log" / "tensorboard").exists()
    run_stage(
        "train", StageContext(quick(training__tensorboard=True), copy, standalone_host, force=True)
    )
    steps = [event for event in copy.events.read() if event["event"] == "step"][-4:]
    board = EventAccumulator(str(copy.root / "log" / "tensorboard"))
    board.Reload()
    told = [event.value for event in board.Scalars("training/loss")][-4:]
    assert told == pytest.approx([step["loss"] for step in steps], abs=1e-5)
    assert {"epoch/loss", "norm/BASE", "norm/OUT03", "training/learning_rate_1"} <= set(
        board.Tags()["scalars"]
    )


def test_captions_of_both_sets_come_from_the_tagger_where_there_is_one(
    copy: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    from tests.tagging.test_wd import write_tagger

    settings = quick(
        caption__tagger=str(write_tagger(tmp_path / "tagger")),
        caption__general_threshold=0.45,
        caption__implausible="keep",
        regularization__filter=False,
    )  # this tagger knows no persons, and sees what the picture does not show
    for stage in ("caption", "regularize"):
        run_stage(stage, StageContext(settings, copy, standalone_host))
    crop = (copy.root / "image" / "1_eileen" / "face.txt").read_text(encoding="utf-8")
    reg = (copy.root / "reg" / "1_woman" / "0001.txt").read_text(encoding="utf-8")
    assert crop.startswith("eileen, woman, close-up") and "^_^" in crop and "_hair" not in crop
    assert reg.startswith("woman, ") and "^_^" in reg and "eileen" not in reg


def test_block_weights_and_presets_of_the_settings_reach_the_file(
    copy: Workspace, standalone_host: StandaloneHost
) -> None:
    outd = quick(training__preset="outd", training__epochs=1, training__text_encoder_lr=0)
    result = run_stage("train", StageContext(outd, copy, standalone_host))
    assert result["blocks"] == ["OUT03", "OUT04", "OUT05", "OUT06"]
    assert all(
        name.startswith("output_blocks.") for name in read_lora(Path(result["loras"][0])).modules
    )


def test_a_picture_and_caption_brought_by_hand_are_trained_too(
    copy: Workspace, standalone_host: StandaloneHost
) -> None:
    folder = copy.root / "image" / "1_eileen"
    with Image.open(PICTURE) as image:
        image.convert("RGB").crop((100, 0, 300, 200)).save(folder / "mine.jpg")
    (folder / "mine.txt").write_text("eileen, woman, smile", encoding="utf-8")
    result = run_stage("train", StageContext(quick(training__epochs=1), copy, standalone_host))
    with safe_open(result["loras"][0], "pt") as file:
        assert '"smile": 1' in file.metadata()["ss_tag_frequency"]


def test_a_mask_that_is_missing_empty_or_of_another_size_is_told(
    copy: Workspace, standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    Image.new("L", (512, 512)).save(tmp_path / "empty.png")
    Image.new("L", (30, 30), 255).save(tmp_path / "small.png")
    for mask, words in (
        ("none.png", "found no such mask"),
        ("empty.png", "found an empty mask"),
        ("small.png", "found 30x30"),
    ):
        with pytest.raises(PictureError, match=words):
            run_stage("inpaint", StageContext(quick(), copy, standalone_host), mask=tmp_path / mask)
    with pytest.raises(PictureError, match="expected --mask FILE"):
        run_stage("inpaint", StageContext(quick(), copy, standalone_host), PICTURE)
