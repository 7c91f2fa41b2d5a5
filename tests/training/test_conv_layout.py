"""Channels last where it is measured to be quicker, by a clock that the test moves on itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.errors import JobCancelled
from lib_singlelora.host import Conditioning
from lib_singlelora.jobs import Job
from lib_singlelora.lora.branches import LoraShape, shape_of
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.ops.conv_layout import channels_last_convs, plainly_laid
from lib_singlelora.ops.frozen_autograd import frozen_autograd
from lib_singlelora.stages.train_task import learned_settings
from lib_singlelora.training import conv_layout
from lib_singlelora.training.batch import TrainingBatch
from lib_singlelora.training.conv_layout import (
    ConvLayout,
    LayoutChoice,
    PlainPasses,
    largest,
    layout_choice,
)
from lib_singlelora.training.cuda_graph import CudaGraph, CudaRecorder, Recorder
from lib_singlelora.training.epoch_plan import Picture, Sample
from lib_singlelora.training.latents import Versions
from lib_singlelora.training.trainer import Trainer
from tests.training.test_cuda_graph import _Again, needs_gpu
from tests.training.test_trainer import pictures, settings
from tests.training.tiny_model import TinyModel

if TYPE_CHECKING:  # most of this needs no diffusers
    from lib_singlelora.hosts.standalone.host import StandaloneHost

QUICK = {"last": 0.5, "plain": 1.0}  # seconds of a pass by its layout
NEARLY = {"last": 0.97, "plain": 1.0}


class TimedModel(TinyModel):
    """A 3×3 convolution before the 1×1; each pass moves the model's own clock on."""

    def __init__(self, seconds: dict[str, float]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3, padding=1).requires_grad_(False)
        self.now = 0.0
        self.seconds = seconds
        self.passes: list[str] = []

    @property
    def layout_now(self) -> str:
        return "plain" if self.conv.weight.is_contiguous() else "last"

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        self.passes.append(self.layout_now)
        self.now += self.seconds[self.layout_now]
        predicted: Tensor = super().predict(self.conv(noisy), timesteps, conditioning)
        return predicted

    def targets(self) -> Iterator[tuple[str, nn.Module]]:
        yield "input_blocks.0.0", self.conv
        yield from super().targets()


class Run:
    """A training on the CPU with its layout measured, or not: `measured` False."""

    def __init__(
        self,
        folder: Path,
        model: TimedModel,
        measured: bool = True,
        new_recorder: Callable[[], Recorder] = PlainPasses,
        **options: Any,
    ) -> None:
        folder.mkdir(exist_ok=True)
        self.model = model
        self.events: list[dict[str, Any]] = []
        self.in_epochs: list[str] = []
        self.values = settings(**{"epochs": 2, "text_encoder_lr": 0, **options})
        self.network = LoraNetwork(
            model.targets(), model.layout, shape_of(self.values), {}, False, 1
        )
        self.trainer = Trainer(
            model,
            self.network,
            self._pictures(folder),
            self.values,
            folder / "s.pt",
            "x",
            self.save,
        )
        if measured:
            self.trainer.layout_choice = LayoutChoice(
                self.trainer.objective, new_recorder, lambda: model.now
            )
        self.job = Job("train")
        self.job.log = lambda kind, **values: self.events.append({"kind": kind, **values})  # type: ignore[method-assign, assignment]

    def _pictures(self, folder: Path) -> list[Picture]:
        return [replace(each, trigger="isabella", class_token="girl") for each in pictures(folder)]

    def save(self, epoch: int, *_: object) -> Path:
        self.in_epochs.append(self.model.layout_now)
        return self.trainer.snapshot.parent / f"{epoch}.safetensors"

    def train(self) -> Run:
        self.trainer.run(self.job)
        return self

    @property
    def told(self) -> list[dict[str, Any]]:
        return [event for event in self.events if event["kind"] == "conv_layout"]

    @property
    def learned(self) -> list[Tensor]:
        return [parameter.detach().clone() for parameter in self.network.parameters()]

    @property
    def losses(self) -> list[float]:
        return [event["loss"] for event in self.events if event["kind"] == "step"]


@pytest.fixture(autouse=True)
def short_trainings_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(conv_layout, "MIN_PASSES", 1)


def assert_same(one: Run, other: Run) -> None:
    assert one.losses and one.losses == other.losses
    assert all(torch.equal(a, b) for a, b in zip(one.learned, other.learned, strict=True))


def test_quicker_channels_last_they_lie_so_until_the_training_ends(tmp_path: Path) -> None:
    run = Run(tmp_path, TimedModel(QUICK)).train()
    assert run.in_epochs == ["last", "last"] and run.model.layout_now == "plain"
    [told] = run.told
    assert told["channels_last"] is True and told["share"] == 0.5 and "0.50" in told["message"]


@pytest.mark.parametrize("seconds", [NEARLY, {"last": 1.5, "plain": 1.0}])
def test_not_clearly_quicker_they_stay(tmp_path: Path, seconds: dict[str, float]) -> None:
    run = Run(tmp_path, TimedModel(seconds)).train()
    assert run.in_epochs == ["plain", "plain"]
    [told] = run.told
    assert told["channels_last"] is False and told["share"] == pytest.approx(seconds["last"])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"dropout": 0.3, "batch_size": 2, "gradient_accumulation": 2},
        {"apt": 1.0, "regularization": "prior prediction", "ema": True},
        {"timestep_rank": True, "rank": 4},
    ],
    ids=["plain", "dropout", "apt", "rank by timestep"],
)
def test_measuring_leaves_no_trace_where_they_stay(tmp_path: Path, options: dict[str, Any]) -> None:
    torch.manual_seed(5)
    never = Run(tmp_path / "never", TimedModel(NEARLY), measured=False, **options).train()
    drawn = torch.rand(3)
    torch.manual_seed(5)
    measured = Run(tmp_path / "measured", TimedModel(NEARLY), **options).train()
    assert measured.told[0]["share"] and "last" in measured.model.passes
    assert_same(measured, never)
    assert torch.equal(torch.rand(3), drawn)


@pytest.mark.parametrize("full", [False, True])
def test_what_a_step_builds_upon_is_the_very_same_after_measuring(
    tmp_path: Path, full: bool
) -> None:
    run = Run(tmp_path, FullModel(QUICK) if full else TimedModel(QUICK), dropout=0.5, apt=1.0)
    trainer = run.trainer
    trainer.latents.fill(run.model, trainer.pictures, Versions(), lambda done, total: None)
    grads = [torch.ones_like(parameter) for parameter in run.network.parameters()]
    for parameter, grad in zip(run.network.parameters(), grads, strict=True):
        parameter.grad = grad
    random = torch.get_rng_state()
    assert trainer.objective.apt
    observed = trainer.objective.apt.state()
    choice = trainer.layout_choice
    assert choice
    with attached(run.network.train(), run.model.targets()), choice.opened():
        made = choice.make(trainer._make_batch([Sample(trainer.pictures[0], 1)]), 1000)
        assert made.channels_last is not full and len(run.model.passes) >= 5
    for parameter, grad in zip(run.network.parameters(), grads, strict=True):
        assert parameter.grad is grad and bool((grad == 1).all())
    assert torch.equal(torch.get_rng_state(), random)
    assert trainer.objective.apt.state() == observed


def test_channels_last_the_training_is_the_plain_one_within_rounding(tmp_path: Path) -> None:
    """Tolerance 1e-5: a product of another layout is summed in another order."""
    never = Run(tmp_path / "never", TimedModel(QUICK), measured=False).train()
    chosen = Run(tmp_path / "chosen", TimedModel(QUICK)).train()
    assert chosen.losses == pytest.approx(never.losses, rel=1e-5)
    for one, other in zip(chosen.learned, never.learned, strict=True):
        assert torch.allclose(one, other, atol=1e-5)


class FullModel(TimedModel):
    """Has no room for a pass channels last.  error: what it raises then."""

    error: Exception = torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB")

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        if self.layout_now == "last":
            torch.rand(1)  # part of a pass was computed
            raise self.error
        return super().predict(noisy, timesteps, conditioning)


@pytest.mark.parametrize(
    "error", [FullModel.error, RuntimeError("cuDNN error"), AssertionError("no capture")]
)
def test_what_cannot_be_measured_leaves_the_training_as_it_was_and_says_why(
    tmp_path: Path, error: Exception
) -> None:
    never = Run(tmp_path / "never", TimedModel(QUICK), measured=False, dropout=0.2).train()
    model = FullModel(QUICK)
    model.error = error
    run = Run(tmp_path / "full", model, dropout=0.2)
    run.train()
    [told] = run.told
    assert told["channels_last"] is False and told["share"] is None
    assert str(error)[:20] in told["message"] and run.in_epochs == ["plain", "plain"]
    assert_same(run, never)


def test_a_card_that_warms_up_does_not_decide(tmp_path: Path) -> None:
    """The first turn is slow whatever it computes: the plain layout is timed once more."""

    class Warming(TimedModel):
        def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
            first_turn = "last" not in self.passes
            self.seconds = {"last": 1.0, "plain": 2.0 if first_turn else 1.0}
            return super().predict(noisy, timesteps, conditioning)

    run = Run(tmp_path, Warming(QUICK)).train()
    assert run.in_epochs[0] == "plain" and run.told[0]["share"] == 1.0


def test_the_first_pass_of_a_turn_is_not_timed(tmp_path: Path) -> None:
    """Libraries choose their algorithms in it."""

    class Choosing(TimedModel):
        def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
            if self.layout_now not in self.passes:
                self.now += 100
            return super().predict(noisy, timesteps, conditioning)

    assert Run(tmp_path, Choosing(QUICK)).train().told[0]["share"] == 0.5


@pytest.mark.parametrize(
    ("replayed", "expected"), [(QUICK, "last"), ({"last": 1.0, "plain": 0.9}, "plain")]
)
def test_where_passes_are_recorded_the_replayed_ones_are_timed(
    tmp_path: Path, replayed: dict[str, float], expected: str
) -> None:
    """Plain ones, bound by Python, say the contrary here."""
    plain = {"last": 3.0, "plain": 2.0} if expected == "last" else {"last": 2.0, "plain": 3.0}
    model = TimedModel(plain)
    recorded: list[str] = []

    class Replaying(_Again):
        def record(self, compute: Callable[[], None]) -> Callable[[], None]:
            replay = super().record(compute)
            layout = model.layout_now
            recorded.append(layout)
            further = [100.0]  # seconds: the first replay sends the whole recording to the GPU

            def timed() -> None:
                assert model.layout_now == layout  # a graph reads weights by their address
                now = model.now
                replay()
                model.now = now + replayed[layout] + (further.pop() if further else 0)

            return timed

    run = Run(tmp_path, model, new_recorder=Replaying)
    run.trainer.cuda_graph = CudaGraph(run.trainer.objective, Replaying())
    run.train()
    assert run.in_epochs == [expected] * 2 and not run.trainer.cuda_graph.off
    measured = 3 if expected == "last" else 2  # a win is timed against the plain layout again
    assert recorded[:measured] == ["plain", "last", "plain"][:measured]
    assert set(recorded[measured:]) == {expected}  # the training's own


def test_off_short_or_laid_so_already_nothing_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    off = Run(tmp_path / "off", TimedModel(QUICK), channels_last=False).train()
    assert "training.channels_last" in off.told[0]["message"] and "last" not in off.model.passes
    laid = TimedModel(QUICK)
    laid.conv.weight.data = laid.conv.weight.data.contiguous(memory_format=torch.channels_last)
    so_already = Run(tmp_path / "laid", laid).train()
    assert not so_already.told[0]["channels_last"] and laid.layout_now == "last"
    monkeypatch.setattr(conv_layout, "MIN_PASSES", 1000)
    short = Run(tmp_path / "short", TimedModel(QUICK)).train()
    assert "1000" in short.told[0]["message"] and "last" not in short.model.passes


def test_after_an_error_in_the_training_they_lie_as_they_did(tmp_path: Path) -> None:
    run = Run(tmp_path, TimedModel(QUICK))

    def fail(*_: object) -> Path:
        assert run.model.layout_now == "last"
        raise ZeroDivisionError

    run.trainer.save_epoch = fail
    with pytest.raises(ZeroDivisionError):
        run.train()
    assert run.model.layout_now == "plain"


def test_on_a_cpu_nothing_is_chosen(tmp_path: Path) -> None:
    run = Run(tmp_path, TimedModel(QUICK), measured=False)
    assert run.trainer.layout_choice is None
    run.train()
    assert not run.told and set(run.model.passes) == {"plain"}


@pytest.mark.parametrize("recorded", [False, True])
def test_on_a_gpu_it_is_timed_as_the_training_computes(tmp_path: Path, recorded: bool) -> None:
    class Moved(TimedModel):
        place = "cpu"

        @property
        def device(self) -> str:
            return self.place

    run = Run(tmp_path, Moved(QUICK), measured=False)
    run.model.place = "cuda"  # type: ignore[attr-defined]
    choice = layout_choice(run.trainer.objective, recorded)
    assert choice
    assert isinstance(choice._new_recorder(), CudaRecorder if recorded else PlainPasses)


def test_what_is_left_of_a_training_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Passes, not steps; of an epoch that goes on the steps that are still to come."""
    asked: list[tuple[int, int]] = []

    def counted(steps: Any) -> tuple[int, Sequence[Sample]]:
        asked.append((len(steps), 0))
        return largest(steps)

    def make(batch: TrainingBatch, passes: int) -> ConvLayout:
        asked[-1] = asked[-1][0], passes
        return ConvLayout(False, "")

    monkeypatch.setattr("lib_singlelora.training.trainer.largest", counted)
    for stop_at in (1, 0):
        run = Run(tmp_path, TimedModel(QUICK), gradient_accumulation=2)
        assert run.trainer.layout_choice
        run.trainer.layout_choice.make = make  # type: ignore[method-assign]
        run.trainer.resume()
        run.job._listener = lambda progress, job=run.job, stop=stop_at: (
            job.cancel() if stop and progress.done == stop else None
        )
        with pytest.raises(JobCancelled) if stop_at else nullcontext():
            run.train()
    (all_steps, passes), (steps, left) = asked[:2]
    budget = run.trainer.budget.steps
    assert passes == 2 * budget and left == 2 * (budget - 1) and steps == all_steps - 1


def test_a_training_goes_on_whichever_way_it_is_set() -> None:
    """Snapshots of trainings before there was such a setting too."""
    before = learned_settings(settings())
    assert "channels_last" not in before
    assert learned_settings(settings(channels_last=False)) == before


def test_what_is_measured_is_the_batch_with_the_most_pixels(tmp_path: Path) -> None:
    small, large = (Picture(tmp_path / "a.png", "", size) for size in ((64, 64), (64, 128)))
    batches = [[Sample(small, n) for n in range(2)], [Sample(large, n) for n in range(2)]]
    assert largest([[[Sample(large, 9)]], batches]) == (1, batches[1])


def test_the_batch_that_is_measured_has_the_rows_of_its_own_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other captions are not encoded ahead; the text encoder would come back for them."""

    def last_of_the_character(steps: Any) -> tuple[int, Sequence[Sample]]:
        return next(
            (step, steps[step][0])
            for step in reversed(range(1, len(steps)))
            if not steps[step][0][0].picture.regularization
        )

    monkeypatch.setattr("lib_singlelora.training.trainer.largest", last_of_the_character)
    run = Run(tmp_path, TimedModel(QUICK), regularization="prior prediction", prior_start=0.1)
    rows: list[int] = []

    def make(batch: TrainingBatch, passes: int) -> ConvLayout:
        rows.append(len(batch.latents))
        return ConvLayout(False, "")

    assert run.trainer.layout_choice
    run.trainer.layout_choice.make = make  # type: ignore[method-assign]
    run.train()
    assert rows[0] == 2  # the sample and its prior row; in the first step there is none yet


@pytest.mark.parametrize("conv_rank", [0, 2])
def test_a_pass_of_a_u_net_is_the_same_in_both_layouts(
    standalone_host: StandaloneHost, tmp_path: Path, conv_rank: int
) -> None:
    """Tolerance 1e-4 of the gradient: sums of another order through a whole U-Net."""
    found: list[tuple[float, list[Tensor]]] = []
    with standalone_host.open_for_training() as model:
        convs = [module for _, module in model.targets() if isinstance(module, nn.Conv2d)]
        with torch.no_grad():  # a CPU's are channels last already
            for module in convs:
                module.weight.data = module.weight.data.contiguous()
        shape = LoraShape(2, 2, conv_rank=conv_rank)
        network = LoraNetwork(model.targets(), model.layout, shape, {}, False, 1)
        for _, branch in network.items():
            nn.init.normal_(branch.up, std=0.05)
        trainer = Trainer(
            model,
            network,
            pictures(tmp_path),
            settings(),
            tmp_path / "s.pt",
            "x",
            lambda *_: tmp_path,
        )
        trainer.latents.fill(model, trainer.pictures, Versions(), lambda done, total: None)

        def passed() -> None:
            network.zero_grad(set_to_none=True)
            loss = trainer.loss([Sample(trainer.pictures[0], 1)])
            loss.backward()
            grads = [p.grad.clone() for p in network.parameters() if p.grad is not None]
            found.append((float(loss.detach()), grads))

        with frozen_autograd(model.targets(), model.blocks()), attached(network, model.targets()):
            passed()
            assert len(plainly_laid(convs)) > 10
            with channels_last_convs(convs):
                assert not plainly_laid(convs)
                passed()
    (plain, grads), (last, others) = found
    assert last == pytest.approx(plain, rel=1e-5)
    length = torch.cat([grad.flatten() for grad in grads]).norm()
    apart = torch.cat([(a - b).flatten() for a, b in zip(grads, others, strict=True)]).norm()
    assert grads and float(apart / length) < 1e-4


@needs_gpu
@pytest.mark.parametrize("graphs", [False, True])
def test_on_a_gpu_it_is_measured_told_and_given_back(
    standalone_host: StandaloneHost, tmp_path: Path, graphs: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conv_layout, "MOST_OF_PLAIN", 100.0)  # whatever it takes
    from lib_singlelora.hosts.standalone.host import StandaloneHost

    host = StandaloneHost(standalone_host.checkpoint.path, "cuda")
    events: list[dict[str, Any]] = []
    inside: list[int] = []
    with host.open_for_training() as model:
        convs = [module for _, module in model.targets() if isinstance(module, nn.Conv2d)]
        before = [module.weight.stride() for module in convs]
        network = LoraNetwork(model.targets(), model.layout, LoraShape(4, 4), {}, True, 1)

        def save(*_: object) -> Path:
            inside.append(len(plainly_laid(convs)))
            return tmp_path / "x.safetensors"

        options = settings(epochs=1, cuda_graphs=graphs)
        trainer = Trainer(model, network, pictures(tmp_path), options, tmp_path / "s.pt", "x", save)
        job = Job("train")
        job.log = lambda kind, **values: events.append({"kind": kind, **values})  # type: ignore[method-assign, assignment]
        trainer.run(job)
        assert [module.weight.stride() for module in convs] == before
    [told] = [event for event in events if event["kind"] == "conv_layout"]
    assert told["channels_last"] and told["share"] > 0 and inside == [0]
    assert not [event for event in events if event["kind"] == "warning"]
