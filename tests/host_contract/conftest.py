"""The hosts that must keep the contract, and LoRA files that fit them."""

from pathlib import Path
from typing import Protocol

import pytest
import torch
from torch import nn

from lib_singlelora.host import Host
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.network import LoraNetwork

HOSTS = ["standalone_host"]  # a host joins by a session fixture with a small checkpoint


class MakeLora(Protocol):
    def __call__(
        self, name: str = "random", seed: int = 1, unet: bool = True, text_encoder: bool = True
    ) -> Path: ...


@pytest.fixture(params=HOSTS)
def host(request: pytest.FixtureRequest) -> Host:
    value: Host = request.getfixturevalue(request.param)
    return value


@pytest.fixture
def lora(host: Host, tmp_path: Path) -> MakeLora:
    """Writes a LoRA with random weights for this host's checkpoint."""

    def make(
        name: str = "random", seed: int = 1, unet: bool = True, text_encoder: bool = True
    ) -> Path:
        with host.open_for_training() as model:
            network = LoraNetwork(
                model.targets(), model.layout, LoraShape(2, 2), {}, text_encoder, seed, unet
            )
            for _, branch in network.items():
                nn.init.normal_(branch.up, std=0.3, generator=torch.Generator().manual_seed(seed))
            write_lora(tmp_path / f"{name}.safetensors", network.kohya_tensors(), {}, "fp32")
        return tmp_path / f"{name}.safetensors"

    return make
