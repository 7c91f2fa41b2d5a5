"""Parts that leave the GPU and come back; a fake tensor that knows its device stands in for it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from lib_singlelora.hosts.placement import Placement
from lib_singlelora.hosts.precision import half_of, has_bf16

GPU = torch.device("cuda", 0)
CPU = torch.device("cpu")


class Part(nn.Module):
    """A module with one fake parameter.  moves: types of the devices it was moved to."""

    def __init__(self, device: torch.device) -> None:
        super().__init__()
        self.parameter: Any = SimpleNamespace(device=device)
        self.parameter.data = SimpleNamespace(to=self._put)
        self.moves: list[str] = []

    def _put(self, device: torch.device) -> Any:
        self.parameter.device = device
        return self.parameter.data

    def parameters(self, recurse: bool = True) -> Any:
        return iter([self.parameter])

    def to(self, device: Any, *args: Any) -> Part:
        self.moves.append(torch.device(device).type)
        self.parameter.device = torch.device(device)
        return self


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> dict[str, Part]:
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    return {"unet": Part(GPU), "vae": Part(GPU), "text encoder": Part(CPU)}


def test_a_part_is_moved_once_and_only_if_it_lies_elsewhere(parts: dict[str, Part]) -> None:
    places = Placement(parts, "cuda")
    places.set_aside("vae", "text encoder")
    places.set_aside("vae")
    places.bring("vae", "unet", "text encoder")
    places.bring("vae")
    assert parts["vae"].moves == ["cpu", "cuda"]
    assert parts["text encoder"].moves == ["cuda"]
    assert parts["unet"].moves == []


@pytest.mark.parametrize("error", [None, KeyboardInterrupt])
def test_everything_is_where_it_was_after_the_exit(
    parts: dict[str, Part], error: type[BaseException] | None
) -> None:
    places = Placement(parts, "cuda")
    try:
        with places.kept():
            places.set_aside("unet", "vae")
            places.bring("text encoder")
            if error:
                raise error
    except KeyboardInterrupt:
        pass
    assert [part.parameter.device for part in parts.values()] == [GPU, GPU, CPU]


def test_on_a_cpu_nothing_is_moved() -> None:
    parts = {"vae": Part(CPU)}
    places = Placement(parts, "cpu")
    places.set_aside("vae")
    places.bring("vae")
    assert parts["vae"].moves == []


@pytest.mark.parametrize(
    ("capability", "native"), [((7, 0), False), ((7, 5), False), ((8, 0), True), ((9, 0), True)]
)
def test_bf16_is_native_from_ampere_on(
    monkeypatch: pytest.MonkeyPatch, capability: tuple[int, int], native: bool
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda *_: True)  # older cards emulate it
    assert has_bf16("cuda") is native
    assert half_of("cuda") == (torch.bfloat16 if native else torch.float16)
    assert not has_bf16("cpu")
