"""Our CLIP is transformers', bit for bit."""

from __future__ import annotations

import pytest
import torch

from lib_singlelora.hosts.standalone.clip_text import ACTIVATIONS, ClipTextConfig, ClipTextModel
from lib_singlelora.hosts.standalone.clip_tokenizer import ClipTokenizer

from .transformers_clip import their_text_model, their_tokenizer

pytest.importorskip("diffusers")  # the WebUI has a transformers of its own, another version

TEXTS = (
    "",
    "isabella, girl, blonde hair, (red dress:1.2)",
    "  Many \t spaces\n and CAPITALS, it's 2026 ",
    "éàü 日本語 🎨 ﬁ …",
    "<|startoftext|> a hat <|endoftext|> behind",
    "a, " * 120,
)


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("special", [True, False])
def test_a_text_has_the_tokens_of_transformers(text: str, special: bool) -> None:
    theirs = their_tokenizer()(text, add_special_tokens=special).input_ids
    assert ClipTokenizer()(text, add_special_tokens=special).input_ids == theirs


@pytest.mark.parametrize("token", [",</w>", "hat</w>", "no such token", "<|endoftext|>"])
def test_a_token_has_the_number_of_transformers(token: str) -> None:
    assert ClipTokenizer().convert_tokens_to_ids(token) == int(
        their_tokenizer().convert_tokens_to_ids(token)
    )


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("rows", [1, 3])
def test_hidden_states_and_gradients_are_those_of_transformers(activation: str, rows: int) -> None:
    torch.manual_seed(0)
    ours = ClipTextModel(ClipTextConfig(100, 64, 256, 3, 4, 77, activation)).requires_grad_(False)
    theirs = their_text_model(ours)
    for name in ("mlp.fc1.weight", "self_attn.q_proj.weight", "self_attn.v_proj.bias"):
        for model in (ours, theirs):
            model.get_parameter(f"encoder.layers.0.{name}").requires_grad_()
    ids = torch.randint(0, 100, (rows, 77))
    own = ours(ids, output_hidden_states=True)
    their = theirs(ids, output_hidden_states=True)
    assert len(own.hidden_states) == len(their.hidden_states) == 4
    for state, other in zip(own.hidden_states, their.hidden_states, strict=True):
        assert torch.equal(state, other)
    assert torch.equal(own.last_hidden_state, their.last_hidden_state)
    for output in (own, their):
        output.last_hidden_state.square().sum().backward()
    for name, weight in ours.named_parameters():
        other = theirs.get_parameter(name).grad
        assert (weight.grad is None) == (other is None)
        assert weight.grad is None or torch.equal(weight.grad, other)


def test_modules_stand_in_the_order_of_transformers() -> None:
    ours = ClipTextModel(ClipTextConfig(100, 64, 256, 2, 4, 77))
    names = [name for name, _ in their_text_model(ours).named_parameters()]
    assert [name for name, _ in ours.named_parameters()] == names


def test_heads_that_do_not_divide_the_width_are_refused() -> None:
    with pytest.raises(ValueError, match="do not divide"):
        ClipTextConfig(100, 64, 256, 2, 5, 77)
