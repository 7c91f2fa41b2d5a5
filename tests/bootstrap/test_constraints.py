"""The pinned versions fit what pyproject.toml asks for."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from lib_singlelora.bootstrap import environment
from lib_singlelora.bootstrap.environment import (
    CONSTRAINTS,
    UNPINNED,
    Lock,
    constraints_file,
    wanted_by,
    wants_newest,
)
from tools.constraints import EXTRAS, PYTHONS, ROOT, header


def pins(python: str) -> dict[str, str]:
    """Package -> version, of those that a Linux with this Python installs."""
    found = {}
    for line in (CONSTRAINTS / f"python{python}.txt").read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            pin = Requirement(line)
            if not pin.marker or pin.marker.evaluate(environment_of(python)):
                found[canonical(pin.name)] = str(pin.specifier).removeprefix("==")
    return found


def environment_of(python: str) -> dict[str, str]:
    return {
        "python_version": python,
        "python_full_version": f"{python}.0",
        "sys_platform": "linux",
        "platform_machine": "x86_64",
    }


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


@pytest.mark.parametrize("python", PYTHONS)
def test_the_file_was_made_from_the_present_requirements(python: str) -> None:
    text = (CONSTRAINTS / f"python{python}.txt").read_text(encoding="utf-8")
    assert text.startswith(header(python)), "stale: call python -m tools.constraints"


@pytest.mark.parametrize("python", PYTHONS)
def test_every_requirement_has_one_version_that_it_allows(python: str) -> None:
    versions = pins(python)
    for text in wanted_by(ROOT, EXTRAS):
        wanted = Requirement(text)
        if wanted.name == "torch" or (
            wanted.marker and not wanted.marker.evaluate(environment_of(python))
        ):
            continue
        assert wanted.specifier.contains(versions[canonical(wanted.name)], prereleases=True), text


def test_every_python_that_the_program_takes_has_a_file() -> None:
    assert [constraints_file(False, tuple(map(int, p.split(".")))) for p in PYTHONS] == [
        CONSTRAINTS / f"python{python}.txt" for python in PYTHONS
    ]
    assert constraints_file(False, (3, 14)) is None
    assert constraints_file(True, (3, 12)) is None


@pytest.mark.parametrize(
    ("said", "before", "newest"),
    [(None, False, False), (None, True, True), ("1", False, True), ("0", True, False)],
)
def test_what_was_asked_once_is_kept_until_something_else_is_said(
    said: str | None, before: bool, newest: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(UNPINNED, raising=False)
    if said is not None:
        monkeypatch.setenv(UNPINNED, said)
    assert wants_newest(Lock("", (), "", "", before)) is newest


def test_an_environment_with_other_pins_is_not_current(tmp_path: Path) -> None:
    file = tmp_path / "python.txt"
    file.write_text("numpy==2.0.0\n", encoding="utf-8")
    before = environment.digest(["numpy"], file)
    file.write_text("numpy==2.0.1\n", encoding="utf-8")
    assert environment.digest(["numpy"], file) != before


def test_a_broken_connection_is_told_while_pip_tries_again(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = "import sys; print('WARNING: Retrying (Retry(total=4)) after x', file=sys.stderr)"
    assert environment._call([sys.executable, "-c", code]) == (0, "")
    assert "Retrying" in capfd.readouterr().err


def test_warnings_of_pip_are_seen_only_when_it_fails(
    capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    code = "import sys; print('WARNING: x', file=sys.stderr); print('ERROR: y', file=sys.stderr)"
    status, noise = environment._call([sys.executable, "-c", f"{code}; sys.exit(3)"])
    assert (status, noise) == (3, "WARNING: x\n")
    assert capfd.readouterr().err == "ERROR: y\n"
