"""Half weights under autocast, as in the WebUI on a GPU, emulated on a CPU at a real picture's
size.

The embedded checkpoint at 256 x 256 pixels; gradients are compared with those of fp32.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib_singlelora.embedded.paths import CHECKPOINT
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.training.batch import TrainingBatch
from lib_singlelora.training.grad_scaler import GradScaler
from lib_singlelora.training.objective import Objective
from lib_singlelora.training.trainer import Trainer
from tests.training.test_trainer import settings

Gradients = dict[str, Tensor]
needs_fp16 = pytest.mark.skipif(
    not hasattr(torch.amp, "GradScaler"), reason="PyTorch before 2.3 computes no fp16 on a CPU"
)


def drawn() -> TrainingBatch:
    generator = torch.Generator().manual_seed(5)
    latents, noise = (torch.randn(1, 4, 32, 32, generator=generator) for _ in range(2))
    return TrainingBatch(
        latents,
        noise,
        torch.tensor([500]),
        torch.ones(1),
        torch.ones(1, 1, 32, 32),
        ["isabella, girl"],
        [],
        torch.zeros(1, 6),
    )


def gradients(host: StandaloneHost, precision: str, scaled: bool) -> Gradients:
    """Of every `down`, unscaled, by the product's own objective and scaler."""
    with host.open_for_training(precision) as model:
        network = LoraNetwork(model.targets(), model.layout, LoraShape(4, 4), {}, False, 1)
        generator = torch.Generator().manual_seed(3)
        for _, branch in network.items():
            branch.up.data.copy_(torch.randn(branch.up.shape, generator=generator) * 1e-3)
        objective = Objective(model, network, settings(text_encoder_lr=0, min_snr_gamma=0))
        scaler = GradScaler(model.compute_dtype == torch.float16 and scaled)
        with attached(network, model.targets()):
            scaler.backward(objective.loss(drawn()))
        return {name: branch.down.grad / scaler.scale for name, branch in network.items()}


def relative_error(found: Gradients, true: Gradients) -> float:
    wrong = sum(float((found[name] - true[name]).square().sum()) for name in true)
    return float((wrong / sum(float(g.square().sum()) for g in true.values())) ** 0.5)


def zeros(found: Gradients) -> float:
    """Share of the numbers that are exactly 0."""
    return sum(int((g == 0).sum()) for g in found.values()) / sum(g.numel() for g in found.values())


@pytest.fixture(scope="module")
def half_host() -> Iterator[StandaloneHost]:
    host = StandaloneHost(CHECKPOINT, "cpu")
    host.networks.unet.half()
    host.networks.text.half()
    yield host


@pytest.fixture(scope="module")
def true(half_host: StandaloneHost) -> Gradients:
    return gradients(StandaloneHost(CHECKPOINT, "cpu"), "auto", True)


@needs_fp16
def test_fp16_s_small_gradients_are_lost_without_scaling_and_kept_with_it(
    half_host: StandaloneHost, true: Gradients
) -> None:
    lost = gradients(half_host, "fp16", False)
    kept = gradients(half_host, "fp16", True)
    assert zeros(lost) > 0.2 and relative_error(lost, true) > 0.2  # or this test could not fail
    assert zeros(kept) < 0.01 and relative_error(kept, true) < 0.01
    assert all(bool(gradient.any()) for gradient in kept.values())


def test_auto_in_a_host_of_fp16_is_scaled_too(half_host: StandaloneHost, tmp_path: Path) -> None:
    with half_host.open_for_training() as model:
        assert model.compute_dtype == torch.float16
        network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
        trainer = Trainer(
            model,
            network,
            [],
            settings(text_encoder_lr=0),
            tmp_path / "s.pt",
            "x",
            lambda *_: tmp_path,
        )
        assert trainer.scaler.enabled and trainer.cuda_graph is None


@needs_fp16
def test_fp32_is_honoured_where_the_weights_lie_in_fp16(
    half_host: StandaloneHost, true: Gradients
) -> None:
    """Bit for bit: the file is read again, as halved weights would not be the checkpoint's."""
    found = gradients(half_host, "fp32", True)
    assert all(torch.equal(found[name], true[name]) for name in true)
    assert next(half_host.networks.unet.parameters()).dtype == torch.float16
