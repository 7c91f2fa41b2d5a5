"""The package as pip builds it: the page, which lies beside it in a checkout, is inside."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("setuptools", minversion="77")

ROOT = Path(__file__).parents[2]
BESIDE = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "style.css")
ASK = "from lib_singlelora.embedded.paths import PAGE; print(PAGE)"


def test_an_installed_package_has_the_page(tmp_path: Path) -> None:
    source = tmp_path / "source"
    for folder in ("lib_singlelora", "javascript"):
        large = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.onnx")
        shutil.copytree(ROOT / folder, source / folder, ignore=large)
    for name in BESIDE:
        shutil.copy(ROOT / name, source)
    built = tmp_path / "built"
    command = [sys.executable, "setup.py", "-q", "build_py", "--build-lib", str(built)]
    made = subprocess.run(command, cwd=source, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr[-2000:]
    shutil.rmtree(source)
    asked = subprocess.run(
        [sys.executable, "-c", ASK], cwd=built, capture_output=True, text=True, check=False
    )
    assert asked.returncode == 0, asked.stderr[-2000:]
    page = Path(asked.stdout.strip())
    assert page == built / "lib_singlelora"
    expected = {path.relative_to(ROOT) for path in (ROOT / "javascript").rglob("*")}
    assert {path.relative_to(page) for path in (page / "javascript").rglob("*")} == expected
    assert (page / "style.css").is_file()
