"""kohya's folder of the crops and its number of repeats: who changed it last is heard, what
training leaves out is told.
"""

from __future__ import annotations

from pathlib import Path

from ..files.fileio import move
from ..files.names import is_repeats
from ..settings.schema import Settings
from .kohya_folders import list_pictures
from .stage_record import StageRecord
from .workspace import Workspace

RECORD = "folders"  # the record that says which number the program itself last gave the folder


def adopt_repeats(settings: Settings, workspace: Workspace) -> tuple[Settings, list[str]]:
    """The settings as they are once folder and `training.repeats` agree, and what was done, one
    sentence each.

    A folder that was renamed from `5_isabella` to `20_isabella` is how kohya's users ask for 20
    repeats, so it changes the setting; a setting that was changed renames the folder.  Where both
    changed, the setting counts.
    """
    own = workspace.own_folders(settings)
    if not own:
        return settings, []
    folder, wanted = workspace.image_folder(settings), settings.training.repeats
    number, known = int(folder.name.partition("_")[0]), workspace.record(RECORD).data.get("repeats")
    told = []
    if number != wanted:
        name = settings.character.trigger
        untouched = (
            wanted == known if known is not None else "training.repeats" not in settings.changed()
        )
        if untouched and len(own) == 1:
            settings = settings.with_values({"training.repeats": number})
            workspace.change_settings(lambda saved: saved.with_values({"training.repeats": number}))
            told = [
                f"image/{folder.name}: its name asks for {number} repeats, so training.repeats is"
                f" {number} now"
            ]
        else:
            with workspace.writing("renaming a folder"):
                move(folder, folder.with_name(f"{wanted}_{name}"))
            if known is not None and number != known:
                told = [
                    f"image/{folder.name}: training.repeats was changed too, to {wanted}, so the"
                    f" folder is {wanted}_{name} now"
                ]
    remember_repeats(settings, workspace)
    return settings, told


def remember_repeats(settings: Settings, workspace: Workspace) -> None:
    """Note the number that the folder has now, so that another one is known as the user's."""
    data = {"repeats": settings.training.repeats}
    if workspace.record(RECORD).data != data:
        workspace.save_record(StageRecord(RECORD, "", True, {}, data))


def left_out(settings: Settings, workspace: Workspace) -> list[str]:
    """What lies in `image/` and `reg/` beside the folders that are trained; one sentence each."""
    if not settings.character.trigger:
        return []
    own, reg = workspace.image_folder(settings), workspace.reg_folder(settings)
    return [
        *_others(workspace.root / "image", own, settings),
        *_others(workspace.root / "reg", reg, settings),
    ]


def _others(parent: Path, used: Path, settings: Settings) -> list[str]:
    found = []
    for path in sorted(parent.iterdir() if parent.is_dir() else ()):
        if (
            path == used
            or path.name.startswith(".")
            or (parent.name == "reg" and path.name == "rejected")
        ):
            continue
        count = (
            len([picture for picture in path.rglob("*") if picture.is_file()])
            if path.is_dir()
            else 0
        )
        if path.is_dir() and count:
            found.append(
                f"{parent.name}/{path.name} is not trained ({count} files):"
                f" {_reason(path, used, settings)}"
            )
    loose = [path.name for path in list_pictures(parent)]
    if loose:
        found.append(
            f"{parent.name}: {', '.join(loose[:5])} lie beside the folders and are not trained;"
            f" move them into {used.name}"
        )
    return found


def _reason(path: Path, used: Path, settings: Settings) -> str:
    number, _, name = path.name.partition("_")
    wanted = used.name.partition("_")[2]
    if not is_repeats(number) or not name:
        return f"its name does not begin with a number of repeats, as {used.name} does"
    if name == wanted:
        return f"{used.name} is used; move the pictures there"
    return f"it is the concept '{name}', and this workspace trains '{wanted}'"
