"""LoRA files in the standalone networks: a DoRA does what its formula says, at any strength, and comes out again whole."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lib_singlelora.errors import LoraKeyError
from lib_singlelora.host import LoraUse
from lib_singlelora.hosts.standalone.applied import AppliedLoras

LINEAR, CONV = "input_blocks.1.1.transformer_blocks.0.attn1.to_q", "input_blocks.1.1.proj_in"
STEMS = {LINEAR: "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
         CONV: "lora_unet_down_blocks_0_attentions_0_proj_in"}
RANK, ALPHA = 3, 1.5


def targets() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {LINEAR: nn.Linear(10, 8), CONV: nn.Conv2d(6, 8, 1)}


@pytest.fixture
def dora(tmp_path: Path) -> Path:
    generator, tensors = torch.Generator().manual_seed(1), {}
    for name, module in targets().items():
        out, into, *ones = module.weight.shape  # type: ignore[union-attr,misc]
        tensors[f"{STEMS[name]}.lora_up.weight"] = torch.randn(out, RANK, *ones, generator=generator)
        tensors[f"{STEMS[name]}.lora_down.weight"] = torch.randn(RANK, into, *ones, generator=generator)
        tensors[f"{STEMS[name]}.alpha"] = torch.tensor(ALPHA)
        tensors[f"{STEMS[name]}.dora_scale"] = torch.rand(1, into, *ones, generator=generator) + 0.5
    save_file(tensors, tmp_path / "dora.safetensors")
    return tmp_path / "dora.safetensors"


def by_hand(weight: np.ndarray, file: Path, stem: str, strength: float) -> np.ndarray:
    """Column by column: m (w + d) / |w + d| is what the weight becomes at strength 1; between, a straight line."""
    from safetensors.numpy import load_file

    parts = load_file(file)
    halves = [parts[f"{stem}.lora_{half}.weight"] for half in ("up", "down")]
    up, down = (half.reshape(half.shape[:2]) for half in halves)
    merged = weight.reshape(weight.shape[:2]) + up @ down * (ALPHA / RANK)
    found = np.empty_like(merged)
    for column in range(merged.shape[1]):
        length = float(np.sqrt((merged[:, column] ** 2).sum()))
        found[:, column] = merged[:, column] * parts[f"{stem}.dora_scale"].ravel()[column] / length
    own = weight.reshape(weight.shape[:2])
    return (own + strength * (found - own)).reshape(weight.shape)


@pytest.mark.parametrize("strength", [1.0, 0.6, -0.5])
def test_a_dora_is_applied_and_taken_out(dora: Path, strength: float) -> None:
    modules = targets()
    before = {name: module.weight.detach().clone() for name, module in modules.items()}  # type: ignore[union-attr,operator]
    loras = AppliedLoras(modules.items())
    loras.apply([LoraUse(dora, strength, strength)])
    for name, module in modules.items():
        wanted = by_hand(before[name].numpy(), dora, STEMS[name], strength)
        assert np.allclose(module.weight.detach().numpy(), wanted, atol=1e-5)  # type: ignore[union-attr,operator]
        assert not np.allclose(module.weight.detach().numpy(), before[name].numpy(), atol=1e-2)  # type: ignore[union-attr,operator]
    loras.remove()
    assert all(torch.equal(modules[name].weight, weight) for name, weight in before.items())


def test_a_magnitude_of_the_outputs_is_told(dora: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(dora)
    tensors[f"{STEMS[LINEAR]}.dora_scale"] = torch.ones(8, 1)
    save_file(tensors, tmp_path / "other.safetensors")
    modules = targets()
    before = {name: module.weight.detach().clone() for name, module in modules.items()}  # type: ignore[union-attr,operator]
    with pytest.raises(LoraKeyError, match=r"found a magnitude of \(8, 1\), expected one for each of 10 inputs"):
        AppliedLoras(modules.items()).apply([LoraUse(tmp_path / "other.safetensors", 1, 1)])
    assert all(torch.equal(modules[name].weight, weight) for name, weight in before.items())
