"""The folder of one character: its paths, its settings, and the records of its stages.

The disk is the state.  A stage leaves a record of what it was asked (a fingerprint) and of what it
wrote (a hash for each file); from that a later call knows what is complete, what to continue and
what the user edited.

A folder may come from anybody: no name in its files leads out of it, and no link in it is followed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from ..errors import ConflictError, NotFoundError, SettingsError, WorkspaceError
from ..files import writer_lock
from ..files.event_log import EventLog
from ..files.fileio import (
    MAX_JSON,
    clear_temporaries,
    disk_error,
    file_hash,
    held,
    is_link,
    is_own_file,
    make_folder,
    pin,
    read_json,
    write_bytes,
    write_json,
    write_text,
)
from ..files.names import check_name, is_repeats
from ..settings.schema import Settings
from .preset_origin import PresetOrigin, read_origin
from .stage_record import StageRecord, record_from

log = logging.getLogger(__name__)

# In the order of the job.
STAGES = ("prepare", "crop", "caption", "regularize", "train", "plot", "inpaint")
# What file managers, and a newly formatted disk, leave in a folder.
_SYSTEM_FILES = {".ds_store", ".directory", ".localized", "desktop.ini", "thumbs.db", "lost+found"}
# Where stages write, within a workspace and within each further source of one.
_WRITTEN = tuple(
    "source image/* reg/* model model/* log plots plots/* inpaint inpaint/* samples trigger"
    " lineage loopback loopback/* loopback/*/checkpoint".split()
)
FOLDERS = (*_WRITTEN, "generated/*", *(f"generated/*/{part}" for part in _WRITTEN))


class Workspace:
    """One character's folder.

    Raises: WorkspaceError, when the path is a file or cannot be written.
    """

    def __init__(self, root: Path | str, *, create: bool = True) -> None:
        # Absolute, but links are kept: messages and results name the place as the user does.
        self.root = Path(os.path.abspath(Path(root).expanduser()))
        try:
            if self.root.exists() and not self.root.is_dir():
                raise WorkspaceError(
                    f"{self.root}: found a file, expected a folder; choose another --workspace"
                )
            if not create and not (self.root / "settings.json").exists():
                raise NotFoundError(
                    f"{self.root}: found no workspace; start one with 'run' or 'prepare' and a"
                    " picture"
                )
            if create:
                make_folder(self.root.parent)
                self.root.mkdir(exist_ok=True)
        except OSError as error:
            raise disk_error(error, self.root) from error
        pin(self.root)
        self.events = EventLog(self.root / "log" / "events.jsonl")

    @classmethod
    def begun(cls, root: Path | str) -> Workspace:
        """A new workspace, or one that was begun.

        Raises: ConflictError, for a folder with files in it that is no workspace; nothing is
            written among them.
        """
        path = Path(os.path.abspath(Path(root).expanduser()))
        if path.is_dir() and not is_workspace(path) and not is_vacant(path):
            raise ConflictError(
                f"{path}: found a folder with files in it that is no workspace, expected a new or"
                " empty one; choose another --workspace"
            )
        return cls(path)

    # Writing
    # ----------------------------------------------------------------------------

    @contextmanager
    def writing(self, what: str, wait: float | None = None) -> Iterator[None]:
        """Hold the workspace against other writers: during a job, or for one change of its files.

        While it is held, this thread's next write fails once the workspace is deleted or replaced.

        what: the work, in a word or two, for the message to whoever comes second.
        wait: seconds.
        Raises: ConflictError, naming who holds it; WorkspaceError, for a folder in it that is a
            link; NotFoundError, when it was deleted while this call waited.
        """
        begun = is_workspace(self.root)
        with writer_lock.writing(self.root, what, wait) as outermost, held(self.root):
            if outermost:
                if begun and not is_workspace(self.root):
                    self._leave_nothing()
                    raise NotFoundError(
                        f"{self.root}: found it deleted while '{what}' waited for it, expected the"
                        " workspace; start again with the picture"
                    )
                self._refuse_linked_folders()
                self.clear_temporaries()
            yield

    @contextmanager
    def adding(self) -> Iterator[None]:
        """Hold what no job touches (kept pictures, derived LoRAs), also while a job is at work.

        Raises: ConflictError, when it stays held; WorkspaceError, for a folder in it that is a
            link.
        """
        with writer_lock.changing(self.root, "additions"):
            self._refuse_linked_folders()
            yield

    def _leave_nothing(self) -> None:
        """Remove the folder that the lock made in place of a deleted workspace, if it is empty."""
        with contextlib.suppress(OSError):  # Windows cannot delete a lock that is held
            if is_vacant(self.root):
                for path in self.root.glob(".singlelora.*"):
                    path.unlink()
                self.root.rmdir()

    def _refuse_linked_folders(self) -> None:
        """Raises: WorkspaceError, for a linked folder: what is written below it lands elsewhere."""
        for folder, names, _ in os.walk(self.root):
            for name in names:
                path = Path(folder) / name
                linked = False
                with contextlib.suppress(FileNotFoundError):  # deleted since it was listed
                    linked = is_link(path)
                if linked:
                    raise WorkspaceError(
                        f"{path}: found a link to a folder, expected a folder: what is written"
                        " there would land elsewhere; put the folder itself there, or move the"
                        " whole workspace"
                    )

    # Paths
    # ----------------------------------------------------------------------------

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
        """The list of artifacts in the picture; the PNG of the same name shows them."""
        return self.root / "source" / "artifacts.json"

    @property
    def uncleaned(self) -> Path:
        """The enlarged picture before artifacts were cleaned."""
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
        paths = sorted((self.root / "source").glob("original.*"))
        return next((path for path in paths if is_own_file(path)), None)

    def own_folders(self, settings: Settings) -> list[Path]:
        """kohya's folders of this character: `N_trigger` with any number.

        `5_red_isabella` belongs to another concept.
        """
        return self.image_folders(check_name(settings.character.trigger, "trigger"))

    def image_folders(self, name: str) -> list[Path]:
        """kohya's folders of a name, with any number of repeats; no links.

        Letters may be composed in another way on disk (macOS decomposes them).
        """
        image = self.root / "image"
        normal = unicodedata.normalize("NFC", name)
        folders = []
        for path in sorted(image.iterdir() if image.is_dir() else ()):
            number, _, rest = path.name.partition("_")
            same = unicodedata.normalize("NFC", rest) == normal
            if same and is_repeats(number) and path.is_dir() and not path.is_symlink():
                folders.append(path)
        return folders

    def image_folder(self, settings: Settings) -> Path:
        """kohya's folder of the crops, such as `image/5_isabella`.

        The one that exists, else the path of the one to make; nothing on disk changes.  Where its
        number and `training.repeats` differ, `workspace.repeats.adopt_repeats` settles it, once
        when a job begins.
        """
        trigger = check_name(settings.character.trigger, "trigger")
        wanted = self.root / "image" / f"{settings.training.repeats}_{trigger}"
        folders = self.own_folders(settings)
        return wanted if wanted in folders or not folders else folders[0]

    def reg_folder(self, settings: Settings) -> Path:
        """kohya's folder of the regularization pictures, such as `reg/1_girl`."""
        return self.root / "reg" / f"1_{check_name(settings.character.class_token, 'class')}"

    def lora_name(self, settings: Settings) -> str:
        """Base name of the LoRA files."""
        return check_name(settings.character.trigger, "trigger").replace(" ", "_")

    # Settings
    # ----------------------------------------------------------------------------

    def load_settings(self) -> Settings:
        """The saved settings, or the defaults.

        Raises: SettingsError, when the file was damaged.
        """
        return self.load_settings_and_origin()[0]

    def load_settings_and_origin(self) -> tuple[Settings, PresetOrigin]:
        """The saved settings, or the defaults, and who named their preset.

        Raises: SettingsError, when the file was damaged.
        """
        values, _, origin = self._read_settings()
        return Settings.from_dict(values), origin

    def load_checkpoint_path(self) -> Path | None:
        """The checkpoint the last call used, as the user named it (absolute)."""
        path = self._read_settings()[1]
        return Path(path) if path else None

    def _read_settings(self) -> tuple[dict[str, Any], str, PresetOrigin]:
        """(the settings, the checkpoint's path or '', who named the preset)."""
        try:
            values = read_json(self.settings_file)
        except FileNotFoundError:
            return {}, "", PresetOrigin()
        except WorkspaceError as error:
            raise SettingsError(f"{error} (without it, all settings are the defaults)") from None
        if not isinstance(values, dict):
            kind = "null" if values is None else type(values).__name__
            raise SettingsError(
                f"{self.settings_file}: found {kind}, expected an object of settings; fix it or"
                " delete it"
            )
        checkpoint = values.pop("checkpoint", None) or ""
        if not isinstance(checkpoint, str) or "\0" in checkpoint:
            raise SettingsError(
                f"{self.settings_file}: checkpoint: found {checkpoint!r}, expected the path of a"
                " file; fix it"
            )
        training = values.get("training")
        names_a_preset = "training.preset" in values or (
            isinstance(training, dict) and "preset" in training
        )
        try:
            origin = read_origin(values.pop("preset", None), names_a_preset)
        except WorkspaceError as error:
            raise SettingsError(f"{self.settings_file}: {error}; fix it or delete it") from None
        return values, checkpoint, origin

    def save_settings(self, settings: Settings, checkpoint: Path | None = None) -> None:
        """Save the settings (and the checkpoint's path) if they changed."""
        self.change_settings(lambda _: settings, checkpoint)

    def change_settings(
        self, change: Callable[[Settings], Settings], checkpoint: Path | None = None
    ) -> Settings:
        """Read, change and save the settings in one step: of concurrent changes none is lost.

        They may change while a job is at work, which has read them at its start.  What `change`
        changed counts as set by hand.

        Raises: SettingsError; whatever `change` raises, changing nothing.
        """

        def by_hand(saved: Settings, origin: PresetOrigin) -> tuple[Settings, PresetOrigin]:
            new = change(saved)
            return new, origin.after(saved, new)

        return self.change_with_origin(by_hand, checkpoint)

    def change_with_origin(
        self,
        change: Callable[[Settings, PresetOrigin], tuple[Settings, PresetOrigin]],
        checkpoint: Path | None = None,
    ) -> Settings:
        """The same with a change that also says who named the preset."""
        with writer_lock.changing(self.root, "settings"):
            settings, origin = change(*self.load_settings_and_origin())
            values = settings.to_dict()
            values["preset"] = origin.as_dict(settings.training.preset)
            path = checkpoint or self.load_checkpoint_path()
            if path is not None:
                values["checkpoint"] = str(path)
            text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
            if self.settings_text() != text:
                write_text(self.settings_file, text)
            return settings

    def settings_text(self) -> str | None:
        """The text of the settings file, for `restore_settings`; None for no such file."""
        try:
            # Opening a pipe that came with a workspace would wait for ever.
            if not is_own_file(self.settings_file) or self.settings_file.stat().st_size > MAX_JSON:
                return None
            return self.settings_file.read_text(encoding="utf-8")
        except (FileNotFoundError, UnicodeDecodeError):
            return None

    def restore_settings(self, text: str | None, tried: Settings | None = None) -> None:
        """Put the settings file back as it was.

        tried: the settings to take back; where others have changed them since, theirs stay.
        """
        with writer_lock.changing(self.root, "settings"):
            if tried is not None and self.load_settings() != tried:
                return
            if text is None:
                self.settings_file.unlink(missing_ok=True)
            else:
                write_text(self.settings_file, text)

    # Records
    # ----------------------------------------------------------------------------

    def _record_file(self, stage: str) -> Path:
        return self.root / "log" / f"{stage}.json"

    def record(self, stage: str) -> StageRecord:
        """The record of a stage; an empty one where there is none or its file is damaged.

        A damaged file is logged once.  Without a record nothing is lost: the files on disk count as
        edited by hand and are kept.
        """
        path = self._record_file(stage)
        try:
            return record_from(stage, read_json(path))
        except FileNotFoundError:
            return StageRecord(stage)
        except WorkspaceError as error:
            _log_once(
                path,
                f"{self.root}: {error}; the stage '{stage}' starts without it, and keeps what it"
                " finds",
            )
            return StageRecord(stage)

    def save_record(self, record: StageRecord) -> None:
        """Write the record atomically."""
        write_json(
            self._record_file(record.stage),
            {
                "fingerprint": record.fingerprint,
                "complete": record.complete,
                "files": record.files,
                "data": record.data,
            },
        )

    def relative(self, path: Path) -> str:
        """Path below the workspace, with forward slashes and without kohya's repeats.

        The repeats may change: a record must know the file afterwards.
        """
        return re.sub(r"^image/\d+_", "image/", path.relative_to(self.root).as_posix())

    def own_path(self, name: object) -> Path | None:
        """The path of a relative name read from a file; None for one that leads out of here."""
        if not isinstance(name, str) or not name or "\0" in name or "\\" in name:
            return None
        if (
            PurePosixPath(name).is_absolute()
            or ".." in name.split("/")
            or PureWindowsPath(name).drive
        ):
            return None
        path = self.root / name
        with contextlib.suppress(OSError, RuntimeError, ValueError):
            if path.parent.resolve().is_relative_to(self.root.resolve()) and path != self.root:
                return path
        return None

    def files_of(self, record: StageRecord) -> list[Path]:
        """The paths of the files in a record, with kohya's repeats of today.

        None of them leads out of the workspace.
        """
        paths: list[Path] = []
        for name in record.files:
            head, _, rest = name.partition("/")
            folder, _, file = rest.partition("/")
            names = [name]
            if head == "image" and file and re.fullmatch(r"[^\[\]*?\0]+", folder):
                names = [f"image/{path.name}/{file}" for path in self.image_folders(folder)]
            paths.extend(path for part in names if (path := self.own_path(part)) is not None)
        return paths

    def note_file(self, record: StageRecord, path: Path) -> None:
        """Record the hash of a written file, so that a later edit by hand is recognized."""
        record.files[self.relative(path)] = file_hash(path)

    def edited(self, record: StageRecord, path: Path) -> bool:
        """True if the user changed or brought this file: it is not as the stage wrote it."""
        return path.exists() and record.files.get(self.relative(path)) != file_hash(path)

    def write_unless_edited(
        self, record: StageRecord, path: Path, data: bytes, force: bool, equal_is_ours: bool = True
    ) -> bool:
        """Write a stage's file and record its hash; False when the user's edit was kept instead.

        equal_is_ours: take a file that has no hash and equals the data for one that was left when
            the process was killed between the two.
        """
        if not force and self.edited(record, path):
            if not equal_is_ours or file_hash(path) != hashlib.sha256(data).hexdigest():
                return False
            self.note_file(record, path)
            return True
        write_bytes(path, data)
        self.note_file(record, path)
        return True

    def clear_temporaries(self) -> None:
        """Remove the temporary files that a killed process left in the folders of stages."""
        folders = {self.root, *(folder for part in FOLDERS for folder in self.root.glob(part))}
        clear_temporaries(
            folder for folder in sorted(folders) if folder.is_dir() and not folder.is_symlink()
        )


def is_workspace(root: Path) -> bool:
    """True if a folder is a workspace.

    One whose settings.json was deleted, to start again with the defaults, is one too.
    """
    if is_own_file(root / "settings.json"):
        return True
    pictures = list((root / "source").glob("original.*")) if (root / "source").is_dir() else []
    return bool(pictures) and ((root / "log").is_dir() or (root / writer_lock.LOCK).is_file())


def is_vacant(folder: Path) -> bool:
    """True if a folder holds no file of the user's: only what systems, or our locks, leave."""
    try:
        return all(
            path.name.startswith(".singlelora.") or path.name.lower() in _SYSTEM_FILES
            for path in folder.iterdir()
        )
    except OSError:
        return False


_logged: dict[Path, int] = {}


def _log_once(path: Path, message: str) -> None:
    """Log what is wrong with a file, again only if the file changes: pages ask every second."""
    with contextlib.suppress(OSError):
        changed = path.lstat().st_mtime_ns
        if _logged.get(path) != changed:
            _logged[path] = changed
            log.warning("%s", message)
