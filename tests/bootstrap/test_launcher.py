"""The launcher as a user calls it: real processes on a copy with a stand-in project, no network."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from lib_singlelora.bootstrap import environment, launcher
from lib_singlelora.bootstrap.environment import (
    Lock,
    SetupError,
    requirements,
    torch_requirement,
    venv_python,
)

ROOT = Path(__file__).resolve().parents[2]
PYPROJECT = """\
[project]
dependencies = []

[project.optional-dependencies]
standalone = []
test = []
ui = []
"""
MAIN = """\
import signal, sys, time
if "interrupted" in sys.argv:
    try:
        print("ready", flush=True)
        time.sleep(60)
    except KeyboardInterrupt:
        sys.exit(130)
print("words", sys.argv[1:])
sys.exit(7 if "seven" in sys.argv else 0)
"""
PIP = """\
import sys
print(*sys.argv[1:], file=open("pip-was-called", "a"))
print("pip talks")
sys.exit({})
"""
WORDS = [
    "demo",
    "test",
    "ui",
    "run",
    "prepare",
    "crop",
    "caption",
    "regularize",
    "train",
    "plot",
    "inpaint",
    "accept",
    "loopback",
    "bake",
    "merge",
    "resize",
    "summary",
    "presets",
    "tags",
    "trigger",
    "settings",
    "bench",
]
posix_only = pytest.mark.skipif(os.name == "nt", reason="signals as on POSIX")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A checkout in a folder with spaces whose program and pip are stand-ins that run for real."""
    root = tmp_path / "a folder with spaces"
    (root / "lib_singlelora").mkdir(parents=True)
    shutil.copy(ROOT / "singlelora.py", root)
    shutil.copy(ROOT / "lib_singlelora" / "__init__.py", root / "lib_singlelora")
    shutil.copy(ROOT / "lib_singlelora" / "errors.py", root / "lib_singlelora")
    shutil.copytree(
        ROOT / "lib_singlelora" / "bootstrap",
        root / "lib_singlelora" / "bootstrap",
        ignore=shutil.ignore_patterns("__pycache__"),
    )
    (root / "lib_singlelora" / "__main__.py").write_text(MAIN)
    (root / "pyproject.toml").write_text(PYPROJECT)
    return root


def add_venv(root: Path, *, pip_status: int = 0, extras: tuple[str, ...] = ("standalone",)) -> None:
    """A `.venv` with a stand-in for pip, and a lock that says it is finished."""
    venv.create(root / ".venv", with_pip=False, symlinks=os.name != "nt")
    environment.add_project(root)
    # The checkout is on the path of its `.venv`.
    (root / "pip.py").write_text(PIP.format(pip_status))
    wanted = environment.wanted_by(root, extras)
    environment.write_lock(
        root,
        Lock(
            environment.digest(wanted, environment.constraints_file(False)),
            extras,
            "",
            environment.base_python(root),
        ),
    )


def call(
    root: Path, *words: str, python: str = sys.executable, **variables: str
) -> subprocess.CompletedProcess[str]:
    """Call the launcher from another folder; the real pip would find no package."""
    environ = {
        key: value
        for key, value in os.environ.items()
        if key not in ("PYTHONPATH", "PIP_FIND_LINKS")
    }
    environ = {**environ, "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    environ.pop(environment.TORCH_ARGS, None)
    return subprocess.run(
        [python, str(root / "singlelora.py"), *words],
        cwd=root.parent,
        env={**environ, **variables},
        capture_output=True,
        text=True,
        encoding="utf-8",
        stdin=subprocess.DEVNULL,
    )


def pip_calls(root: Path) -> list[str]:
    called = root.parent / "pip-was-called"
    return called.read_text().splitlines() if called.exists() else []


def test_help_lists_every_word_of_the_contract_and_installs_nothing(project: Path) -> None:
    done = call(project, "--help")
    assert done.returncode == 0
    for word in WORDS:
        assert f"\n  {word} " in done.stdout
    assert environment.TORCH_ARGS in done.stdout
    assert not (project / ".venv").exists()


def test_no_words_are_a_usage_error_with_the_help_on_stderr(project: Path) -> None:
    done = call(project)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage:")


def test_an_unknown_word_is_a_usage_error_before_anything_is_installed(project: Path) -> None:
    done = call(project, "trian")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "'trian'" in done.stderr
    assert not (project / ".venv").exists()


def test_help_of_a_word_installs_nothing(project: Path) -> None:
    assert call(project, "run", "--help").returncode == 0
    assert not (project / ".venv").exists()


def test_a_finished_install_hands_the_words_over_without_calling_pip(project: Path) -> None:
    add_venv(project)
    done = call(project, "run", "my picture.png", "--workspace", "a b", "--json")
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "words ['run', 'my picture.png', '--workspace', 'a b', '--json']"
    assert done.stderr == ""
    assert pip_calls(project) == []


def test_modules_in_the_folder_of_the_caller_are_not_imported(project: Path) -> None:
    add_venv(project)
    (project.parent / "lib_singlelora.py").write_text("raise SystemExit('the wrong one')")
    (project.parent / "runpy.py").write_text("raise SystemExit('the wrong one')")
    assert call(project, "run").stdout == "words ['run']\n"


def test_the_exit_status_passes_through(project: Path) -> None:
    add_venv(project)
    assert call(project, "run", "seven").returncode == 7


@posix_only
def test_ctrl_c_reaches_the_program_whose_exit_status_passes_through(project: Path) -> None:
    add_venv(project)
    # A shell that starts the tests in the background lets its children ignore SIGINT; here it must
    # count.
    child = subprocess.Popen(
        [sys.executable, str(project / "singlelora.py"), "run", "interrupted"],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert child.stdout is not None
    assert child.stdout.readline().strip() == "ready"
    child.send_signal(signal.SIGINT)
    assert child.wait(30) == 130
    child.stdout.close()


def test_changed_dependencies_are_installed_once_with_pip_s_words_on_stderr(project: Path) -> None:
    add_venv(project)
    (project / "pyproject.toml").write_text(
        PYPROJECT.replace("standalone = []", 'standalone = ["torch==9.9", "b>=1"]')
    )
    first = call(project, "run", "--json")
    second = call(project, "run", "--json")
    assert first.stdout == second.stdout == "words ['run', '--json']\n"
    assert "pip talks" in first.stderr
    assert "pip talks" not in second.stderr
    torch, everything = pip_calls(project)
    assert "torch==9.9 --constraint " in torch or "torch===9.9 --constraint " in torch
    assert "torch==9.9 b>=1 --constraint " in everything


def test_the_newest_packages_are_taken_where_the_user_says_so(project: Path) -> None:
    add_venv(project)
    call(project, "run", SINGLELORA_UNPINNED="1")
    torch, everything = pip_calls(project)
    assert torch.endswith("--upgrade") and everything.endswith("--upgrade")
    call(project, "run")  # nothing said: as it was
    assert len(pip_calls(project)) == 2
    call(project, "run", SINGLELORA_UNPINNED="0")
    assert "--constraint" in pip_calls(project)[3]


def test_another_word_s_packages_are_added_to_those_that_are_there(project: Path) -> None:
    add_venv(project)
    call(project, "ui")
    lock = environment.read_lock(project)
    assert lock is not None
    assert lock.extras == ("standalone", "ui")
    before = pip_calls(project)
    call(project, "run")
    assert pip_calls(project) == before


def test_a_failed_update_is_one_line_and_leaves_the_old_install_as_it_was(project: Path) -> None:
    add_venv(project, pip_status=1)
    lock = environment.lock_file(project).read_text()
    (project / "pyproject.toml").write_text(
        PYPROJECT.replace("standalone = []", 'standalone = ["b>=1"]')
    )
    done = call(project, "run")
    assert done.returncode == 1
    assert "pip could not install (exit 1)" in done.stderr.splitlines()[-1]
    assert json.loads(environment.lock_file(project).read_text()) == json.loads(lock)


def test_a_half_made_environment_is_made_again(project: Path) -> None:
    add_venv(project, pip_status=1)
    environment.lock_file(project).unlink()
    debris = project / ".venv" / "debris"
    debris.touch()
    done = call(project, "run")
    assert done.returncode == 1  # The new environment's own pip finds no package.
    assert "making" in done.stderr
    assert not debris.exists()


def test_a_full_disk_leaves_the_lock_that_was_there(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    add_venv(project)
    before = environment.read_lock(project)
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(SetupError, match="cannot be written"):
        environment.write_lock(project, Lock("other", (), "", ""))
    monkeypatch.undo()
    assert environment.read_lock(project) == before is not None
    assert not list((project / ".venv").glob("*.tmp")) + list((project / ".venv").glob(".*.tmp"))


def test_an_environment_of_the_users_own_is_not_deleted(project: Path) -> None:
    venv.create(project / ".venv", with_pip=False, symlinks=os.name != "nt")
    (project / ".venv" / "mine").touch()
    done = call(project, "run")
    assert done.returncode == 1
    assert "did not make" in done.stderr and len(done.stderr.splitlines()) == 1
    assert (project / ".venv" / "mine").exists()


@posix_only
def test_an_interrupted_install_exits_130_and_is_seen_as_half_made(project: Path) -> None:
    add_venv(project)
    (project / "pip.py").write_text("import time\nprint('ready', flush=True)\ntime.sleep(60)\n")
    (project / "pyproject.toml").write_text(
        PYPROJECT.replace("standalone = []", 'standalone = ["b>=1"]')
    )
    child = subprocess.Popen(
        [sys.executable, str(project / "singlelora.py"), "run"],
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert child.stderr is not None
    while child.stderr.readline().strip() != "ready":
        pass
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "the next call goes on" in told
    assert not environment.is_current(project, ())


def test_a_python_that_has_gone_makes_the_environment_half_made(project: Path) -> None:
    add_venv(project)
    assert environment.is_current(project, ("standalone",))
    venv_python(project).unlink()
    assert not environment.is_current(project, ("standalone",))


@posix_only
def test_another_python_under_the_link_makes_the_environment_half_made(project: Path) -> None:
    add_venv(project)
    venv_python(project).unlink()
    venv_python(project).symlink_to("/bin/sh")
    assert not environment.is_current(project, ("standalone",))


def test_torch_arguments_once_given_are_kept_and_others_install_again(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(environment.TORCH_ARGS, raising=False)
    add_venv(project)
    assert environment.is_current(project, ("standalone",))
    monkeypatch.setenv(environment.TORCH_ARGS, "--pre")
    assert not environment.is_current(project, ("standalone",))


def test_a_moved_checkout_still_imports_its_own_program(project: Path) -> None:
    add_venv(project)
    moved = project.rename(project.parent / "moved")
    assert call(moved, "run").stdout == "words ['run']\n"


@posix_only
def test_a_folder_that_cannot_be_written_is_one_line(project: Path) -> None:
    if os.geteuid() == 0:
        # Root may write anywhere; a folder in the file's place fails all the same.
        (project / ".venv.lock").mkdir()
    else:
        project.chmod(0o555)
    done = call(project, "run", PYTHONDONTWRITEBYTECODE="1")
    project.chmod(0o755)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_an_old_python_is_told_what_is_needed(project: Path, tmp_path: Path) -> None:
    old = old_python()
    if old is None:
        pytest.skip("no Python older than 3.10 here")
    done = call(project, "--help", python=old, PATH=str(tmp_path))
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "expected 3.10 to 3.13" in done.stderr


@posix_only
def test_an_old_python_hands_over_to_a_newer_one_on_the_path(project: Path, tmp_path: Path) -> None:
    old = old_python()
    if old is None or sys.version_info[:2] > (3, 13):
        pytest.skip("needs a Python older than 3.10, and this one to be no newer than 3.13")
    (tmp_path / "python{}.{}".format(*sys.version_info[:2])).symlink_to(sys.executable)
    done = call(project, "--help", python=old, PATH=str(tmp_path))
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:")


def old_python() -> str | None:
    """An interpreter that is too old: on PATH, or beside this one as pyenv lays them out."""
    names = [f"python3.{minor}" for minor in (9, 8, 7, 6)]
    beside = sorted(Path(sys.base_prefix).parent.glob("3.[6-9].*/bin/python"))
    # A version manager's stand-in may not run.
    for name in [*filter(shutil.which, names), *map(str, beside)]:
        done = subprocess.run(
            [name, "-c", "import sys; print(sys.executable)"], capture_output=True, text=True
        )
        if done.returncode == 0:
            return done.stdout.strip()
    return None


def test_the_python_of_an_environment_lies_where_the_platform_puts_it() -> None:
    assert venv_python(Path("a b"), "posix") == Path("a b/.venv/bin/python")
    assert venv_python(Path("a b"), "nt") == Path("a b/.venv/Scripts/python.exe")


def test_requirements_are_read_as_toml_reads_them() -> None:
    tomllib = pytest.importorskip("tomllib", reason="needs Python 3.11")
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    for extra, own in project["optional-dependencies"].items():
        assert requirements(text, [extra]) == project["dependencies"] + own


def test_requirements_skip_comments_and_keep_brackets() -> None:
    text = '[project]\ndependencies = [\n  "a[b]>=1",  # not "c"]\n  "d # e",\n]\n'
    assert requirements(text, []) == ["a[b]>=1", "d # e"]


def test_an_extra_that_is_not_there_is_told() -> None:
    with pytest.raises(SetupError, match="'nothing'"):
        requirements(PYPROJECT, ["nothing"])


def test_every_word_s_extras_exist() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for extras in launcher.EXTRAS.values():
        assert requirements(text, extras)


def test_the_user_s_own_torch_arguments_leave_the_choice_to_pip() -> None:
    assert torch_requirement(["a", "torch==2.13.0"], "--index-url somewhere") == "torch==2.13.0"
