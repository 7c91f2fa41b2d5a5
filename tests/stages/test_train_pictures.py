"""The pictures of a training, with those that the user put into the folders."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest
from PIL import Image

from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.errors import SettingsError, TrainingError
from lib_singlelora.settings.loss_terms import LossTermSettings
from lib_singlelora.settings.schema import Settings
from lib_singlelora.settings.training import TrainingSettings
from lib_singlelora.stages.train_pictures import collect_pictures, identity, oddities, unused_files
from lib_singlelora.stages.train_task import learned_settings
from lib_singlelora.workspace.workspace import Workspace

SETTINGS = Settings.from_dict({"character.trigger": "isabella", "character.class_token": "girl"})
BUCKETS = make_buckets(512)


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "isabella")
    for folder in (made.image_folder(SETTINGS), made.reg_folder(SETTINGS)):
        folder.mkdir(parents=True)
    return made


@pytest.mark.parametrize("folder", ["image", "reg"])
def test_a_picture_turned_by_its_camera_gets_the_bucket_that_it_is_seen_in(
    workspace: Workspace, folder: str
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (96, 64), "red").save(workspace.image_folder(SETTINGS) / "plain.png")
    target = (
        workspace.image_folder(SETTINGS) if folder == "image" else workspace.reg_folder(SETTINGS)
    )
    Image.new("RGB", (768, 512), "blue").save(target / "phone.jpg", exif=exif)
    found = {
        picture.path.name: picture.bucket
        for picture in collect_pictures(SETTINGS, workspace, BUCKETS)
    }
    assert found["phone.jpg"][0] < found["phone.jpg"][1], "it stands upright"


@pytest.mark.parametrize("suffix", ["gif", "tif", "TIFF", "jfif", "webp", "bmp"])
def test_pictures_of_every_kind_are_trained_on(workspace: Workspace, suffix: str) -> None:
    Image.new("RGB", (96, 64), "red").save(
        workspace.image_folder(SETTINGS) / f"own.{suffix}",
        {"jfif": "JPEG", "tif": "TIFF", "TIFF": "TIFF"}.get(suffix, suffix),
    )
    assert [picture.path.suffix for picture in collect_pictures(SETTINGS, workspace, BUCKETS)] == [
        f".{suffix}"
    ]


def test_what_is_not_used_is_named_with_the_reason(workspace: Workspace) -> None:
    folder = workspace.image_folder(SETTINGS)
    Image.new("RGB", (96, 64), "red").save(folder / "face.png")
    for name in (
        "face.txt",
        "face.npz",
        "lost.txt",
        "scan.heic",
        "clip.mp4",
        "Thumbs.db",
        ".hidden.png",
    ):
        (folder / name).write_text("x", encoding="utf-8")
    (folder / "more").mkdir()
    told = unused_files(SETTINGS, workspace)
    assert [sentence.split(" ")[0] for sentence in told] == [
        "5_isabella/clip.mp4",
        "5_isabella/lost.txt",
        "5_isabella/more",
        "5_isabella/scan.heic",
    ]
    assert "'.heic' are not read as pictures" in told[-1] and "no picture of that name" in told[1]


def test_of_an_animation_the_first_frame_is_trained_and_that_is_told(workspace: Workspace) -> None:
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(
        workspace.image_folder(SETTINGS) / "own.gif", save_all=True, append_images=frames[1:]
    )
    assert unused_files(SETTINGS, workspace) == ["own.gif: animated (2 frames); the first is used"]


def test_what_is_no_picture_stops_the_training_with_one_line(workspace: Workspace) -> None:
    (workspace.image_folder(SETTINGS) / "face.png").write_text("no picture", encoding="utf-8")
    with pytest.raises(
        TrainingError, match=r"5_isabella/face\.png: found text, expected a picture"
    ) as caught:
        collect_pictures(SETTINGS, workspace, BUCKETS)
    assert "\n" not in str(caught.value)


def shown_at(workspace: Workspace, text: str) -> dict[str, tuple[int, int] | None]:
    settings = SETTINGS.with_values({"training.view_timesteps": text})
    found = collect_pictures(settings, workspace, BUCKETS)
    return {picture.path.stem: picture.timesteps for picture in found}


def add_crops(workspace: Workspace) -> None:
    """Two crops that were cut, one of the user's own, and a picture of the class."""
    folder = workspace.image_folder(SETTINGS)
    for path in (folder / "full_body.png", folder / "bangs_close-up.png", folder / "mine.png"):
        Image.new("RGB", (64, 64), "red").save(path)
        path.with_suffix(".txt").write_text("isabella, girl, portrait, close-up", encoding="utf-8")
    Image.new("RGB", (64, 64), "green").save(workspace.reg_folder(SETTINGS) / "1.png")
    record = workspace.record("crop")
    record.data["views"] = {
        "full_body": {"tags": ["full body"], "box": [0, 0, 64, 64]},
        "bangs_close-up": {"tags": ["close-up"], "box": [0, 0, 64, 64]},
    }
    workspace.save_record(record)


def test_a_crop_is_shown_at_the_timesteps_of_its_view(workspace: Workspace) -> None:
    add_crops(workspace)
    none = {"full_body": None, "bangs_close-up": None, "mine": None, "1": None}
    assert shown_at(workspace, "off") == none
    by_view = {"full_body": (0, 1000), "bangs_close-up": (0, 500), "mine": (0, 700)}
    assert shown_at(workspace, "by view") == {**none, **by_view}
    # A crop's tags are its view's, whatever the caption says; the first entry that fits counts
    own = shown_at(workspace, "Close-up: 5-400, portrait: 0-700")
    assert own == {**none, "bangs_close-up": (5, 400), "mine": (5, 400)}


def test_only_timesteps_that_are_set_make_another_training(workspace: Workspace) -> None:
    add_crops(workspace)

    def values(text: str) -> list[object]:
        settings = SETTINGS.with_values({"training.view_timesteps": text})
        return identity(collect_pictures(settings, workspace, BUCKETS), workspace)

    assert len(values("off")) == 1
    assert values("by view") != values("off") != values("portrait: 0-700")
    assert values("by view") != values("close-up: 0-400")


def test_timesteps_of_a_view_that_no_crop_is_are_refused(workspace: Workspace) -> None:
    add_crops(workspace)
    with pytest.raises(SettingsError, match=r"'potrait'.*did you mean 'portrait'"):
        shown_at(workspace, "potrait: 0-500")
    assert shown_at(workspace, "girl: 0-500")["mine"] == (0, 500)


@pytest.mark.parametrize("name", ["masked_loss", "masked_prior_weight"])
def test_masks_are_read_where_the_loss_uses_them(workspace: Workspace, name: str) -> None:
    add_crops(workspace)
    workspace.mask.parent.mkdir(exist_ok=True)
    Image.new("L", (96, 64), 255).save(workspace.mask)
    plain, masked = (
        collect_pictures(SETTINGS.with_values(values), workspace, BUCKETS)
        for values in ({"training.masked_loss": False}, {f"training.{name}": 1})
    )
    assert not any(picture.mask for picture in plain)
    found = [picture.mask.path for picture in masked if picture.mask]
    assert found == [workspace.mask] * 2  # the user's own picture and the class's have none
    assert {picture.class_token for picture in masked if not picture.regularization} == {"girl"}


def test_settings_that_are_off_do_not_tell_a_training_from_an_older_one() -> None:
    plain = learned_settings(Settings.from_dict({}).training)
    terms = {item.name for item in fields(LossTermSettings)}
    assert not terms & plain.keys() and "prior_loss_weight" in plain
    for name, off in ((name, getattr(TrainingSettings(), name)) for name in terms):
        value = True if off is False else 0.5 if "min" not in name else 9
        changed = learned_settings(Settings.from_dict({f"training.{name}": value}).training)
        assert changed.keys() == plain.keys() | {name}


def test_with_both_outfits_the_lines_of_a_caption_take_turns(workspace: Workspace) -> None:
    folder = workspace.image_folder(SETTINGS)
    Image.new("RGB", (96, 64), "red").save(folder / "face.png")
    (folder / "face.txt").write_text("isabella, girl, hat\nisabella, girl", encoding="utf-8")
    both = SETTINGS.with_values({"caption.outfit": "both"})
    [plain] = collect_pictures(SETTINGS, workspace, BUCKETS)
    [turning] = collect_pictures(both, workspace, BUCKETS)
    assert (plain.takes_turns, turning.takes_turns) == (False, True)
    assert identity([plain], workspace) != identity([turning], workspace)
    notes = oddities([plain], "isabella", 225, len), oddities([turning], "isabella", 225, len)
    assert "2 lines" in " ".join(notes[0]) and notes[1] == []


def test_a_trigger_of_several_words_is_found_however_it_is_written(workspace: Workspace) -> None:
    words = SETTINGS.with_values({"character.trigger": "isabella dress style"})
    folder = workspace.image_folder(words)
    folder.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (96, 64), "red").save(folder / "face.png")
    for text, told in (("Isabella_dress_style, girl", False), ("isabella, girl", True)):
        (folder / "face.txt").write_text(text, encoding="utf-8")
        notes = oddities(
            collect_pictures(words, workspace, BUCKETS), "isabella dress style", 225, len
        )
        assert any("lacks the trigger" in note for note in notes) == told


@pytest.mark.parametrize(
    ("share", "repeats", "expected"),
    [
        (0.0, 4, {"full_body": 4, "face": 4, "own": 4, "portrait": 4}),
        (0.5, 4, {"full_body": 8, "face": 3, "own": 3, "portrait": 2}),
        (0.2, 4, {"full_body": 4, "face": 4, "own": 4, "portrait": 4}),  # never less often
        (0.9, 1, {"full_body": 1, "face": 1, "own": 1, "portrait": 1}),  # every picture is shown
        (0.9, 2, {"full_body": 5, "face": 1, "own": 1, "portrait": 1}),
    ],
)
def test_the_full_body_has_its_share_of_the_same_number_of_samples(
    workspace: Workspace, share: float, repeats: int, expected: dict[str, int]
) -> None:
    for name in expected:
        path = workspace.image_folder(SETTINGS) / f"{name}.png"
        Image.new("RGB", (96, 64), "red").save(path)
        tag = name.replace("_", " ")
        path.with_suffix(".txt").write_text(f"isabella, girl, {tag}", encoding="utf-8")
    settings = SETTINGS.with_values(
        {"training.full_body_share": share, "training.repeats": repeats}
    )
    folder = workspace.image_folder(SETTINGS)
    if folder != workspace.image_folder(settings):
        folder.rename(workspace.image_folder(settings))
    found = {
        picture.path.stem: picture.repeats
        for picture in collect_pictures(settings, workspace, BUCKETS)
    }
    assert found == expected
    assert sum(found.values()) == repeats * len(expected)


VIEWS = {
    "full_body": "full body",
    "cowboy_shot": "cowboy shot",
    "portrait": "portrait",
    "face": "close-up, face focus",
    "lower_body": "lower body, head out of frame",
    "own": "smile",
}


@pytest.mark.parametrize(
    ("whole", "details", "repeats", "expected"),
    [
        (0.0, 0.0, 4, dict.fromkeys(VIEWS, 4)),
        (0.0, 0.1, 4, {"face": 1, "lower_body": 1, "full_body": 4, "own": 6, "cowboy_shot": 6}),
        (0.5, 0.1, 6, {"face": 2, "lower_body": 2, "full_body": 18, "cowboy_shot": 5}),
        (0.5, 0.01, 6, {"face": 1, "lower_body": 1, "full_body": 18}),  # every picture is shown
        (0.5, 0.9, 6, {"face": 4, "lower_body": 3, "full_body": 18}),  # never more than the others
        (0.9, 0.1, 1, dict.fromkeys(VIEWS, 1)),
    ],
)
def test_details_have_at_most_their_share(
    workspace: Workspace, whole: float, details: float, repeats: int, expected: dict[str, int]
) -> None:
    settings = SETTINGS.with_values(
        {
            "training.full_body_share": whole,
            "training.detail_share": details,
            "training.repeats": repeats,
        }
    )
    folder = workspace.image_folder(settings)
    folder.mkdir(exist_ok=True)
    for name, tags in VIEWS.items():
        Image.new("RGB", (96, 64), "red").save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(f"isabella, girl, {tags}", encoding="utf-8")
    found = {
        picture.path.stem: picture.repeats
        for picture in collect_pictures(settings, workspace, BUCKETS)
    }
    assert sum(found.values()) == repeats * len(VIEWS)
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize("names", [("full_body",), ("face", "portrait")])
def test_without_both_kinds_of_crops_all_are_shown_alike(
    workspace: Workspace, names: tuple[str, ...]
) -> None:
    for name in names:
        path = workspace.image_folder(SETTINGS) / f"{name}.png"
        Image.new("RGB", (96, 64), "red").save(path)
        caption = f"isabella, girl, {name.replace('_', ' ')}"
        path.with_suffix(".txt").write_text(caption, encoding="utf-8")
    settings = SETTINGS.with_values({"training.full_body_share": 0.5})
    assert {picture.repeats for picture in collect_pictures(settings, workspace, BUCKETS)} == {5}
