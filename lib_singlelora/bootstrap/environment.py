"""`.venv` beside the checkout: made, filled and checked.  Standard library only; runs before
anything is installed.

What is installed is written down in `.venv/singlelora.json` after it succeeded.  While that agrees
with `pyproject.toml`, pip is not called and no network is needed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import SingleLoraError

VERSION = 1  # Raise it when an install made by an older launcher must be made again.
TORCH_ARGS = "SINGLELORA_TORCH_ARGS"
UNPINNED = "SINGLELORA_UNPINNED"
# The versions that were tried together, one file for each Python: python -m tools.constraints
CONSTRAINTS = Path(__file__).parent / "constraints"
# What pip says on stderr of itself and of the machine, not of the packages.  That it tries again
# is shown: without a network that is all it says for minutes.
NOISE = ("WARNING:", "DEPRECATION:", "[notice]")
NEEDED_BYTES = 3 * 1024**3
MARK = "singlelora.made"  # in a `.venv` of ours, from its first moment on


class SetupError(SingleLoraError):
    """The environment cannot be made; one line says why."""


@dataclass(frozen=True)
class Lock:
    """A finished install.

    torch_args: the user's own arguments for PyTorch.
    python: what `.venv` stands on.
    unpinned: the newest packages were taken, not the versions that were tried together.
    """

    digest: str
    extras: tuple[str, ...]
    torch_args: str
    python: str
    unpinned: bool = False


def venv_python(root: Path, platform: str = os.name) -> Path:
    """The Python inside `.venv`.  platform: as `os.name`."""
    return root / ".venv" / ("Scripts/python.exe" if platform == "nt" else "bin/python")


def is_running(root: Path) -> bool:
    """Whether this very process runs on the Python inside `.venv`."""
    folder = root / ".venv"
    return folder.exists() and os.path.samefile(sys.prefix, folder)


def lock_file(root: Path) -> Path:
    """Where a finished install is written down."""
    return root / ".venv" / "singlelora.json"


def read_lock(root: Path) -> Lock | None:
    """What is installed; None when no install was finished or the Python it stands on has gone or
    changed.
    """
    try:
        values = json.loads(lock_file(root).read_text(encoding="utf-8"))
        found = Lock(**{**values, "extras": tuple(values["extras"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return found if venv_python(root).exists() and found.python == base_python(root) else None


def write_lock(root: Path, lock: Lock) -> None:
    """Write the lock at once or not at all."""
    _write(lock_file(root), json.dumps(asdict(lock), indent=1) + "\n")


def _write(path: Path, text: str) -> None:
    """The text, whole or not at all: what a killed install leaves must not read as a finished one.

    Raises: SetupError, when the disk is full.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise SetupError(
            f"{path}: cannot be written ({error.strerror}); free some room, then call again"
        ) from None


def base_python(root: Path) -> str:
    """The Python beneath `.venv`: its version, and where it is a link (not on Windows) the file
    that it leads to.

    A system's upgrade may put another Python under the link, whose packages would then be looked
    for elsewhere.
    """
    with contextlib.suppress(OSError):
        text = (root / ".venv" / "pyvenv.cfg").read_text(encoding="utf-8")
        version = re.search(r"^version\S* = (.*)$", text, re.M)
        target = os.path.realpath(venv_python(root)) if venv_python(root).is_symlink() else ""
        return f"{version.group(1) if version else ''} {target}".strip()
    return ""


def requirements(pyproject: str, extras: Sequence[str]) -> list[str]:
    """The requirements that the text of a `pyproject.toml` lists for the project and some of its
    extras.

    Reads only the form that ours has (lists of double-quoted strings), because Python 3.10 has no
    TOML reader.
    Raises: SetupError, for an extra that is not there.
    """
    found: list[str] = []
    for section, name in [
        ("project", "dependencies"),
        *(("project.optional-dependencies", extra) for extra in extras),
    ]:
        body = re.search(rf"^\[{re.escape(section)}\]\n(.*?)(?=^\[|\Z)", pyproject, re.M | re.S)
        entry = re.search(
            rf'^{name} = \[((?:[^]"#]|"[^"]*"|#[^\n]*)*)\]', body.group(1) if body else "", re.M
        )
        if entry is None:
            raise SetupError(
                f"pyproject.toml: found no list '{name}' in [{section}]; take a fresh copy of it"
            )
        found += [item for item in re.findall(r'#[^\n]*|"([^"]*)"', entry.group(1)) if item]
    return found


def digest(wanted: Sequence[str], constraints: Path | None) -> str:
    """A hash of what an install depends on."""
    pins = constraints.read_text(encoding="utf-8") if constraints else ""
    parts = [VERSION, sorted(wanted), *([pins] if pins else [])]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def constraints_file(unpinned: bool, version: Sequence[Any] = sys.version_info) -> Path | None:
    """The pinned versions for a Python; None for the newest packages, or where none were tried."""
    file = CONSTRAINTS / f"python{version[0]}.{version[1]}.txt"
    return None if unpinned or not file.exists() else file


def wants_newest(before: Lock | None) -> bool:
    """True if the user asks for the newest packages, now or, with nothing said now, before."""
    said = os.environ.get(UNPINNED)
    if said is None:
        return bool(before and before.unpinned)
    return said.strip() not in ("", "0")


def wanted_by(root: Path, extras: Sequence[str]) -> list[str]:
    """The requirements of the checkout at `root`."""
    return requirements((root / "pyproject.toml").read_text(encoding="utf-8"), extras)


def is_current(root: Path, extras: Sequence[str]) -> bool:
    """Whether what these extras need is installed, as far as the lock tells."""
    lock = read_lock(root)
    if lock is None or not set(extras) <= set(lock.extras):
        return False
    if os.environ.get(TORCH_ARGS, lock.torch_args) != lock.torch_args:
        return False
    if wants_newest(lock) != lock.unpinned:
        return False
    pins = constraints_file(lock.unpinned)
    return lock.digest == digest(wanted_by(root, lock.extras), pins)


@contextlib.contextmanager
def only_installer(root: Path) -> Iterator[None]:
    """Let one process at a time install; the system releases it when that process ends."""
    try:
        file = (root / ".venv.lock").open("a")
    except OSError as error:
        raise SetupError(
            f"{root}: cannot be written ({error.strerror}); copy it where you may write"
        ) from None
    with file:
        if sys.platform == "win32":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_LOCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def install(root: Path, extras: Sequence[str]) -> None:
    """Install what the extras, and those installed before, need; `.venv` is made (again) if no
    install was finished.

    The lock is taken away first, so that an install that was killed is seen and made again.
    Raises: SetupError.
    """
    before = read_lock(root)
    torch_args = os.environ.get(TORCH_ARGS, before.torch_args if before else "")
    unpinned = wants_newest(before)
    if before is None or before.torch_args != torch_args:
        before = None
        make_venv(root)
    every = tuple(sorted({*extras, *(before.extras if before else ())}))
    wanted = wanted_by(root, every)
    pins = constraints_file(unpinned)
    how = ["--constraint", str(pins)] if pins else ["--upgrade"] if unpinned else []
    # An index of the user's own for PyTorch may not have our versions of what PyTorch needs.
    how_torch = shlex.split(torch_args) or how
    lock_file(root).unlink(missing_ok=True)
    try:
        pip_install(root, [torch_requirement(wanted, torch_args), *how_torch])
        pip_install(root, [*wanted, *how])
    except SetupError:
        # Pip fetches all before it changes anything.
        if before and shutil.disk_usage(root).free > 2**28:
            write_lock(root, before)
        raise
    add_project(root)
    warn_if_gpu_is_idle(root)
    lock = Lock(digest(wanted, pins), every, torch_args, base_python(root), unpinned)
    write_lock(root, lock)


def make_venv(root: Path) -> None:
    """A new `.venv` in the place of what an earlier call made.

    Raises: SetupError, for one that it did not make.
    """
    folder = root / ".venv"
    if folder.exists() and not is_ours(folder):
        raise SetupError(
            f"{folder}: found an environment that this program did not make, expected none; move it"
            " away, or delete it, then call again"
        )
    say(f"making {folder}")
    # Started from .venv's own Python, a new one must still come from the Python beneath it.
    base = str(getattr(sys, "_base_executable", None) or sys.executable)
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        (folder / MARK).touch()  # first, so that what a killed call leaves is known as ours
        made = subprocess.run([base, "-m", "venv", str(folder)], capture_output=True, text=True)
    except OSError as error:
        raise SetupError(
            f"{folder}: cannot be made ({error.strerror}); is the disk full or a program of it"
            " still running?"
        ) from None
    if made.returncode:
        if "ensurepip" in made.stdout + made.stderr:
            raise SetupError(
                f"{base} comes without venv; install it (Debian and Ubuntu: apt install"
                " python3-venv), then call again"
            )
        last = ((made.stdout + made.stderr).strip().splitlines() or ["no message"])[-1]
        raise SetupError(
            f"{folder}: cannot be made ({last}); is the disk full or the folder read-only?"
        )


def is_ours(folder: Path) -> bool:
    """Whether a `.venv` was made by this program, finished or not, or is empty."""
    known = (
        (folder / MARK).exists()
        or (folder / "singlelora.json").exists()
        or not any(folder.iterdir())
    )
    # Made before there was a mark
    return known or any(folder.glob("[Ll]ib*/**/site-packages/singlelora.pth"))


def pip_install(root: Path, words: Sequence[str]) -> None:
    """Call pip; it shows its progress on stderr, because stdout belongs to the result.

    --no-compile: Python compiles what is imported when it is imported; compiling all of PyTorch
    takes longer than the whole rest of its install (26 of 33 s, measured with 2.13.0).

    Raises: SetupError.
    """
    options = words.index("--constraint") if "--constraint" in words else len(words)
    say("installing " + ", ".join(word for word in words[:options] if not word.startswith("-")))
    pip = [
        str(venv_python(root)),
        "-m",
        "pip",
        "install",
        "--no-compile",
        "--disable-pip-version-check",
        *words,
    ]
    status, noise = _call(pip)
    if status:
        print(noise, end="", file=sys.stderr, flush=True)
        free = shutil.disk_usage(root).free
        why = "its own lines are above; is the network there?"
        if free < NEEDED_BYTES:
            why = (
                f"{free / 1e9:.1f} GB are free here, about {NEEDED_BYTES / 1e9:.0f} GB are needed:"
                " free some"
            )
        raise SetupError(f"pip could not install (exit {status}): {why} Then call again")


def _call(pip: Sequence[str]) -> tuple[int, str]:
    """(exit status, what pip warned of).

    pip's progress goes where it is; of its warnings only those of a failed install matter.
    """
    child = subprocess.Popen(
        pip,
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr.fileno(),
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    noise = ""
    assert child.stderr is not None
    with child:
        try:
            for line in child.stderr:
                if not line.strip() or (line.startswith(NOISE) and "Retrying" not in line):
                    noise += line
                else:
                    print(line, end="", file=sys.stderr, flush=True)
        except BaseException:  # Ctrl-C: as subprocess.call, which leaves no child behind
            child.kill()
            raise
    return child.returncode, noise


def torch_requirement(wanted: Sequence[str], torch_args: str) -> str:
    """PyTorch's requirement for this machine.

    `==2.13.0` also takes a `2.13.0+cpu` where pip is configured to find one; `===` takes exactly
    the registry's own build, which is the one for CUDA on Linux.  With the user's own arguments
    their index decides.
    """
    pinned = next((item for item in wanted if item.startswith("torch==")), "torch")
    return pinned.replace("==", "===") if nvidia_driver() and not torch_args else pinned


def nvidia_driver() -> bool:
    """Whether the machine has an NVIDIA driver, as far as files tell."""
    if sys.platform == "win32":
        return os.path.exists(
            os.path.join(os.environ.get("SYSTEMROOT", r"C:\Windows"), "System32", "nvcuda.dll")
        )
    return os.path.exists("/proc/driver/nvidia/version") or shutil.which("nvidia-smi") is not None


def add_project(root: Path) -> None:
    """Let `.venv`'s Python import the checkout from anywhere: by a relative path, so that the
    folder may be moved.
    """
    ask = [str(venv_python(root)), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    packages = Path(subprocess.run(ask, check=True, capture_output=True, text=True).stdout.strip())
    relative = os.path.relpath(root.resolve(), packages.resolve())
    _write(packages / "singlelora.pth", Path(relative).as_posix() + "\n")


def warn_if_gpu_is_idle(root: Path) -> None:
    """Say so when there is an NVIDIA driver but PyTorch was built without CUDA (the registry's
    build on Windows).
    """
    if nvidia_driver():
        ask = [str(venv_python(root)), "-c", "import torch; print(torch.version.cuda or '')"]
        if not subprocess.run(ask, stdout=subprocess.PIPE, text=True).stdout.strip():
            say(
                f"an NVIDIA driver is here, but this PyTorch computes on the CPU; set {TORCH_ARGS}"
                " (see --help)"
            )


def say(text: str) -> None:
    """Tell the user on stderr what goes on."""
    print(f"singlelora: {text}", file=sys.stderr, flush=True)
