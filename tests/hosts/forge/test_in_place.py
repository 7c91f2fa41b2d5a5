"""Blocks that add in place are trained through, with gradient checkpointing too."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.hosts.forge.in_place import additions_in_place
from lib_singlelora.ops.checkpointing import checkpointed


class Block(nn.Module):
    """Forge's BasicTransformerBlock, as far as it adds.

    Source: lllyasviel/stable-diffusion-webui-forge, backend/nn/unet.py.
    """

    def __init__(self, in_place: bool = True) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.in_place = in_place
        self.norm1 = nn.LayerNorm(4)
        self.attn1 = nn.Linear(4, 4)
        self.norm2 = nn.LayerNorm(4)
        self.attn2 = nn.Linear(4, 4)
        for layer in (self.attn1, self.attn2):
            layer.weight.data = torch.randn(4, 4, generator=generator)
            layer.bias.data.zero_()

    def forward(self, x: Tensor) -> Tensor:
        first = self.attn1(self.norm1(x))
        if not self.in_place:
            x = x + first
            return x + self.attn2(self.norm2(x))
        x += first
        x += self.attn2(self.norm2(x))
        return x


class ClipLayer(Block):
    """reForge's layer of CLIP, by the names of its parts."""

    def __init__(self, in_place: bool = True) -> None:
        super().__init__(in_place)
        self.layer_norm1 = self.norm1
        self.layer_norm2 = self.norm2
        self.self_attn = self.attn1
        del self.norm1, self.norm2, self.attn1

    def forward(self, x: Tensor) -> Tensor:
        x += self.self_attn(self.layer_norm1(x))
        x += self.attn2(self.layer_norm2(x))
        return x


def gradients(block: nn.Module) -> tuple[Tensor, Tensor]:
    """Of the input, and of the first layer's weight."""
    start = torch.linspace(-1, 1, 8).view(2, 4).requires_grad_()
    block(start * 1.0).square().sum().backward()
    first = block.attn1 if hasattr(block, "attn1") else block.self_attn
    assert start.grad is not None and isinstance(first, nn.Linear)
    assert first.weight.grad is not None
    return start.grad, first.weight.grad


@pytest.mark.parametrize("kind", [Block, ClipLayer])
def test_such_a_block_fails_by_itself(kind: type[Block]) -> None:
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        gradients(kind())


@pytest.mark.parametrize("kind", [Block, ClipLayer])
@pytest.mark.parametrize("again", [False, True])
def test_gradients_are_those_of_sums_that_are_new(kind: type[Block], again: bool) -> None:
    block = kind()
    with additions_in_place([block]):
        if again:
            with checkpointed([block]):
                found = gradients(block)
        else:
            found = gradients(block)
    expected = gradients(Block(in_place=False))
    for mine, other in zip(found, expected, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-6, atol=1e-6)


def test_nothing_stays_behind() -> None:
    block = Block()
    with additions_in_place([block]):
        pass
    assert "forward" not in vars(block)
    assert not block.norm1._forward_pre_hooks and not block.norm2._forward_pre_hooks
