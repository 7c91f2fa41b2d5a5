"""The dtype of a training in the WebUI for each way to start it, and a VAE that gives NaN."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.errors import TrainingError
from tests.hosts.webui.stand_in import StandIn

FP32 = torch.float32
FP16 = torch.float16
BF16 = torch.bfloat16


@pytest.fixture
def compute_dtype(webui: StandIn) -> Any:
    from lib_singlelora.hosts.webui import compute_dtype

    return compute_dtype


def on_a_gpu(
    webui: StandIn, monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], **devices: object
) -> None:
    """The WebUI as it starts on an NVIDIA GPU; nothing is computed there."""
    vars(webui.devices).update(
        {
            "device": torch.device("cuda"),
            "dtype": FP16,
            "dtype_unet": FP16,
            "dtype_vae": FP16,
            "dtype_inference": FP16,
            **devices,
        }
    )
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    # As it answers by emulation
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((6, 1), FP16), ((7, 5), FP16), ((8, 0), BF16), ((8, 9), BF16), ((12, 0), BF16)],
)
def test_auto_takes_bf16_from_ampere_on(
    webui: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    compute_dtype: Any,
    capability: tuple[int, int],
    expected: torch.dtype,
) -> None:
    on_a_gpu(webui, monkeypatch, capability)
    assert compute_dtype.pass_dtype("auto") == expected


@pytest.mark.parametrize("precision", ["auto", "fp32"])
@pytest.mark.parametrize("whole", [{"dtype": FP32}, {"dtype_inference": FP32}])
def test_with_no_half_it_computes_in_fp32(
    webui: StandIn,
    monkeypatch: pytest.MonkeyPatch,
    compute_dtype: Any,
    precision: str,
    whole: dict[str, object],
) -> None:
    on_a_gpu(webui, monkeypatch, (8, 6), **whole)
    assert compute_dtype.pass_dtype(precision) == FP32


def test_fp32_of_halved_weights_is_refused(
    webui: StandIn, monkeypatch: pytest.MonkeyPatch, compute_dtype: Any
) -> None:
    on_a_gpu(webui, monkeypatch, (8, 6))
    with pytest.raises(TrainingError, match="--no-half"):
        compute_dtype.pass_dtype("fp32")


def test_a_gtx_16_keeps_the_webui_s_own_way(
    webui: StandIn, monkeypatch: pytest.MonkeyPatch, compute_dtype: Any
) -> None:
    on_a_gpu(webui, monkeypatch, (7, 5), cuda_no_autocast=lambda: True)
    assert compute_dtype.pass_dtype("auto") == FP16
    autocast = object()
    vars(webui.devices)["autocast"] = lambda: autocast
    assert compute_dtype.autocast(FP16) is autocast


def test_what_is_asked_for_is_taken(
    webui: StandIn, monkeypatch: pytest.MonkeyPatch, compute_dtype: Any
) -> None:
    on_a_gpu(webui, monkeypatch, (8, 6))
    assert (compute_dtype.pass_dtype("fp16"), compute_dtype.pass_dtype("bf16")) == (FP16, BF16)


def test_weights_in_8_bits_compute_in_the_webui_s_half(
    webui: StandIn, monkeypatch: pytest.MonkeyPatch, compute_dtype: Any
) -> None:
    on_a_gpu(webui, monkeypatch, (7, 0), fp8=True)
    assert compute_dtype.webui_dtype() == FP16
    vars(webui.devices)["device"] = torch.device("cpu")
    assert compute_dtype.webui_dtype() == BF16


def test_an_explicit_dtype_wins_over_the_autocast_around_it(compute_dtype: Any) -> None:
    with torch.autocast("cpu", dtype=BF16, enabled=False), compute_dtype.autocast(BF16):
        product = nn.functional.linear(torch.ones(1, 2), torch.ones(2, 2))
    assert product.dtype == BF16


class Vae(nn.Module):
    """A VAE that gives NaN in some dtypes, as SDXL's does in half precision.

    computed_in: dtypes of its products, one a call.
    """

    def __init__(self, broken: tuple[torch.dtype, ...]) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.register_buffer("scale", torch.ones(1))
        self.broken = broken
        self.computed_in: list[torch.dtype] = []

    def encode(self, values: Tensor) -> Tensor:
        product = nn.functional.linear(values, self.inner.weight, self.inner.bias)
        self.computed_in.append(product.dtype)
        return torch.full_like(values, float("nan")) if values.dtype in self.broken else values * 2


def test_a_vae_of_fp32_is_not_halved_by_autocast(webui: StandIn, compute_dtype: Any) -> None:
    vae = Vae(())
    vars(webui.devices)["autocast"] = lambda: torch.autocast("cpu", dtype=BF16)
    assert compute_dtype.through_vae(vae, vae.encode, torch.ones(1, 2)).equal(
        torch.full((1, 2), 2.0)
    )
    assert vae.computed_in == [FP32]


def test_nan_in_half_precision_is_tried_once_more_in_fp32(compute_dtype: Any) -> None:
    vae = Vae((BF16,)).bfloat16()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    tensors = [id(value) for value in (*vae.parameters(), *vae.buffers())]
    result = compute_dtype.through_vae(vae, vae.encode, torch.ones(1, 2))
    assert vae.computed_in == [BF16, FP32]
    assert result.dtype == FP32 and bool(torch.isfinite(result).all())
    assert all(
        value.dtype == before[name].dtype and value.equal(before[name])
        for name, value in vae.state_dict().items()
    )
    assert [id(value) for value in (*vae.parameters(), *vae.buffers())] == tensors


def test_nan_in_fp32_too_is_an_error(compute_dtype: Any) -> None:
    vae = Vae((BF16, FP32)).bfloat16()
    with pytest.raises(TrainingError, match="in fp32 too"):
        compute_dtype.through_vae(vae, vae.encode, torch.ones(1, 2))
    assert vae.inner.weight.dtype == BF16


def test_nan_that_was_there_before_is_not_the_vae_s(compute_dtype: Any) -> None:
    vae = Vae(())
    with pytest.raises(TrainingError, match="what the VAE was given"):
        compute_dtype.through_vae(vae, vae.encode, torch.full((1, 2), float("nan")))
