"""A step's passes through the U-Net recorded in CUDA graphs, one for each shape, and replayed.

At small batches a GPU computes faster than Python can launch kernels: Stable Diffusion's forward
and backward pass are some six thousand.  Only the U-Net's part is recorded; prompts are encoded as
ever, and their gradient is handed on.

Source: https://pytorch.org/docs/stable/notes/cuda.html, "CUDA Graphs".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from torch import Tensor

from ..host import Conditioning, TrainingModel
from ..lora.network import LoraNetwork
from ..settings.training import TrainingSettings
from .batch import TENSORS, TrainingBatch, uses_frozen_model
from .objective import Objective

MAX_GRAPHS = 16  # further shapes are computed without a graph
# Share by which the replayed loss may differ: cuDNN may have chosen another algorithm
LOSS_TOLERANCE = 0.05
# Share of the gradient's norm by which the replayed one may be off; one of other inputs is by 1
GRADIENT_TOLERANCE = 0.2
# Of each shape, that are computed without the graph too; the first is the one that was recorded
CHECKED_STEPS = 3


class Recorder(Protocol):
    """Records what a function computes, to compute it again on the same tensors."""

    def warm_up(self, compute: Callable[[], None]) -> None:
        """Call it once so that what a first call chooses is not part of the recording."""
        ...

    def record(self, compute: Callable[[], None]) -> Callable[[], None]:
        """Record one call; gives what replays it.  Raises: RuntimeError."""
        ...


class CudaRecorder:
    """Kernels recorded in CUDA graphs, which share a memory pool: they never run at once."""

    def __init__(self) -> None:
        self._pool: Any = None

    def warm_up(self, compute: Callable[[], None]) -> None:
        """On a stream of its own: libraries choose algorithms, which cannot be recorded."""
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            compute()
        torch.cuda.current_stream().wait_stream(side_stream)

    def record(self, compute: Callable[[], None]) -> Callable[[], None]:
        """A graph of one call.  Raises: RuntimeError, where a kernel cannot be recorded."""
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            compute()
        self._pool = self._pool or graph.pool()
        replay: Callable[[], None] = graph.replay
        return replay


@dataclass(frozen=True)
class StaticPass:
    """A pass and its way back, computed on the same tensors each time.

    batch: on the objective's device.
    conditioning: leaves; their gradients are added to where the text learns.
    loss: a scalar, which each pass writes.
    """

    objective: Objective
    batch: TrainingBatch
    conditioning: Conditioning
    loss: Tensor

    def compute(self) -> None:
        """The loss, and its gradients, which are added."""
        computed = self.objective.loss_of(self.batch, self.conditioning)
        computed.backward()
        self.loss.copy_(computed.detach())

    def recorded(self, recorder: Recorder) -> Callable[[], None]:
        """What computes it again.  Raises: RuntimeError."""
        for _ in range(2):
            recorder.warm_up(self.compute)
        return recorder.record(self.compute)


def static_pass(
    objective: Objective, batch: TrainingBatch, conditioning: Conditioning | None = None
) -> StaticPass:
    """A pass over copies of a batch and its conditioning; None encodes the batch's captions."""
    batch = batch.on(objective.model.device).clone()
    texts = conditioning or objective.encode(batch.captions)
    loss = torch.zeros((), device=batch.latents.device)
    return StaticPass(objective, batch, texts.mapped(_static), loss)


@dataclass
class _Recording:
    """A recorded pass and the tensors that it reads and writes.

    unchecked: steps that are still to be compared with a plain pass.
    """

    own: StaticPass
    replay: Callable[[], None]
    unchecked: int = CHECKED_STEPS


class CudaGraph:
    """Loss and gradients of batches on a GPU, added to the gradients of the network's parameters.

    `zero_grad` must be called before each step.  The first steps of each shape are computed plainly
    too and compared: what differs is not replayed.
    off: why no graph is recorded any more; "" while it works.
    """

    def __init__(self, objective: Objective, recorder: Recorder | None = None) -> None:
        self.objective = objective
        self.off = ""
        self._recorder = recorder or CudaRecorder()
        self._recordings: dict[tuple[object, ...], _Recording] = {}

    def zero_grad(self) -> None:
        """Zero the gradients in place, where the recorded passes add to them."""
        for parameter in self.objective.network.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            else:
                parameter.grad.zero_()

    def backward(self, batch: TrainingBatch, share: float) -> Tensor:
        """The loss of a batch times its share of the step; its gradients are added.

        Gives a scalar on the device, which nothing waits for.
        """
        batch = replace(batch, weights=batch.weights * share).on(self.objective.model.device)
        conditioning = self.objective.encode(batch.captions)
        recording = None if self.off else self._recording(batch, conditioning)
        if recording is None:
            return self._plain(batch, conditioning)
        if recording.unchecked:
            return self._compared(recording, batch, conditioning)
        return self._replayed(recording, batch, conditioning)

    def _plain(self, batch: TrainingBatch, conditioning: Conditioning) -> Tensor:
        loss = self.objective.loss_of(batch, conditioning)
        loss.backward()
        return loss.detach()

    def _replayed(
        self, recording: _Recording, batch: TrainingBatch, conditioning: Conditioning
    ) -> Tensor:
        own = recording.own
        with torch.no_grad():
            for name in TENSORS:
                getattr(own.batch, name).copy_(getattr(batch, name))
            texts = list(zip(own.conditioning.tensors(), conditioning.tensors(), strict=True))
            for recorded, text in texts:
                recorded.copy_(text)
                if recorded.grad is not None:
                    recorded.grad.zero_()
        recording.replay()
        learning = [(text, recorded.grad) for recorded, text in texts if text.requires_grad]
        if learning:
            # In one call: what the encodings have in common is freed by the first backward pass
            torch.autograd.backward(
                [text for text, _ in learning], [grad for _, grad in learning if grad is not None]
            )
        return own.loss.clone()  # the next replay writes another one there

    def _compared(
        self, recording: _Recording, batch: TrainingBatch, conditioning: Conditioning
    ) -> Tensor:
        """A plain pass, whose gradients count, and whether a replay gives the same."""
        before = [grad.clone() for grad in self._grads()]
        found = float(self._replayed(recording, batch, conditioning))
        replayed = [grad.clone() for grad in self._grads()]
        self._restore(before)
        loss = self._plain(batch, self.objective.encode(batch.captions))
        expected = float(loss)
        apart = _norm([one - other for one, other in zip(replayed, self._grads(), strict=True)])
        length = _norm([one - other for one, other in zip(self._grads(), before, strict=True)])
        recording.unchecked -= 1
        if not abs(found - expected) <= LOSS_TOLERANCE * abs(expected):
            self._give_up(f"the recorded pass gave a loss of {found:.6g}, expected {expected:.6g}")
        elif not apart <= GRADIENT_TOLERANCE * length:
            self._give_up(
                f"the recorded pass gave a gradient {apart:.3g} away, of one {length:.3g} long"
            )
        return loss

    def _give_up(self, reason: str) -> None:
        self.off = (
            "CUDA graphs are off for this training, which goes on without:"
            f" {' '.join(reason.split())[:200]}"
        )
        self._recordings.clear()

    def _grads(self) -> list[Tensor]:
        """Recorded passes write to these very tensors, so values are restored, not tensors."""
        return [p.grad for p in self.objective.network.parameters() if p.grad is not None]

    def _restore(self, values: list[Tensor]) -> None:
        for grad, value in zip(self._grads(), values, strict=True):
            grad.copy_(value)

    def _recording(self, batch: TrainingBatch, conditioning: Conditioning) -> _Recording | None:
        """The recording for a batch's shapes; None where there is none and none can be made."""
        key = (
            batch.latents.shape,
            *((text.shape, text.dtype, text.requires_grad) for text in conditioning.tensors()),
        )
        if key not in self._recordings and len(self._recordings) < MAX_GRAPHS:
            before = [grad.clone() for grad in self._grads()]
            try:
                self._recordings[key] = self._record(batch, conditioning)
            except (RuntimeError, AssertionError) as error:
                self._give_up(str(error))
            self._restore(before)
        return self._recordings.get(key)

    def _record(self, batch: TrainingBatch, conditioning: Conditioning) -> _Recording:
        own = static_pass(self.objective, batch, conditioning)
        return _Recording(own, own.recorded(self._recorder))


def _norm(tensors: list[Tensor]) -> float:
    """The length of all of them together."""
    squares = [each.double().square().sum() for each in tensors]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def _static(text: Tensor) -> Tensor:
    """A copy that a graph reads, and whose gradient it writes where the text learns."""
    copy = text.detach().clone()
    if text.requires_grad:
        copy.requires_grad_()
        copy.grad = torch.zeros_like(copy)
    return copy


def recording_obstacle(
    model: TrainingModel, network: LoraNetwork, settings: TrainingSettings
) -> str:
    """Why a training's passes are not recorded; "" where they are.

    They must be the same kernels every time, on a GPU, in a host that allows it.
    """
    changing = {
        "dropout": network.shape.random,
        "gradient checkpointing": settings.gradient_checkpointing,
        "a loss term that asks the frozen model": uses_frozen_model(settings),
        # Each caption has its trigger elsewhere
        "training.attention_loss": bool(settings.attention_loss),
        # The loss is scaled by a number that changes from step to step
        "a pass in fp16": model.compute_dtype == torch.float16,
    }
    if torch.device(model.device).type != "cuda":
        return "not on an NVIDIA GPU"
    if not settings.cuda_graphs:
        return "training.cuda_graphs is off"
    found = [name for name, applies in changing.items() if applies]
    return f"with {found[0]}" if found else model.recording_obstacle
