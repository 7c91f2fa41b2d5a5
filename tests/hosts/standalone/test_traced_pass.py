"""Passes of a small U-Net from their traces: the same numbers, and LoRAs count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.host import Conditioning, ImageRequest, LoraUse
from lib_singlelora.hosts.standalone import traced_pass
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.hosts.standalone.traced_pass import TracedPass
from lib_singlelora.jobs import Job
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.network import LoraNetwork, LoraShape
from tests.small_checkpoint import build_small_checkpoint

REQUEST = ImageRequest("a girl", (1, 2), 64, 64, steps=4)


@pytest.fixture
def lora(standalone_host: StandaloneHost, tmp_path: Path) -> LoraUse:
    with standalone_host.open_for_training() as model, torch.no_grad():
        network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
        for _, branch in network.items():
            branch.up.fill_(0.2)
        write_lora(tmp_path / "a.safetensors", network.kohya_tensors(), {}, "fp32")
    return LoraUse(tmp_path / "a.safetensors", 1, 1)


def pictures(host: StandaloneHost, request: ImageRequest) -> list[np.ndarray]:
    return [np.asarray(each.image) for each in host.generate(request, Job())]


def traced(host: StandaloneHost, passes: int = 0) -> TracedPass:
    """The host draws with traces from now on; `passes` as of `TracedPass`."""
    one = TracedPass(host.networks.unet, passes)
    host._predicted = {True: one}  # type: ignore[misc]
    return one


def test_pictures_are_the_same_to_the_last_bit_and_loras_count(
    small_checkpoint: Path, lora: LoraUse, caplog: pytest.LogCaptureFixture
) -> None:
    host = StandaloneHost(small_checkpoint, "cpu")
    requests = [REQUEST, ImageRequest("a girl", (1, 2), 64, 64, steps=4, loras=(lora,)), REQUEST]
    plain = [pictures(host, request) for request in requests]
    with_traces = traced(host)
    drawn = [pictures(host, request) for request in requests[:2]]
    with host.open_for_training():  # which lays weights out anew, and back
        pass
    drawn.append(pictures(host, requests[2]))
    assert with_traces._traces and not caplog.records
    assert all(
        np.array_equal(one, other)
        for before, after in zip(plain, drawn, strict=True)
        for one, other in zip(before, after, strict=True)
    )
    assert not np.array_equal(drawn[0][0], drawn[1][0])


def test_another_checkpoint_is_drawn_with_its_own_u_net(
    small_checkpoint: Path, tmp_path: Path
) -> None:
    other = build_small_checkpoint(tmp_path, seed=1, name="other")
    [expected, _] = pictures(StandaloneHost(other, "cpu"), REQUEST)
    host = StandaloneHost(small_checkpoint, "cpu")
    traced(host)
    [before, _] = pictures(host, REQUEST)
    with host.drawing_with(str(other)):
        assert np.array_equal(pictures(host, REQUEST)[0], expected)
    assert np.array_equal(pictures(host, REQUEST)[0], before)
    assert not np.array_equal(before, expected)


def test_a_few_pictures_are_not_worth_a_trace(small_checkpoint: Path) -> None:
    host = StandaloneHost(small_checkpoint, "cpu")
    pictures(host, REQUEST)
    assert not host._predicted[True]._traces


class Unet(nn.Module):
    """As diffusers' is called.  compute: its output of the input, timestep and context."""

    def __init__(self, compute: Callable[[Tensor, Tensor, Tensor], Tensor]) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(2.0))
        self.compute = compute
        self.calls = 0

    def forward(self, x: Tensor, t: Tensor, context: Tensor, return_dict: bool = True) -> Any:
        self.calls += 1
        output = self.compute(x * self.weight, t, context)
        return type("Output", (), {"sample": output}) if return_dict else (output,)


def run(predict: TracedPass, timestep: float, side: int = 2) -> Tensor:
    with torch.inference_mode():
        return predict(
            torch.ones(1, 4, side, side), torch.tensor(timestep), Conditioning(torch.ones(1, 7, 3))
        )


def test_the_unets_own_code_runs_no_more_once_it_is_written_down() -> None:
    unet = Unet(lambda x, t, context: x * t + context.mean())
    predict = TracedPass(unet, passes=1)
    for timestep in (1, 2, 3):
        assert torch.equal(run(predict, timestep), torch.full((1, 4, 2, 2), 2.0 * timestep + 1))
    calls = unet.calls
    with torch.no_grad():
        unet.weight.fill_(3.0)
    assert torch.equal(run(predict, 10), torch.full((1, 4, 2, 2), 31.0))
    assert unet.calls == calls
    run(predict, 10, side=3)  # another shape is another trace
    assert unet.calls == calls + 1


def test_timesteps_of_another_kind_are_another_pass() -> None:
    """Whole ones of DDIM, fractions of Euler."""
    predict = TracedPass(Unet(lambda x, t, context: x * (t / 2 if t.is_floating_point() else t)), 0)
    for timestep in (2, 4, 6, 2.0, 4.0, 6.0):
        factor = timestep / 2 if isinstance(timestep, float) else timestep
        assert torch.equal(run(predict, timestep), torch.full((1, 4, 2, 2), 2.0 * factor))
    assert len(predict._traces) == 2


@pytest.mark.parametrize("timesteps", [(1, 2, 3, 4), (1, 1, 1, 2, 3)])
def test_what_depends_on_a_value_is_computed_plainly(
    timesteps: tuple[int, ...], caplog: pytest.LogCaptureFixture
) -> None:
    """A picture's last steps may be of one timestep, and those of one step all are."""
    unet = Unet(lambda x, t, context: x * int(t))  # the trace keeps the first one's
    predict = TracedPass(unet, passes=0)
    for timestep in timesteps:
        assert torch.equal(run(predict, timestep), torch.full((1, 4, 2, 2), 2.0 * timestep))
    assert "it gave other numbers" in caplog.text
    assert not predict._traces


@pytest.mark.parametrize("error", [RuntimeError, TypeError])
def test_what_cannot_be_written_down_is_computed_plainly(
    error: type[Exception], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*args: object) -> None:
        raise error("no such\noperation")

    monkeypatch.setattr(traced_pass, "_trace", refused)
    predict = TracedPass(Unet(lambda x, t, context: x * t), passes=0)
    for timestep in (1, 2, 3):
        assert torch.equal(run(predict, timestep), torch.full((1, 4, 2, 2), 2.0 * timestep))
    assert "(no such operation)" in caplog.text


@pytest.mark.parametrize(
    "reason", ["large", "large pictures", "pooled", "many shapes", "elsewhere"]
)
def test_what_is_left_as_it_was(
    reason: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason == "large":
        monkeypatch.setattr(traced_pass, "MOST_PARAMETERS", 0)
    if reason == "large pictures":
        monkeypatch.setattr(traced_pass, "MOST_CELLS", 3)
    device = "meta" if reason == "elsewhere" else "cpu"  # as a GPU, where launching costs otherwise
    unet = Unet(lambda x, t, context: x * t).to(device)
    predict = TracedPass(unet, passes=0)
    text = torch.ones(1, 7, 3, device=device)
    if reason == "pooled":
        monkeypatch.setattr(traced_pass, "predicted", lambda unet, x, t, c: unet(x, t, text).sample)
    conditioning = Conditioning(text, text[:, 0] if reason == "pooled" else None)
    sides = range(1, 3 + traced_pass.MOST_SHAPES) if reason == "many shapes" else [2] * 4
    with torch.inference_mode():
        for side in sides:
            predict(torch.ones(1, 4, side, side, device=device), torch.tensor(3), conditioning)
    assert len(predict._traces) == (traced_pass.MOST_SHAPES if reason == "many shapes" else 0)
    assert not caplog.records
