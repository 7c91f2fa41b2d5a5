"""kohya's repeats, which stand in a folder's name and in the settings; files not trained on."""

from __future__ import annotations

from pathlib import Path

from ..files.fileio import move
from ..files.names import is_repeats
from ..settings.schema import Settings
from .kohya_folders import list_pictures
from .stage_record import StageRecord
from .workspace import Workspace

RECORD = "folders"  # holds the number that the program itself last gave the folder


def adopt_repeats(settings: Settings, workspace: Workspace) -> tuple[Settings, list[str]]:
    """Make folder and `training.repeats` agree; the settings after that, and notes on what changed.

    Called once when a job begins.  Renaming `5_isabella` to `20_isabella` is how kohya's users ask
    for 20 repeats, so it changes the setting; a changed setting renames the folder.  Where both
    changed, the setting counts.
    """
    folders = workspace.own_folders(settings)
    if not folders:
        return settings, []
    folder = workspace.image_folder(settings)
    wanted = settings.training.repeats
    number = int(folder.name.partition("_")[0])
    known = workspace.record(RECORD).data.get("repeats")
    notes = []
    if number != wanted:
        name = settings.character.trigger
        if known is None:
            is_setting_untouched = "training.repeats" not in settings.changed()
        else:
            is_setting_untouched = wanted == known
        if is_setting_untouched and len(folders) == 1:
            settings = settings.with_values({"training.repeats": number})
            workspace.change_settings(lambda saved: saved.with_values({"training.repeats": number}))
            notes = [
                f"image/{folder.name}: its name asks for {number} repeats, so training.repeats is"
                f" {number} now"
            ]
        else:
            with workspace.writing("renaming a folder"):
                move(folder, folder.with_name(f"{wanted}_{name}"))
            if known is not None and number != known:
                notes = [
                    f"image/{folder.name}: training.repeats was changed too, to {wanted}, so the"
                    f" folder is {wanted}_{name} now"
                ]
    remember_repeats(settings, workspace)
    return settings, notes


def remember_repeats(settings: Settings, workspace: Workspace) -> None:
    """Record the folder's number, so that a later other one is recognized as the user's."""
    data = {"repeats": settings.training.repeats}
    if workspace.record(RECORD).data != data:
        workspace.save_record(StageRecord(RECORD, "", True, {}, data))


def left_out(settings: Settings, workspace: Workspace) -> list[str]:
    """A note on each folder and picture in `image/` and `reg/` that is not trained on."""
    if not settings.character.trigger:
        return []
    return [
        *_others(workspace.root / "image", workspace.image_folder(settings)),
        *_others(workspace.root / "reg", workspace.reg_folder(settings)),
    ]


def _others(parent: Path, used: Path) -> list[str]:
    """The notes on a folder in which only one is used."""
    notes = []
    for path in sorted(parent.iterdir() if parent.is_dir() else ()):
        is_rejected = parent.name == "reg" and path.name == "rejected"
        if path == used or path.name.startswith(".") or is_rejected or not path.is_dir():
            continue
        count = sum(file.is_file() for file in path.rglob("*"))
        if count:
            reason = _reason(path, used)
            notes.append(f"{parent.name}/{path.name} is not trained ({count} files): {reason}")
    loose = [path.name for path in list_pictures(parent)]
    if loose:
        notes.append(
            f"{parent.name}: {', '.join(loose[:5])} lie beside the folders and are not trained;"
            f" move them into {used.name}"
        )
    return notes


def _reason(path: Path, used: Path) -> str:
    """Why a folder is not trained."""
    number, _, name = path.name.partition("_")
    wanted = used.name.partition("_")[2]
    if not is_repeats(number) or not name:
        return f"its name does not begin with a number of repeats, as {used.name} does"
    if name == wanted:
        return f"{used.name} is used; move the pictures there"
    return f"it is the concept '{name}', and this workspace trains '{wanted}'"
