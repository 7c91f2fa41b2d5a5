"""Where workers meet: a journal file, SQLite or PostgreSQL."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import MissingPackageError, StorageError
from ..files.fileio import disk_error, temporary_name
from .optuna_package import load_optuna

INTERVAL = 15  # seconds between a worker's heartbeats
MISSED = 4  # heartbeats in a row; then its unit is another's
RETRIES = 5  # of a unit whose workers die: it may be what kills them
MOST_APART = 10.0  # seconds between this machine's clock and the storage's
JOURNAL = "journal.log"
BEGIN = b'{"op_code"'  # of a journal's lines

clock: Callable[[], float] = time.time  # this machine's


@dataclass(frozen=True)
class Storage:
    """An open storage.

    url: as the user wrote it, without a password.
    optuna: Optuna's storage.
    folder: of its file; None for a server.
    """

    url: str
    optuna: Any
    folder: Path | None

    def stored(self, path: Path) -> str:
        """A path as it is written into the storage: relative to its file, as mounts differ."""
        if self.folder is not None:
            with contextlib.suppress(ValueError):  # on another drive
                return Path(os.path.relpath(path, self.folder)).as_posix()
        return str(path)

    def close(self) -> None:
        """Let go of the database."""
        if hasattr(self.optuna, "engine"):
            self.optuna.remove_session()
            self.optuna.engine.dispose()

    def real(self, stored: str) -> Path:
        """The path on this machine of one that was written by any."""
        return Path(os.path.abspath((self.folder or Path()) / stored))


def open_storage(url: str, create: bool = False, interval: int = INTERVAL) -> Storage:
    """The storage of a URL or a path.

    url: a path is a journal's; sqlite:///FILE and postgresql://USER@HOST/NAME are databases.
    create: False refuses a file that is not there.
    interval: seconds between a worker's heartbeats.
    Raises: StorageError, MissingPackageError.
    """
    if interval < 1:
        raise StorageError(
            f"--heartbeat: found {interval} seconds, expected 1 or more; with none the units of a"
            " worker that died would never be another's"
        )
    optuna = load_optuna()
    on_dead = optuna.storages.RetryHeartbeatStaleTrialCallback(
        max_retry=RETRIES, inherit_intermediate_values=True
    )
    kind, _, rest = url.partition("://")
    if rest and kind != "journal":
        storage = _database(optuna, url, create, interval, on_dead)
    else:
        storage = _journal(Path(rest or url).expanduser(), create, interval, on_dead)
    _check_clock(storage)
    return storage


def _journal(path: Path, create: bool, interval: int, on_dead: Any) -> Storage:
    from .journal import BeatingJournal

    path = Path(os.path.abspath(path))
    _check_file(path, create)
    _check_journal(path)
    try:
        opened = BeatingJournal(str(path), interval, MISSED * interval, on_dead)
    except OSError as error:
        raise StorageError(str(disk_error(error, path))) from error
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError) as error:
        raise StorageError(
            f"{path}: found a file that is no journal of this version ({error}), expected one that"
            " 'sweep' or 'batch' began; name another file, or use the Optuna that wrote it"
        ) from error
    return Storage(str(path), opened, path.parent)


def _check_file(path: Path, create: bool) -> None:
    if path.is_dir():
        raise StorageError(
            f"{path}: found a folder, expected a journal file such as {path / JOURNAL}"
        )
    if not path.exists() and not (create and path.parent.is_dir()):
        wanted = "its folder" if create else "one that 'sweep' or 'batch' began"
        raise StorageError(
            f"{path}: found no storage there, expected {wanted}; check the path, or whether the"
            " shared folder is mounted"
        )


def _check_journal(path: Path) -> None:
    """Refuse a file that is something else: Optuna takes a last line that it cannot read for one
    that is being written, and would append to the user's file.

    Raises: StorageError.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(len(BEGIN))
    except FileNotFoundError:
        return
    except OSError as error:
        raise StorageError(str(disk_error(error, path))) from error
    if not BEGIN.startswith(begin):  # another worker may be writing the first line now
        raise StorageError(
            f"{path}: found a file that is no journal, expected one that 'sweep' or 'batch' began;"
            " name another file"
        )


def _database(optuna: Any, url: str, create: bool, interval: int, on_dead: Any) -> Storage:
    shown = re.sub(r"(://[^:/@]*):[^@/]*@", r"\1:***@", url)
    file = Path(os.path.abspath(url.partition(":///")[2])) if url.startswith("sqlite") else None
    if file is not None:
        _check_file(file, create)
    try:
        opened = optuna.storages.RDBStorage(
            _with_driver(url),
            engine_kwargs={"connect_args": {"timeout": 60}} if file else {"pool_pre_ping": True},
            heartbeat_interval=interval,
            grace_period=MISSED * interval,
            heartbeat_stale_trial_callback=on_dead,
        )
    except ImportError as error:
        raise MissingPackageError(
            f"{shown}: found no {error.name}, expected the database's driver; install it with pip"
            " install 'single-image-lora[sweep]'"
        ) from error
    except RuntimeError as error:  # Optuna's word for a schema of another version
        raise StorageError(
            f"{shown}: found a storage of another version of Optuna, expected that of"
            f" {optuna.__version__}: {error}"
        ) from error
    except Exception as error:
        if not _is_of_database(error):
            raise
        reason = str(getattr(error, "orig", None) or error).strip().split("\n")[0]
        raise StorageError(
            f"{shown}: found no storage that can be used ({reason}), expected sqlite:///FILE,"
            " postgresql://USER@HOST/NAME or the path of a journal; check address and name"
        ) from error
    return Storage(shown, opened, file.parent if file else None)


def _is_of_database(error: Exception) -> bool:
    module = type(error).__module__
    return module.startswith(("sqlalchemy", "optuna", "psycopg", "alembic", "sqlite3"))


def _with_driver(url: str) -> str:
    """PostgreSQL's URL with the driver that the extra `sweep` brings."""
    if url.startswith(("postgresql://", "postgres://")) and importlib.util.find_spec("psycopg"):
        return f"postgresql+psycopg://{url.partition('://')[2]}"
    return url


def _check_clock(storage: Storage) -> None:
    """Raises: StorageError, where this machine's clock is apart from that of the storage.

    Heartbeats are compared across machines: with a clock ahead every other worker seems dead.
    """
    there = _clock_of(storage)
    apart = 0.0 if there is None else clock() - there
    if abs(apart) > MOST_APART:
        raise StorageError(
            f"{storage.url}: found this machine's clock {abs(apart):.0f} s"
            f" {'ahead of' if apart > 0 else 'behind'} the storage's, expected"
            f" {MOST_APART:.0f} s at most, or workers take each other for dead; set the clocks"
        )


def _clock_of(storage: Storage) -> float | None:
    """Seconds since 1970 by the file server's or database's clock; None where it is not known."""
    if storage.folder is not None:
        probe = storage.folder / temporary_name()
        try:
            probe.write_bytes(b"")
            try:
                return probe.stat().st_mtime
            finally:
                probe.unlink()
        except OSError as error:
            raise StorageError(str(disk_error(error, probe))) from error
    engine = storage.optuna.engine
    if engine.dialect.name != "postgresql":
        return None
    from sqlalchemy import extract, func, select

    with engine.connect() as connection:
        return float(connection.execute(select(extract("epoch", func.now()))).scalar_one())
