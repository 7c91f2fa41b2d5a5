"""One character's folder: every path, atomic writes, and what each stage made.

The disk is the state.  A stage leaves a record of what it was asked (a fingerprint) and of what it wrote (a hash for
each file); from that a later call knows what is complete, what is to be continued and what a person edited.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import re
import tempfile
import unicodedata
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

from .errors import SettingsError, WorkspaceError
from .jobs import EventLog
from .settings import Settings

STAGES = ("prepare", "crop", "caption", "regularize", "train", "plot", "inpaint")  # in the order of the job
_RESERVED = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}


def check_name(name: str, what: str) -> str:
    """A name that every file system and every caption takes, unchanged.

    Raises: WorkspaceError, for an empty one, one with a slash, comma, dot-dot, emoji or control character, one that
    Windows reserves, or one over 64 characters.
    """
    allowed = "expected letters, digits, spaces, '-' or '_' (1 to 64 of them)"
    if not name or name != name.strip() or len(name) > 64:
        raise WorkspaceError(f"{what} {name!r}: {allowed}; choose another word")
    for character in name:
        if not (unicodedata.category(character)[0] in "LN" or unicodedata.category(character) == "Mn" or character in " -_"):
            raise WorkspaceError(f"{what} {name!r}: found {character!r}, {allowed}; choose another word")
    if name.upper() in _RESERVED:
        raise WorkspaceError(f"{what} {name!r}: Windows reserves this word for a device; choose another, such as '{name}a'")
    return name


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` whole or not at all: temporary name, flush, fsync, rename.

    Raises: WorkspaceError, when the disk is full or the folder is read-only.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
    except OSError as error:
        raise disk_error(error, path) from error
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise disk_error(error, path) from error
        raise


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def disk_error(error: OSError, path: Path) -> WorkspaceError:
    """The error in words a user can act on."""
    reasons = {
        errno.ENOSPC: "the disk is full; free some room and call again, it goes on where it stopped",
        errno.EDQUOT: "the disk quota is used up; free some room and call again, it goes on where it stopped",
        errno.EROFS: "the file system is read-only; choose a folder that can be written",
        errno.EACCES: "permission denied; choose a folder that you may write to",
        errno.EPERM: "permission denied; choose a folder that you may write to",
        errno.ENOTDIR: "a part of the path is a file; choose another folder",
        errno.EEXIST: "a part of the path is a file; choose another folder",
        errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    }
    if isinstance(error, FileNotFoundError):
        return WorkspaceError(f"{path}: cannot be written: its folder does not exist and cannot be made; choose another")
    return WorkspaceError(f"{path}: cannot be written: {reasons.get(error.errno or 0, error.strerror or str(error))}")


def write_bytes(path: Path, data: bytes) -> None:
    """Write atomically."""
    with atomic(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 atomically, with plain newlines."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n")


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def fingerprint(*parts: Any) -> str:
    """A short hash of values that JSON can write; equal parts, equal hash."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:20]


@dataclass
class StageRecord:
    """What a stage was asked and what it wrote.  files: relative path -> SHA-256.  data: the stage's own notes."""

    stage: str
    fingerprint: str = ""
    complete: bool = False
    files: dict[str, str] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)


class Workspace:
    """One character's folder.

    Raises: WorkspaceError, when the path is a file or cannot be written.
    """

    def __init__(self, root: Path | str, *, create: bool = True) -> None:
        # Absolute, but links are kept: the user's own name of the place stays in messages and results.
        self.root = Path(os.path.abspath(Path(root).expanduser()))
        try:
            if self.root.exists() and not self.root.is_dir():
                raise WorkspaceError(f"{self.root}: found a file, expected a folder; choose another --workspace")
            if not create and not (self.root / "settings.json").exists():
                raise WorkspaceError(f"{self.root}: found no workspace; start one with 'run' or 'prepare' and a picture")
            self.root.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.root) from error
        self.events = EventLog(self.root / "log" / "events.jsonl")

    # Paths -----------------------------------------------------------------------------------------------------------

    @property
    def settings_file(self) -> Path:
        return self.root / "settings.json"

    @property
    def prepared(self) -> Path:
        return self.root / "source" / "prepared.png"

    @property
    def mask(self) -> Path:
        """Foreground mask of the prepared picture (L, white is the character)."""
        return self.root / "source" / "mask.png"

    @property
    def coverage(self) -> Path:
        """How often the crops show each part of the prepared picture."""
        return self.root / "source" / "coverage.png"

    @property
    def artifacts(self) -> Path:
        """The list of what does not belong to the picture; the picture of the same name shows it."""
        return self.root / "source" / "artifacts.json"

    @property
    def uncleaned(self) -> Path:
        """The enlarged picture as it was before artifacts were cleaned."""
        return self.root / "source" / "uncleaned.png"

    @property
    def models(self) -> Path:
        return self.root / "model"

    @property
    def snapshot(self) -> Path:
        return self.root / "model" / "snapshot"

    @property
    def plots(self) -> Path:
        return self.root / "plots"

    @property
    def inpaint(self) -> Path:
        return self.root / "inpaint"

    def original(self) -> Path | None:
        """The picture as the user gave it, whatever its suffix."""
        found = sorted((self.root / "source").glob("original.*"))
        return found[0] if found else None

    def image_folder(self, settings: Settings) -> Path:
        """kohya's folder of the crops, such as `image/5_isabella`; one made with other repeats is renamed.

        The folder's number is what kohya's tools read, so it follows `training.repeats`.
        """
        name = check_name(settings.character.trigger, "trigger")
        wanted = self.root / "image" / f"{settings.training.repeats}_{name}"
        if not wanted.exists():
            for other in sorted((self.root / "image").glob(f"*_{name}")):
                if other.is_dir() and other.name.split("_", 1)[0].isdigit():
                    other.rename(wanted)
                    break
        return wanted

    def reg_folder(self, settings: Settings) -> Path:
        """kohya's folder of the regularization pictures, such as `reg/1_girl`."""
        return self.root / "reg" / f"1_{check_name(settings.character.class_token, 'class')}"

    def lora_name(self, settings: Settings) -> str:
        """Base name of the LoRA files."""
        return check_name(settings.character.trigger, "trigger").replace(" ", "_")

    # Settings --------------------------------------------------------------------------------------------------------

    def load_settings(self) -> Settings:
        """The saved settings, or the defaults.  Raises: SettingsError, when the file was damaged."""
        if not self.settings_file.exists():
            return Settings.from_dict({})
        return Settings.from_dict(self._read_settings()["settings"])

    def load_checkpoint_path(self) -> Path | None:
        """The checkpoint the last call used, as the user named it (absolute)."""
        if not self.settings_file.exists():
            return None
        path = self._read_settings().get("checkpoint")
        return Path(path) if path else None

    def _read_settings(self) -> dict[str, Any]:
        try:
            values = json.loads(self.settings_file.read_text(encoding="utf-8"))
            checkpoint = values.pop("checkpoint", None) if isinstance(values, dict) else None
        except ValueError as error:
            raise SettingsError(f"{self.settings_file}: not valid JSON ({error}); mend it or delete it") from None
        if not isinstance(values, dict):
            raise SettingsError(f"{self.settings_file}: found a {type(values).__name__}, expected an object; mend it")
        return {"settings": values, "checkpoint": checkpoint}

    def save_settings(self, settings: Settings, checkpoint: Path | None = None) -> None:
        """Save the settings (and the checkpoint's path) if they changed."""
        values = settings.to_dict()
        path = checkpoint or self.load_checkpoint_path()
        if path is not None:
            values["checkpoint"] = str(path)
        text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
        if not self.settings_file.exists() or self.settings_file.read_text(encoding="utf-8") != text:
            write_text(self.settings_file, text)

    def settings_text(self) -> str | None:
        """The settings file as it is, for `restore_settings`; None when there is none."""
        return self.settings_file.read_text(encoding="utf-8") if self.settings_file.exists() else None

    def restore_settings(self, text: str | None) -> None:
        """Put the settings file back as it was."""
        if text is None:
            self.settings_file.unlink(missing_ok=True)
        else:
            write_text(self.settings_file, text)

    # Records ---------------------------------------------------------------------------------------------------------

    def _record_file(self, stage: str) -> Path:
        return self.root / "log" / f"{stage}.json"

    def record(self, stage: str) -> StageRecord:
        """What the stage wrote last, or an empty record (also when its file was damaged)."""
        try:
            values = json.loads(self._record_file(stage).read_text(encoding="utf-8"))
            return StageRecord(stage, **{key: values[key] for key in ("fingerprint", "complete", "files", "data")})
        except (OSError, ValueError, KeyError, TypeError):
            return StageRecord(stage)

    def save_record(self, record: StageRecord) -> None:
        """Write the record atomically."""
        write_json(self._record_file(record.stage),
                   {"fingerprint": record.fingerprint, "complete": record.complete, "files": record.files,
                    "data": record.data})

    def relative(self, path: Path) -> str:
        """Path below the workspace with forward slashes; without kohya's repeats, which may change."""
        return re.sub(r"^image/\d+_", "image/", path.relative_to(self.root).as_posix())

    def files_of(self, record: StageRecord) -> list[Path]:
        """The paths of what a record lists, wherever kohya's repeats moved them."""
        paths: list[Path] = []
        for name in record.files:
            head, _, rest = name.partition("/")
            if head == "image":
                paths.extend(p for p in (self.root / "image").glob(f"*_{rest}") if self.relative(p) == name)
            else:
                paths.append(self.root / name)
        return paths

    def note_file(self, record: StageRecord, path: Path) -> None:
        """Remember a file as it was written, so that a later edit by hand is seen."""
        record.files[self.relative(path)] = file_hash(path)

    def edited(self, record: StageRecord, path: Path) -> bool:
        """Whether a person changed or brought this file: it is there and not as the stage wrote it."""
        return path.exists() and record.files.get(self.relative(path)) != file_hash(path)

    def write_unless_edited(self, record: StageRecord, path: Path, data: bytes, force: bool) -> bool:
        """Write a stage's file and note it; False when a person's edit was kept instead."""
        if not force and self.edited(record, path):
            return False
        write_bytes(path, data)
        self.note_file(record, path)
        return True

    def clear_temporaries(self) -> None:
        """Remove the temporary files that a killed process left."""
        for leftover in self.root.rglob(".*.tmp"):
            with contextlib.suppress(OSError):
                leftover.unlink()


def files_state(paths: Mapping[str, Path]) -> dict[str, str]:
    """Hash of each file by its name, for fingerprints; missing ones are 'missing'."""
    return {name: file_hash(path) if path.exists() else "missing" for name, path in paths.items()}
