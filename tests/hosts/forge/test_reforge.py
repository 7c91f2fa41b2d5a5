"""reForge's checkpoint in memory, lent for training and given back as it was."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from lib_singlelora.errors import CheckpointError
from tests.hosts.forge.reforge_stand_in import Flow, ReForgeStandIn, sampling
from tests.hosts.forge.test_lending import TO_Q, step


def weights_of(model: Any) -> dict[str, nn.Parameter]:
    unet: nn.Module = model.forge_objects_original.unet.model.diffusion_model
    return dict(unet.named_parameters())


def test_gradients_reach_every_branch_of_both_networks(reforge_host: Any) -> None:
    with reforge_host.open_for_training() as model:
        network = step(model)
    for name, branch in network.items():
        gradients = [parameter.grad for parameter in branch.parameters()]
        assert all(gradient is not None and gradient.abs().sum() > 0 for gradient in gradients), (
            name
        )


@pytest.mark.parametrize("drawn_with_lora", [False, True])
def test_it_comes_back_as_the_very_tensors_after_an_error_too(
    reforge_host: Any, reforge: ReForgeStandIn, drawn_with_lora: bool
) -> None:
    reforge_host.require_checkpoint()
    loaded = reforge.data.sd_model
    own = weights_of(loaded)
    if drawn_with_lora:
        loaded.draw_with_lora()
        assert weights_of(loaded)[f"{TO_Q}.weight"] is not own[f"{TO_Q}.weight"]
    with pytest.raises(ValueError, match="mine"), reforge_host.open_for_training() as model:
        lent = dict(model.targets())[TO_Q].weight
        assert torch.equal(lent, own[f"{TO_Q}.weight"])
        step(model)
        raise ValueError("mine")
    assert all(weight is own[name] for name, weight in weights_of(loaded).items())
    assert reforge.loaded == [] and loaded.current_lora_hash == str([])
    assert reforge.attention.optimized_attention.__name__ == "attention_sub_quad"


def test_another_checkpoint_is_loaded_once_for_all_its_pictures(
    reforge_host: Any, reforge: ReForgeStandIn
) -> None:
    """The program loads what its option names before each picture."""
    options = reforge.webui.opts.data
    for before in ("small.safetensors [0123456789]", None):
        options["sd_model_checkpoint"] = before
        if before is None:
            del options["sd_model_checkpoint"]
        reforge_host.require_checkpoint()
        reforge.loads.clear()
        with reforge_host.drawing_with("z other.safetensors"):
            for _ in range(3):
                reforge.reload()
                assert reforge.data.sd_model.filename == "z other.safetensors"
        reforge.reload()
        assert reforge.loads == ["z other.safetensors", "small.safetensors"]
        assert options.get("sd_model_checkpoint") == before


def test_the_schedule_is_the_checkpoints_whatever_a_picture_left(
    reforge_host: Any, reforge: ReForgeStandIn
) -> None:
    with reforge_host.open_for_training() as model:
        first = model.alphas_cumprod
    unet = reforge.data.sd_model.forge_objects_original.unet.model
    unet.model_sampling.sigmas = unet.model_sampling.sigmas * 2
    with reforge_host.open_for_training() as model:
        assert torch.equal(model.alphas_cumprod, first)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda unet: setattr(unet.model_config, "scaled_fp8", torch.float8_e4m3fn), "fp8"),
        (lambda unet: setattr(unet, "model_sampling", sampling(Flow)), "Flow"),
    ],
)
def test_what_cannot_be_trained_is_refused_by_its_name(
    reforge_host: Any, reforge: ReForgeStandIn, change: Any, word: str
) -> None:
    reforge_host.require_checkpoint()
    change(reforge.data.sd_model.forge_objects_original.unet.model)
    with pytest.raises(CheckpointError, match=word), reforge_host.open_for_training():
        pass


def test_a_load_that_fails_is_one_line_and_the_next_succeeds(
    reforge_host: Any, reforge: ReForgeStandIn
) -> None:
    reforge.fails = True
    with pytest.raises(CheckpointError, match="could not load"):
        reforge_host.require_checkpoint()
    reforge.fails = False
    reforge_host.require_checkpoint()
