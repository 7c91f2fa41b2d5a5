"""PyTorch's own attention, with its projections open to hooks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.errors import CheckpointError
from lib_singlelora.ops.packed_attention import PROJECTIONS, open_projections

LENGTH, SOURCE, BATCH, WIDTH, HEADS = 5, 7, 2, 16, 4


def attention(**options: Any) -> nn.MultiheadAttention:
    torch.manual_seed(0)
    made = nn.MultiheadAttention(WIDTH, HEADS, **options)
    for parameter in made.parameters():  # PyTorch's biases start at 0
        nn.init.normal_(parameter, std=0.3)
    return made.requires_grad_(False)


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(len(shape)))


def causal(length: int) -> Tensor:
    return torch.full((length, length), float("-inf")).triu(1)


PADDING = torch.tensor([[False] * LENGTH, [False] * 3 + [True] * 2])
CASES = {
    "as open_clip calls it": {"attn_mask": causal(LENGTH), "need_weights": False},
    "no mask": {"need_weights": False},
    "a mask of booleans": {"attn_mask": causal(LENGTH) < 0, "need_weights": False},
    "padding": {"key_padding_mask": PADDING, "need_weights": False},
    "a mask and padding": {
        "attn_mask": causal(LENGTH) < 0,
        "key_padding_mask": PADDING,
        "need_weights": False,
    },
    "a mask for each head": {
        "attn_mask": draw(BATCH * HEADS, LENGTH, LENGTH),
        "need_weights": False,
    },
    "causal by its hint": {"attn_mask": causal(LENGTH), "is_causal": True, "need_weights": False},
}


def hook_that_changes_nothing(
    module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor
) -> None:
    pass


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_hooks_that_change_nothing_leave_every_bit(
    options: dict[str, Any], bias: bool, batch_first: bool
) -> None:
    attn = attention(bias=bias, batch_first=batch_first)
    x = draw(BATCH, LENGTH, WIDTH) if batch_first else draw(LENGTH, BATCH, WIDTH)
    x.requires_grad_()  # as in a training; without gradients PyTorch may take another way
    expected, _ = attn(x, x, x, **options)
    with open_projections([attn]) as [projections]:
        for projection in projections.values():
            projection.register_forward_hook(hook_that_changes_nothing)
        found, weights = attn(x, x, x, **options)
    assert torch.equal(found, expected)
    assert weights is None


@pytest.mark.parametrize("average", [False, True])
def test_the_weights_are_given_where_they_are_asked_for(average: bool) -> None:
    attn = attention()
    x = draw(LENGTH, BATCH, WIDTH).requires_grad_()
    options: dict[str, Any] = {"attn_mask": causal(LENGTH), "average_attn_weights": average}
    expected, expected_weights = attn(x, x, x, **options)
    with open_projections([attn]) as [projections]:
        projections["v_proj"].register_forward_hook(hook_that_changes_nothing)
        found, weights = attn(x, x, x, **options)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(weights, expected_weights, rtol=0, atol=1e-6)


def test_sources_of_their_own_and_no_batch() -> None:
    attn = attention()
    query, key, value = draw(LENGTH, WIDTH), draw(SOURCE, WIDTH), draw(SOURCE, WIDTH) * 2
    expected, expected_weights = attn(query.requires_grad_(), key, value)
    with open_projections([attn]) as [projections]:
        projections["q_proj"].register_forward_hook(hook_that_changes_nothing)
        found, weights = attn(query, key, value)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(weights, expected_weights, rtol=0, atol=1e-6)


def test_a_hook_sees_the_batch_first_and_changes_the_output() -> None:
    attn = attention()
    x = draw(LENGTH, BATCH, WIDTH)
    seen = []

    def doubled(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> Tensor:
        seen.append((inputs[0], output))
        return output * 2

    expected = attn(x, x, x, need_weights=False)[0]
    with open_projections([attn]) as [projections]:
        projections["out_proj"].register_forward_hook(doubled)
        found = attn(x, x, x, need_weights=False)[0]
    torch.testing.assert_close(found, 2 * expected, rtol=0, atol=1e-6)
    assert seen[0][0].shape == (BATCH, LENGTH, WIDTH)


@pytest.mark.parametrize("name", PROJECTIONS)
def test_a_projection_is_the_linear_that_lies_packed(name: str) -> None:
    attn = attention()
    with open_projections([attn]) as [projections]:
        x = draw(BATCH, LENGTH, WIDTH)
        linear = nn.Linear(WIDTH, WIDTH)
        third = PROJECTIONS.index(name)
        packed = [*attn.in_proj_weight.chunk(3), attn.out_proj.weight]
        biases = [*attn.in_proj_bias.chunk(3), attn.out_proj.bias]
        linear.load_state_dict({"weight": packed[third], "bias": biases[third]})
        torch.testing.assert_close(projections[name](x), linear(x), rtol=0, atol=1e-6)


def test_everything_is_as_before_after_an_error_too() -> None:
    attn = attention()
    before = dict(vars(attn))
    with pytest.raises(ZeroDivisionError), open_projections([attn]):
        assert "forward" in vars(attn)
        raise ZeroDivisionError
    assert vars(attn).keys() == before.keys()
    assert [name for name, _ in attn.named_modules()] == ["", "out_proj"]


def test_the_weight_is_the_attentions_after_it_was_replaced() -> None:
    attn = attention()
    with open_projections([attn]) as [projections]:
        attn.in_proj_weight.data = torch.zeros_like(attn.in_proj_weight)  # as moving it does
        assert not projections["k_proj"].weight.any()


def test_an_attention_of_another_kind_is_refused() -> None:
    with pytest.raises(CheckpointError), open_projections([attention(kdim=8)]):
        pass
