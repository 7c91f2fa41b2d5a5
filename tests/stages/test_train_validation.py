"""Which pictures a training is validated on, and that it is not trained on them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.errors import SettingsError, TrainingError
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.train_validation import split_validation
from lib_singlelora.training.epoch_plan import Picture
from lib_singlelora.workspace.workspace import Workspace

NAMES = ("face", "full_body", "upper_body", "lower_body", "hair", "hat")


def settings(**values: Any) -> Settings:
    return Settings.from_dict(
        {"character.trigger": "isa", **{f"training.{key}": value for key, value in values.items()}}
    )


def part(root: Path, count: int = 6, **values: Any) -> tuple[list[str], list[str]]:
    """Names of the pictures that are trained on, and of those that are not."""
    shown = [Picture(root / f"{name}.png", "isa", (64, 64)) for name in NAMES[:count]]
    shown.append(Picture(root / "reg.png", "girl", (64, 64), regularization=True))
    trained, held = split_validation(settings(**values), Workspace(root), shown, make_buckets(64))
    return [picture.path.stem for picture in trained], [picture.path.stem for picture in held]


def test_without_validation_everything_is_trained_on(tmp_path: Path) -> None:
    assert part(tmp_path) == ([*NAMES, "reg"], [])


def test_a_fifth_is_held_out_and_always_the_same(tmp_path: Path) -> None:
    trained, held = part(tmp_path, validation="holdout")
    assert len(held) == 1 and sorted([*trained, *held]) == sorted([*NAMES, "reg"])
    assert part(tmp_path, validation="holdout") == (trained, held)
    assert {part(tmp_path, validation="holdout", seed=seed)[1][0] for seed in range(20)} > {held[0]}


def test_named_crops_are_held_out(tmp_path: Path) -> None:
    trained, held = part(tmp_path, validation="holdout", validation_views="face,hat")
    assert held == ["face", "hat"] and trained == [
        "full_body",
        "upper_body",
        "lower_body",
        "hair",
        "reg",
    ]


def test_an_unknown_crop_names_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no crop 'ful_body'; did you mean 'full_body'"):
        part(tmp_path, validation="holdout", validation_views="ful_body")


@pytest.mark.parametrize(
    ("count", "views", "said"), [(1, "", "found 1 crop"), (2, "face,full_body", "all 2 crops")]
)
def test_something_must_be_left_to_train_on(
    tmp_path: Path, count: int, views: str, said: str
) -> None:
    with pytest.raises(TrainingError, match=said):
        part(tmp_path, count, validation="holdout", validation_views=views)


def test_the_prepared_picture_takes_nothing_from_the_training(tmp_path: Path) -> None:
    (tmp_path / "source").mkdir()
    Image.new("RGB", (100, 300)).save(tmp_path / "source" / "prepared.png")
    assert part(tmp_path, validation="picture") == ([*NAMES, "reg"], ["prepared"])


def test_a_missing_prepared_picture_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="call 'prepare' first"):
        part(tmp_path, validation="picture")
