"""The tests on the versions that the WebUI runs on: `python tests/webui_lane.py`; further words go
to pytest.

Makes `.venv-webui` once, with Python 3.10 and webui_versions.txt (5 GB).  Tests of the standalone
host are skipped in it. Without a Python 3.10 it says so and exits 0, or 1 where REQUIRE_WEBUI_LANE
is set.  Standard library only.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

VENV = ROOT / ".venv-webui"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
VERSIONS = ROOT / "tests" / "webui_versions.txt"
LINTERS = "tests/test_style.py"  # their own lane has them, and one is enough


def main(words: list[str]) -> int:
    """Exit status: pytest's, or 1 when it could not be started."""
    python = next(filter(is_3_10, candidates()), None)
    if python is None:
        print(
            "webui lane: found no Python 3.10 with venv, so the tests did not run on the WebUI's"
            " versions"
        )
        return 1 if os.environ.get("REQUIRE_WEBUI_LANE") else 0
    try:
        fill(python)
    except subprocess.CalledProcessError as error:
        print(f"webui lane: exit {error.returncode} of: {' '.join(error.cmd)}", file=sys.stderr)
        return 1
    from lib_singlelora.bootstrap.launcher import workers

    words = words or workers()
    return subprocess.call([PYTHON, "-m", "pytest", f"--ignore={LINTERS}", *words], cwd=ROOT)


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


def fill(python: list[str]) -> None:
    """Make the environment, unless it is there as the file wants it."""
    text = VERSIONS.read_text(encoding="utf-8")
    digest = hashlib.sha256(text.encode()).hexdigest()
    done = VENV / "installed"
    if PYTHON.exists() and done.exists() and done.read_text() == digest:
        return
    shutil.rmtree(VENV, ignore_errors=True)
    subprocess.run([*python, "-m", "venv", str(VENV)], check=True)
    pip = [
        str(PYTHON),
        "-m",
        "pip",
        "install",
        "--quiet",
        "--no-compile",
        "--disable-pip-version-check",
    ]
    alone = re.findall(r"^# --no-deps (\S+)$", text, re.M)
    subprocess.run([*pip, "-r", str(VERSIONS)], check=True, stdout=sys.stderr.fileno())
    subprocess.run([*pip, "--no-deps", *alone], check=True, stdout=sys.stderr.fileno())
    done.write_text(digest)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
