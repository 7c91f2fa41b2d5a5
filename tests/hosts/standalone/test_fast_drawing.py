"""Pictures by fast convolutions and by PyTorch's own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from lib_singlelora.host import ImageRequest
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.hosts.standalone.training_model import fast_drawing
from lib_singlelora.jobs import Job
from lib_singlelora.ops import winograd
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.quality_host import with_quality_tags
from lib_singlelora.workspace.asked import changes_since, remember_asked
from lib_singlelora.workspace.workspace import Workspace

REQUEST = ImageRequest("a girl", (1, 2), 64, 64, steps=3)


def pictures(host: StandaloneHost, request: ImageRequest) -> list[np.ndarray]:
    return [np.asarray(each.image).astype(int) for each in host.generate(request, Job())]


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """One entry for each convolution by Winograd's algorithm, which takes small ones too here."""
    calls: list[int] = []
    original = winograd.conv3x3

    def seen(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        calls.append(len(x))
        return original(x, weight, bias)

    monkeypatch.setattr(winograd, "conv3x3", seen)
    monkeypatch.setattr(winograd, "MIN_PIXELS", 16)
    monkeypatch.setattr(winograd, "MIN_CHANNELS", 4)
    return calls


def test_fast_pictures_are_the_exact_ones_but_for_the_last_bits(
    small_checkpoint: Path, counted: list[int]
) -> None:
    host = StandaloneHost(small_checkpoint, "cpu")
    for request in (REQUEST, replace(REQUEST, image=Image.linear_gradient("L").convert("RGB"))):
        fast = pictures(host, request)
        assert counted, "no convolution was fast"
        counted.clear()
        exact = pictures(host, replace(request, fast_convolutions=False))
        assert not counted
        for one, other in zip(fast, exact, strict=True):
            assert np.abs(one - other).max() <= 1


@pytest.mark.usefixtures("counted")
def test_the_networks_are_what_they_were_after_an_error_too(small_checkpoint: Path) -> None:
    networks = StandaloneHost(small_checkpoint, "cpu").networks
    parts = [networks.unet, networks.vae]
    before = [(set(vars(module)), module.training) for part in parts for module in part.modules()]
    flags = [parameter.requires_grad for part in parts for parameter in part.parameters()]
    with pytest.raises(RuntimeError, match="stopped"), fast_drawing(networks):
        assert any("_conv_forward" in vars(module) for module in networks.vae.modules())
        raise RuntimeError("stopped")
    after = [(set(vars(module)), module.training) for part in parts for module in part.modules()]
    assert after == before
    assert flags == [each.requires_grad for part in parts for each in part.parameters()]
    assert not any("_conv_forward" in vars(each) for part in parts for each in part.modules())


def test_the_setting_reaches_every_picture_and_makes_nothing_stale(
    small_checkpoint: Path, counted: list[int], tmp_path: Path
) -> None:
    host = StandaloneHost(small_checkpoint, "cpu")
    fast = Settings.from_dict({})
    exact = Settings.from_dict({"quality.fast_convolutions": False})
    with_quality_tags(host, exact.quality).generate(REQUEST, Job())
    with_quality_tags(host, exact.quality).generate_batch([replace(REQUEST, seeds=(1,))], Job())
    assert not counted
    with_quality_tags(host, fast.quality).generate(REQUEST, Job())
    assert counted
    assert REQUEST.as_mark() == replace(REQUEST, fast_convolutions=False).as_mark()
    assert REQUEST.as_mark() != replace(REQUEST, steps=4).as_mark()
    workspace = Workspace(tmp_path / "w")
    remember_asked(workspace, fast, "plot")
    assert changes_since(workspace, exact, "plot") == []
