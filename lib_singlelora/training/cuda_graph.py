"""A step's passes through the U-Net recorded in CUDA graphs, one for each shape, and replayed.

At small batches a GPU computes faster than Python can launch kernels: Stable Diffusion's forward
and backward pass are some six thousand.  Only the U-Net's part is recorded; prompts are encoded as
ever, and their gradient is handed on.

Source: https://pytorch.org/docs/stable/notes/cuda.html, "CUDA Graphs".
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

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


@dataclass
class _Recording:
    """A graph and the tensors that it reads and writes."""

    batch: TrainingBatch
    conditioning: Conditioning
    loss: Tensor
    graph: torch.cuda.CUDAGraph


class CudaGraph:
    """Loss and gradients of batches on a GPU, added to the gradients of the network's parameters.

    `zero_grad` must be called before each step.
    off: why no graph is recorded any more; "" while it works.
    """

    def __init__(self, objective: Objective) -> None:
        self.objective = objective
        self.off = ""
        self._recordings: dict[tuple[object, ...], _Recording] = {}
        self._pool: Any = None

    def zero_grad(self) -> None:
        """Zero the gradients in place, where the recorded passes add to them."""
        for parameter in self.objective.network.parameters():
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
            else:
                parameter.grad.zero_()

    def backward(self, batch: TrainingBatch, share: float) -> float:
        """The loss of a batch times its share of the step; its gradients are added."""
        batch = replace(batch, weights=batch.weights * share).on(self.objective.model.device)
        conditioning = self.objective.encode(batch.captions)
        recording = None if self.off else self._recording(batch, conditioning)
        if recording is None:
            loss = self.objective.loss_of(batch, conditioning)
            loss.backward()
            return float(loss.detach())
        with torch.no_grad():
            for name in TENSORS:
                getattr(recording.batch, name).copy_(getattr(batch, name))
            texts = list(zip(recording.conditioning.tensors(), conditioning.tensors(), strict=True))
            for recorded, text in texts:
                recorded.copy_(text)
                if recorded.grad is not None:
                    recorded.grad.zero_()
        recording.graph.replay()
        learning = [(text, recorded.grad) for recorded, text in texts if text.requires_grad]
        if learning:
            # In one call: what the encodings have in common is freed by the first backward pass
            torch.autograd.backward(
                [text for text, _ in learning], [grad for _, grad in learning if grad is not None]
            )
        return float(recording.loss)

    def _recording(self, batch: TrainingBatch, conditioning: Conditioning) -> _Recording | None:
        """The recording for a batch's shapes; None where there is none and none can be made."""
        key = (
            batch.latents.shape,
            *((text.shape, text.dtype, text.requires_grad) for text in conditioning.tensors()),
        )
        if key not in self._recordings and len(self._recordings) < MAX_GRAPHS:
            # Recorded passes write to these very gradients, so values are restored, not tensors.
            grads = [p.grad for p in self.objective.network.parameters() if p.grad is not None]
            before = [grad.clone() for grad in grads]
            try:
                self._recordings[key] = self._record(batch, conditioning)
            except (RuntimeError, AssertionError) as error:
                self.off = (
                    "CUDA graphs are off for this training, which goes on without:"
                    f" {' '.join(str(error).split())[:200]}"
                )
            for grad, value in zip(grads, before, strict=True):
                grad.copy_(value)
        return self._recordings.get(key)

    def _record(self, batch: TrainingBatch, conditioning: Conditioning) -> _Recording:
        static_batch = batch.clone()
        static_texts = conditioning.mapped(_static)
        side_stream = torch.cuda.Stream()
        side_stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side_stream):
            for _ in range(2):  # libraries choose their algorithms, which cannot be recorded
                computed = self.objective.loss_of(static_batch, static_texts)
                computed.backward()
        torch.cuda.current_stream().wait_stream(side_stream)
        expected = float(computed.detach())
        del computed
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            loss = self.objective.loss_of(static_batch, static_texts)
            loss.backward()
            loss = loss.detach()
        # One memory pool for all graphs: they never run at the same time
        self._pool = self._pool or graph.pool()
        graph.replay()
        replayed = float(loss)
        if not abs(replayed - expected) <= LOSS_TOLERANCE * abs(expected):
            raise AssertionError(
                f"the recorded pass gave a loss of {replayed:.6g}, expected {expected:.6g}"
            )
        return _Recording(static_batch, static_texts, loss, graph)


def _static(text: Tensor) -> Tensor:
    """A copy that a graph reads, and whose gradient it writes where the text learns."""
    copy = text.detach().clone()
    if text.requires_grad:
        copy.requires_grad_()
        copy.grad = torch.zeros_like(copy)
    return copy


def recordable(model: TrainingModel, network: LoraNetwork, settings: TrainingSettings) -> bool:
    """True if a training's passes are the same kernels every time, on a GPU whose host allows it.

    Not in fp16: the loss is scaled there, by a number that changes from step to step.  Not with
    an attention loss: each caption has its trigger elsewhere.
    """
    constant = not (
        network.shape.random
        or settings.gradient_checkpointing
        or uses_frozen_model(settings)
        or settings.attention_loss
    )
    return (
        settings.cuda_graphs
        and constant
        and model.compute_dtype != torch.float16
        and model.recordable
        and torch.device(model.device).type == "cuda"
    )
