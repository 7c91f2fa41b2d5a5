"""What a step keeps, cuts and counts: recomputation, accumulation, block weights, prior prediction,
samples, warnings.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.errors import TrainingError
from lib_singlelora.host import Conditioning
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.lora.branches import shape_of
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.naming.block_weights import parse_block_weights
from lib_singlelora.naming.blocks import is_text
from lib_singlelora.ops.checkpointing import checkpointed
from lib_singlelora.settings.training import TrainingSettings
from lib_singlelora.training.batch import TrainingBatch
from lib_singlelora.training.checks import text_spread
from lib_singlelora.training.epoch_plan import Sample, budget, epoch_steps
from lib_singlelora.training.latents import Versions
from lib_singlelora.training.preview import sample
from lib_singlelora.training.trainer import Trainer
from tests.training.test_trainer import pictures, settings
from tests.training.tiny_model import TinyModel


@contextmanager
def kept() -> Iterator[list[int]]:
    """Bytes of the tensors that autograd keeps for a backward pass, each storage once; frozen
    weights are not counted.
    """
    seen: dict[int, int] = {}
    total = [0]

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if not isinstance(tensor, nn.Parameter) and storage.data_ptr() not in seen:
            seen[storage.data_ptr()] = storage.nbytes()
            total[0] += storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield total


@contextmanager
def borrowed_networks(
    host: StandaloneHost, folder: Path, options: TrainingSettings
) -> Iterator[Trainer]:
    with host.open_for_training() as model:
        weights = parse_block_weights(options.block_weights, model.layout).as_dict()
        text = options.text_encoder_lr > 0
        network = LoraNetwork(
            model.targets(), model.layout, shape_of(options), weights, text, options.seed
        )
        trainer = Trainer(
            model,
            network,
            pictures(folder),
            options,
            folder / "state.pt",
            "same",
            lambda *_: folder,
        )
        trainer.latents.fill(model, trainer.pictures, Versions(), lambda done, total: None)
        yield trainer


def loss_and_bytes(
    trainer: Trainer, cut: bool = False, again: bool = False
) -> tuple[float, int, list[Tensor]]:
    with attached(trainer.network, trainer.model.targets(), cut), kept() as total:
        if again:
            with checkpointed(trainer.model.blocks()):
                loss = trainer.loss([Sample(trainer.pictures[0], 3)])
                loss.backward()
        else:
            loss = trainer.loss([Sample(trainer.pictures[0], 3)])
            loss.backward()
    gradients = [p.grad.clone() for p in trainer.network.parameters() if p.grad is not None]
    trainer.network.zero_grad()
    return float(loss.detach()), total[0], gradients


def test_recomputing_gives_the_same_gradients_from_much_less(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    with borrowed_networks(standalone_host, tmp_path, settings()) as trainer:
        plain = loss_and_bytes(trainer)
        again = loss_and_bytes(trainer, again=True)
        assert all("forward" not in block.__dict__ for block in trainer.model.blocks())
    assert again[1] < 0.6 * plain[1]
    assert again[0] == pytest.approx(plain[0], rel=1e-6)
    assert all(
        torch.allclose(a, b, rtol=1e-4, atol=1e-7) for a, b in zip(plain[2], again[2], strict=True)
    )


def test_a_checkpointed_training_equals_a_plain_one(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    results = []
    for flag in (False, True):
        folder = tmp_path / str(flag)
        folder.mkdir()
        with borrowed_networks(
            standalone_host, folder, settings(epochs=1, gradient_checkpointing=flag)
        ) as trainer:
            trainer.run(Job("train"))
            results.append([p.detach().clone() for p in trainer.network.parameters()])
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5) for a, b in zip(*results, strict=True))


def first_module(trainer: Trainer, start: str) -> nn.Module:
    return next(module for name, module in trainer.model.targets() if name.startswith(start))


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({"block_weights": "OUTD", "text_encoder_lr": 0}, False),
        ({"block_weights": "OUTD", "text_gradient": "trained blocks"}, False),
        ({"block_weights": "OUTD"}, True),
    ],
)
def test_with_outd_nothing_before_out03_is_kept_unless_the_text_encoder_asks(
    standalone_host: StandaloneHost, tmp_path: Path, options: dict[str, Any], wanted: bool
) -> None:
    seen: list[bool] = []
    with borrowed_networks(standalone_host, tmp_path, settings(**options)) as trainer:
        into = first_module(trainer, "output_blocks.3.0.in_layers")
        handle = into.register_forward_pre_hook(
            lambda module, inputs: seen.append(inputs[0].requires_grad)
        )
        loss_and_bytes(trainer, cut=options.get("text_gradient") == "trained blocks")
        handle.remove()
    assert seen == [wanted]


def test_outd_keeps_less_than_all_blocks(standalone_host: StandaloneHost, tmp_path: Path) -> None:
    found = {}
    for preset in ("ALL", "OUTD"):
        with borrowed_networks(
            standalone_host, tmp_path, settings(block_weights=preset, text_encoder_lr=0)
        ) as trainer:
            found[preset] = loss_and_bytes(trainer)[1]
    assert found["OUTD"] < 0.7 * found["ALL"]


def test_two_batches_accumulated_are_one_of_both(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    results = []
    for batches in ([[0, 1]], [[0], [1]]):
        with (
            borrowed_networks(standalone_host, tmp_path, settings()) as trainer,
            attached(trainer.network, trainer.model.targets()),
        ):
            loss, _ = trainer.step(
                [[Sample(trainer.pictures[i], 5 + i) for i in batch] for batch in batches]
            )
            gradients = [p.grad.clone() for p in trainer.network.parameters() if p.grad is not None]
            results.append((loss, gradients))
    assert results[0][0] == pytest.approx(results[1][0], rel=1e-5)
    assert all(
        (a - b).norm() <= 1e-3 * a.norm() + 1e-7
        for a, b in zip(results[0][1], results[1][1], strict=True)
    )


def test_accumulation_groups_all_batches_and_the_budget_counts_steps(tmp_path: Path) -> None:
    own = pictures(tmp_path)
    steps = epoch_steps(own, 0, 1, 1, 3)
    assert [len(step) for step in steps] == [3, 3, 2]
    assert budget(own, 2, 1, 1, 3).steps == 6


def test_samples_are_drawn_by_the_networks_in_training(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    options = settings(rank_dropout=0.5)
    with (
        borrowed_networks(standalone_host, tmp_path, options) as trainer,
        attached(trainer.network, trainer.model.targets()),
    ):
        trainer.network.train()
        first = sample(trainer.model, trainer.network, "a girl", "", 3, 64, 1)
        assert trainer.network.training
        assert torch.equal(first, sample(trainer.model, trainer.network, "a girl", "", 3, 64, 1))
        with torch.no_grad():
            for _, branch in trainer.network.items():
                for parameter in branch.parameters():
                    parameter.add_(0.05)
        assert not torch.equal(
            first, sample(trainer.model, trainer.network, "a girl", "", 3, 64, 1)
        )
    assert first.shape == (1, 3, 64, 64) and float(first.abs().max()) <= 1


class Full(TinyModel):
    """Runs out of memory."""

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")


class Mute(TinyModel):
    """Its text encoder says the same of every prompt."""

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int) -> Conditioning:
        return Conditioning(torch.ones(len(prompts), 1, 1))


def tiny(model: TinyModel, folder: Path, options: TrainingSettings) -> Trainer:
    network = LoraNetwork(model.targets(), model.layout, shape_of(options), {}, True, 1)
    return Trainer(
        model, network, pictures(folder), options, folder / "state.pt", "same", lambda *_: folder
    )


def test_out_of_memory_names_three_settings(tmp_path: Path) -> None:
    with pytest.raises(TrainingError) as told:
        tiny(Full(), tmp_path, settings(batch_size=4)).run(Job("train"))
    for name in ("gradient_checkpointing=true", "batch_size=1", "text_encoder_lr=0"):
        assert name in str(told.value)


def test_a_text_encoder_that_tells_nothing_apart_has_no_spread(tmp_path: Path) -> None:
    options = settings()
    spreads = [
        text_spread(tiny(model, tmp_path, options).objective) for model in (Mute(), TinyModel())
    ]
    assert spreads[0] == 0 < spreads[1]


def test_one_rate_optimizers_get_one_group(standalone_host: StandaloneHost, tmp_path: Path) -> None:
    pytest.importorskip("prodigyopt")
    with borrowed_networks(
        standalone_host, tmp_path, settings(optimizer="Prodigy", unet_lr=1, text_encoder_lr=0.1)
    ) as trainer:
        assert [group["lr"] for group in trainer.optimizer.torch.param_groups] == [1]


def test_with_a_trained_text_encoder_frozen_texts_are_encoded_without_the_lora(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    caption = "isabella, girl, red"
    options = settings(text_encoder_lr=1e-3, regularization="prior prediction")
    with borrowed_networks(standalone_host, tmp_path, options) as trainer:
        model = trainer.model
        with torch.no_grad():
            for name, branch in trainer.network.items():
                if is_text(name):
                    for parameter in branch.parameters():
                        parameter.add_(0.05)
            before = model.encode_prompts([caption], 1).context
            with attached(trainer.network, model.targets()):
                changed = trainer.objective.encode([caption]).context
                with trainer.network.switched_off():
                    frozen = trainer.objective._frozen_texts([caption]).context
                noisy = torch.zeros(1, 4, 8, 8)
                one = torch.ones(1)
                sizes = torch.zeros(1, 6)
                batch = TrainingBatch(
                    noisy, noisy, torch.tensor([500]), one, one, [caption], [], sizes, [0]
                )
                found = trainer.objective._frozen_prediction(noisy, batch)
            expected = model.predict(noisy, batch.timesteps, model.encode_prompts([caption], 1))
    assert torch.equal(frozen, before) and not torch.equal(changed, before)
    assert torch.allclose(found, expected, rtol=1e-5, atol=1e-5)
