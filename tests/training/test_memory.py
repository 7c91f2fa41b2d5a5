"""The calculated peak beside what autograd really keeps, at a size that was not tried; tolerances 5
% and 10 %.
"""

from __future__ import annotations

import gc
from pathlib import Path
from typing import Any

import pytest
import torch

from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.training.epoch_plan import Sample
from tests.training.test_saving import borrowed_networks, kept
from tests.training.test_trainer import settings

LARGE = 32  # of the latents: 256 pixels


def calculated(host: StandaloneHost, folder: Path, **values: Any) -> Any:
    with borrowed_networks(host, folder, settings(**values)) as trainer:
        object.__setattr__(trainer.pictures[0], "bucket", (8 * LARGE, 8 * LARGE))
        return trainer.peak_memory()


def counted(host: StandaloneHost, folder: Path, **values: Any) -> int:
    """Bytes kept by a true pass over one picture of 256 pixels."""
    with (
        borrowed_networks(host, folder, settings(**values)) as trainer,
        trainer.prepared(),
        kept() as total,
    ):
        picture = trainer.pictures[0]
        trainer.latents.get = lambda *_: torch.zeros(1, 4, LARGE, LARGE)
        trainer.loss([Sample(picture, 1)])
        return total[0]


def test_what_a_pass_keeps_is_foretold_from_tiny_pictures(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    options = {"text_encoder_lr": 0, "masked_loss": False}
    found = counted(standalone_host, tmp_path, **options)
    assert calculated(standalone_host, tmp_path, **options).kept == pytest.approx(found, rel=0.05)


def test_a_batch_keeps_as_often_as_much(standalone_host: StandaloneHost, tmp_path: Path) -> None:
    one, three = (calculated(standalone_host, tmp_path, batch_size=size) for size in (1, 3))
    assert three.kept == pytest.approx(3 * one.kept) and three.weights == one.weights


def test_prior_rows_are_counted_as_rows(standalone_host: StandaloneHost, tmp_path: Path) -> None:
    options = {"text_encoder_lr": 0, "regularization": "prior prediction"}
    found = counted(standalone_host, tmp_path, **options)
    foretold = calculated(standalone_host, tmp_path, **options).kept
    assert foretold == pytest.approx(found, rel=0.05)
    alone = calculated(standalone_host, tmp_path, text_encoder_lr=0, regularization="none")
    assert foretold == pytest.approx(2 * alone.kept)


def test_weights_lora_and_state_are_counted_by_their_numbers(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    with borrowed_networks(standalone_host, tmp_path, settings()) as trainer:
        numbers = sum(p.numel() for p in trainer.network.parameters())
        weights = sum(
            p.numel() for _, module in trainer.model.targets() for p in module.parameters()
        )
    found = calculated(standalone_host, tmp_path)
    assert (found.weights, found.lora, found.optimizer) == (4 * weights, 8 * numbers, 8 * numbers)
    assert calculated(standalone_host, tmp_path, ema=True).lora == 12 * numbers
    assert calculated(standalone_host, tmp_path, optimizer="Lion").optimizer == 4 * numbers
    assert f"about {found.total / 1e6:,.0f} MB" in str(found)


def test_gradient_checkpointing_is_foretold_to_keep_less(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    plain, again = (
        calculated(standalone_host, tmp_path, gradient_checkpointing=on) for on in (False, True)
    )
    assert again.kept < 0.6 * plain.kept


def test_calculating_changes_nothing(standalone_host: StandaloneHost, tmp_path: Path) -> None:
    with borrowed_networks(standalone_host, tmp_path, settings()) as trainer:
        state = torch.random.get_rng_state()
        before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
        hooks = [
            len(block._forward_hooks) + len(block._forward_pre_hooks)
            for block in trainer.model.blocks()
        ]
        trainer.peak_memory()
        assert torch.random.get_rng_state().equal(state)
        assert all(torch.equal(before[k], v) for k, v in trainer.network.state_dict().items())
        assert [
            len(block._forward_hooks) + len(block._forward_pre_hooks)
            for block in trainer.model.blocks()
        ] == hooks


def test_foretelling_the_peak_leaves_no_tensor_behind(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    """A pass that held itself in circles left 28 MB after each training of one process."""

    def alive() -> int:
        gc.collect()
        return sum(isinstance(each, torch.Tensor) for each in gc.get_objects())

    calculated(standalone_host, tmp_path)
    before = alive()
    calculated(standalone_host, tmp_path)
    assert alive() - before < 50
