"""What --set of a sweep means."""

from __future__ import annotations

from typing import Any

import pytest

from lib_singlelora.errors import SettingsError
from lib_singlelora.sweeps.space import Parameter, grid_size, read_space


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("training.rank=4,8,16", Parameter("training.rank", (4, 8, 16))),
        ("training.rank=4..64:log", Parameter("training.rank", (), 4, 64, True, True)),
        ("training.unet_lr=1e-4..2e-3:log", Parameter("training.unet_lr", (), 1e-4, 2e-3, True)),
        ("training.unet_lr = 0.1 .. 0.5", Parameter("training.unet_lr", (), 0.1, 0.5)),
        ("training.unet_lr=1e-4..1e-2:log:3", Parameter("training.unet_lr", (0.0001, 0.001, 0.01))),
        ("training.rank=2..4:3", Parameter("training.rank", (2, 3, 4))),
        ("training.flip=true,false", Parameter("training.flip", (True, False))),
        ("training.optimizer=AdamW, Lion", Parameter("training.optimizer", ("AdamW", "Lion"))),
    ],
)
def test_values_and_ranges_are_read(text: str, expected: Parameter) -> None:
    assert read_space([text]) == ([expected], {})
    assert Parameter.from_dict(expected.as_dict()) == expected


def test_one_value_is_every_trials() -> None:
    space, fixed = read_space(["training.rank=4,8", "training.epochs=3", "plot.strengths=0.8,1"])
    assert [parameter.name for parameter in space] == ["training.rank"]
    assert fixed == {"training.epochs": "3", "plot.strengths": "0.8,1"}


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("training.rnak=4,8", "training.rank"),
        ("training.rank=4,many", "many"),
        ("training.rank=4,1000", "320"),
        ("training.rank=16..4", "low end"),
        ("training.unet_lr=0..1e-3:log", "above 0"),
        ("training.unet_lr=1e-4..", "LOW..HIGH"),
        ("training.unet_lr=1e-4..1e-3:log:1", "2 at least"),
        ("crop.views=portrait", "share"),
        ("character.trigger=elsa", "share"),
        ("plot.steps=4,8", "share"),
        ("training.rank", "NAME=VALUE"),
        ("training.rank=", "number"),
    ],
)
def test_what_is_no_parameter_is_told(text: str, word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        read_space([text])


def test_a_setting_twice_is_told() -> None:
    with pytest.raises(SettingsError, match="twice"):
        read_space(["training.rank=4,8", "training.rank=16"])


@pytest.mark.parametrize(
    ("texts", "size"),
    [
        (["training.rank=4,8", "training.alpha=1,2,3"], 6),
        (["training.rank=4,8", "training.unet_lr=1e-4..1e-3"], None),
    ],
)
def test_the_size_of_a_grid(texts: Any, size: int | None) -> None:
    assert grid_size(read_space(texts)[0]) == size
