"""A step's pass through the U-Net recorded in a CUDA graph, one for each shape, and replayed.

At small batches a GPU computes faster than Python can tell it what to do: Stable Diffusion's pass
and its way back are some six thousand kernels.  Only the U-Net's part is recorded; prompts are
encoded as ever, and their gradient is handed on.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from ..host import Conditioning, TrainingModel
from ..lora.network import LoraNetwork
from ..settings.training import TrainingSettings
from .batch import TrainingBatch, wants_prior
from .objective import TENSORS, Objective

KEPT = 16  # shapes; what else comes is computed without a graph
# The replayed loss may differ from the computed one by this share (another algorithm may be chosen)
AGREES = 0.05


@dataclass
class _Recording:
    drawn: TrainingBatch
    conditioning: Conditioning
    loss: Tensor
    graph: torch.cuda.CUDAGraph


class CudaGraph:
    """Loss and gradients of batches on a GPU, added to the gradients of the network's parameters;
    `clear` before each step.

    off: why nothing is recorded (any more), or nothing.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective, self.off = objective, ""
        self._kept: dict[tuple[object, ...], _Recording] = {}
        self._pool: Any = None

    def clear(self) -> None:
        """Gradients to zero, where the recorded passes expect them."""
        for parameter in self.objective.network.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            else:
                parameter.grad.zero_()

    def backward(self, drawn: TrainingBatch, share: float) -> float:
        """The loss of a batch, times share; its gradients are added to the parameters'."""
        drawn = _on(self.objective.model.device, replace(drawn, weights=drawn.weights * share))
        conditioning = self.objective.encode(drawn.captions)
        recording = None if self.off else self._recording(drawn, conditioning)
        if recording is None:
            loss = self.objective.loss_of(drawn, conditioning)
            loss.backward()  # type: ignore[no-untyped-call]
            return float(loss.detach())
        with torch.no_grad():
            for name in TENSORS:
                getattr(recording.drawn, name).copy_(getattr(drawn, name))
            recording.conditioning.context.copy_(conditioning.context)
            if recording.conditioning.context.grad is not None:
                recording.conditioning.context.grad.zero_()
        recording.graph.replay()
        if conditioning.context.requires_grad:
            conditioning.context.backward(recording.conditioning.context.grad)  # type: ignore[no-untyped-call]
        return float(recording.loss)

    def _recording(self, drawn: TrainingBatch, conditioning: Conditioning) -> _Recording | None:
        key = (
            drawn.latents.shape,
            conditioning.context.shape,
            conditioning.context.dtype,
            conditioning.context.requires_grad,
        )
        if key not in self._kept and len(self._kept) < KEPT and conditioning.vector is None:
            # Recorded passes write to these very gradients: their values come back, not other
            # tensors.
            grads = [p.grad for p in self.objective.network.parameters() if p.grad is not None]
            before = [grad.clone() for grad in grads]
            try:
                self._kept[key] = self._record(drawn, conditioning)
            except (RuntimeError, AssertionError) as error:
                self.off = (
                    "CUDA graphs are off for this training, which goes on without:"
                    f" {' '.join(str(error).split())[:200]}"
                )
            for grad, value in zip(grads, before, strict=True):
                grad.copy_(value)
        return self._kept.get(key)

    def _record(self, drawn: TrainingBatch, conditioning: Conditioning) -> _Recording:
        context = conditioning.context.detach().clone()
        if conditioning.context.requires_grad:
            context.requires_grad_()
            context.grad = torch.zeros_like(context)
        own = replace(drawn, **{name: getattr(drawn, name).clone() for name in TENSORS})
        static = Conditioning(context)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(2):  # libraries choose their algorithms, which cannot be recorded
                plain = self.objective.loss_of(own, static)
                plain.backward()  # type: ignore[no-untyped-call]
        torch.cuda.current_stream().wait_stream(side)
        expected = float(plain.detach())
        del plain
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            loss = self.objective.loss_of(own, static)
            loss.backward()  # type: ignore[no-untyped-call]
            loss = loss.detach()
        # One memory for all: they never run at the same time
        self._pool = self._pool or graph.pool()
        graph.replay()
        found = float(loss)
        if not abs(found - expected) <= AGREES * abs(expected):
            raise AssertionError(
                f"the recorded pass gave a loss of {found:.6g}, expected {expected:.6g}"
            )
        return _Recording(own, static, loss, graph)


def recordable(model: TrainingModel, network: LoraNetwork, settings: TrainingSettings) -> bool:
    """Whether a training's passes are the same kernels every time, on a GPU, through a host that
    allows it.

    Not in fp16: the loss is scaled there, by a number that changes from step to step.
    """
    plain = not (network.shape.random or settings.gradient_checkpointing or wants_prior(settings))
    return (
        settings.cuda_graphs
        and plain
        and model.compute_dtype != torch.float16
        and model.recordable
        and torch.device(model.device).type == "cuda"
    )


def _on(device: str, drawn: TrainingBatch) -> TrainingBatch:
    return replace(drawn, **{name: getattr(drawn, name).to(device) for name in TENSORS})
