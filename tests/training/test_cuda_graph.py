"""CUDA graphs: the same training as without them, on a GPU; who is asked to record nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.training.cuda_graph import CudaGraph, recordable
from lib_singlelora.training.epoch_plan import Sample
from lib_singlelora.training.latents import Versions
from lib_singlelora.training.trainer import Trainer
from tests.training.test_trainer import pictures, settings
from tests.training.tiny_model import TinyModel

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")


def test_nothing_is_recorded_on_a_cpu() -> None:
    model = TinyModel()
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    assert not recordable(model, network, settings())


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
    assert recordable(model, network, settings(**options)) == (not options and not shape.random)


def test_a_bound_on_the_weights_leaves_the_passes_as_they_are() -> None:
    model = _OnGpu()
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    assert recordable(model, network, settings(delta_penalty=1e-4, scale_weight_norms=1))


def test_a_pass_in_fp16_is_not_recorded_as_its_scale_changes() -> None:
    model = _OnGpu()
    model.dtype = torch.float16
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    assert not recordable(model, network, settings())


def test_a_host_that_may_do_anything_in_a_pass_is_not_recorded() -> None:
    model = _OnGpu()
    model.recordable = False
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    assert not recordable(model, network, settings())


@pytest.mark.skipif(torch.cuda.is_available(), reason="recording works here")
def test_what_cannot_be_recorded_is_computed_and_warned_of_once(tmp_path: Path) -> None:
    losses = []
    events = []
    weights = []
    for records in (False, True):
        model = TinyModel()
        network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
        folder = tmp_path / str(records)
        folder.mkdir()
        job = Job("train")
        told: list[dict[str, object]] = []
        job.log = lambda kind, told=told, **values: told.append({"kind": kind, **values})
        trainer = Trainer(
            model,
            network,
            pictures(folder),
            settings(epochs=1, text_encoder_lr=0),
            folder / "s.pt",
            "x",
            lambda *_: tmp_path / "x.safetensors",
        )
        trainer.cuda_graph = CudaGraph(trainer.objective) if records else None
        trainer.run(job)
        losses.append([event["loss"] for event in told if event["kind"] == "step"])
        events.append([event for event in told if event["kind"] == "warning"])
        weights.append([p.detach().clone() for p in network.parameters()])
    assert losses[0] and losses[0] == losses[1]
    assert all(torch.equal(one, other) for one, other in zip(*weights, strict=True))
    assert (
        not events[0]
        and len(events[1]) == 1
        and "CUDA graphs are off" in str(events[1][0]["message"])
    )


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
