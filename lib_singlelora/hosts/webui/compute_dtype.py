"""The dtype that the WebUI computes in, and the autocast of a training's passes in it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from modules import devices
from torch import Tensor, nn

from ...errors import TrainingError
from .. import precision

ANOTHER_VAE = "choose another one in Settings > VAE"


def webui_dtype() -> torch.dtype:
    """The dtype of the WebUI's own passes.

    Source: AUTOMATIC1111 1.10.1, modules/devices.py, autocast.
    """
    # Looked up, for not every version of the WebUI has `dtype_inference` and `fp8`.
    inference_dtype = getattr(devices, "dtype_inference", devices.dtype)
    if getattr(devices, "fp8", False):  # weights in 8 bits, which nothing multiplies
        return torch.bfloat16 if _device_type() == "cpu" else devices.dtype
    if torch.float32 in (devices.dtype, inference_dtype):
        return torch.float32
    return devices.dtype


def pass_dtype(wanted: str) -> torch.dtype:
    """The dtype of a training's passes for `training.precision`.

    auto: the WebUI's own, but bf16 in place of fp16 where the GPU has it: its range is fp32's, and
    no gradient underflows.

    Raises:
        TrainingError: fp32 is asked for and the WebUI holds the checkpoint in half precision.
    """
    own_dtype = webui_dtype()
    if wanted == "auto":
        may_be_bf16 = own_dtype == torch.float16 and _device_type() == "cuda"
        if may_be_bf16 and not _casts_by_hand():
            return precision.half_of(devices.device)
        return own_dtype
    dtype = precision.DTYPES[wanted]
    if dtype == torch.float32 != own_dtype:
        raise TrainingError(
            "training.precision=fp32: found the checkpoint in half precision, as the WebUI loads"
            " it, expected fp32; start the WebUI with --no-half, or set training.precision to auto"
        )
    return dtype


def autocast(dtype: torch.dtype) -> AbstractContextManager[object]:
    """Autocast to a dtype: the WebUI's own autocast where it computes in that dtype too."""
    if dtype == webui_dtype():
        return devices.autocast()
    return precision.autocast(devices.device, dtype)


def through_vae(vae: nn.Module, call: Callable[[Tensor], Tensor], values: Tensor) -> Tensor:
    """call(values) in the VAE's dtype, repeated in fp32 when half precision gives NaN.

    With --no-half-vae the VAE is in fp32, and autocast would halve it again.

    Raises:
        TrainingError: fp32 gives NaN too.
    """
    dtype = next(vae.parameters()).dtype
    with torch.no_grad():
        with _vae_autocast(dtype):
            result = call(values.to(devices.device, dtype))
        if dtype != torch.float32 and not bool(torch.isfinite(result).all()):
            with precision.in_fp32(vae), _vae_autocast(torch.float32):
                result = call(values.to(devices.device, torch.float32))
    return precision.checked_vae(result, values, ANOTHER_VAE)


def _vae_autocast(dtype: torch.dtype) -> AbstractContextManager[object]:
    """The WebUI's autocast for a halved VAE, none for one in fp32."""
    if dtype != torch.float32:
        return devices.autocast()
    return torch.autocast("cuda", enabled=False) if _device_type() == "cuda" else nullcontext()


def _device_type() -> str:
    return torch.device(devices.device).type


def _casts_by_hand() -> bool:
    """True if the WebUI casts each module itself, as it does for the GeForce GTX 16 series.

    Autocast computes wrongly on those cards.
    """
    no_autocast = getattr(devices, "cuda_no_autocast", None)
    return no_autocast is not None and bool(no_autocast())
