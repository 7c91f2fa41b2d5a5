"""Loss scaling: overflowing steps are left out, the scale grows and falls and is resumed."""

from __future__ import annotations

import pytest
import torch

from lib_singlelora.errors import TrainingError
from lib_singlelora.hosts.precision import autocast
from lib_singlelora.training.grad_scaler import (
    GROWTH_INTERVAL,
    INITIAL_SCALE,
    MIN_SCALE,
    GradScaler,
)


def test_a_precision_that_pytorch_cannot_compute_in_here_is_refused() -> None:
    if hasattr(torch.amp, "GradScaler"):
        pytest.skip("this PyTorch computes fp16 on a CPU")
    with pytest.raises(TrainingError, match="no autocast to fp16"), autocast("cpu", torch.float16):
        pass


class _Weight:
    """One number, its optimizer and its scaler."""

    def __init__(self) -> None:
        self.value = torch.nn.Parameter(torch.tensor([1.0]))
        self.optimizer = torch.optim.SGD([self.value], lr=1.0)
        self.scaler = GradScaler(True)

    def step(self, gradient: float, max_norm: float = 0.0) -> bool:
        self.value.grad = torch.tensor([gradient]) * self.scaler.scale
        return self.scaler.step(self.optimizer, [self.value], max_norm)


@pytest.mark.parametrize("gradient", [float("inf"), float("nan"), -float("inf")])
def test_a_step_that_overflows_is_left_out_and_the_scale_halved(gradient: float) -> None:
    weight = _Weight()
    assert not weight.step(gradient)
    assert (
        weight.value.item() == 1
        and weight.scaler.scale == INITIAL_SCALE / 2
        and weight.scaler.skipped == 1
    )
    assert weight.step(0.25) and weight.value.item() == 0.75


def test_the_scale_grows_after_enough_good_steps() -> None:
    weight = _Weight()
    for _ in range(GROWTH_INTERVAL - 1):
        weight.step(0.0)
    assert weight.scaler.scale == INITIAL_SCALE
    weight.step(0.0)
    assert weight.scaler.scale == 2 * INITIAL_SCALE


def test_the_true_norm_is_clipped() -> None:
    weight = _Weight()
    weight.step(8.0, max_norm=0.5)
    assert weight.value.item() == pytest.approx(0.5, rel=1e-5)


def test_a_scale_that_falls_without_end_stops_the_training() -> None:
    weight = _Weight()
    with pytest.raises(TrainingError, match="overflows"):
        for _ in range(100):
            weight.step(float("inf"))
    assert weight.scaler.scale < MIN_SCALE


def test_a_scaler_goes_on_from_its_state() -> None:
    one = _Weight()
    other = _Weight()
    one.step(float("nan"))
    one.step(0.5)
    other.scaler.load(one.scaler.state())
    assert other.scaler.state() == one.scaler.state() and other.scaler.scale == INITIAL_SCALE / 2
    assert GradScaler(False).state() == {}
