"""The clothes that a prompt must name: those of the widest crop's caption."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lib_singlelora.settings.schema import Settings
from lib_singlelora.workspace.outfit import MOST_CLOTHES, Outfit, named_outfit
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace

SETTINGS = Settings.from_dict({"character.trigger": "isa"})
FACE = ("face", (0, 0, 40, 40), ("face focus",), "isa, girl, white hat, smile")
WHOLE = (
    "full_body",
    (0, 0, 100, 200),
    ("full body",),
    "isa, girl, full body, standing, white_hat, blue dress, boots, smile, simple background",
)


def with_crops(
    root: Path, *crops: tuple[str, tuple[int, int, int, int] | None, tuple[str, ...], str]
) -> Workspace:
    workspace = Workspace(root)
    folder = workspace.image_folder(SETTINGS)
    folder.mkdir(parents=True)
    views = {}
    for name, box, tags, caption in crops:
        Image.new("RGB", (8, 8)).save(folder / f"{name}.png")
        (folder / f"{name}.txt").write_text(caption, encoding="utf-8")
        if box:
            views[name] = {"box": box, "tags": tags}
    workspace.save_record(StageRecord("crop", "x", True, {}, {"views": views}))
    return workspace


def test_clothes_are_those_of_the_widest_crop_as_its_caption_names_them(tmp_path: Path) -> None:
    workspace = with_crops(tmp_path, FACE, WHOLE)
    assert named_outfit(SETTINGS, workspace) == Outfit(
        "full body", ("white hat", "blue dress", "boots")
    )


def test_captions_without_clothes_give_none(tmp_path: Path) -> None:
    workspace = with_crops(tmp_path, (*WHOLE[:3], "isa, girl, full body, standing, smile"))
    assert named_outfit(SETTINGS, workspace) == Outfit("full body", ())


def test_of_pictures_of_the_users_own_the_caption_tells_the_widest(tmp_path: Path) -> None:
    workspace = with_crops(
        tmp_path,
        ("a", None, (), "isa, girl, portrait, white hat"),
        ("b", None, (), "isa, girl, cowboy shot, blue dress"),
        ("c", None, (), "isa, girl, red scarf"),
    )
    assert named_outfit(SETTINGS, workspace) == Outfit("cowboy shot", ("blue dress",))


@pytest.mark.parametrize("crops", [(), (("a", None, (), ""),)])
def test_without_crops_or_captions_nothing_is_named(
    tmp_path: Path, crops: tuple[tuple[str, None, tuple[str, ...], str], ...]
) -> None:
    assert named_outfit(SETTINGS, with_crops(tmp_path, *crops)) == Outfit("", ())


def test_a_prompt_has_room_for_so_many_clothes(tmp_path: Path) -> None:
    colours = "red, blue, green, white, black, pink, purple, orange, yellow, brown, grey, aqua"
    words = [f"{colour} {thing}" for colour in colours.split(", ") for thing in ("dress", "bow")]
    workspace = with_crops(tmp_path, (*WHOLE[:3], ", ".join(words)))
    assert len(named_outfit(SETTINGS, workspace).clothes) == MOST_CLOTHES
