"""What a pass computes in: the numbers that settings ask for, and those that a device has itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor

from ..errors import TrainingError
from ..ops.frozen_linear import autocast_enabled

DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}
HALF = (torch.float16, torch.bfloat16)
AMPERE = (8, 0)  # the first compute capability that multiplies bf16


def has_bf16(device: str | torch.device) -> bool:
    """Whether a device multiplies bf16 itself.

    `torch.cuda.is_bf16_supported()` answers True for older NVIDIA cards too, which emulate it
    several times slower.  A CPU is not asked: there nothing is halved unless settings say so.
    """
    if torch.device(device).type != "cuda":
        return False
    if torch.version.hip:  # AMD counts its capabilities otherwise
        return bool(torch.cuda.is_bf16_supported())
    return torch.cuda.get_device_capability(device) >= AMPERE


def half_of(device: str | torch.device) -> torch.dtype:
    """The half precision that a device is best at: bf16, whose range is fp32's, else fp16."""
    return torch.bfloat16 if has_bf16(device) else torch.float16


@contextmanager
def autocast(device: str | torch.device, dtype: torch.dtype) -> Iterator[None]:
    """Autocast to a dtype, whatever autocast is around it.

    An inner `torch.autocast` without a dtype takes the outer one's; with a dtype it takes that.
    Raises: TrainingError, where PyTorch has no such autocast on this device.
    """
    kind = torch.device(device).type
    name = next(name for name, each in DTYPES.items() if each == dtype)
    with ExitStack() as stack:
        try:  # PyTorch before 2.3 warns, and raises or computes in fp32
            stack.enter_context(torch.autocast(kind, dtype))
        except RuntimeError as error:
            raise _missing(name, kind, f" ({error})") from error
        if not autocast_enabled(kind):
            raise _missing(name, kind)
        yield


def _missing(name: str, kind: str, why: str = "") -> TrainingError:
    return TrainingError(
        f"training.precision={name}: PyTorch {torch.__version__} has no autocast to "
        f"{name} on '{kind}'{why}; choose auto, fp32 or bf16"
    )


def checked_vae(found: Tensor, given: Tensor, advice: str) -> Tensor:
    """What a VAE gave.  Raises: TrainingError, when it is no numbers although it was given some."""
    if bool(torch.isfinite(found).all()):
        return found
    if not bool(torch.isfinite(given).all()):
        raise TrainingError(
            "found NaN in what the VAE was given, expected numbers: the latents come from a LoRA or"
            " a checkpoint that has burnt out; take an earlier epoch"
        )
    raise TrainingError(f"the VAE gave NaN for a picture, in fp32 too, expected numbers; {advice}")
