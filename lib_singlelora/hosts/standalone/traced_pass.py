"""A pass of a small U-Net without Python's part, which at small pictures takes a third of the time.

What a pass computes is written down once for each shape (`torch.jit.trace`) and run from there:
the same operations on the same weights, so that pictures stay the same to the last bit.
Measured at the embedded checkpoint, 128 × 128 pixels: 82 to 56 ms a pass on one core, 66 to 45 on
two; to write it down takes 2 s.
"""

from __future__ import annotations

import logging
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ...host import Conditioning
from .training_model import predicted

logger = logging.getLogger(__name__)

Key = tuple[object, ...]
# Of a shape, before it is written down: as many as save what that takes
PASSES = 90
MOST_PARAMETERS = 100_000_000  # of a U-Net; with more, what Python takes is little beside the rest
# Rows by cells of the latents in a pass: one 128 × 128 picture with guidance. With more at once
# Python's part is small, and such batches are few.
MOST_CELLS = 512
MOST_SHAPES = 8  # that are kept; further ones are computed plainly
# What PyTorch's tracer raises for what it cannot write down; it has no error of its own
REFUSALS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError)


class TracedPass:
    """A U-Net's predictions, from the traces of its passes where that is sooner.

    A trace reads the very Parameters, so LoRAs that are merged into them count.  It knows no
    patches: the U-Net must be drawn with as it was loaded.

    passes: of a shape that are computed plainly; further ones are computed both ways and compared,
        until two timesteps gave the same.
    """

    def __init__(self, unet: nn.Module, passes: int = PASSES) -> None:
        self._unet = unet
        self._passes = passes
        size = sum(parameter.numel() for parameter in unet.parameters())
        on_cpu = all(parameter.device.type == "cpu" for parameter in unet.parameters())
        self._worth_it = on_cpu and size <= MOST_PARAMETERS
        self._counts: Counter[Key] = Counter()
        self._traces: dict[Key, Any] = {}
        # The timestep of a trace that no other timestep was tried with yet
        self._tried: dict[Key, Tensor] = {}

    def __call__(
        self,
        noisy: Tensor,
        timestep: Tensor,
        conditioning: Conditioning,
        owners: Sequence[int] = (),
    ) -> Tensor:
        """As `predicted`, for the same arguments.

        owners: passed over: every row has the network's own weights.
        """
        cells = noisy.shape[0] * noisy.shape[2] * noisy.shape[3]
        if not self._worth_it or cells > MOST_CELLS or conditioning.pooled is not None:
            return predicted(self._unet, noisy, timestep, conditioning)
        given = noisy, timestep, conditioning.context.to(noisy.dtype)
        key = tuple((tensor.shape, tensor.dtype) for tensor in given)
        self._counts[key] += 1
        if key in self._traces and key not in self._tried:
            return _run(self._traces[key], given)
        output = predicted(self._unet, noisy, timestep, conditioning)
        is_first = self._counts[key] == self._passes + 1
        if key in self._tried or (is_first and len(self._traces) < MOST_SHAPES):
            self._compare(key, given, output)
        return output

    def _compare(self, key: Key, given: tuple[Tensor, ...], expected: Tensor) -> None:
        """Write the pass down, and drop what does not give exactly what was expected.

        Another timestep shows that no value of the first became part of it.
        """
        _, timestep, _ = given
        try:
            if key not in self._traces:
                self._tried[key] = timestep.clone()
                self._traces[key] = _trace(self._unet, given)
            if not torch.equal(_run(self._traces[key], given), expected):
                raise RuntimeError("it gave other numbers")
            if not torch.equal(self._tried[key], timestep):
                del self._tried[key]
        except REFUSALS as error:
            self._traces.pop(key, None)
            self._tried.pop(key, None)
            reason = " ".join(str(error).split())[:200]
            logger.warning("a pass cannot be written down (%s); it is computed as before", reason)


class _Plain(nn.Module):
    """A U-Net that gives its output alone."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self._unet = unet

    def forward(self, noisy: Tensor, timestep: Tensor, context: Tensor) -> Tensor:
        output: Tensor = self._unet(noisy, timestep, context, return_dict=False)[0]
        return output


def _trace(unet: nn.Module, given: tuple[Tensor, ...]) -> Any:
    """The pass, written down.  Raises: RuntimeError, where it cannot be."""
    with warnings.catch_warnings():
        # Which of Python's decisions become part of it, and that it is to be replaced one day
        warnings.simplefilter("ignore")
        trace: Any = torch.jit.trace
        return trace(_Plain(unet), given, check_trace=False)


def _run(trace: Any, given: tuple[Tensor, ...]) -> Tensor:
    # Its optimizer takes a second at the next two passes and wins nothing that could be measured
    with torch.jit.optimized_execution(False):  # type: ignore[attr-defined]
        output: Tensor = trace(*given)
    return output
