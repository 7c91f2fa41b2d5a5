"""The app without a server: its pure parts in node, its types, its weight, the texts it uses."""

from __future__ import annotations

import gzip
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
APP = ROOT / "javascript" / "app"
TSC = ROOT / "node_modules" / ".bin" / "tsc"
HEAVIEST = 200_000  # bytes as sent


def files(suffix: str) -> list[Path]:
    return [path for path in sorted(APP.rglob(f"*{suffix}")) if "vendor" not in path.parts]


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_pure_parts() -> None:
    ran = subprocess.run(
        ["node", "--test", str(Path(__file__).parent / "logic.test.mjs")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]


@pytest.mark.skipif(not TSC.exists(), reason="needs typescript: npm install --no-save typescript")
def test_the_types() -> None:
    ran = subprocess.run(
        [str(TSC), "-p", str(ROOT / "javascript" / "jsconfig.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout[-3000:]


def test_the_page_is_light() -> None:
    sent = [*APP.rglob("*.mjs"), *APP.rglob("*.css")]
    assert sum(len(gzip.compress(path.read_bytes())) for path in sent) < HEAVIEST


def test_every_text_that_is_asked_for_is_there() -> None:
    texts = (APP / "texts" / "en.mjs").read_text(encoding="utf-8")
    known = set(re.findall(r'"([^"\n]+)": "', texts))
    asked = {
        key
        for path in files(".mjs")
        if path.parent.name != "texts"
        for key in re.findall(r'\bt\("([^"]+)"', path.read_text(encoding="utf-8"))
    }
    assert asked - known == set() and len(asked) > 100


def test_no_data_becomes_html() -> None:
    """Everything goes through the library, which writes text as text."""
    ways = (
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|dangerouslySet|\beval\(|Function\("
    )
    wrong = [path.name for path in files(".mjs") if re.search(ways, path.read_text("utf-8"))]
    assert wrong == []


def test_nothing_is_loaded_from_elsewhere() -> None:
    wrong = [
        path.name
        for path in (*files(".mjs"), *files(".css"))
        if re.search(r"""["'(]https?://""", path.read_text(encoding="utf-8"))
    ]
    assert wrong == []
