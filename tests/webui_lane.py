"""The tests on the versions that the WebUI runs on: `python tests/webui_lane.py`; further words go
to pytest.  `python tests/webui_lane.py --forge` takes those of Forge.

Makes `.venv-webui` once, with Python 3.10 and webui_versions.txt (5 GB), or `.venv-forge` with
forge_versions.txt.  Tests of the standalone host are skipped in it; in Forge's lane those of its
adapters, of the page and of the HTTP API run, where its versions matter. Without a Python 3.10 it
says so and exits 0, or 1 where REQUIRE_WEBUI_LANE is set.  Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

LINTERS = "tests/test_style.py"  # their own lane has them, and one is enough
FORGE = "--forge"
FORGES_TESTS = (
    "tests/hosts/forge",
    "tests/lora/test_branches.py",
    "tests/web",
    "tests/ui/test_app.py",
    "tests/ui/test_login.py",
)


@dataclass(frozen=True)
class Lane:
    """Versions to test on.

    name: of the environment's folder and of the file of versions.
    tests: what runs there where no words say what; () for all.
    """

    name: str
    tests: tuple[str, ...] = ()

    @property
    def venv(self) -> Path:
        return ROOT / f".venv-{self.name}"

    @property
    def python(self) -> Path:
        return self.venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def versions(self) -> Path:
        return ROOT / "tests" / f"{self.name}_versions.txt"


def main(words: list[str]) -> int:
    """Exit status: pytest's, or 1 when it could not be started."""
    lane = Lane("webui")
    if words[:1] == [FORGE]:
        lane = Lane("forge", FORGES_TESTS)
        words = words[1:]
    python = next(filter(is_3_10, candidates()), None)
    if python is None:
        print(
            f"{lane.name} lane: found no Python 3.10 with venv, so the tests did not run on its"
            " versions"
        )
        return 1 if os.environ.get("REQUIRE_WEBUI_LANE") else 0
    try:
        fill(python, lane)
    except subprocess.CalledProcessError as error:
        print(
            f"{lane.name} lane: exit {error.returncode} of: {' '.join(error.cmd)}", file=sys.stderr
        )
        return 1
    from lib_singlelora.bootstrap.launcher import workers

    words = words or [*lane.tests, *workers()]
    return subprocess.call([lane.python, "-m", "pytest", f"--ignore={LINTERS}", *words], cwd=ROOT)


def candidates() -> Iterator[list[str]]:
    """Command lines of the Pythons 3.10 that may be there."""
    yield [sys.executable]
    yield ["py", "-3.10"] if os.name == "nt" else ["python3.10"]
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
    yield from (
        [str(path)] for path in sorted(pyenv.glob("versions/3.10*/bin/python"), reverse=True)
    )


def is_3_10(python: list[str]) -> bool:
    """Whether it starts, is a 3.10 and can make environments; a pyenv shim, for one, exists and may
    not start.
    """
    check = "import sys, venv, ensurepip; sys.exit(sys.version_info[:2] != (3, 10))"
    try:
        return subprocess.run([*python, "-c", check], capture_output=True).returncode == 0
    except OSError:
        return False


def fill(python: list[str], lane: Lane) -> None:
    """Make the environment, unless it is there as the file wants it."""
    text = lane.versions.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    done = lane.venv / "installed"
    if lane.python.exists() and done.exists() and done.read_text() == digest:
        return
    shutil.rmtree(lane.venv, ignore_errors=True)
    subprocess.run([*python, "-m", "venv", str(lane.venv)], check=True)
    pip = [
        str(lane.python),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
    ]
    alone = re.findall(r"^# --no-deps (\S+)$", text, re.M)
    subprocess.run([*pip, "-r", str(lane.versions)], check=True, stdout=sys.stderr.fileno())
    if alone:
        subprocess.run([*pip, "--no-deps", *alone], check=True, stdout=sys.stderr.fileno())
    done.write_text(digest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
