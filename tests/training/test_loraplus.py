"""LoRA+: two rates in one module, and where it cannot be."""

from __future__ import annotations

import pytest

from lib_singlelora.errors import TrainingError
from lib_singlelora.lora.branches import shape_of
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.training.checks import check_loraplus
from tests.training.test_trainer import settings
from tests.training.tiny_model import TinyModel


def network(**values: object) -> LoraNetwork:
    model = TinyModel()
    options = settings(**values)
    return LoraNetwork(model.targets(), model.layout, shape_of(options), {}, True, 1)


def test_the_up_matrices_alone_learn_at_the_higher_rate() -> None:
    branches = network()
    groups = branches.parameter_groups(1e-3, 0.0, up_ratio=16)
    rates = {id(weight): group["lr"] for group in groups for weight in group["params"]}  # type: ignore[attr-defined]
    unet = [branch for name, branch in branches.items() if not name.startswith("text")]
    assert {rates[id(branch.up)] for branch in unet} == {1.6e-2}  # type: ignore[arg-type]
    assert {rates[id(branch.down)] for branch in unet} == {1e-3}  # type: ignore[arg-type]
    assert len(rates) == len(list(branches.parameters()))


def test_a_ratio_of_one_changes_no_group_and_no_key() -> None:
    branches = network()
    (group,) = branches.parameter_groups(1e-3, 1e-3)
    assert list(map(id, group["params"])) == list(map(id, branches.parameters()))  # type: ignore[call-overload]
    assert not [key for key in branches.state_dict() if "zero_start" in key]


@pytest.mark.parametrize("values", [{"optimizer": "Prodigy"}, {"algorithm": "LoKr"}])
def test_where_it_does_not_apply_it_is_refused(values: dict[str, object]) -> None:
    check_loraplus(settings(**values))
    with pytest.raises(TrainingError, match="loraplus_ratio"):
        check_loraplus(settings(loraplus_ratio=4, **values))
