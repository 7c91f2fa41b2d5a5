"""Who takes part in a pass of the WebUI's U-Net, as a recording must know."""

from __future__ import annotations

import functools
from collections.abc import Callable
from types import FunctionType, MethodType
from typing import Any

import pytest
import torch
from torch import nn

from lib_singlelora.hosts.webui.foreign_hooks import obstacle


def unet() -> nn.Module:
    return nn.Sequential(nn.Conv2d(4, 4, 3), nn.Sequential(nn.Linear(4, 4), nn.SiLU()))


def written_in(module: str) -> Callable[..., Any]:
    """A function of a module of that name."""

    def call(self: nn.Module, *args: Any) -> Any:
        return None

    return FunctionType(call.__code__, {"__name__": module})


def with_hook(network: nn.Module) -> None:
    network[1][0].register_forward_hook(written_in("another_extension"))  # type: ignore[index]


def with_pre_hook(network: nn.Module) -> None:
    network.register_forward_pre_hook(written_in("another_extension"))


def with_backward_hook(network: nn.Module) -> None:
    network[0].register_full_backward_hook(written_in("another_extension"))  # type: ignore[index]


def with_own_forward(network: nn.Module) -> None:
    network.forward = MethodType(written_in("another_extension"), network)


def with_wrapped_forward(network: nn.Module) -> None:
    """Named after what it wraps, as `functools.wraps` does."""
    wrapper = functools.wraps(nn.Linear.forward)(written_in("another_extension"))
    network[1][0].forward = MethodType(wrapper, network)  # type: ignore[index]


def test_pytorchs_own_modules_may_be_recorded_but_not_where_parts_move() -> None:
    assert obstacle(unet(), False) == ""
    assert "--medvram" in obstacle(unet(), True)


@pytest.mark.parametrize(
    "disturb",
    [with_hook, with_pre_hook, with_backward_hook, with_own_forward, with_wrapped_forward],
)
def test_another_extensions_part_is_named(disturb: Callable[[nn.Module], None]) -> None:
    network = unet()
    disturb(network)
    assert "another_extension" in obstacle(network, False)


def test_a_class_whose_forward_is_anothers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nn.SiLU, "forward", written_in("another_extension"))
    assert "another_extension in place of the U-Net's 1.1" in obstacle(unet(), False)


@pytest.mark.parametrize("own", ["networks", "hypertile", "modules.sd_unet"])
def test_the_webuis_own_extensions_are_known(monkeypatch: pytest.MonkeyPatch, own: str) -> None:
    monkeypatch.setattr(nn.SiLU, "forward", written_in(own))
    assert obstacle(unet(), False) == ""


def test_a_hook_on_every_module_is_seen() -> None:
    handle = torch.nn.modules.module.register_module_forward_hook(lambda *_: None)
    try:
        assert "every module" in obstacle(unet(), False)
    finally:
        handle.remove()
