"""The dtypes of a pass: those that settings ask for, and those that a device computes natively."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn

from ..errors import TrainingError
from ..ops.frozen_linear import autocast_enabled

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
AMPERE = (8, 0)  # the first compute capability that multiplies bf16


def has_bf16(device: str | torch.device) -> bool:
    """True if a GPU multiplies bf16 itself; False for a CPU, where "auto" halves nothing.

    `torch.cuda.is_bf16_supported()` answers True for older NVIDIA cards too, which emulate it
    several times slower.
    """
    if torch.device(device).type != "cuda":
        return False
    if torch.version.hip:  # AMD numbers its capabilities otherwise
        return bool(torch.cuda.is_bf16_supported())
    return torch.cuda.get_device_capability(device) >= AMPERE


def half_of(device: str | torch.device) -> torch.dtype:
    """The half precision that suits a device: bf16, whose range is fp32's, else fp16."""
    return torch.bfloat16 if has_bf16(device) else torch.float16


@contextmanager
def autocast(device: str | torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Autocast to a dtype, whatever autocast is around it.

    An inner `torch.autocast` without a dtype takes the outer one's; with a dtype it takes that.

    Raises:
        TrainingError: PyTorch has no such autocast on this device.
    """
    device_type = torch.device(device).type
    with ExitStack() as stack:
        try:  # PyTorch before 2.3 warns, and raises or computes in fp32
            stack.enter_context(torch.autocast(device_type, dtype))
        except RuntimeError as error:
            raise _no_autocast(device_type, dtype, f" ({error})") from error
        if not autocast_enabled(device_type):
            raise _no_autocast(device_type, dtype)
        yield


def _no_autocast(device_type: str, dtype: torch.dtype, reason: str = "") -> TrainingError:
    name = next(name for name in DTYPES if DTYPES[name] == dtype)
    return TrainingError(
        f"training.precision={name}: PyTorch {torch.__version__} has no autocast to "
        f"{name} on '{device_type}'{reason}; choose auto, fp32 or bf16"
    )


@contextmanager
def in_fp32(vae: nn.Module) -> Iterator[None]:
    """The VAE in fp32 while inside; afterwards it has the very tensors that it had."""
    parameters = [(parameter, parameter.data) for parameter in vae.parameters()]
    buffers = [(module, dict(module._buffers)) for module in vae.modules()]
    try:
        vae.float()
        yield
    finally:
        for parameter, data in parameters:
            parameter.data = data
        for module, tensors in buffers:
            module._buffers.update(tensors)


def through_vae(
    vae: nn.Module,
    call: Callable[[Tensor], Tensor],
    values: Tensor,
    device: torch.device,
    advice: str,
) -> Tensor:
    """call(values) in the VAE's dtype, repeated in fp32 when half precision gives NaN.

    advice: what the user can do about a VAE that gives NaN.

    Raises:
        TrainingError: fp32 gives NaN too.
    """
    dtype = next(vae.parameters()).dtype
    with torch.no_grad():
        result = call(values.to(device, dtype))
        if dtype != torch.float32 and not bool(torch.isfinite(result).all()):
            with in_fp32(vae):
                result = call(values.to(device, torch.float32))
    return checked_vae(result, values, advice)


def checked_vae(result: Tensor, values: Tensor, advice: str) -> Tensor:
    """A VAE's result for some values.

    advice: what the user can do about a VAE that gives NaN.

    Raises:
        TrainingError: the result or already the values are not finite.
    """
    if bool(torch.isfinite(result).all()):
        return result
    if not bool(torch.isfinite(values).all()):
        raise TrainingError(
            "found NaN in what the VAE was given, expected finite values: the latents come from a"
            " LoRA or a checkpoint that has burnt out; take an earlier epoch"
        )
    raise TrainingError(
        f"the VAE gave NaN for a picture, in fp32 too, expected finite values; {advice}"
    )
