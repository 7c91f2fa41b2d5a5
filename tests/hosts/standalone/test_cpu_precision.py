"""bf16 on a processor: chosen by measuring, trained with, and nothing of it left behind."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from lib_singlelora.errors import JobCancelled
from lib_singlelora.host import Conditioning
from lib_singlelora.hosts.standalone import cpu_precision
from lib_singlelora.hosts.standalone.cpu_precision import (
    bf16_weights,
    has_bf16_units,
    is_quicker_in_bf16,
    share_of_fp32,
)
from lib_singlelora.hosts.standalone.host import StandaloneHost
from tests.small_sd2 import build_small_sd2
from tests.small_sdxl import build_small_sdxl


@pytest.fixture
def unet(standalone_host: StandaloneHost) -> nn.Module:
    standalone_host._loras.remove()  # what an earlier test drew with
    return standalone_host.networks.unet


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch, standalone_host: StandaloneHost) -> None:
    """As on a processor on which bf16 wins."""
    monkeypatch.setitem(vars(standalone_host), "_is_quicker_in_bf16", True)


def bits(unet: nn.Module) -> str:
    found = hashlib.sha256()
    for parameter in unet.parameters():
        found.update(parameter.detach().contiguous().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def test_the_measure_is_a_share_of_the_time_and_leaves_the_unet_alone(unet: nn.Module) -> None:
    before = bits(unet)
    assert 0.05 < share_of_fp32(unet) < 20
    assert bits(unet) == before and not any(p.requires_grad for p in unet.parameters())


@pytest.mark.parametrize(("share", "chosen"), [(0.4, True), (0.95, False)])
def test_bf16_is_chosen_where_it_wins_clearly(
    unet: nn.Module, monkeypatch: pytest.MonkeyPatch, share: float, chosen: bool
) -> None:
    monkeypatch.setattr(cpu_precision, "MIN_PARAMETERS", 0)
    monkeypatch.setattr(cpu_precision, "has_bf16_units", lambda: True)
    monkeypatch.setattr(cpu_precision, "share_of_fp32", lambda unet: share)
    assert is_quicker_in_bf16(unet) is chosen


def test_where_bf16_cannot_help_nothing_is_measured(
    unet: nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    def never(unet: nn.Module) -> float:
        raise AssertionError("measured")

    monkeypatch.setattr(cpu_precision, "share_of_fp32", never)
    assert not is_quicker_in_bf16(unet)  # the embedded checkpoint's is small
    monkeypatch.setattr(cpu_precision, "MIN_PARAMETERS", 0)
    monkeypatch.setattr(cpu_precision, "has_bf16_units", lambda: False)
    assert not is_quicker_in_bf16(unet)
    monkeypatch.setattr(cpu_precision, "has_bf16_units", lambda: True)
    # On less memory than twice its weights in fp32 and bf16, and where the system does not tell
    size = sum(parameter.numel() for parameter in unet.parameters())
    for memory in (11 * size, 0):
        monkeypatch.setattr(cpu_precision, "physical_memory", lambda memory=memory: memory)
        assert not is_quicker_in_bf16(unet)


def test_whether_the_processor_has_it_is_what_it_says_of_itself() -> None:
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists() or not hasattr(torch.cpu, "_is_avx512_bf16_supported"):
        pytest.skip("this system or PyTorch does not tell")
    words = cpuinfo.read_text(encoding="utf-8").split()
    assert has_bf16_units() == ("avx512_bf16" in words or "amx_tile" in words)


def test_the_weights_come_back_as_the_very_tensors(unet: nn.Module) -> None:
    before = {name: p.data_ptr() for name, p in unet.named_parameters()}
    with pytest.raises(JobCancelled), bf16_weights(unet, "cpu", torch.bfloat16):
        dtypes = {name: p.dtype for name, p in unet.named_parameters()}
        assert dtypes["conv_in.weight"] == torch.bfloat16
        assert dtypes["conv_norm_out.weight"] == torch.float32
        raise JobCancelled("cancelled")
    assert {name: p.data_ptr() for name, p in unet.named_parameters()} == before
    with bf16_weights(unet, "cpu", torch.float32):
        assert all(p.dtype == torch.float32 for p in unet.parameters())


@pytest.mark.usefixtures("quick")
def test_auto_lends_bf16_for_a_training_and_fp32_for_all_else(
    standalone_host: StandaloneHost, unet: nn.Module
) -> None:
    before = bits(unet)
    noisy, times = torch.randn(2, 4, 16, 16), torch.tensor([100, 700])
    outputs = {}
    for precision in (None, "fp32", "auto"):
        with standalone_host.open_for_training(precision) as model, torch.no_grad():
            text: Conditioning = model.encode_prompts(["girl", "a girl, hat"], 1)
            assert text.context.dtype == torch.float32
            outputs[precision] = model.predict(noisy, times, text).float()
            assert (model.compute_dtype == torch.bfloat16) == (precision == "auto")
        assert bits(unet) == before
    assert torch.equal(outputs[None], outputs["fp32"])
    error = (outputs["auto"] - outputs["fp32"]).norm() / outputs["fp32"].norm()
    assert 0 < error < 0.02  # bf16 keeps eight bits


@pytest.mark.parametrize("build", [build_small_sdxl, build_small_sd2])
def test_other_families_are_measured_and_lent_in_bf16_too(
    tmp_path: Path, build: Callable[[Path], object]
) -> None:
    build(tmp_path)
    host = StandaloneHost(next(tmp_path.glob("*.safetensors")), "cpu")
    assert share_of_fp32(host.networks.unet) > 0
    noisy, times = torch.randn(1, 4, 16, 16), torch.tensor([500])
    outputs = {}
    for precision in ("fp32", "bf16"):
        with host.open_for_training(precision) as model, torch.no_grad():
            text = model.encode_prompts(["a girl"], 1)
            outputs[precision] = model.predict(noisy, times, text).float()
    error = (outputs["bf16"] - outputs["fp32"]).norm() / outputs["fp32"].norm()
    assert 0 < error < 0.05
