"""The contract of every host on TrainingModel, and on what the host gets back."""

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from lib_singlelora.host import Host, LoraUse, TrainingModel
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.naming.blocks import block_of, is_text
from lib_singlelora.naming.keys import module_names
from lib_singlelora.training.attention import AttentionLoss, map_size
from tests.host_contract.conftest import MakeLora
from tests.host_contract.pictures import draw
from tests.host_contract.test_loras import with_loras


@pytest.fixture
def model(host: Host) -> Iterator[TrainingModel]:
    with host.open_for_training() as training_model:
        yield training_model


def modules_of(host: Host) -> dict[str, nn.Module]:
    with host.open_for_training() as model:
        return dict(model.targets())


def state(modules: dict[str, nn.Module]) -> dict[str, tuple[object, ...]]:
    """Everything about the networks' modules that training could leave changed."""
    states: dict[str, tuple[object, ...]] = {}
    for name, module in modules.items():
        hooks = (
            len(module._forward_hooks),
            len(module._forward_pre_hooks),
            "forward" in vars(module),
        )
        values = [
            (
                key,
                p.detach().cpu().contiguous().view(torch.uint8).numpy().tobytes(),
                p.dtype,
                p.device,
                p.requires_grad,
                p.grad is None,
                id(p),
            )
            for key, p in module.named_parameters()
        ]
        states[name] = (module.training, hooks, *values)
    return states


def test_latents_are_an_eighth_and_scaled(model: TrainingModel) -> None:
    pixels = torch.rand((2, 3, 64, 96), generator=torch.Generator().manual_seed(1)) * 2 - 1
    pixels = pixels.to(model.device)
    with torch.no_grad():
        latents = model.encode_images(pixels)
        again = model.encode_images(pixels)
    assert latents.shape == (2, 4, 8, 12) and torch.isfinite(latents).all()
    assert torch.equal(latents, again)  # the mode, not a sample
    assert 0.02 < float(latents.float().std()) < 20


@pytest.mark.parametrize(
    ("words", "chunks"), [(0, 1), (1, 1), (75, 1), (76, 2), (150, 2), (151, 3)]
)
def test_a_prompt_takes_as_many_chunks_of_75_tokens_as_it_needs(
    model: TrainingModel, words: int, chunks: int
) -> None:
    with torch.no_grad():
        context = model.encode_prompts([" ".join(["hat"] * words)], 1).context
    assert context.shape[:2] == (1, 77 * chunks) and torch.isfinite(context).all()


def test_a_batch_has_as_many_chunks_as_its_longest_prompt(model: TrainingModel) -> None:
    """Tolerance 1e-5: a batch is summed in another order."""
    with torch.no_grad():
        both = model.encode_prompts(["hat " * 80, "a girl"], 1).context
        short = model.encode_prompts(["a girl"], 1).context
    assert both.shape[1] == 154
    assert torch.allclose(both[1:, :77], short, atol=1e-5)


@pytest.mark.parametrize("before", ["", "girl, ", "hat " * 80])
def test_the_words_of_a_prompt_are_found_in_its_context(model: TrainingModel, before: str) -> None:
    """The text encoder looks back only: the first context that changes is the word's own."""
    with torch.no_grad():
        one, other = (
            model.encode_prompts([f"{before}{word}, standing"], 1).context[0]
            for word in ("dog", "ship")
        )
    changed = (one - other).abs().amax(dim=1) > 1e-6
    assert model.token_positions(f"{before}dog, standing", "dog") == [int(changed.nonzero()[0])]
    [first, second] = model.token_positions(f"{before}dog, standing", "dog, ")
    assert second == first + 1
    assert model.token_positions(f"{before}dog, standing", "ship") == []
    assert model.token_positions(f"{before}dog, standing", "standing dog") == []


def test_cross_attention_can_be_watched(model: TrainingModel) -> None:
    """So that a loss can ask where the trigger is attended to."""
    noisy = torch.zeros((2, 4, 8, 8), device=model.device)
    with torch.no_grad(), AttentionLoss(model).recorded() as products:
        texts = model.encode_prompts(["a girl", "a hat"], 1)
        model.predict(noisy, torch.tensor([10, 900]).to(model.device), texts)
    names = [name for name, _ in model.targets() if name.endswith(".attn2.to_q")]
    assert len(products) == len(names) > 0
    for made in products:
        assert made.q is not None and made.k is not None
        assert made.q.shape[0] == 2 and made.k.shape[:2] == (2, 77)
        assert made.q.shape[2] == made.k.shape[2] and made.q.shape[2] % made.heads == 0
    assert map_size(products, (8, 8)) == (8, 8)
    assert not any(module._forward_hooks for _, module in model.targets())


def test_clip_skip_takes_an_earlier_layer(model: TrainingModel) -> None:
    with torch.no_grad():
        first, second = (model.encode_prompts(["a girl"], skip).context for skip in (1, 2))
    assert first.shape == second.shape and not torch.allclose(first, second, atol=1e-3)


def test_the_schedule_is_stable_diffusions(model: TrainingModel) -> None:
    alphas = model.alphas_cumprod
    assert alphas.shape == (1000,) and bool((alphas[1:] < alphas[:-1]).all())
    assert float(alphas[0]) == pytest.approx(0.99915, abs=1e-5)
    assert float(alphas[-1]) == pytest.approx(0.00466, abs=1e-5)
    assert model.prediction in ("epsilon", "v_prediction")


def test_targets_are_every_module_of_the_layout_by_its_canonical_name(model: TrainingModel) -> None:
    names = [name for name, _ in model.targets()]
    assert len(names) == len(set(names))
    known = set(module_names(model.layout))
    assert set(names) <= known
    assert {name for name in names if not is_text(name)} == {
        name for name in known if not is_text(name)
    }
    assert {block_of(name, model.layout) for name in names} >= {
        "BASE",
        *model.layout.attention_labels,
    }
    assert all(isinstance(module, nn.Linear | nn.Conv2d) for _, module in model.targets())


def test_gradients_reach_both_networks_and_nothing_of_the_checkpoint(model: TrainingModel) -> None:
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, 1)
    with torch.no_grad():
        for _, branch in network.items():
            branch.up.fill_(0.01)
    noisy = torch.randn((2, 4, 8, 8), generator=torch.Generator().manual_seed(1)).to(model.device)
    with attached(network, model.targets()):
        conditioning = model.encode_prompts(["a girl", "a hat"], 1)
        predicted = model.predict(noisy, torch.tensor([10, 900]).to(model.device), conditioning)
        assert predicted.shape == noisy.shape
        predicted.float().square().mean().backward()
    without = [
        name
        for name, branch in network.items()
        if branch.up.grad is None or not bool(branch.up.grad.abs().sum() > 0)
    ]
    assert without == []
    parameters = [parameter for _, module in model.targets() for parameter in module.parameters()]
    assert not any(parameter.requires_grad for parameter in parameters)
    assert all(parameter.grad is None for parameter in parameters)


def test_everything_is_given_back_as_it_was(host: Host) -> None:
    modules = modules_of(host)
    odd = next(iter(modules.values()))
    flag = odd.weight.requires_grad
    mode = odd.training
    try:
        odd.weight.requires_grad_(True)
        odd.training = True
        before = state(modules)
        picture = draw(host)
        with host.open_for_training() as model:
            assert not odd.weight.requires_grad
            train_a_step(model)
        assert state(modules) == before
        with pytest.raises(ZeroDivisionError), host.open_for_training() as model:
            train_a_step(model)
            raise ZeroDivisionError
        assert state(modules) == before
        assert np.array_equal(draw(host), picture)
    finally:
        odd.weight.requires_grad_(flag)
        odd.training = mode


def train_a_step(model: TrainingModel) -> None:
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, 1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-2)
    with attached(network, model.targets()):
        latents = torch.zeros((1, 4, 8, 8), device=model.device)
        timesteps = torch.tensor([500], device=model.device)
        model.predict(
            latents, timesteps, model.encode_prompts(["a girl"], 1)
        ).float().square().mean().backward()
        optimizer.step()


def test_training_starts_from_the_checkpoint_without_the_loras_last_drawn_with(
    host: Host, lora: MakeLora
) -> None:
    plain = draw(host)
    path = lora()
    modules = modules_of(host)
    before = state(modules)
    drawn = with_loras(host, LoraUse(path))
    with host.open_for_training():
        weights = [values[2][1] for values in state(modules).values()]
    assert weights == [values[2][1] for values in before.values()]
    assert np.array_equal(with_loras(host, LoraUse(path)), drawn)
    assert np.array_equal(draw(host), plain)


def test_training_may_start_inside_torchs_no_grad(host: Host) -> None:
    with torch.no_grad(), host.open_for_training() as model:
        train_a_step(model)
