"""CUDA graphs: the same training as without them, on a GPU; who is asked to record nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import pytest
import torch
from torch import nn

from lib_singlelora.host import Conditioning
from lib_singlelora.jobs import Job
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.training.cuda_graph import CudaGraph, Recorder, recording_obstacle
from lib_singlelora.training.epoch_plan import Sample
from lib_singlelora.training.latents import Versions
from lib_singlelora.training.trainer import Trainer
from tests.training.test_trainer import pictures, settings
from tests.training.tiny_model import TinyModel

if TYPE_CHECKING:  # most of this needs no diffusers
    from lib_singlelora.hosts.standalone.host import StandaloneHost

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def test_nothing_is_recorded_on_a_cpu() -> None:
    model = TinyModel()
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    assert "GPU" in recording_obstacle(model, network, settings())


class _OnGpu(TinyModel):
    dtype = torch.bfloat16

    @property
    def device(self) -> str:
        return "cuda"

    @property
    def compute_dtype(self) -> torch.dtype:
        return self.dtype


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"cuda_graphs": False}, LoraShape(2, 2)),
        ({"gradient_checkpointing": True}, LoraShape(2, 2)),
        ({"regularization": "prior prediction"}, LoraShape(2, 2)),
        ({"dop_weight": 1}, LoraShape(2, 2)),
        ({"masked_prior_weight": 1}, LoraShape(2, 2)),
        ({"dco_beta": 1}, LoraShape(2, 2)),
        ({"apt": 1}, LoraShape(2, 2)),
        ({}, LoraShape(2, 2, dropout=0.1)),
        ({}, LoraShape(2, 2)),
    ],
)
def test_what_differs_from_step_to_step_is_not_recorded(
    options: dict[str, object], shape: LoraShape
) -> None:
    model = _OnGpu()
    network = LoraNetwork(model.targets(), model.layout, shape, {}, False, 1)
    obstacle = recording_obstacle(model, network, settings(**options))
    assert bool(obstacle) == bool(options or shape.random)


def test_a_bound_on_the_weights_leaves_the_passes_as_they_are() -> None:
    model = _OnGpu()
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    bounds = settings(delta_penalty=1e-4, scale_weight_norms=1)
    assert recording_obstacle(model, network, bounds) == ""


def test_a_pass_in_fp16_is_not_recorded_as_its_scale_changes() -> None:
    model = _OnGpu()
    model.dtype = torch.float16
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    assert "fp16" in recording_obstacle(model, network, settings())


def test_a_host_that_may_do_anything_in_a_pass_is_not_recorded() -> None:
    model = _OnGpu()
    model.recording_obstacle = "with another extension"
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    assert recording_obstacle(model, network, settings()) == "with another extension"


class _Again:
    """Stands in for a GPU's recorder: a replay computes anew on the recorded tensors."""

    def warm_up(self, compute: Callable[[], None]) -> None:
        compute()

    def record(self, compute: Callable[[], None]) -> Callable[[], None]:
        compute()
        return compute


class _Stale(_Again):
    """A replay that does not see what changed since: it adds the gradients of the recording.

    fresh_loss: it computes the loss, though.
    """

    def __init__(self, network: LoraNetwork, fresh_loss: bool) -> None:
        self.network = network
        self.fresh_loss = fresh_loss

    def record(self, compute: Callable[[], None]) -> Callable[[], None]:
        def grads() -> list[torch.Tensor]:
            return [p.grad.clone() for p in self.network.parameters() if p.grad is not None]

        before = grads()
        compute()
        added = [after - one for after, one in zip(grads(), before, strict=True)]

        def replay() -> None:
            kept = grads()
            if self.fresh_loss:
                compute()
            for p, one, other in zip(self.network.parameters(), kept, added, strict=True):
                assert p.grad is not None
                p.grad.copy_(one + other)

        return replay


class _WithText(TinyModel):
    """Its text learns too, and each picture has a caption of its own length."""

    def __init__(self) -> None:
        super().__init__()
        self.text = nn.Linear(1, 1, bias=False).requires_grad_(False)

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int) -> Conditioning:
        return super().encode_prompts(prompts, clip_skip).mapped(self.text)

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        yield "text_model.encoder.layers.0.mlp.fc1", self.text
        yield from super().targets()


Run = tuple[list[float], list[dict[str, object]], list[torch.Tensor], Trainer]


def _run(
    folder: Path,
    recorder_of: Callable[[LoraNetwork], Recorder | None] | None,
    with_text: bool = False,
    **options: object,
) -> Run:
    """Losses, warnings, weights and the trainer of a run on the CPU."""
    model = _WithText() if with_text else TinyModel()
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, 1)
    folder.mkdir()
    job = Job("train")
    told: list[dict[str, object]] = []
    job.log = lambda kind, **values: told.append({"kind": kind, **values})  # type: ignore[method-assign, assignment]
    trainer = Trainer(
        model,
        network,
        [
            replace(each, caption=f"{each.caption}{', hat' * number * with_text}")
            for number, each in enumerate(pictures(folder))
        ],
        settings(epochs=2, **options),
        folder / "s.pt",
        "x",
        lambda *_: folder / "x.safetensors",
    )
    if recorder_of:
        trainer.cuda_graph = CudaGraph(trainer.objective, recorder_of(network))
    trainer.run(job)
    losses = [cast(float, event["loss"]) for event in told if event["kind"] == "step"]
    warnings = [event for event in told if event["kind"] == "warning"]
    return losses, warnings, [p.detach().clone() for p in network.parameters()], trainer


@pytest.mark.parametrize("text_encoder_lr", [0, 1e-3])
def test_a_replayed_training_is_the_plain_one(tmp_path: Path, text_encoder_lr: float) -> None:
    options = {"text_encoder_lr": text_encoder_lr, "gradient_accumulation": 2}
    losses, _, weights, _ = _run(tmp_path / "plain", None, True, **options)
    replayed, warnings, own, trainer = _run(tmp_path / "graph", lambda _: _Again(), True, **options)
    assert trainer.cuda_graph and trainer.cuda_graph._recordings and not warnings
    assert all(not each.unchecked for each in trainer.cuda_graph._recordings.values())
    assert replayed == pytest.approx(losses, rel=1e-5)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(own, weights, strict=True))


@pytest.mark.parametrize(("fresh_loss", "word"), [(False, "loss"), (True, "gradient")])
def test_a_replay_that_differs_from_the_plain_pass_is_given_up(
    tmp_path: Path, fresh_loss: bool, word: str
) -> None:
    losses, _, weights, _ = _run(tmp_path / "plain", None)
    own_losses, warnings, own, trainer = _run(
        tmp_path / "graph", lambda network: _Stale(network, fresh_loss)
    )
    assert trainer.cuda_graph and word in trainer.cuda_graph.off and len(warnings) == 1
    assert own_losses == losses  # the plain pass is what counted
    assert all(torch.equal(one, other) for one, other in zip(own, weights, strict=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="recording works here")
def test_what_cannot_be_recorded_is_computed_and_warned_of_once(tmp_path: Path) -> None:
    losses, none, weights, _ = _run(tmp_path / "plain", None, text_encoder_lr=0)
    own_losses, warnings, own, _ = _run(tmp_path / "graph", lambda _: None, text_encoder_lr=0)
    assert losses and losses == own_losses
    assert all(torch.equal(one, other) for one, other in zip(own, weights, strict=True))
    assert not none and len(warnings) == 1
    assert "CUDA graphs are off" in str(warnings[0]["message"])


def _trained(
    host: StandaloneHost, folder: Path, graphs: bool
) -> tuple[list[float], dict[str, torch.Tensor], Trainer]:
    folder.mkdir()
    losses = []
    with host.open_for_training() as model:
        options = settings(
            cuda_graphs=graphs,
            batch_size=2,
            unet_lr=5e-3,
            text_encoder_lr=1e-3,
            gradient_accumulation=2,
        )
        network = LoraNetwork(model.targets(), model.layout, LoraShape(4, 4), {}, True, 1)
        trainer = Trainer(
            model, network, pictures(folder), options, folder / "s.pt", "x", lambda *_: folder
        )
        trainer.latents.fill(model, trainer.pictures, Versions(), lambda done, total: None)
        network.train()
        with attached(network, model.targets()):
            for step in range(6):
                batches = [
                    [Sample(trainer.pictures[0], 4 * step + 2 * half + n) for n in range(2)]
                    for half in range(2)
                ]
                losses.append(trainer.step(batches)[0])
                trainer.state.step += 1
        return (
            losses,
            {name: p.detach().cpu().clone() for name, p in network.named_parameters()},
            trainer,
        )


@needs_gpu
def test_a_recorded_training_is_the_plain_one(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    from lib_singlelora.hosts.standalone.host import StandaloneHost

    host = StandaloneHost(standalone_host.checkpoint.path, "cuda")
    plain, weights, _ = _trained(host, tmp_path / "plain", False)
    recorded, own, trainer = _trained(host, tmp_path / "graphs", True)
    assert (
        trainer.cuda_graph is not None
        and not trainer.cuda_graph.off
        and trainer.cuda_graph._recordings
    )
    assert recorded == pytest.approx(plain, rel=0.03)  # bf16
    for name, weight in weights.items():
        if weight.abs().max() > 1e-3:
            assert float((own[name] - weight).norm() / weight.norm()) < 0.2, name
