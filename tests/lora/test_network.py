"""The trainable network, against sd-scripts' own tables and against merged weights."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from lib_singlelora.errors import TrainingError
from lib_singlelora.lora.branches import LoraShape, shape_of
from lib_singlelora.lora.files import read_lora, write_lora
from lib_singlelora.lora.functional import module_delta
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.lora.warm_start import start_from
from lib_singlelora.naming.block_weights import parse_block_weights
from lib_singlelora.naming.blocks import SD1, SDXL, is_text
from lib_singlelora.naming.keys import canonical_to_kohya, kohya_to_canonical
from lib_singlelora.naming.modules import ModuleSpec, lora_targets, module_specs
from lib_singlelora.settings.training import TrainingSettings

GOLDEN = Path(__file__).parent.parent / "golden"


def load(name: str) -> Any:
    return json.loads((GOLDEN / name).read_text(encoding="utf-8"))


def full_size_targets() -> Iterator[tuple[str, nn.Module]]:
    """Every module of sd-scripts' LoCon table as a meta module of the full SD 1.5 shapes."""
    table = load("kohya_sd1_keys.json")["sd1_locon_rank16_conv8"]
    for stem in dict.fromkeys(key.partition(".")[0] for key in table):
        down = table[f"{stem}.lora_down.weight"]
        up = table[f"{stem}.lora_up.weight"]
        name = kohya_to_canonical(stem, SD1)
        if len(down) == 2:
            yield name, nn.Linear(down[1], up[0], bias=False, device="meta")
        else:
            yield name, nn.Conv2d(down[1], up[0], tuple(down[2:]), bias=False, device="meta")


def shapes(network: LoraNetwork) -> dict[str, list[int]]:
    return {key: list(tensor.shape) for key, tensor in network.kohya_tensors().items()}


def network(shape: LoraShape, preset: str = "ALL", text_encoder: bool = True) -> LoraNetwork:
    targets = [(name, module.to_empty(device="cpu")) for name, module in full_size_targets()]
    weights = parse_block_weights(preset, SD1).as_dict()
    return LoraNetwork(targets, SD1, shape, weights, text_encoder, seed=1)


def test_every_key_and_shape_of_a_full_size_lora_is_sd_scripts() -> None:
    assert shapes(network(LoraShape(16, 16))) == load("kohya_sd1_keys.json")["sd1_lora_rank16"]


def test_every_key_and_shape_of_a_full_size_locon_is_sd_scripts() -> None:
    assert (
        shapes(network(LoraShape(16, 16, conv_rank=8)))
        == load("kohya_sd1_keys.json")["sd1_locon_rank16_conv8"]
    )


BLOCK_RATES = {"article": ("article", 84), "outd": ("OUTD", 48), "all": ("ALL", 192)}


@pytest.mark.parametrize("name", BLOCK_RATES)
def test_per_block_rates_train_the_modules_that_sd_scripts_trains(name: str) -> None:
    preset, count = BLOCK_RATES[name]
    stems = {
        key.partition(".")[0]
        for key in network(LoraShape(1, 1), preset, text_encoder=False).kohya_tensors()
    }
    assert len(stems) == count
    assert stems == set(load("kohya_sd1_blocks.json")["modules_created_by_block_lr"][name])


@pytest.mark.parametrize(("preset", "conv_rank"), [("ALL0.5", 0), ("INALL", 0), ("OUTD", 4)])
def test_only_a_conv_rank_puts_branches_into_resblocks(preset: str, conv_rank: int) -> None:
    keys = network(LoraShape(1, 1, conv_rank=conv_rank), preset, text_encoder=False).kohya_tensors()
    assert any("_resnets_" in key for key in keys) == (conv_rank > 0)


def sdxl_targets() -> list[tuple[str, nn.Module]]:
    """Every Linear and Conv2d of the full-size SDXL as a meta module."""
    return [(spec.name, meta_module(spec)) for spec in module_specs(SDXL) if spec.kind != "norm"]


def meta_shapes(network: LoraNetwork) -> dict[str, list[int]]:
    """As `shapes`, of branches whose tensors have no values."""
    return {
        f"{canonical_to_kohya(name, SDXL)}.{part}": list(tensor.shape)
        for name, branch in network.items()
        for part, tensor in branch.tensors().items()
    }


def test_every_key_and_shape_of_a_full_size_sdxl_lora_is_sd_scripts() -> None:
    blocks = dict.fromkeys(SDXL.labels, 0.5)  # rates of blocks add none
    made = LoraNetwork(sdxl_targets(), SDXL, LoraShape(16, 16), blocks, True, seed=1)
    golden = load("kohya_sdxl_keys.json")
    assert meta_shapes(made) == golden
    unet = {key.partition(".")[0] for key in golden if key.startswith("lora_unet_")}
    assert len(unet) == 722


@pytest.mark.parametrize(
    ("texts", "counts"),
    [((True, False), (72, 0)), ((False, True), (0, 192)), ((False, False), (0, 0))],
)
def test_each_text_encoder_is_trained_or_not(
    texts: tuple[bool, bool], counts: tuple[int, int]
) -> None:
    made = LoraNetwork(sdxl_targets(), SDXL, LoraShape(1, 1), {}, texts, seed=1)
    names = [name for name, _ in made.items()]
    assert tuple(sum(name.startswith(te) for name in names) for te in ("te1.", "te2.")) == counts
    assert sum(not name.startswith("te") for name in names) == 722


def test_each_text_encoder_has_its_rate() -> None:
    made = LoraNetwork(sdxl_targets(), SDXL, LoraShape(1, 1), {}, True, seed=1)
    groups = made.parameter_groups(1e-4, (1e-5, 2e-5))
    sizes = {group["lr"]: len(group["params"]) for group in groups}  # type: ignore[arg-type]
    assert sizes == {1e-4: 2 * 722, 1e-5: 2 * 72, 2e-5: 2 * 192}
    assert len(made.parameter_groups(0.0, (0.0, 2e-5), one_rate=True)) == 1


def test_a_locon_trains_the_resblocks_of_sdxl_too() -> None:
    made = LoraNetwork(sdxl_targets(), SDXL, LoraShape(1, 1, conv_rank=1), {}, False, seed=1)
    names = {spec.name for spec in lora_targets(SDXL, conv=True) if not is_text(spec.name)}
    assert {name for name, _ in made.items()} == names
    assert "output_blocks.5.2.conv" in names and "input_blocks.3.0.op" in names


@pytest.mark.parametrize("algorithm", ["LoRA", "LoCon", "LoHa", "LoKr", "DoRA"])
def test_what_every_algorithm_trains_on_sdxl_is_read_back_as_sdxls(
    algorithm: str, tmp_path: Path
) -> None:
    narrow = replace(
        SDXL,
        channels=8,
        depths=(0, 1, 1),
        middle_depth=1,
        context=12,
        text=(("te1.", "", 1, 8), ("te2.", "", 1, 4)),
    )
    specs = [spec for spec in module_specs(narrow) if spec.kind != "norm"]
    targets = [(spec.name, meta_module(spec, "cpu")) for spec in specs]
    settings = TrainingSettings(algorithm=algorithm, rank=2, alpha=1)
    made = LoraNetwork(targets, SDXL, shape_of(settings), {}, True, seed=1)
    write_lora(tmp_path / "isa.safetensors", made.kohya_tensors(), {}, "fp32")
    lora = read_lora(tmp_path / "isa.safetensors")
    wanted = {spec.name for spec in lora_targets(narrow, conv=algorithm == "LoCon")}
    assert lora.layout is SDXL and set(lora.modules) == wanted
    again = LoraNetwork(targets, SDXL, shape_of(settings), {}, True, seed=2)
    assert start_from(again, lora) == []
    assert all(
        torch.equal(one, other)
        for one, other in zip(made.parameters(), again.parameters(), strict=True)
    )


def test_the_pooled_text_is_cut_with_the_blocks_that_are_not_trained() -> None:
    """SDXL's pooled text enters all blocks at once, through the time embedding."""
    parts = {
        "label_emb.0.0": nn.Linear(4, 4),
        "output_blocks.0.1.transformer_blocks.0.attn2.to_k": nn.Linear(4, 4),
        "output_blocks.1.1.transformer_blocks.0.attn2.to_k": nn.Linear(4, 4),
    }
    for blocks, reached in (({}, set(parts)), ({"OUT01": 0.0}, {list(parts)[1]})):
        made = LoraNetwork(parts.items(), SDXL, LoraShape(1, 1), blocks, False, seed=1)
        found = set()
        with attached(made, parts.items(), cut_text=True):
            for name, module in parts.items():
                text = torch.ones(1, 4, requires_grad=True)
                module(text).sum().backward()
                found |= {name} if text.grad is not None else set()
        assert found == reached


def meta_module(spec: ModuleSpec, device: str = "meta") -> nn.Module:
    if spec.kind == "linear":
        return nn.Linear(spec.shape[1], spec.shape[0], device=device)
    return nn.Conv2d(spec.shape[1], spec.shape[0], spec.shape[2:], device=device)


def test_nothing_left_to_train_is_an_error() -> None:
    with pytest.raises(TrainingError, match="nothing is left to train"):
        network(LoraShape(4, 4), "NONE", text_encoder=False)


SMALL = {
    "input_blocks.1.1.proj_in": lambda: nn.Conv2d(6, 8, 1),
    "input_blocks.1.1.transformer_blocks.0.attn1.to_q": lambda: nn.Linear(6, 8),
    "input_blocks.1.0.in_layers.2": lambda: nn.Conv2d(6, 8, 3, padding=1),
    "input_blocks.3.0.op": lambda: nn.Conv2d(6, 6, 3, 2, 1),
}


def small() -> tuple[dict[str, nn.Module], LoraNetwork]:
    torch.manual_seed(0)
    targets = {name: make() for name, make in SMALL.items()}
    own = LoraNetwork(targets.items(), SD1, LoraShape(4, 2.0, conv_rank=4), {}, True, seed=1)
    return targets, own


def given(module: nn.Module) -> torch.Tensor:
    return torch.randn(2, 6, 8, 8) if isinstance(module, nn.Conv2d) else torch.randn(2, 5, 6)


@pytest.mark.parametrize("name", SMALL)
def test_an_untrained_branch_changes_nothing_and_leaves_no_trace(name: str) -> None:
    targets, own = small()
    x = given(targets[name])
    before = targets[name](x)
    with attached(own, targets.items()):
        assert torch.equal(targets[name](x), before)
    assert not targets[name]._forward_hooks


@pytest.mark.parametrize("name", SMALL)
def test_the_branch_equals_the_merged_weight(name: str) -> None:
    targets, own = small()
    for _, branch in own.items():
        nn.init.normal_(branch.up)
    module = targets[name]
    x = given(module)
    with attached(own, targets.items()):
        branched = module(x)
    branch = dict(own.items())[name]
    parts = {
        "lora_up.weight": branch.up.detach(),
        "lora_down.weight": branch.down.detach(),
        "alpha": torch.tensor(branch.alpha),
    }
    assert isinstance(module.weight, nn.Parameter)
    with torch.no_grad():
        module.weight += module_delta(parts, tuple(module.weight.shape))
    torch.testing.assert_close(module(x), branched, rtol=1e-5, atol=1e-5)


def test_the_hooks_are_gone_after_an_exception() -> None:
    targets, own = small()
    with pytest.raises(RuntimeError), attached(own, targets.items()):
        raise RuntimeError
    assert all(not module._forward_hooks for module in targets.values())


def test_a_blocks_factor_scales_its_learning_rate() -> None:
    targets, _ = small()
    own = LoraNetwork(targets.items(), SD1, LoraShape(4, 4), {"IN01": 0.5}, True, seed=1)
    assert [group["lr"] for group in own.parameter_groups(1e-3, 1e-4)] == [5e-4]


def test_the_same_seed_gives_the_same_start() -> None:
    first = small()[1].state_dict()
    second = small()[1].state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)
