"""The captions of a workspace together: what they say, the same change in all of them, and the way
back.

What is changed here counts as edited by hand: 'caption' leaves it alone.  The way back lies in
`log/edits.json`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..captions.edits import edit_caption, tag_table
from ..captions.tokens import count_tokens, mark_limit
from ..errors import NotFoundError, WorkspaceError
from ..files.fileio import fingerprint, is_own_file, read_json, write_json, write_text
from ..files.text_file import BOM, decode, read_bytes
from ..settings.schema import Settings
from ..workspace.kohya_folders import caption_file, list_pictures, read_caption
from ..workspace.stage_record import Map, check
from ..workspace.workspace import Workspace

KEPT = 100  # changes that can be undone
EDITS = [Map({"before": (str, type(None)), "after": str})]


@dataclass(frozen=True)
class Tagged:
    """captions: by picture.  tags: in how many of them each is, the most frequent first.  changed:
    texts that this call wrote.

    left: texts that could not be taken back, for a person changed them since.
    undoable: changes that can be taken back.
    """

    captions: dict[Path, str]
    tags: dict[str, int]
    changed: tuple[Path, ...]
    left: tuple[Path, ...]
    undoable: int


@dataclass(frozen=True)
class Counted:
    """CLIP tokens of a caption, and what lies beyond the first 75 of them ('' when all fits)."""

    tokens: int
    beyond: str


def count(caption: str) -> Counted:
    """A caption measured.  Raises: MissingPackageError."""
    return Counted(count_tokens(caption), mark_limit(caption)[1].strip(" ,"))


def list_tags(settings: Settings, workspace: Workspace) -> Tagged:
    """What the captions say.  Raises: WorkspaceError, when there are no crops."""
    return _state(settings, workspace, [], [])


def edit_tags(
    settings: Settings,
    workspace: Workspace,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    replace: Mapping[str, str] | None = None,
) -> Tagged:
    """The same change in every caption: replaced in its place, removed, added at the end; noted so
    that it can be undone.

    Raises: WorkspaceError, when there are no crops or a text cannot be written.
    """
    with workspace.writing("tags"):
        files = [caption_file(path) for path in _pictures(settings, workspace)]
        before = {file: _text(file) for file in dict.fromkeys(files)}
        after = {}
        for file, text in before.items():
            bare = (text or "").removeprefix(BOM)  # else the mark would be part of the first tag
            edited = edit_caption(bare, add, remove, replace)
            after[file] = (text or "") if edited == bare else edited
        return _state(settings, workspace, _change(workspace, before, after), [])


def write_caption(settings: Settings, workspace: Workspace, name: str, text: str) -> Tagged:
    """One caption as a person wrote it, noted so that it can be undone.  name: of the crop, without
    its ending.

    Raises: WorkspaceError, for a crop that there is not.
    """
    with workspace.writing("caption by hand"):
        return _write_caption(settings, workspace, name, text)


def _write_caption(settings: Settings, workspace: Workspace, name: str, text: str) -> Tagged:
    files = {path.stem: caption_file(path) for path in _pictures(settings, workspace)}
    if name not in files:
        raise NotFoundError(f"caption: found no crop '{name}', expected one of {', '.join(files)}")
    file, words = files[name], "\n".join(line.strip() for line in text.splitlines() if line.strip())
    return _state(settings, workspace, _change(workspace, {file: _text(file)}, {file: words}), [])


def _change(
    workspace: Workspace, before: Mapping[Path, str | None], after: Mapping[Path, str]
) -> list[Path]:
    """Write the texts that differ; which they were."""
    changed = [file for file in after if after[file] != (before[file] or "")]
    if changed:
        edits = _edits(workspace)
        edits.append(
            {
                workspace.relative(file): {
                    "before": before[file],
                    "after": fingerprint(after[file]),
                }
                for file in changed
            }
        )
        # First, so that a crash between the texts can be undone too
        write_json(_file(workspace), edits[-KEPT:])
        for file in changed:
            write_text(file, after[file])
    return changed


def undo_tags(settings: Settings, workspace: Workspace) -> Tagged:
    """Take the last change back; a text that was changed since stays as it is.

    Raises: WorkspaceError, when there is nothing to take back.
    """
    with workspace.writing("undo of tags"):
        return _undo(settings, workspace)


def _undo(settings: Settings, workspace: Workspace) -> Tagged:
    edits = _edits(workspace)
    if not edits:
        raise NotFoundError(
            f"{workspace.root}: found no change of tags to undo, expected one by --add, --remove or"
            " --replace"
        )
    files = {
        workspace.relative(caption_file(path)): caption_file(path)
        for path in _pictures(settings, workspace)
    }
    changed, left = [], []
    for name, edit in edits[-1].items():
        file = files.get(name)
        if file is None or _text(file) == edit["before"]:
            continue
        if fingerprint(_text(file)) != edit["after"]:
            left.append(file)
        elif edit["before"] is None:
            file.unlink()
            changed.append(file)
        else:
            write_text(file, edit["before"])
            changed.append(file)
    write_json(_file(workspace), edits[:-1])
    return _state(settings, workspace, changed, left)


def _pictures(settings: Settings, workspace: Workspace) -> list[Path]:
    folder = workspace.image_folder(settings)
    pictures = list_pictures(folder)
    if not pictures:
        raise NotFoundError(f"{folder}: found no pictures, expected crops; call 'crop' first")
    return pictures


def _state(
    settings: Settings, workspace: Workspace, changed: Sequence[Path], left: Sequence[Path]
) -> Tagged:
    captions = {path: read_caption(path) for path in _pictures(settings, workspace)}
    return Tagged(
        captions, tag_table(captions.values()), tuple(changed), tuple(left), undoable(workspace)
    )


def undoable(workspace: Workspace) -> int:
    """How many changes can be taken back."""
    return len(_edits(workspace))


def _text(file: Path) -> str | None:
    """The text as it is, so that undoing gives the same bytes; None where there is none.

    Raises: WorkspaceError.
    """
    if not is_own_file(file):
        return None
    return decode(read_bytes(file), file)


def _file(workspace: Workspace) -> Path:
    return workspace.root / "log" / "edits.json"


def _edits(workspace: Workspace) -> list[dict[str, Any]]:
    """The changes so far, oldest first; none when the file was damaged: then nothing can be undone."""
    try:
        found = read_json(_file(workspace))
        check(found, EDITS, "log/edits.json")
    except (FileNotFoundError, WorkspaceError):
        return []
    return list(found)
