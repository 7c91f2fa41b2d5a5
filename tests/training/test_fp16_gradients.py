"""Half weights under autocast, as in the WebUI on a GPU, emulated on a CPU at a real picture's
size.

The embedded checkpoint at 256 x 256 pixels; gradients are compared with those of fp32.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib_singlelora.embedded.paths import CHECKPOINT
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.training.batch import Attended, TrainingBatch
from lib_singlelora.training.grad_scaler import GradScaler
from lib_singlelora.training.objective import Objective
from lib_singlelora.training.trainer import Trainer
from tests.training.test_trainer import settings

Gradients = dict[str, Tensor]
SMALL = 16  # latents of the embedded checkpoint's own size, for what is computed many times
needs_fp16 = pytest.mark.skipif(
    not hasattr(torch.amp, "GradScaler"), reason="PyTorch before 2.3 computes no fp16 on a CPU"
)


def drawn(side: int = 32) -> TrainingBatch:
    """side: of the latents."""
    generator = torch.Generator().manual_seed(5)
    latents, noise = (torch.randn(1, 4, side, side, generator=generator) for _ in range(2))
    return TrainingBatch(
        latents,
        noise,
        torch.tensor([500]),
        torch.ones(1),
        torch.ones(1, 1, side, side),
        ["isabella, girl"],
        [],
        torch.zeros(1, 6),
    )


def gradients(
    host: StandaloneHost,
    precision: str,
    scaled: bool,
    batch: TrainingBatch | None = None,
    size: float = 1e-3,
    **terms: float,
) -> Gradients:
    """Of every `down`, unscaled, by the product's own objective and scaler.

    size: of the LoRA's weights.
    terms: settings of further terms of the loss.
    """
    with host.open_for_training(precision) as model:
        network = LoraNetwork(model.targets(), model.layout, LoraShape(4, 4), {}, False, 1)
        generator = torch.Generator().manual_seed(3)
        for _, branch in network.items():
            branch.up.data.copy_(torch.randn(branch.up.shape, generator=generator) * size)
        options = settings(text_encoder_lr=0, min_snr_gamma=0, **terms)
        objective = Objective(model, network, options)
        scaler = GradScaler(model.compute_dtype == torch.float16 and scaled)
        with attached(network, model.targets()):
            scaler.backward(objective.loss(batch or drawn()))
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


def compared(**changes: object) -> TrainingBatch:
    """The batch with its lower half masked out, compared with the frozen model."""
    batch = drawn(SMALL)
    mask = batch.mask.clone()
    mask[..., SMALL // 2 :, :] = 0
    return replace(batch, mask=mask, compared=[0], **changes)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plain(half_host: StandaloneHost) -> Gradients:
    return gradients(half_host, "fp16", True, drawn(SMALL))


@needs_fp16
@pytest.mark.parametrize(
    ("terms", "batch"),
    [
        ({}, replace(drawn(SMALL), prior=[0])),  # prior prediction, and DOP's rows
        ({"masked_prior_weight": 1.0}, compared()),
        ({"dco_beta": 1000.0}, compared()),
        ({"apt": 0.5}, compared()),
        (
            {"attention_loss": 0.01},
            replace(drawn(SMALL), attended=Attended(["isabella"], compared().mask)),
        ),
    ],
    ids=["prior", "masked prior", "dco", "apt", "attention"],
)
def test_each_further_term_of_the_loss_is_finite_in_fp16_and_near_fp32_s(
    half_host: StandaloneHost, plain: Gradients, terms: dict[str, float], batch: TrainingBatch
) -> None:
    # A LoRA that changes next to nothing differs from the frozen model by less than fp16 can tell;
    # then that term's gradient is rounding, and too small to matter.
    size = 0.03 if batch.prior else 1e-3
    true = gradients(StandaloneHost(CHECKPOINT, "cpu"), "auto", True, batch, size, **terms)
    found = gradients(half_host, "fp16", True, batch, size, **terms)
    assert all(bool(torch.isfinite(gradient).all()) for gradient in found.values())
    assert relative_error(found, true) < 0.05
    # Beside the plain loss the term does something, or this test could not fail
    assert relative_error(found, plain) > 0.01
