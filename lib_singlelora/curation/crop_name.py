"""Another name for a crop: in the settings, of its files, and in what stages recorded of it.

The name of a box that the user drew is its caption's tag too.  A caption that was written by hand
goes with its picture and stays as it is; the stage `caption` writes the others anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..crops.coverage import moved
from ..crops.views import FRAMINGS
from ..errors import ConflictError, NotFoundError
from ..files.fileio import is_own_file, move, write_json
from ..files.names import check_name
from ..imaging.load import picture_size
from ..settings.schema import Settings
from ..workspace.kohya_folders import list_pictures
from ..workspace.workspace import Workspace
from .captions import edits_file, edits_of

DETAIL = "detail_"  # what the names of proposed close-ups begin with
# Parts of a record that are kept by the crop's name
BY_NAME = {"crop": ("views",), "caption": ("seen", "doubts")}


def new_name(settings: Settings, workspace: Workspace, crop: str, name: str) -> str:
    """The name as files have it.

    Raises: WorkspaceError, for one that cannot name a file; ConflictError, for one that is taken;
        NotFoundError, when the crop is none that has a box.
    """
    wanted = check_name(name.strip(), "crop").replace(" ", "_")
    known = _boxes(settings, workspace)
    if crop not in known:
        raise NotFoundError(
            f"crop: found no '{crop}', expected one of {', '.join(known) or 'the crops'}; a picture"
            " of your own is renamed in its folder"
        )
    # Windows and macOS take Hat and hat for the same file
    taken = {path.stem for path in list_pictures(workspace.image_folder(settings))} | set(known)
    if any(wanted.casefold() == other.casefold() for other in taken - {crop}):
        raise ConflictError(
            f"crop '{crop}': found another one named '{wanted}', expected a free name; choose"
            " another"
        )
    return wanted


def settings_renamed(
    settings: Settings, workspace: Workspace, crop: str, name: str
) -> dict[str, Any]:
    """The settings in which a crop has another name, and the box that it has now.

    name: as files have it.
    Raises: SettingsError, for a name that a box cannot have; as `new_name`.
    """
    box = _boxes(settings, workspace)[crop]
    text = ":".join([name, *map(str, box)])
    # Read as `crop` will read it: a mistake is reported before anything is changed.
    moved([], [text], picture_size(workspace.prepared))
    placed = [_name_of(each) for each in settings.crop.boxes]
    boxes = [each for each in settings.crop.boxes if _name_of(each) != crop]
    boxes.insert(placed.index(crop) if crop in placed else len(boxes), text)
    views = settings.crop.views
    cut = workspace.record("crop").data.get("views", {})
    if not views and crop in cut and _is_proposed(settings, crop):
        views = tuple(cut)  # else the crop would be proposed again under its old name
    values: dict[str, Any] = {
        "crop.boxes": tuple(boxes),
        "crop.views": tuple(name if view == crop else view for view in views),
    }
    held_out = settings.training.validation_views
    if crop in held_out:
        values["training.validation_views"] = tuple(name if v == crop else v for v in held_out)
    return values


def rename_files(settings: Settings, workspace: Workspace, crop: str, name: str) -> None:
    """Give a crop's files another name, and tell the records of it.

    Raises: WorkspaceError.
    """
    renamed: dict[str, str] = {}
    for folder in workspace.own_folders(settings):
        for path in sorted(folder.iterdir()):
            # Its picture, its caption, and what other trainers keep beside them
            if path.stem == crop and is_own_file(path):
                target = path.with_name(name + path.suffix)
                move(path, target)
                renamed[workspace.relative(path)] = workspace.relative(target)
    for stage, parts in BY_NAME.items():
        record = workspace.record(stage)
        if not record.fingerprint:
            continue
        record.files = _with_names(record.files, renamed)
        for part in parts:
            if part in record.data:
                record.data[part] = _with_names(record.data[part], {crop: name})
        if stage == "crop" and name in record.data.get("views", {}):
            record.data["views"][name]["tags"] = _tags_of(name)
        workspace.save_record(record)
    _rename_in_edits(workspace, renamed)


def _rename_in_edits(workspace: Workspace, renamed: Mapping[str, str]) -> None:
    """Changes of captions can be undone under the new name too."""
    if edits := edits_of(workspace):
        write_json(edits_file(workspace), [_with_names(edit, renamed) for edit in edits])


def _boxes(settings: Settings, workspace: Workspace) -> dict[str, tuple[int, ...]]:
    """The box of each crop, of those cut and those drawn since."""
    cut = workspace.record("crop").data.get("views", {})
    boxes = {name: tuple(view["box"]) for name, view in cut.items() if "box" in view}
    for text in settings.crop.boxes:
        numbers = text.split(":")[1:]
        if len(numbers) == 4 and all(number.strip().isdecimal() for number in numbers):
            boxes[_name_of(text)] = tuple(map(int, numbers))
    return boxes


def _is_proposed(settings: Settings, crop: str) -> bool:
    """Whether the stage proposes a crop of this name by itself."""
    known = {framing.name for framing in FRAMINGS} | {"whole"}
    drawn = {_name_of(text) for text in settings.crop.boxes}
    return crop in known or crop.startswith(DETAIL) or crop not in drawn


def _tags_of(name: str) -> list[str]:
    """The tags of a crop of this name: those of the framing, else the name itself."""
    framed = {framing.name: framing.tags for framing in FRAMINGS}
    return list(framed.get(name, (name.replace("_", " "),)))


def _name_of(box: str) -> str:
    return box.partition(":")[0].strip().replace(" ", "_")


def _with_names(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """The same values with other keys."""
    return {names.get(key, key): value for key, value in values.items()}
