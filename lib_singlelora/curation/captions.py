"""All captions of a workspace: their tags, the same edit in each of them, and undo.

What is changed here counts as edited by hand: the stage `caption` leaves it alone.  Undo reads
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
class CaptionsState:
    """The captions after a call.

    captions: by picture.
    tags: in how many captions each is, the most frequent first.
    changed: the texts that this call wrote.
    left: the texts that undo left alone, as they were changed since.
    undoable: how many changes can be taken back.
    """

    captions: dict[Path, str]
    tags: dict[str, int]
    changed: tuple[Path, ...]
    left: tuple[Path, ...]
    undoable: int


@dataclass(frozen=True)
class TokenCount:
    """A caption measured.

    tokens: of CLIP.
    beyond: the part after the first 75 tokens; '' when all fits.
    """

    tokens: int
    beyond: str


def count(caption: str) -> TokenCount:
    """The CLIP tokens of a caption, of its longest line.  Raises: MissingPackageError."""
    line = max(caption.splitlines() or [""], key=count_tokens)
    return TokenCount(count_tokens(line), mark_limit(line)[1].strip(" ,"))


def list_tags(settings: Settings, workspace: Workspace) -> CaptionsState:
    """The captions and their tags.  Raises: NotFoundError, when there are no crops."""
    return _state(settings, workspace, [], [])


def edit_tags(
    settings: Settings,
    workspace: Workspace,
    add: Sequence[str] = (),
    remove: Sequence[str] = (),
    replace: Mapping[str, str] | None = None,
) -> CaptionsState:
    """Make the same edit in every caption, so that it can be undone.

    add: tags to append.
    remove: tags to leave out.
    replace: old tag -> new tag, in its place.
    Raises: NotFoundError, when there are no crops; WorkspaceError, for a text that cannot be
        written.
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


def write_caption(settings: Settings, workspace: Workspace, name: str, text: str) -> CaptionsState:
    """Write one caption, so that it can be undone.

    name: of the crop's file, without suffix.
    Raises: NotFoundError, for an unknown crop.
    """
    with workspace.writing("caption by hand"):
        return _write_caption(settings, workspace, name, text)


def _write_caption(settings: Settings, workspace: Workspace, name: str, text: str) -> CaptionsState:
    files = {path.stem: caption_file(path) for path in _pictures(settings, workspace)}
    if name not in files:
        raise NotFoundError(f"caption: found no crop '{name}', expected one of {', '.join(files)}")
    file = files[name]
    lines = (line.strip() for line in text.splitlines())
    after = {file: "\n".join(line for line in lines if line)}
    return _state(settings, workspace, _change(workspace, {file: _text(file)}, after), [])


def _change(
    workspace: Workspace, before: Mapping[Path, str | None], after: Mapping[Path, str]
) -> list[Path]:
    """Write the texts that differ; the files that were changed."""
    changed = [file for file in after if after[file] != (before[file] or "")]
    if changed:
        edits = edits_of(workspace)
        edits.append(
            {
                workspace.relative(file): {
                    "before": before[file],
                    "after": fingerprint(after[file]),
                }
                for file in changed
            }
        )
        # Before the texts, so that a crash between them can be undone too
        write_json(edits_file(workspace), edits[-KEPT:])
        for file in changed:
            write_text(file, after[file])
    return changed


def undo_tags(settings: Settings, workspace: Workspace) -> CaptionsState:
    """Undo the last change; a text that was changed since stays as it is.

    Raises: NotFoundError, when there is nothing to undo.
    """
    with workspace.writing("undo of tags"):
        return _undo(settings, workspace)


def _undo(settings: Settings, workspace: Workspace) -> CaptionsState:
    edits = edits_of(workspace)
    if not edits:
        raise NotFoundError(
            f"{workspace.root}: found no change of tags to undo, expected one by --add, --remove or"
            " --replace"
        )
    files = {
        workspace.relative(caption_file(path)): caption_file(path)
        for path in _pictures(settings, workspace)
    }
    changed = []
    left = []
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
    write_json(edits_file(workspace), edits[:-1])
    return _state(settings, workspace, changed, left)


def _pictures(settings: Settings, workspace: Workspace) -> list[Path]:
    folder = workspace.image_folder(settings)
    pictures = list_pictures(folder)
    if not pictures:
        raise NotFoundError(f"{folder}: found no pictures, expected crops; call 'crop' first")
    return pictures


def _state(
    settings: Settings, workspace: Workspace, changed: Sequence[Path], left: Sequence[Path]
) -> CaptionsState:
    captions = {path: read_caption(path) for path in _pictures(settings, workspace)}
    return CaptionsState(
        captions, tag_table(captions.values()), tuple(changed), tuple(left), undoable(workspace)
    )


def undoable(workspace: Workspace) -> int:
    """How many changes can be undone."""
    return len(edits_of(workspace))


def _text(file: Path) -> str | None:
    """The text unchanged, so that undo restores the same bytes; None for no file.

    Raises: WorkspaceError.
    """
    if not is_own_file(file):
        return None
    return decode(read_bytes(file), file)


def edits_file(workspace: Workspace) -> Path:
    """Where the changes are kept that can be undone."""
    return workspace.root / "log" / "edits.json"


def edits_of(workspace: Workspace) -> list[dict[str, Any]]:
    """The changes so far, oldest first; none when the file is damaged."""
    try:
        edits = read_json(edits_file(workspace))
        check(edits, EDITS, "log/edits.json")
    except (FileNotFoundError, WorkspaceError):
        return []
    return list(edits)
