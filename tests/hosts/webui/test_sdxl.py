"""The training adapter on SDXL, with the stand-in for sgm's model."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import nn

pytest.importorskip("ldm")
pytest.importorskip("transformers")

from lib_singlelora.errors import CheckpointError, LoraKeyError
from lib_singlelora.host import Conditioning
from lib_singlelora.hosts.size_vector import embedded_numbers
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.fit import require_fit
from lib_singlelora.naming.blocks import SD1, SDXL, is_text
from lib_singlelora.naming.modules import module_names
from tests.hosts.webui import sgm_stand_in
from tests.hosts.webui.sgm_stand_in import CONTEXT, END, VECTOR, Engine
from tests.hosts.webui.stand_in import Network, StandIn
from tests.hosts.webui.test_training_model import NOISE, TIMESTEPS, assert_same, state, step
from tests.small_checkpoint import SMALL


@pytest.fixture
def model() -> Engine:
    return Engine()


@pytest.fixture
def borrowed_networks(webui: StandIn, monkeypatch: pytest.MonkeyPatch) -> Any:
    attention = ModuleType("sgm.modules.attention")
    attention.CrossAttention = sgm_stand_in.CrossAttention  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "sgm.modules.attention", attention)
    from lib_singlelora.hosts.webui.training_model import borrowed_networks

    return borrowed_networks


def test_every_module_of_the_narrow_layout_is_given_once(
    model: Engine, borrowed_networks: Any
) -> None:
    with borrowed_networks(model) as training:
        layout = training.layout
        names = [name for name, _ in training.targets()]
    assert layout == replace(
        SDXL, channels=SMALL.unet, depths=(0, 1, 1), middle_depth=1, context=CONTEXT, vector=VECTOR
    )
    text = {"te1.": SMALL.layers, "te2.": sgm_stand_in.LAYERS}
    expected = {name for name in module_names(layout) if not is_text(name)} | {
        f"{prefix}text_model.encoder.layers.{layer}.{part}"
        for prefix, layers in text.items()
        for layer in range(layers)
        for part in (
            *(f"self_attn.{name}_proj" for name in ("q", "k", "v", "out")),
            "mlp.fc1",
            "mlp.fc2",
        )
    }
    assert set(names) == expected and len(names) == len(set(names))


def test_gradients_reach_all_that_is_computed_and_everything_is_given_back(
    model: Engine, borrowed_networks: Any
) -> None:
    attention = sgm_stand_in.CrossAttention.forward
    before = state(model)  # type: ignore[arg-type]
    with borrowed_networks(model) as training:
        assert sgm_stand_in.CrossAttention.forward is not attention
        network, _ = step(training)
        never = f"te1.text_model.encoder.layers.{SMALL.layers - 1}."  # the layer before it is taken
        for name, branch in network.items():
            gradient = branch.up.grad
            assert name.startswith(never) == (gradient is None or not gradient.any()), name
    assert sgm_stand_in.CrossAttention.forward is attention
    assert_same(before, state(model))  # type: ignore[arg-type]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_it_is_given_back_after_any_error(
    model: Engine, borrowed_networks: Any, error: type[BaseException]
) -> None:
    before = state(model)  # type: ignore[arg-type]
    with pytest.raises(error), borrowed_networks(model) as training:
        step(training)
        raise error("in the middle")
    assert_same(before, state(model))  # type: ignore[arg-type]


def test_a_lora_on_the_packed_attention_is_taken_out_first(
    webui: StandIn, model: Engine, borrowed_networks: Any
) -> None:
    target = model.model.diffusion_model.middle_block[1].transformer_blocks[0].attn1.to_q
    with borrowed_networks(model) as training:
        _, clean = step(training)
    original = target.weight.detach().clone()
    webui.networks.loaded_networks.append(
        Network("old", {target.network_layer_name: torch.ones_like(target.weight)})
    )
    with torch.no_grad():
        webui.apply_weights(target)
    with borrowed_networks(model) as training:
        assert target.weight.equal(original)
        _, output = step(training)
    assert output.equal(clean)


def test_the_hooks_of_medvram_on_the_conditioner_come_back(
    webui: StandIn, model: Engine, borrowed_networks: Any
) -> None:
    def send_me_to_gpu(module: nn.Module, _: object) -> None:
        raise AssertionError("a part is moved in the middle of a pass")

    send_me_to_gpu.__module__ = "modules.lowvram"
    model.lowvram = True
    parts = (model.conditioner, model.first_stage_model, model.model)
    for part in parts:
        part.register_forward_pre_hook(send_me_to_gpu)
    with borrowed_networks(model) as training:
        step(training)
        training.encode_images(torch.zeros(1, 3, 64, 64))
    for part in parts:
        assert list(part._forward_pre_hooks.values()) == [send_me_to_gpu]


def test_a_changed_file_is_merged_anew_under_its_name(webui: StandIn, model: Engine) -> None:
    from lib_singlelora.hosts.webui.training_model import mark_stale

    target = model.model.diffusion_model.middle_block[1].transformer_blocks[0].attn1.to_q
    original = target.weight.detach().clone()
    for change in (1.0, 2.0):
        webui.networks.loaded_networks[:] = [
            Network("same name", {target.network_layer_name: torch.full_like(original, change)})
        ]
        mark_stale(model)  # type: ignore[arg-type]
        with torch.no_grad():
            webui.apply_weights(target)
        assert torch.allclose(target.weight, original + change)


def test_both_texts_side_by_side_and_the_first_chunk_pooled(
    model: Engine, borrowed_networks: Any
) -> None:
    long = ", ".join(["word"] * 60)
    clip, open_clip = (stage.wrapped for stage in list(model.conditioner.embedders)[:2])
    with borrowed_networks(model) as training, torch.no_grad():
        made = training.encode_prompts([long], 1)
        skipped = training.encode_prompts([long], 2)
        chunks = training.text_encoders._chunks([long])[0]
        first = clip.transformer(chunks, output_hidden_states=True).hidden_states[-2]
        padded = chunks.clone()
        for row in padded:
            row[row.tolist().index(END) + 1 :] = 0
        second = open_clip.encode_with_transformer(padded)
    assert made.context.equal(
        torch.cat([first.flatten(0, 1), second["penultimate"].flatten(0, 1)], dim=1)[None]
    )
    assert made.pooled.equal(second["pooled"][:1]) and made.sizes is None
    assert skipped.context.equal(made.context)  # the layer is the family's, not the setting's


def test_the_vector_is_pooled_text_and_the_sizes_embedded(
    model: Engine, borrowed_networks: Any
) -> None:
    given: list[torch.Tensor] = []
    model.model.diffusion_model.label_emb.register_forward_pre_hook(
        lambda module, inputs: given.append(inputs[0])
    )
    sizes = torch.tensor([[300.0, 200, 16, 8, 64, 64]])
    with borrowed_networks(model) as training, torch.no_grad():
        text = training.encode_prompts(["isabella"], 1)
        training.predict(NOISE, TIMESTEPS, text)
        training.predict(NOISE, TIMESTEPS, Conditioning(text.context, text.pooled, sizes))
    whole = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
    for made, numbers in zip(given, (whole, sizes), strict=True):
        assert made.equal(torch.cat([text.pooled, embedded_numbers(numbers)], dim=1))


def test_latents_are_the_mode_and_scaled_by_the_models_factor(
    model: Engine, borrowed_networks: Any
) -> None:
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    vae = model.first_stage_model
    with borrowed_networks(model) as training, torch.no_grad():
        made = training.encode_images(pixels)
        mean = vae.quant_conv(vae.encoder(pixels)).chunk(2, 1)[0]
        assert made.equal(mean * 0.13025) and made.equal(training.encode_images(pixels))


def checkpoint(folder: Path, *keys: str) -> Path:
    path = folder / "xl.safetensors"
    safetensors.torch.save_file({key: torch.tensor([]) for key in ("x", *keys)}, path)
    return path


def test_v_prediction_without_a_config_is_refused_and_the_remedy_writes_one(
    webui: StandIn, model: Engine, borrowed_networks: Any, tmp_path: Path
) -> None:
    from lib_singlelora.hosts.webui import v_prediction

    path = checkpoint(tmp_path, "v_pred", "ztsnr")
    model.sd_checkpoint_info.filename = str(path)
    used = tmp_path / "used.yaml"
    used.write_text("model:\n  params:\n    denoiser_config:\n      params: {a: 1}\n")
    model.used_config = str(used)
    loaded: list[bool] = []
    sys.modules["modules.sd_models"].reload_model_weights = (  # type: ignore[attr-defined]
        lambda info, forced_reload: loaded.append(forced_reload)
    )
    problem = v_prediction.problem_of(model)  # type: ignore[arg-type]
    assert problem is not None and problem.remedy == "Write xl.yaml"
    with pytest.raises(CheckpointError, match=r"no xl\.yaml beside it"), borrowed_networks(model):
        pass
    assert "xl.yaml" in v_prediction.mend(model)  # type: ignore[arg-type]
    text = path.with_suffix(".yaml").read_text()
    assert "VScaling" in text and "a: 1" in text and loaded == [True]
    problem = v_prediction.problem_of(model)  # type: ignore[arg-type]
    assert problem is not None and problem.remedy == "Load the checkpoint anew"
    model.parameterization = "v"  # as it is loaded then
    assert v_prediction.problem_of(model) is None  # type: ignore[arg-type]
    with borrowed_networks(model) as training:
        assert training.prediction == "v_prediction"
        assert float(training.alphas_cumprod[-1]) == 0


def test_while_the_webui_draws_the_config_is_written_and_loaded_later(
    webui: StandIn, model: Engine, borrowed_networks: Any, tmp_path: Path
) -> None:
    from lib_singlelora.hosts.webui import v_prediction

    model.sd_checkpoint_info.filename = str(checkpoint(tmp_path, "v_pred"))
    used = tmp_path / "used.yaml"
    used.write_text("model: {params: {denoiser_config: {params: {}}}}")
    model.used_config = str(used)
    with webui.lock:  # type: ignore[attr-defined]
        assert "when that is done" in v_prediction.mend(model)  # type: ignore[arg-type]
    assert (tmp_path / "xl.yaml").exists()


def test_a_config_of_the_users_is_kept(
    webui: StandIn, model: Engine, borrowed_networks: Any, tmp_path: Path
) -> None:
    from lib_singlelora.hosts.webui import v_prediction

    path = checkpoint(tmp_path, "v_pred")
    path.with_suffix(".yaml").write_text("EpsScaling")
    model.sd_checkpoint_info.filename = str(path)
    model.used_config = str(path.with_suffix(".yaml"))
    problem = v_prediction.problem_of(model)  # type: ignore[arg-type]
    assert problem is not None and not problem.remedy and "VScaling" in problem.text
    with pytest.raises(CheckpointError):
        v_prediction.mend(model)  # type: ignore[arg-type]
    assert path.with_suffix(".yaml").read_text() == "EpsScaling"


@pytest.mark.parametrize("keys", [(), ("ztsnr",)])
def test_an_epsilon_checkpoint_is_no_problem(
    webui: StandIn, model: Engine, borrowed_networks: Any, tmp_path: Path, keys: tuple[str, ...]
) -> None:
    from lib_singlelora.hosts.webui import v_prediction

    model.sd_checkpoint_info.filename = str(checkpoint(tmp_path, *keys))
    assert v_prediction.problem_of(model) is None  # type: ignore[arg-type]
    with pytest.raises(CheckpointError, match="nothing to mend"):
        v_prediction.mend(model)  # type: ignore[arg-type]


def lora(folder: Path, stem: str, inputs: int) -> Path:
    path = folder / f"{stem}.safetensors"
    tensors = {"lora_down.weight": torch.ones(2, inputs), "lora_up.weight": torch.ones(8, 2)}
    write_lora(path, {f"{stem}.{name}": tensor for name, tensor in tensors.items()}, {}, "fp32")
    return path


OF_SD1 = "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k"
OF_SDXL = "lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_k"


@pytest.mark.parametrize(
    ("stem", "inputs", "layout", "fits"),
    [
        (OF_SD1, 768, SD1, True),
        (OF_SDXL, 2048, SDXL, True),
        (OF_SDXL, 2048, SD1, False),
        (OF_SD1, 1024, SD1, False),
        ("lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k", 768, SDXL, False),
    ],
)
def test_a_lora_fits_the_checkpoints_of_its_family_alone(
    tmp_path: Path, stem: str, inputs: int, layout: Any, fits: bool
) -> None:
    path = lora(tmp_path, stem, inputs)
    if fits:
        require_fit(path, layout)
        return
    with pytest.raises(LoraKeyError, match=r"another base model|expected"):
        require_fit(path, layout)
