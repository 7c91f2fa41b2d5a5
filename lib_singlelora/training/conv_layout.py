"""On a GPU: whether the U-Net's convolutions take a training's passes sooner channels last.

Tensor cores read and write channels last, and cuDNN turns what lies otherwise; but PyTorch's group
norm on CUDA computes in the plain layout alone, so that between two convolutions everything may be
turned twice.  Which costs less depends on card, libraries and sizes: it is measured.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from ..naming.blocks import is_text
from ..ops.conv_layout import channels_last_convs, plainly_laid
from .batch import TrainingBatch
from .cuda_graph import CudaRecorder, Recorder, StaticPass, static_pass
from .epoch_plan import Sample
from .objective import Objective

logger = logging.getLogger(__name__)

MOST_OF_PLAIN = 0.95  # of a pass's time as the weights lie: less than that is won clearly
# Of a turn, after two that are not timed; the shortest counts, for the first replay of a recording
# also sends it to the GPU
TIMED_PASSES = 3
# Left of a training for which measuring pays: it takes 10 to 15 passes, where they are replayed as
# long as some 35 (a plain one takes 2.7 of one on an H100), and wins a twentieth of each at least
MIN_PASSES = 500


@dataclass(frozen=True)
class ConvLayout:
    """How the convolutions lie in a training.

    share: the time of a pass with them channels last, as a share of one as they lay; None where
        that was not measured.
    """

    channels_last: bool
    reason: str
    share: float | None = None

    def __str__(self) -> str:
        where = "lie channels last" if self.channels_last else "stay as they lay"
        return f"the U-Net's convolutions {where}: {self.reason}"


class PlainPasses:
    """Stands in for a Recorder where passes are not recorded: what is replayed is the pass."""

    def warm_up(self, compute: Callable[[], None]) -> None:
        """Call it once."""
        compute()

    def record(self, compute: Callable[[], None]) -> Callable[[], None]:
        """Nothing: the pass itself is given back."""
        return compute


class LayoutChoice:
    """Chooses the layout of the U-Net's convolutions for a training, once, by its own passes.

    new_recorder: how the training's passes are recorded, for it is the replayed ones that count
        then: plain ones of a small batch last as long as Python takes to launch them.
    clock: seconds, once all that was launched is computed; None for the GPU's.
    """

    def __init__(
        self,
        objective: Objective,
        new_recorder: Callable[[], Recorder] = PlainPasses,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._objective = objective
        self._new_recorder = new_recorder
        self._clock = clock or self._gpu_clock
        self._stack = ExitStack()
        self.made: ConvLayout | None = None

    @contextmanager
    def opened(self) -> Iterator[None]:
        """While inside a layout may be chosen; afterwards every weight lies as it did."""
        with self._stack:
            yield

    def make(self, batch: TrainingBatch, passes: int) -> ConvLayout:
        """Choose the layout, and lay the weights so.

        What cannot be measured leaves the training as it is.
        batch: of the sizes that are measured.
        passes: left of the training.
        """
        self.made = made = self._made(batch, passes)
        self._give_back()
        logger.info("%s", made)
        return made

    def _made(self, batch: TrainingBatch, passes: int) -> ConvLayout:
        if obstacle := self._obstacle(passes):
            return ConvLayout(False, obstacle)
        try:
            share = self._share(batch)
            if share > MOST_OF_PLAIN:
                reason = f"channels last a pass takes {share:.2f} of the time,"
                return ConvLayout(False, f"{reason} expected at most {MOST_OF_PLAIN}", share)
            self._stack.enter_context(channels_last_convs(self._modules()))
        except (RuntimeError, AssertionError) as error:  # out of memory among them
            return ConvLayout(False, f"not measured: {' '.join(str(error).split())[:200]}")
        return ConvLayout(True, f"a pass takes {share:.2f} of the time", share)

    def _obstacle(self, passes: int) -> str:
        """Why nothing is measured; "" where it is."""
        if not self._objective.settings.channels_last:
            return "training.channels_last is off"
        if not plainly_laid(self._modules()):
            return "found none that would have to be laid anew"
        if passes < MIN_PASSES:
            return f"{passes} passes are left, too few to win what measuring takes ({MIN_PASSES})"
        return ""

    def _modules(self) -> Iterator[nn.Module]:
        return (module for name, module in self._objective.model.targets() if not is_text(name))

    def _share(self, batch: TrainingBatch) -> float:
        """The time of a pass channels last, as a share of one as the weights lie.

        Before it counts as won the plain layout is timed once more, behind the other: a card that
        still warms up must not decide.
        """
        with self._undone():
            own = static_pass(self._objective, batch)
            plain = self._seconds(own)
            with channels_last_convs(self._modules()):
                channels_last = self._seconds(own)
            if channels_last <= MOST_OF_PLAIN * plain:
                plain = min(plain, self._seconds(own))
        return channels_last / plain

    def _seconds(self, own: StaticPass) -> float:
        """The shortest of a few passes and back."""
        self._give_back()  # what the last turn's recording held
        # A new one each time: a recording's pool of memory must not outlive it
        replay = own.recorded(self._new_recorder())
        best = float("inf")
        for _ in range(TIMED_PASSES):
            started = self._clock()
            replay()
            best = min(best, self._clock() - started)
        return best

    @contextmanager
    def _undone(self) -> Iterator[None]:
        """Gradients, random numbers and what a loss term remembers are afterwards as before."""
        objective = self._objective
        grads = [(parameter, parameter.grad) for parameter in objective.network.parameters()]
        apt = objective.apt.state() if objective.apt else {}
        device = torch.device(objective.model.device)
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices):
            try:
                for parameter, _ in grads:
                    parameter.grad = torch.zeros_like(parameter)
                yield
            finally:
                for parameter, grad in grads:
                    parameter.grad = grad
                if objective.apt:
                    objective.apt.load(apt)

    def _gpu_clock(self) -> float:
        torch.cuda.synchronize(self._objective.model.device)
        return time.perf_counter()

    def _give_back(self) -> None:
        """The GPU's memory that nothing uses any more, for the training takes other pieces."""
        if torch.device(self._objective.model.device).type == "cuda":
            torch.cuda.empty_cache()


def layout_choice(objective: Objective, recorded: bool) -> LayoutChoice | None:
    """The choice for a training on a GPU; None elsewhere.

    recorded: its passes are recorded.
    """
    if torch.device(objective.model.device).type != "cuda":
        return None
    return LayoutChoice(objective, CudaRecorder if recorded else PlainPasses)


def largest(steps: Sequence[Sequence[Sequence[Sample]]]) -> tuple[int, Sequence[Sample]]:
    """(its step, the batch with the most pixels): whose time is measured, room is found for too."""

    def pixels(found: tuple[int, Sequence[Sample]]) -> int:
        _, batch = found
        width, height = batch[0].picture.bucket
        return len(batch) * width * height

    return max(((step, batch) for step, part in enumerate(steps) for batch in part), key=pixels)
