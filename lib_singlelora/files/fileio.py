"""Files of ours: written atomically, hashed, read as JSON, cleaned up after a killed process.

Standard library only, because the launcher needs it before anything is installed.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from ..errors import NotFoundError, WorkspaceError

# Bytes; our largest, a record of thousands of pictures, has about 2 MB
MAX_JSON = 64 * 2**20
DAY = 24 * 3600  # seconds until another machine's untouched temporary file counts as abandoned

Identity = tuple[int, int]  # device and inode: what a folder is, whatever it is called

# Seconds between tries: Windows replaces no file while something (a page, a virus scanner) reads
# it.
PATIENCE: tuple[float, ...] = (0.01, 0.03, 0.1, 0.3, 1.0) if sys.platform == "win32" else ()

_pinned: set[Path] = set()
_held = threading.local()


# Writing
# ------------------------------------------------------------


@contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file that appears at `path` whole or not at all.

    It is written under a temporary name, flushed, synced and renamed.  A link at `path` is
    replaced, not followed.  The file's mode is 0o666 under the process's umask, or as the folder's
    access list has it.

    Raises: WorkspaceError, when the disk is full or the folder is read-only, or when the workspace
    that the path lies in was deleted.
    """
    try:
        check_present(path)
        make_folder(path.parent)
        temporary = path.parent / temporary_name()
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        # Not tempfile.mkstemp: its files have the mode 0o600, and the umask, which tells what they
        # should have, cannot be read without being set for all threads.
        handle = os.open(temporary, flags, 0o666)
    except OSError as error:
        raise disk_error(error, path) from error
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        check_present(path)
        _replace(temporary, path)
    except BaseException as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if isinstance(error, OSError):
            raise disk_error(error, path) from error
        raise


def disk_error(error: OSError, path: Path) -> WorkspaceError:
    """The error in words that the user can act on."""
    reasons = {
        errno.ENOSPC: (
            "the disk is full; free some room and call again, it goes on where it stopped"
        ),
        errno.EDQUOT: (
            "the disk quota is used up; free some room and call again, it goes on where it stopped"
        ),
        errno.EROFS: "the file system is read-only; choose a folder that can be written",
        errno.EACCES: "permission denied; choose a folder that you may write to",
        errno.EPERM: "permission denied; choose a folder that you may write to",
        errno.ENOTDIR: "a part of the path is a file; choose another folder",
        errno.EEXIST: "a part of the path is a file; choose another folder",
        errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    }
    if isinstance(error, FileNotFoundError):
        return WorkspaceError(
            f"{path}: cannot be written: its folder does not exist and cannot be "
            "made; choose another"
        )
    why = reasons.get(error.errno or 0, error.strerror or str(error))
    return WorkspaceError(f"{path}: cannot be written: {why}")


def move(old: Path, new: Path) -> None:
    """Rename a file or a folder; a file at `new` is replaced.  Raises: WorkspaceError."""
    try:
        check_present(new)
        make_folder(new.parent)
        _replace(old, new)
    except OSError as error:
        raise disk_error(error, new) from error


def _replace(old: Path, new: Path) -> None:
    for seconds in PATIENCE:
        with contextlib.suppress(PermissionError):
            old.replace(new)
            return
        time.sleep(seconds)
    old.replace(new)


def write_bytes(path: Path, data: bytes) -> None:
    """Write atomically."""
    with atomic(path) as file:
        file.write(data)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 atomically, with plain newlines."""
    write_bytes(path, text.encode("utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write indented JSON atomically."""
    text = json.dumps(value, indent=1, ensure_ascii=False, default=str) + "\n"
    # Half of a surrogate pair, as in a file name of another encoding, becomes its own JSON escape.
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


# Folders that stay deleted
# ------------------------------------------------------------


def make_folder(folder: Path) -> None:
    """Make a folder and its parents, but never again a pinned one that was deleted.

    Raises: OSError; NotFoundError, naming the folder that was deleted.
    """
    missing = []
    while not folder.is_dir():
        if folder in _pinned:
            raise _deleted(folder)
        missing.append(folder)
        if folder.parent == folder:
            break
        folder = folder.parent
    for missing_folder in reversed(missing):
        # One by one and without parents: a folder deleted meanwhile must not come back.
        missing_folder.mkdir(exist_ok=True)


def pin(root: Path) -> None:
    """From now on no write makes this folder again once it is deleted."""
    _pinned.add(root)


def identity(folder: Path) -> Identity | None:
    """A folder's device and inode, or None when it is gone."""
    try:
        status = folder.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


@contextmanager
def held(root: Path) -> Iterator[None]:
    """Within the block this thread writes below `root` only while it is the same folder as now."""
    roots: dict[Path, Identity | None] = getattr(_held, "roots", {})
    _held.roots = {**roots, root: identity(root)}
    try:
        yield
    finally:
        _held.roots = roots


def check_present(path: Path) -> None:
    """Check that no folder above `path` that this thread holds was deleted or replaced.

    Raises: NotFoundError.
    """
    roots: Mapping[Path, Identity | None] = getattr(_held, "roots", {})
    for root, known in roots.items():
        if path.is_relative_to(root) and identity(root) != known:
            raise _deleted(root)


def _deleted(root: Path) -> NotFoundError:
    return NotFoundError(
        f"{root}: the folder was deleted or replaced while it was being written; "
        "what was not saved elsewhere is lost. Start again with the picture"
    )


# Reading
# ------------------------------------------------------------


def is_own_file(path: Path) -> bool:
    """True for a regular file: no link, which may lead anywhere, no pipe, which may block."""
    return path.is_file() and not path.is_symlink()


def is_link(path: Path) -> bool:
    """True for a link or, on Windows, a junction, which any user may create there.

    Raises: OSError.
    """
    # IO_REPARSE_TAG_MOUNT_POINT; other tags are files that a cloud folder keeps elsewhere
    mount_point = 0xA0000003
    return path.is_symlink() or getattr(path.lstat(), "st_reparse_tag", 0) == mount_point


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises: FileNotFoundError; WorkspaceError, for a link, text that is not UTF-8 or not JSON, and
    JSON that is too large or nested too deeply.
    """
    if path.is_symlink():
        raise WorkspaceError(
            f"{path}: found a link, expected a file; links in a workspace are not followed"
        )
    if not path.exists():
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    if not path.is_file() or path.stat().st_size > MAX_JSON:
        raise WorkspaceError(
            f"{path}: found {'no file' if not path.is_file() else 'too large a file'}, expected"
            f" JSON of at most {MAX_JSON >> 20} MB; take it away"
        )
    try:
        return json.loads(path.read_bytes().decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        reason = f"a byte that is not UTF-8 at {error.start}"
    except RecursionError:
        reason = "JSON nested too deeply"
    except ValueError as error:
        reason = f"text that is not valid JSON ({error})"
    except OSError as error:
        reason = f"a file that cannot be read ({error.strerror})"
    raise WorkspaceError(f"{path}: found {reason}, expected JSON in UTF-8; fix it or delete it")


def file_hash(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def file_state(path: Path) -> tuple[int, ...]:
    """What tells a file from another one at its place, without reading it.

    The time of the change alone does not: files of one archive have the same.
    Raises: OSError.
    """
    found = path.stat()
    return found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino


def fingerprint(*parts: Any) -> str:
    """A short hash of values that JSON can represent; equal parts have equal hashes."""
    text = json.dumps(parts, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:20]


# Temporary files
# ------------------------------------------------------------


def _machine() -> str:
    """A hash of this machine, and on Linux this container: the scope of a process id."""
    space = ""
    with contextlib.suppress(OSError):
        space = str(Path("/proc/self/ns/pid").readlink())
    return hashlib.sha256(f"{platform.node()}|{space}".encode("utf-8", "replace")).hexdigest()[:8]


_MACHINE = _machine()
_PROCESS = secrets.token_hex(4)
_TEMPORARY = re.compile(r"\.singlelora-([0-9a-f]{8})-([0-9]{1,10})-([0-9a-f]{8})-[0-9a-f]{8}\.tmp")


def this_machine() -> str:
    """A hash of this machine, or container: within it a process id means one process."""
    return _MACHINE


def temporary_name() -> str:
    """A new name for a file being written, which marks it as ours and names the process."""
    return f".singlelora-{_MACHINE}-{os.getpid()}-{_PROCESS}-{secrets.token_hex(4)}.tmp"


def clear_temporaries(folders: Iterable[Path]) -> None:
    """Remove temporary files of our dead processes from these folders, and nothing else."""
    for folder in folders:
        with contextlib.suppress(OSError):
            for path in [path for path in folder.iterdir() if _is_abandoned(path)]:
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink()


def _is_abandoned(path: Path) -> bool:
    """True for a temporary file whose process is dead, or of another machine and a day old."""
    name = _TEMPORARY.fullmatch(path.name)
    if name is None:
        return False
    machine = name[1]
    number = int(name[2])
    process = name[3]
    if machine == _MACHINE and number == os.getpid():
        return process != _PROCESS  # the process id was reused, for us
    if machine == _MACHINE and not is_running(number):
        return True
    return time.time() - path.lstat().st_mtime > DAY


def is_running(number: int) -> bool:
    """True if a process of this id runs on this machine."""
    if sys.platform == "win32":
        import ctypes

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        # PROCESS_QUERY_LIMITED_INFORMATION; os.kill would end the process there.
        handle = kernel.OpenProcess(0x1000, False, number)
        if not handle:
            return bool(ctypes.get_last_error() == 5)  # access denied: it is there
        code = ctypes.c_ulong()
        known = kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        kernel.CloseHandle(handle)
        return not known or code.value == 259  # STILL_ACTIVE
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True  # it is another user's
    return True
