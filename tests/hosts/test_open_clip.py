"""LoRA branches on open_clip's text transformer, whose attention is PyTorch's own."""

from __future__ import annotations

import json
from collections import OrderedDict
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from lib_singlelora.hosts.open_clip import open_clip_targets
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.functional import module_delta
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.naming.blocks import SD2, SDXL, BlockLayout
from lib_singlelora.naming.keys import canonical_to_kohya
from lib_singlelora.ops.checkpointing import checkpointed

GOLDEN = Path(__file__).parent.parent / "golden"
WIDTH, LENGTH, LAYERS = 16, 6, 3
MASK = torch.full((LENGTH, LENGTH), float("-inf")).triu(1)
X = torch.randn((LENGTH, 2, WIDTH), generator=torch.Generator().manual_seed(3))


class Block(nn.Module):
    """open_clip's ResidualAttentionBlock."""

    def __init__(self) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(WIDTH)
        self.attn = nn.MultiheadAttention(WIDTH, 4)
        self.ln_2 = nn.LayerNorm(WIDTH)
        layers = {"c_fc": nn.Linear(WIDTH, 4 * WIDTH), "gelu": nn.GELU()}
        self.mlp = nn.Sequential(OrderedDict(layers | {"c_proj": nn.Linear(4 * WIDTH, WIDTH)}))

    def forward(self, x: Tensor) -> Tensor:
        normed = self.ln_1(x)
        x = x + self.attn(normed, normed, normed, need_weights=False, attn_mask=MASK)[0]
        return x + self.mlp(self.ln_2(x))


class Transformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.resblocks = nn.ModuleList(Block() for _ in range(LAYERS))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.resblocks:
            x = block(x)
        return x


@pytest.fixture
def transformer() -> Transformer:
    torch.manual_seed(0)
    return Transformer().requires_grad_(False)


def network_on(
    targets: list[tuple[str, nn.Module]], layout: BlockLayout, algorithm: str = "LoRA"
) -> LoraNetwork:
    network = LoraNetwork(targets, layout, LoraShape(2, 1, algorithm=algorithm), {}, True, seed=1)
    generator = torch.Generator().manual_seed(2)
    for parameter in network.parameters():
        if not parameter.any():
            parameter.data = torch.randn(parameter.shape, generator=generator) * 0.3
    return network


@pytest.mark.parametrize(
    ("layout", "prefix", "stem"), [(SD2, "", "lora_te_"), (SDXL, "te2.", "lora_te2_")]
)
def test_the_names_are_kohyas(
    transformer: Transformer, layout: BlockLayout, prefix: str, stem: str
) -> None:
    with open_clip_targets(transformer, prefix, layers=2) as targets:
        found = {canonical_to_kohya(name, layout) for name, _ in targets}
    assert found == {
        f"{stem}text_model_encoder_layers_{layer}_{part}"
        for layer in (0, 1)
        for part in (
            *(f"self_attn_{name}_proj" for name in ("q", "k", "v", "out")),
            "mlp_fc1",
            "mlp_fc2",
        )
    }


def test_the_full_size_has_sd_scripts_192_modules() -> None:
    full = nn.Module()
    full.resblocks = nn.ModuleList()
    for _ in range(32):
        with torch.device("meta"):
            block = nn.Module()
            block.attn = nn.MultiheadAttention(1280, 20)
            layers = {"c_fc": nn.Linear(1280, 5120), "c_proj": nn.Linear(5120, 1280)}
            block.mlp = nn.Sequential(OrderedDict(layers))
        full.resblocks.append(block)
    golden = json.loads((GOLDEN / "kohya_sdxl_keys.json").read_text(encoding="utf-8"))
    with open_clip_targets(full, "te2.") as targets:
        network = LoraNetwork(targets, SDXL, LoraShape(16, 16), {}, True, seed=1)
    assert {
        f"{canonical_to_kohya(name, SDXL)}.{part}": list(tensor.shape)
        for name, branch in network.items()
        for part, tensor in branch.tensors().items()
    } == {key: shape for key, shape in golden.items() if key.startswith("lora_te2_")}


def test_an_untrained_lora_leaves_every_bit(transformer: Transformer) -> None:
    x = X.clone().requires_grad_()
    before = transformer(x)
    with open_clip_targets(transformer, "te2.") as targets:
        network = LoraNetwork(targets, SDXL, LoraShape(2, 1), {}, True, seed=1)
        with attached(network, targets):
            assert torch.equal(transformer(x), before)


@pytest.mark.parametrize("algorithm", ["LoRA", "LoHa", "LoKr", "DoRA"])
def test_branches_do_what_the_lora_merged_into_the_thirds_does(
    transformer: Transformer, algorithm: str
) -> None:
    plain = transformer(X)
    with open_clip_targets(transformer, "te2.") as targets:
        network = network_on(targets, SDXL, algorithm)
        with attached(network, targets), torch.no_grad():
            by_branches = transformer(X)
    with torch.no_grad():
        for name, branch in network.items():
            *_, layer, _, part = name.split(".")
            weight_of(transformer, int(layer), part).add_(branch.weight_delta())
    torch.testing.assert_close(by_branches, transformer(X), rtol=0, atol=2e-5)
    assert float((by_branches - plain).abs().max()) > 0.01


def weight_of(transformer: Transformer, layer: int, part: str) -> Tensor:
    block = transformer.resblocks[layer]
    assert isinstance(block, Block)
    thirds = block.attn.in_proj_weight.chunk(3)
    weights = dict(zip(("q_proj", "k_proj", "v_proj"), thirds, strict=True))
    weights |= {"out_proj": block.attn.out_proj.weight, "fc1": block.mlp[0].weight}
    return {**weights, "fc2": block.mlp[2].weight}[part]


@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradients_are_those_of_the_merged_weights(
    transformer: Transformer, checkpointing: bool
) -> None:
    with open_clip_targets(transformer) as targets:
        network = network_on(targets, SD2)
        with (
            checkpointed(transformer.resblocks) if checkpointing else nullcontext(),
            attached(network, targets),
        ):
            transformer(X).square().sum().backward()
    merged = dict(transformer.named_parameters())
    factors = {}
    for index in range(LAYERS):
        block, layer = f"resblocks.{index}", f"text_model.encoder.layers.{index}"
        deltas = {}
        for part in ("q_proj", "k_proj", "v_proj", "out_proj"):
            deltas[part] = delta_of(network, f"{layer}.self_attn.{part}", factors)
        packed = torch.cat([deltas[part] for part in ("q_proj", "k_proj", "v_proj")])
        merged[f"{block}.attn.in_proj_weight"] = merged[f"{block}.attn.in_proj_weight"] + packed
        for key, delta in (
            (f"{block}.attn.out_proj.weight", deltas["out_proj"]),
            (f"{block}.mlp.c_fc.weight", delta_of(network, f"{layer}.mlp.fc1", factors)),
            (f"{block}.mlp.c_proj.weight", delta_of(network, f"{layer}.mlp.fc2", factors)),
        ):
            merged[key] = merged[key] + delta
    torch.func.functional_call(transformer, merged, (X,)).square().sum().backward()
    for name, branch in network.items():
        for part, parameter in branch.named_parameters():
            expected = factors[name][f"lora_{part}.weight"].grad
            torch.testing.assert_close(parameter.grad, expected, rtol=1e-4, atol=1e-4)


def delta_of(network: LoraNetwork, name: str, factors: dict[str, dict[str, Tensor]]) -> Tensor:
    """ΔW of a branch from copies of its factors, which are noted for their gradients."""
    branch = dict(network.items())[name]
    copies = {key: value.detach().clone() for key, value in branch.tensors().items()}
    for key, value in copies.items():
        value.requires_grad_(key != "alpha")
    factors[name] = copies
    return module_delta(copies, tuple(branch.weight_delta().shape))


def test_nothing_of_it_stays(transformer: Transformer) -> None:
    before = [(name, list(vars(module))) for name, module in transformer.named_modules()]
    with (
        open_clip_targets(transformer, "te2.") as targets,
        attached(network_on(targets, SDXL), targets),
    ):
        transformer(X)
    assert before == [(name, list(vars(module))) for name, module in transformer.named_modules()]
