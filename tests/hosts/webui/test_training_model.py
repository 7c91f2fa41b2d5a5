"""The training adapter on the real ldm classes, with the stand-in for everything around them."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from torch import Tensor, nn

pytest.importorskip("ldm")
pytest.importorskip("transformers")

from lib_singlelora.errors import CheckpointError
from lib_singlelora.lora.network import LoraNetwork, LoraShape, attached
from lib_singlelora.naming.blocks import SD1, is_text
from lib_singlelora.naming.modules import module_names
from lib_singlelora.ops.conv_layout import channels_last_convs, plainly_laid
from lib_singlelora.training.attention import AttentionLoss
from tests.hosts.webui.stand_in import Network, StandIn
from tests.small_checkpoint import CLIP, SMALL, clip_config, tensors, yaml_text

NOISE = torch.randn((1, 4, 8, 8), generator=torch.Generator().manual_seed(0))
TIMESTEPS = torch.tensor([500])


class Vae(nn.Module):
    """ldm's AutoencoderKL as far as its encoder goes; the class itself imports a trainer."""

    def __init__(self, params: dict[str, Any]) -> None:
        super().__init__()
        from ldm.modules.diffusionmodules.model import Encoder

        self.encoder = Encoder(**params)
        self.quant_conv = nn.Conv2d(8, 8, 1)

    def encode(self, x: Tensor) -> SimpleNamespace:
        mean = self.quant_conv(self.encoder(x)).chunk(2, 1)[0]
        return SimpleNamespace(mode=lambda: mean)


class Model(nn.Module):
    """A LatentDiffusion as far as the host looks at it."""

    def __init__(self) -> None:
        import yaml
        from ldm.modules.diffusionmodules.openaimodel import UNetModel
        from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

        super().__init__()
        params = yaml.safe_load(yaml_text(CLIP))["model"]["params"]
        self.model = nn.Module()
        self.model.diffusion_model = UNetModel(
            **{**params["unet_config"]["params"], "use_checkpoint": True}
        )
        self.first_stage_model = Vae(params["first_stage_config"]["params"]["ddconfig"])
        self.cond_stage_model = nn.Module()
        self.cond_stage_model.wrapped = nn.Module()
        config = {
            k: v
            for k, v in json.loads(json.dumps(clip_config(SMALL))).items()
            if k not in ("architectures", "model_type")
        }
        self.cond_stage_model.wrapped.transformer = CLIPTextModel(CLIPTextConfig(**config))
        self.cond_stage_model.wrapped.tokenizer = CLIPTokenizer.from_pretrained(str(CLIP))
        weights = tensors(0)
        for prefix, part in (
            ("model.diffusion_model.", self.model.diffusion_model),
            ("first_stage_model.", self.first_stage_model),
            ("cond_stage_model.transformer.", self.cond_stage_model.wrapped.transformer),
        ):
            part.load_state_dict(
                {k[len(prefix) :]: v for k, v in weights.items() if k.startswith(prefix)},
                strict=False,
            )
        self.parameterization = "eps"
        self.scale_factor = 0.18215
        self.lowvram = False
        self.is_sdxl = False
        self.is_sd2 = False
        self.alphas_cumprod = torch.linspace(0.99, 0.01, 1000)
        self.sd_checkpoint_info = SimpleNamespace(
            name="small.safetensors", filename="small.safetensors"
        )
        for name, module in self.named_modules():
            module.network_layer_name = name


@pytest.fixture
def model() -> Model:
    return Model()


@pytest.fixture
def borrowed_networks(webui: StandIn) -> Any:
    from lib_singlelora.hosts.webui.training_model import borrowed_networks

    return borrowed_networks


def state(model: Model) -> dict[str, Any]:
    import ldm.modules.attention

    return {
        "weights": {name: value.clone() for name, value in model.state_dict().items()},
        "flags": [
            (name, p.requires_grad, p.dtype, p.grad is None) for name, p in model.named_parameters()
        ],
        "modes": [module.training for module in model.modules()],
        "checkpointing": [
            (name, module.__dict__.get("checkpoint"), module.__dict__.get("use_checkpoint"))
            for name, module in model.named_modules()
        ],
        "hooks": [
            list(module._forward_pre_hooks.values()) + list(module._forward_hooks.values())
            for module in model.modules()
        ],
        "attention": ldm.modules.attention.CrossAttention.forward,
    }


def assert_same(before: dict[str, Any], after: dict[str, Any]) -> None:
    weights = before.pop("weights")
    weights_after = after.pop("weights")
    assert all(weights[name].equal(weights_after[name]) for name in weights)
    assert before == after


def step(training: Any, text_encoder: bool = True) -> tuple[LoraNetwork, Tensor]:
    network = LoraNetwork(training.targets(), training.layout, LoraShape(2, 2), {}, text_encoder, 1)
    for _, branch in network.items():
        branch.up.data.copy_(
            torch.randn(branch.up.shape, generator=torch.Generator().manual_seed(1)) * 0.1
        )
    with attached(network, training.targets()):
        output = training.predict(NOISE, TIMESTEPS, training.encode_prompts(["isabella, girl"], 1))
        output.square().mean().backward()
    return network, output.detach()


def test_every_module_of_the_layout_is_given_once(model: Model, borrowed_networks: Any) -> None:
    with borrowed_networks(model) as training:
        names = [name for name, _ in training.targets()]
        layout = replace(
            SD1, channels=SMALL.unet, multipliers=SMALL.multipliers, context=SMALL.text
        )
        expected = {
            name for name in module_names(layout) if not is_text(name) or name.split(".")[3] in "01"
        }
        assert set(names) == expected and len(names) == len(set(names))
        assert (training.layout.channels, training.layout.multipliers) == (
            SMALL.unet,
            SMALL.multipliers,
        )


def test_gradients_reach_every_branch_and_everything_is_given_back(
    model: Model, borrowed_networks: Any
) -> None:
    before = state(model)
    with borrowed_networks(model) as training:
        assert not any(p.requires_grad for p in model.model.diffusion_model.parameters())
        network, _ = step(training)
        gradients = [branch.up.grad for _, branch in network.items()]
        assert all(g is not None and float(g.abs().max()) > 0 for g in gradients)
    assert_same(before, state(model))


@pytest.mark.parametrize("opt_channelslast", [False, True])
def test_convolutions_channels_last_lie_again_as_the_webui_had_them(
    model: Model, borrowed_networks: Any, opt_channelslast: bool
) -> None:
    """Tolerance 1e-4: sums of another order through a whole U-Net."""
    if opt_channelslast:
        model.to(memory_format=torch.channels_last)
    before = state(model)
    strides = [parameter.stride() for parameter in model.parameters()]
    with borrowed_networks(model) as training:
        convs = [module for name, module in training.targets() if not is_text(name)]
        assert bool(plainly_laid(convs)) is not opt_channelslast
        _, plain = step(training)
        with channels_last_convs(convs):
            assert not plainly_laid(convs)
            _, output = step(training)
    torch.testing.assert_close(output, plain, rtol=1e-4, atol=1e-4)
    assert_same(before, state(model))
    assert [parameter.stride() for parameter in model.parameters()] == strides


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, MemoryError])
def test_it_is_given_back_after_any_error(
    model: Model, borrowed_networks: Any, error: type[BaseException]
) -> None:
    before = state(model)
    with pytest.raises(error), borrowed_networks(model) as training:
        step(training)
        raise error("in the middle")
    assert_same(before, state(model))


def test_a_lora_of_the_last_prompt_is_taken_out_first(
    webui: StandIn, model: Model, borrowed_networks: Any
) -> None:
    with borrowed_networks(model) as training:
        _, clean = step(training)
    target = model.model.diffusion_model.middle_block[1].transformer_blocks[0].attn1.to_q
    webui.networks.loaded_networks.append(
        Network("old", {target.network_layer_name: torch.ones_like(target.weight)})
    )
    original = target.weight.detach().clone()
    with torch.no_grad():
        webui.apply_weights(target)
    assert not target.weight.equal(original)
    with borrowed_networks(model) as training:
        assert target.weight.equal(original)
        _, output = step(training)
    assert output.equal(clean)
    assert webui.networks.loaded_networks == [] and target.network_current_names == ()


def test_token_merging_and_hypertile_are_off_for_the_job(
    webui: StandIn, model: Model, borrowed_networks: Any
) -> None:
    tile = SimpleNamespace(enabled=True)
    block = model.model.diffusion_model.middle_block[1].transformer_blocks[0].attn1
    setattr(block, "__webui_hypertile_params", tile)
    model.applied_token_merged_ratio = 0.5
    with borrowed_networks(model):
        assert not tile.enabled and webui.merged_ratios == [0]
    assert tile.enabled and webui.merged_ratios == [0, 0.5]


def test_the_hooks_of_lowvram_come_back(
    webui: StandIn, model: Model, borrowed_networks: Any
) -> None:
    def send_me_to_gpu(module: nn.Module, _: object) -> None:
        calls.append(module)

    def another(module: nn.Module, _: object) -> None:
        pass

    calls: list[nn.Module] = []
    send_me_to_gpu.__module__ = "modules.lowvram"
    model.lowvram = True
    unet = model.model.diffusion_model
    for hook in (another, send_me_to_gpu):
        unet.register_forward_pre_hook(hook)
    with borrowed_networks(model) as training:
        step(training)
        assert calls == [] and list(unet._forward_pre_hooks.values()) == [another]
    assert list(unet._forward_pre_hooks.values()) == [another, send_me_to_gpu]


@pytest.mark.parametrize("medvram", [False, True])
def test_with_medvram_each_part_comes_for_its_own_work(
    model: Model, borrowed_networks: Any, monkeypatch: pytest.MonkeyPatch, medvram: bool
) -> None:
    from lib_singlelora.hosts.placement import Placement

    moves: list[tuple[str, ...]] = []
    monkeypatch.setattr(Placement, "bring", lambda self, *names: moves.append(("in", *names)))
    monkeypatch.setattr(Placement, "set_aside", lambda self, *names: moves.append(("out", *names)))
    model.lowvram = medvram
    with borrowed_networks(model) as training:
        assert moves == ([] if medvram else [("in", "unet", "vae", "text encoder")])
        moves.clear()
        training.encode_images(torch.zeros(1, 3, 64, 64))
        assert moves == ([("out", "unet", "text encoder")] if medvram else []) + [("in", "vae")]
        moves.clear()
        training.predict(NOISE, TIMESTEPS, training.encode_prompts(["isabella, girl"], 1))
        assert moves == [("in", "text encoder"), ("in", "unet")]


def test_latents_are_scaled_and_nan_is_an_error(model: Model, borrowed_networks: Any) -> None:
    from lib_singlelora.errors import TrainingError

    with borrowed_networks(model) as training:
        assert training.encode_images(torch.zeros(1, 3, 64, 64)).shape == (1, 4, 8, 8)
        with torch.no_grad():
            model.first_stage_model.quant_conv.bias.fill_(float("nan"))
        with pytest.raises(TrainingError, match="in fp32 too"):
            training.encode_images(torch.zeros(1, 3, 64, 64))


def test_long_prompts_and_clip_skip(model: Model, borrowed_networks: Any) -> None:
    with borrowed_networks(model) as training:
        context = training.encode_prompts(["a girl"], 1).context
        assert context.shape == (1, 77, SMALL.text)
        assert training.encode_prompts([", ".join(["word"] * 60)], 1).context.shape[1] == 154
        assert not context.equal(training.encode_prompts(["a girl"], 2).context)


def test_the_trigger_s_attention_is_that_of_ldm_s_layers(
    model: Model, borrowed_networks: Any
) -> None:
    """Computed anew from what each cross-attention was given; tolerance 1e-4."""
    caption = "a dog, isabella, girl"
    given: list[tuple[nn.Module, Tensor, Tensor]] = []
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., :3] = 1

    def note(module: nn.Module, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> None:
        given.append((module, inputs[0], named["context"]))

    with borrowed_networks(model) as training, torch.no_grad():
        loss = AttentionLoss(training)
        for name, module in model.model.diffusion_model.named_modules():
            if name.endswith(".attn2"):
                module.register_forward_pre_hook(note, with_kwargs=True)
        with loss.recorded() as products:
            training.predict(NOISE, TIMESTEPS, training.encode_prompts([caption], 1))
        positions = training.token_positions(caption, "isabella")
        assert len(positions) > 0 and positions[0] == 4  # start, a, dog, comma
        got = loss.losses(products, [caption], ["isabella"], mask)
        assert training.token_positions(caption, "cat") == []
    maps = []
    for layer, x, context in given:
        if x.shape[1] != 64:
            continue
        q, k = (
            (values[0] @ linear.weight.t()).unflatten(-1, (layer.heads, -1)).transpose(0, 1)
            for values, linear in ((x, layer.to_q), (context, layer.to_k))
        )
        scores = torch.softmax(q.double() @ k.double().transpose(1, 2) * layer.scale, dim=-1)
        maps.append(scores[:, :, positions].mean(dim=(0, 2)))
    assert 0 < len(maps) < len(given)
    own = torch.stack(maps).mean(dim=0)
    expected = (own / own.max() - mask.flatten()).square().mean()
    assert float(got[0]) == pytest.approx(float(expected), rel=1e-4)


def test_v_prediction_is_read_off_the_model(model: Model, borrowed_networks: Any) -> None:
    model.parameterization = "v"
    with borrowed_networks(model) as training:
        assert training.prediction == "v_prediction"


def no_checkpoint(model: Model, webui: StandIn) -> None:
    pass


def refiner(model: Model, webui: StandIn) -> None:
    model.conditioner = nn.Module()
    embedder = nn.Module()
    embedder.wrapped = nn.Module()
    embedder.wrapped.model = nn.Module()
    embedder.wrapped.model.ln_final = nn.LayerNorm(4)
    model.conditioner.embedders = nn.ModuleList([embedder])
    model.cond_stage_model = embedder


def misread(model: Model, webui: StandIn) -> None:
    path = webui.lora_dir / "small.safetensors"
    safetensors.torch.save_file({"v_pred": torch.tensor([])}, path)
    model.sd_checkpoint_info.filename = str(path)


def edm(model: Model, webui: StandIn) -> None:
    path = webui.lora_dir / "small.safetensors"
    safetensors.torch.save_file({"edm_vpred.sigma_max": torch.tensor(120.0)}, path)
    model.sd_checkpoint_info.filename = str(path)


def inpainting(model: Model, webui: StandIn) -> None:
    model.model.diffusion_model.input_blocks[0][0] = nn.Conv2d(9, SMALL.unet, 3, padding=1)


def another_unet(model: Model, webui: StandIn) -> None:
    import sys

    sys.modules["modules.sd_unet"].current_unet = SimpleNamespace(
        option=SimpleNamespace(label="TRT")
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (no_checkpoint, "no checkpoint loaded"),
        (refiner, "an SDXL refiner"),
        (misread, "no small.yaml beside it"),
        (edm, "an EDM schedule"),
        (inpainting, "inpainting checkpoint"),
        (another_unet, "TRT"),
    ],
)
def test_what_cannot_be_trained_is_refused(
    webui: StandIn, model: Model, borrowed_networks: Any, change: Any, reason: str
) -> None:
    change(model, webui)
    before = state(model)
    with (
        pytest.raises(CheckpointError, match=reason),
        borrowed_networks(None if change is no_checkpoint else model),
    ):
        pass
    assert_same(before, state(model))
