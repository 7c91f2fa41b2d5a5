"""Forge's checkpoint in memory, lent for training and given back as the very tensors it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.errors import CheckpointError
from lib_singlelora.host import Conditioning
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.naming.blocks import is_text
from lib_singlelora.ops.conv_layout import channels_last_convs, plainly_laid
from tests.hosts.forge.stand_in import Engine, ForgeStandIn

NOISE = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(0))
TIMESTEPS = torch.tensor([500])
TO_Q = "input_blocks.1.1.transformer_blocks.0.attn1.to_q"


def networks_of(engine: Engine) -> list[nn.Module]:
    objects = engine.forge_objects_original
    return [objects.unet.model, objects.clip.cond_stage_model, objects.vae.first_stage_model]


def state(engine: Engine, forge: ForgeStandIn) -> dict[str, Any]:
    """Everything that a training could leave behind, the tensors by their identity too."""
    found: dict[str, Any] = {"attention": forge.unet.attention_function}
    for index, network in enumerate(networks_of(engine)):
        for name, tensor in (*network.named_parameters(), *network.named_buffers()):
            value = tensor.detach().clone().tolist()
            facts = (id(tensor), tensor.is_inference(), tensor.requires_grad, tensor.grad is None)
            found[f"{index}.{name}"] = (*facts, value)
        for name, module in network.named_modules():
            hooks = len(module._forward_hooks) + len(module._forward_pre_hooks)
            found[f"{index}.{name} module"] = (module.training, hooks, "forward" in vars(module))
    return found


def step(model: Any, algorithm: str = "LoRA", text_encoder: bool = True) -> LoraNetwork:
    shape = LoraShape(2, 2.0, algorithm=algorithm)
    network = LoraNetwork(model.targets(), model.layout, shape, {}, text_encoder, 1)
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        parameter.data.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    with attached(network, model.targets()):
        texts = model.encode_prompts(["isabella, girl"], 1)
        model.predict(NOISE, TIMESTEPS, texts).square().mean().backward()
    return network


@pytest.mark.parametrize("algorithm", ["LoRA", "LoHa", "DoRA"])
def test_gradients_reach_every_branch_of_both_networks(host: Any, algorithm: str) -> None:
    if algorithm != "LoRA":
        pytest.importorskip("lycoris")
    with host.open_for_training() as model:
        network = step(model, algorithm)
        names = [name for name, _ in network.items()]
    assert any(map(is_text, names)) and TO_Q in names
    for name, branch in network.items():
        gradients = [parameter.grad for parameter in branch.parameters()]
        assert all(gradient is not None for gradient in gradients), name
        assert any(bool(gradient.abs().sum() > 0) for gradient in gradients), name


def test_every_matrix_is_found_whatever_its_class(host: Any) -> None:
    with host.open_for_training() as model:
        names = {name for name, _ in model.targets()}
        layers = len(list(model.blocks()))
    assert {TO_Q, "input_blocks.1.1.transformer_blocks.0.ff.net.0.proj"} <= names
    assert "text_model.encoder.layers.0.self_attn.q_proj" in names
    assert not any("embeddings" in name for name in names)
    assert layers == 6 + 1 + 6 + 2  # transformers on the way in, between and out; CLIP's layers


def test_it_comes_back_as_the_very_tensors_after_an_error_too(
    host: Any, forge: ForgeStandIn
) -> None:
    host.require_checkpoint()
    engine = forge.data.sd_model
    with host.open_for_training() as model:
        model.encode_prompts(["a"], 1)  # transformers puts hooks of its own on at the first call
    before = state(engine, forge)
    assert any(str(value).startswith("(") and value[1] is True for value in before.values())
    with pytest.raises(ValueError, match="mine"), host.open_for_training() as model:
        step(model)
        raise ValueError("mine")
    assert state(engine, forge) == before


def test_convolutions_channels_last_lie_again_as_they_did(host: Any, forge: ForgeStandIn) -> None:
    """Tolerance 1e-4: sums of another order through a whole U-Net."""
    host.require_checkpoint()
    engine = forge.data.sd_model
    context = torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(2))
    with host.open_for_training() as model:
        model.encode_prompts(["a"], 1)  # transformers puts hooks of its own on at the first call
    before = state(engine, forge)
    parameters = [each for network in networks_of(engine) for each in network.parameters()]
    strides = [parameter.stride() for parameter in parameters]
    with host.open_for_training() as model, torch.no_grad():
        convs = [module for name, module in model.targets() if not is_text(name)]
        plain = model.predict(NOISE, TIMESTEPS, Conditioning(context.clone()))
        assert plainly_laid(convs)
        with channels_last_convs(convs):
            assert not plainly_laid(convs)
            output = model.predict(NOISE, TIMESTEPS, Conditioning(context.clone()))
    torch.testing.assert_close(output, plain, rtol=1e-4, atol=1e-4)
    assert state(engine, forge) == before
    assert [parameter.stride() for parameter in parameters] == strides


def test_loras_of_the_last_prompt_are_taken_out(host: Any, forge: ForgeStandIn) -> None:
    host.require_checkpoint()
    engine = forge.data.sd_model
    unet = engine.forge_objects_original.unet.model.diffusion_model
    own = unet.get_submodule(TO_Q).weight
    engine.draw_with_lora()
    assert unet.get_submodule(TO_Q).weight is not own
    with host.open_for_training() as model:
        lent = dict(model.targets())[TO_Q].weight
        assert torch.equal(lent, own)
        step(model)
    assert unet.get_submodule(TO_Q).weight is own
    assert engine.current_lora_hash == str([])  # so the next prompt merges anew what it names
    assert engine.forge_objects.unet is engine.forge_objects_original.unet


def test_memory_management_keeps_none_of_what_is_lent(host: Any, forge: ForgeStandIn) -> None:
    host.require_checkpoint()
    entries = list(forge.loaded)
    with host.open_for_training():
        assert forge.loaded == []
    assert all(entry.unloaded for entry in entries)


def test_the_forward_pass_is_the_programs_own(host: Any, forge: ForgeStandIn) -> None:
    host.require_checkpoint()
    unet = forge.data.sd_model.forge_objects_original.unet.model.diffusion_model
    context = torch.randn(1, 77, 32, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        own = unet(NOISE, TIMESTEPS.float(), context.clone(), transformer_options={})
    with host.open_for_training() as model, torch.no_grad():
        ours = model.predict(NOISE, TIMESTEPS, Conditioning(context))
    torch.testing.assert_close(ours, own, rtol=1e-5, atol=1e-5)


def test_latents_are_scaled_and_come_back(host: Any) -> None:
    with host.open_for_training() as model:
        latents = model.encode_images(torch.zeros(1, 3, 16, 16))
        picture: Tensor = model.decode_latents(latents)
    assert latents.shape == (1, 4, 2, 2) and picture.shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (
            lambda engine: setattr(
                engine.forge_objects_original.unet.model, "storage_dtype", "nf4"
            ),
            "nf4",
        ),
        (lambda engine: setattr(engine, "is_sd1", False), "Engine"),
        (lambda engine: setattr(engine, "is_sd3", True), "Stable Diffusion 3"),
        (
            lambda engine: setattr(
                engine.forge_objects_original.unet.model.predictor, "prediction_type", "edm"
            ),
            "edm",
        ),
        # Its sampling takes this one for epsilon
        (
            lambda engine: setattr(engine.model_config.model_type, "name", "V_PREDICTION_EDM"),
            "V_PREDICTION_EDM",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_by_its_name(
    host: Any, forge: ForgeStandIn, change: Any, word: str
) -> None:
    host.require_checkpoint()
    change(forge.data.sd_model)
    with pytest.raises(CheckpointError, match=word), host.open_for_training():
        pass


def test_an_inpainting_checkpoint_is_refused(host: Any, forge: ForgeStandIn) -> None:
    forge.next = Engine(channels=9)
    with pytest.raises(CheckpointError, match="inpainting"), host.open_for_training():
        pass


def test_nothing_is_loaded_for_a_question(host: Any, forge: ForgeStandIn) -> None:
    forge.webui.opts.sd_model_checkpoint = ""  # type: ignore[attr-defined]
    assert host.asked_preset.checkpoint == ""
    with pytest.raises(CheckpointError, match="no checkpoint"):
        _ = host.checkpoint
    assert forge.loads == 0


def test_a_load_that_fails_does_not_wedge_the_program(host: Any, forge: ForgeStandIn) -> None:
    host.require_checkpoint()
    remembered = forge.data.forge_loading_parameters
    forge.data.forge_loading_parameters = {**remembered, "additional_modules": ["broken"]}
    forge.fails = True
    with pytest.raises(CheckpointError, match="could not load"):
        host.require_checkpoint()
    forge.fails = False
    forge.data.forge_loading_parameters = remembered  # the old one is chosen again
    host.require_checkpoint()
    assert forge.data.sd_model is not None


def test_a_checkpoint_that_left_memory_is_loaded_anew(host: Any, forge: ForgeStandIn) -> None:
    """The program remembers it as the loaded one all the same."""
    host.require_checkpoint()
    forge.data.sd_model = None
    with host.open_for_training() as model:
        assert dict(model.targets())


def test_a_refiner_is_refused(host: Any, forge: ForgeStandIn) -> None:
    host.require_checkpoint()
    forge.data.sd_model.is_sd1 = False
    forge.data.sd_model.is_sdxl = True
    with pytest.raises(CheckpointError, match="refiner"), host.open_for_training():
        pass


def test_a_file_that_changed_is_read_and_merged_anew(host: Any, forge: ForgeStandIn) -> None:
    host.require_checkpoint()
    forge.files.append("isabella")
    engine = forge.data.sd_model
    engine.draw_with_lora()
    host.forget_loras()
    assert forge.files == [] and engine.current_lora_hash != "[['isabella']]"
    assert engine.forge_objects_original.unet.lora_loader.loaded_hash not in (
        str([]),
        "['isabella']",
    )


def test_small_checkpoints_are_registered_once(host: Any, forge: ForgeStandIn) -> None:
    from lib_singlelora.embedded.paths import CHECKPOINT, CLIP

    for _ in range(2):
        host.add_family(CHECKPOINT.with_suffix(".yaml"), CLIP)
    kinds = [kind for kind in forge.model_list.models if kind.unet_config["model_channels"] == 64]
    assert len(kinds) == 1 and kinds[0] is forge.model_list.models[0]
    assert (
        kinds[0].unet_extra_config["num_heads"] == 4 and kinds[0].unet_config["context_dim"] == 64
    )
    folder = Path(kinds[0].huggingface_repo)
    assert (folder / "model_index.json").is_file() and (folder / "tokenizer/vocab.json").is_file()


@pytest.mark.parametrize(("prediction", "last"), [("v_prediction", 0.0), ("epsilon", 0.01)])
def test_a_file_that_says_zero_terminal_snr_is_trained_as_it_is_drawn(
    host: Any, forge: ForgeStandIn, prediction: str, last: float
) -> None:
    host.require_checkpoint()
    engine = forge.data.sd_model
    engine.model_config.ztsnr = True
    engine.forge_objects_original.unet.model.predictor.prediction_type = prediction
    with host.open_for_training() as model:
        assert model.prediction == prediction
        assert float(model.alphas_cumprod[-1]) == pytest.approx(last, abs=1e-5)


def test_the_checkpoint_in_memory_predicts_what_the_program_takes_it_for(
    host: Any, forge: ForgeStandIn
) -> None:
    """The program measures a Stable Diffusion 2, whose file says nothing."""
    host.require_checkpoint()
    assert host.checkpoint.prediction == "epsilon"
    predictor = forge.data.sd_model.forge_objects_original.unet.model.predictor
    predictor.prediction_type = "v_prediction"
    assert host.checkpoint.prediction == "v_prediction"


def test_a_chosen_checkpoint_whose_file_is_gone_is_told(host: Any, forge: ForgeStandIn) -> None:
    """The program moves away what it cannot read, and goes on naming it."""
    forge.refresh()
    with pytest.raises(CheckpointError, match="gone"):
        _ = host.checkpoint
