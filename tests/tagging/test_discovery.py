"""Where taggers lie."""

from __future__ import annotations

from pathlib import Path

import pytest

from lib_singlelora.tagging.discovery import cached_by_the_hub, find_taggers, known_name, named
from lib_singlelora.tagging.download import FILES


def make(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for name in FILES:
        (folder / name).touch()
    return folder


def test_whole_taggers_are_found_below_the_places_the_newest_first(tmp_path: Path) -> None:
    old = make(tmp_path / "a" / "wd-v1-4-moat-tagger-v2")
    new = make(
        tmp_path / "interrogators" / "models--SmilingWolf--wd-vit-tagger-v3" / "snapshots" / "1234"
    )
    (tmp_path / "a" / "half").mkdir()
    (tmp_path / "a" / "half" / FILES[0]).touch()
    assert find_taggers(
        [tmp_path / "a", tmp_path / "missing", tmp_path / "interrogators", old]
    ) == [new, old]


def test_a_name_is_found_by_its_folder_and_in_the_hub_s_layout(tmp_path: Path) -> None:
    plain = make(tmp_path / "wd-vit-large-tagger-v3")
    cached = make(tmp_path / "models--SmilingWolf--wd-vit-tagger-v3" / "snapshots" / "1234")
    assert named("wd-vit-tagger-v3", [plain, cached]) == cached
    assert named("wd-vit-large-tagger-v3", [plain, cached]) == plain
    assert named("wd-swinv2-tagger-v3", [plain, cached]) is None


def test_the_hub_s_own_cache_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make(tmp_path / "models--SmilingWolf--wd-vit-tagger-v3" / "snapshots" / "1234")
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    assert cached_by_the_hub("wd-vit-tagger-v3") == [folder]
    assert cached_by_the_hub("wd-swinv2-tagger-v3") == []


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("wd-vit-tagger-v3", "wd-vit-tagger-v3"),
        ("SmilingWolf/WD-ViT-tagger-v3", "wd-vit-tagger-v3"),
        ("wd-vit-tagger-v9", ""),
        ("", ""),
    ],
)
def test_only_names_that_exist_are_downloaded(text: str, name: str) -> None:
    assert known_name(text) == name
