"""The versions that the two commands of the README install: python -m tools.constraints.

Writes lib_singlelora/bootstrap/constraints/, one file for each Python from 3.10 to 3.13, each for
Linux, macOS and Windows.  Needs uv (pip install uv), which resolves for another Python and another
system than those it runs on.  PyTorch is left out: pyproject.toml pins it, which build is taken
depends on the machine, and it pins its own CUDA packages.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from packaging.markers import Marker

from lib_singlelora.bootstrap.environment import CONSTRAINTS, digest, wanted_by

ROOT = Path(__file__).parents[1]
PYTHONS = ("3.10", "3.11", "3.12", "3.13")
EXTRAS = ("standalone", "ui", "sweep", "test")
SYSTEMS = (
    {"sys_platform": "linux", "platform_machine": "x86_64"},
    {"sys_platform": "linux", "platform_machine": "aarch64"},
    {"sys_platform": "darwin", "platform_machine": "arm64"},
    {"sys_platform": "win32", "platform_machine": "AMD64"},
)
LEFT_OUT = re.compile(r"(torch|triton|nvidia-[\w-]+|cuda-[\w-]+)==")


def main() -> int:
    """Write the files; returns the exit status."""
    CONSTRAINTS.mkdir(exist_ok=True)
    for python in PYTHONS:
        file = CONSTRAINTS / f"python{python}.txt"
        file.write_text(header(python) + "".join(pins(python)), encoding="utf-8")
        print(file.relative_to(ROOT))
    return 0


def header(python: str) -> str:
    """The first lines of a file: what it was made from, by which it is seen to be stale."""
    return (
        f"# Python {python}: made by python -m tools.constraints; do not edit.\n"
        f"# requirements {requirements_hash()}\n"
    )


def requirements_hash() -> str:
    """A hash of what pyproject.toml asks for in these files."""
    return digest(wanted_by(ROOT, EXTRAS), None)[:16]


def pins(python: str) -> Iterator[str]:
    """Lines `name==version ; marker` for one Python.  Raises: CalledProcessError."""
    words = [sys.executable, "-m", "uv", "pip", "compile", "pyproject.toml", "--universal"]
    words += ["--python-version", python, "--quiet", "--no-header", "--no-annotate"]
    words += ["--no-emit-index-url", *(f"--extra={extra}" for extra in EXTRAS)]
    found = subprocess.run(words, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for line in found.splitlines(keepends=True):
        marker = line.partition(" ; ")[2].strip()
        if not LEFT_OUT.match(line) and (not marker or applies(marker, python)):
            yield line


def applies(marker: str, python: str) -> bool:
    """True if a marker holds on one of our systems with this Python."""
    version = {"python_version": python, "python_full_version": f"{python}.0"}
    return any(Marker(marker).evaluate({**version, **system}) for system in SYSTEMS)


if __name__ == "__main__":
    sys.exit(main())
