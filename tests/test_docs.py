"""What the documentation names exists: files, headings, commands, settings."""

import importlib.util
import re
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path

import pytest
from PIL import Image

from lib_singlelora.bootstrap.launcher import WORDS
from lib_singlelora.settings.schema import Settings

ROOT = Path(__file__).parent.parent
PAGES = sorted(
    [
        ROOT / "README.md",
        ROOT / "ARCHITECTURE.md",
        ROOT / "CONTRIBUTING.md",
        ROOT / "benchmarks" / "README.md",
        *(ROOT / "docs").glob("*.md"),
    ]
)
NAMES = [page.relative_to(ROOT).as_posix() for page in PAGES]
# A path in prose may begin at the repository or at the package
BASES = (ROOT, ROOT / "lib_singlelora")
OURS = ("lib_singlelora", "tests", "tools", "docs", "examples", "benchmarks")


@cache
def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def links(page: Path) -> Iterator[str]:
    """Relative addresses of links and pictures."""
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.S)
    for address in re.findall(r"\]\(([^)\s]+)\)|src=\"([^\"]+)\"", text):
        target = address[0] or address[1]
        if "://" not in target:
            yield target


@cache
def anchors(page: Path) -> frozenset[str]:
    """Names of a page's headings, as GitHub writes them."""
    text = re.sub(r"```.*?```", "", text_of(page), flags=re.S)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.M)
    return frozenset(re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in headings)


def code_spans(page: Path) -> list[str]:
    """What stands between back-ticks, and every line of a block of code."""
    text = text_of(page)
    blocks = "\n".join(re.findall(r"```.*?\n(.*?)```", text, flags=re.S))
    rest = re.sub(r"```.*?```", "", text, flags=re.S)
    return re.findall(r"`([^`\n]+)`", rest) + blocks.splitlines()


def test_the_readme_is_read_to_its_end() -> None:
    assert len(text_of(ROOT / "README.md").split()) <= 900


def test_the_animation_is_small_and_moves() -> None:
    path = ROOT / "docs" / "job.gif"
    with Image.open(path) as animation:
        frames = getattr(animation, "n_frames", 1)
    assert path.stat().st_size <= 2_000_000 and frames > 20


@pytest.mark.parametrize("name", [*NAMES, "CHANGELOG.md"])
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    wrong = []
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists():
            wrong.append(f"{link}: no such file")
        elif anchor and anchor not in anchors(target):
            wrong.append(f"{link}: no such heading")
    assert wrong == []


def test_every_page_is_listed() -> None:
    listed = {link.partition("#")[0] for link in links(ROOT / "docs" / "README.md")}
    pages = {page.name for page in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert pages - listed == set()


@pytest.mark.parametrize("name", NAMES)
def test_files_that_are_named_exist(name: str) -> None:
    wrong = []
    for span in code_spans(ROOT / name):
        for path in re.findall(r"(?:^|\s)([\w\-]+(?:/[\w.\-]+)+/?)", span):
            if path.partition("/")[0] not in OURS and not path.endswith(".py"):
                continue
            if not any((base / path).exists() for base in BASES):
                wrong.append(path)
    assert wrong == []


@pytest.mark.parametrize("name", NAMES)
def test_commands_that_are_named_exist(name: str) -> None:
    text = text_of(ROOT / name)
    words = re.findall(r"singlelora\.py ([a-z]+)\b", text)
    assert set(words) - set(WORDS) == set()
    modules = re.findall(r"python3? -m (tools[\w.]*)", text)
    assert [module for module in modules if importlib.util.find_spec(module) is None] == []


@pytest.mark.parametrize("name", NAMES)
def test_settings_that_are_named_exist(name: str) -> None:
    sections = {section.name: section.type for section in fields(Settings)}
    default = Settings()
    wrong = []
    for span in code_spans(ROOT / name):
        for section, setting in re.findall(r"(?<![\w./])([a-z]+)\.([a-z_]+)\b(?!\.|/|\()", span):
            if section in sections and not hasattr(getattr(default, section), setting):
                wrong.append(f"{section}.{setting}")
    assert [entry for entry in wrong if not entry.endswith((".py", ".md", ".json"))] == []
