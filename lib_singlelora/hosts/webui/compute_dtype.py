"""What the WebUI computes in, and what a training's passes in it do."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from modules import devices
from torch import Tensor, nn

from ...errors import TrainingError
from .. import precision

ANOTHER_VAE = "choose another one in Settings > VAE"


def own_dtype() -> torch.dtype:
    """What the WebUI's own passes compute in.

    Source: AUTOMATIC1111 1.10.1, modules/devices.py, autocast.
    """
    whole = torch.float32 in (devices.dtype, getattr(devices, "dtype_inference", devices.dtype))
    if getattr(devices, "fp8", False):  # weights in 8 bits, which nothing multiplies
        return torch.bfloat16 if _kind() == "cpu" else devices.dtype
    return torch.float32 if whole else devices.dtype


def pass_dtype(wanted: str) -> torch.dtype:
    """What a training's passes compute in for `training.precision`.

    auto: the WebUI's own, but bf16 in place of fp16 where the GPU has it: its range is fp32's, and
    no gradient is lost.
    Raises: TrainingError, for fp32 when the WebUI holds the checkpoint in half precision.
    """
    own = own_dtype()
    if wanted == "auto":
        return (
            precision.half_of(devices.device)
            if own == torch.float16 and _kind() == "cuda" and not _casts_by_hand()
            else own
        )
    asked = precision.DTYPES[wanted]
    if asked == torch.float32 != own:
        raise TrainingError(
            "training.precision=fp32: found the checkpoint in half precision, as the WebUI loads"
            " it, expected fp32; start the WebUI with --no-half, or set training.precision to auto"
        )
    return asked


def autocast(dtype: torch.dtype) -> AbstractContextManager[Any]:
    """For a pass that computes in a dtype: the WebUI's own way where it computes in that too."""
    if dtype == own_dtype():
        found: AbstractContextManager[Any] = devices.autocast()
        return found
    return precision.autocast(devices.device, dtype)


def through_vae(vae: nn.Module, call: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """call(values) in the numbers that the VAE lies in; once more in fp32 when it gives NaN in half
    precision.

    With --no-half-vae it lies in fp32, and autocast would halve it again.
    Raises: TrainingError, when NaN comes out all the same.
    """
    dtype = next(vae.parameters()).dtype
    with torch.no_grad():
        with _as_it_lies(dtype):
            found = call(values.to(devices.device, dtype))
        if dtype != torch.float32 and not bool(torch.isfinite(found).all()):
            with _whole(vae), _as_it_lies(torch.float32):
                found = call(values.to(devices.device, torch.float32))
    return precision.checked_vae(found, values, ANOTHER_VAE)


def _as_it_lies(dtype: torch.dtype) -> AbstractContextManager[Any]:
    if dtype != torch.float32:
        found: AbstractContextManager[Any] = devices.autocast()
        return found
    return torch.autocast("cuda", enabled=False) if _kind() == "cuda" else nullcontext()


@contextmanager
def _whole(vae: nn.Module) -> Iterator[None]:
    """The VAE in fp32 while inside; then the very tensors that it had."""
    parameters = [(parameter, parameter.data) for parameter in vae.parameters()]
    buffers = [(module, dict(module._buffers)) for module in vae.modules()]
    try:
        vae.float()
        yield
    finally:
        for parameter, data in parameters:
            parameter.data = data
        for module, had in buffers:
            module._buffers.update(had)


def _kind() -> str:
    return torch.device(devices.device).type


def _casts_by_hand() -> bool:
    """Whether the WebUI casts each module itself: for the GeForce GTX 16, which autocast computes
    wrongly on.
    """
    ask = getattr(devices, "cuda_no_autocast", None)
    return bool(ask()) if ask else False
