"""A network begun from a trained file."""

import pytest
import torch
from torch import nn

from lib_singlelora.errors import LoraFileError
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.files import LoraFile
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.lora.warm_start import start_from
from lib_singlelora.naming.blocks import SD1, SDXL

NAMES = (
    "input_blocks.1.1.transformer_blocks.0.attn1.to_q",
    "output_blocks.3.1.transformer_blocks.0.attn2.to_k",
)


def network(
    seed: int = 1,
    names: tuple[str, ...] = NAMES,
    rank: int = 4,
    alpha: float = 4,
    algorithm: str = "LoRA",
) -> LoraNetwork:
    targets = [(name, nn.Linear(16, 24, bias=False)) for name in names]
    generator = torch.Generator().manual_seed(0)
    for _, module in targets:
        module.weight.data.normal_(generator=generator)  # torch 2.1's nn.init takes no generator
    return LoraNetwork(targets, SD1, LoraShape(rank, alpha, algorithm=algorithm), {}, False, seed)


def trained(algorithm: str = "LoRA", **shape: float) -> LoraFile:
    made = network(seed=7, algorithm=algorithm, **shape)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator))
    return LoraFile("isabella.safetensors", SD1, made.kohya_tensors(), {})


@pytest.mark.parametrize("algorithm", ["LoRA", "LoHa", "LoKr", "DoRA"])
def test_it_is_the_file(algorithm: str) -> None:
    if algorithm != "LoRA":
        pytest.importorskip("lycoris")
    file = trained(algorithm)
    begun = network(algorithm=algorithm)
    assert start_from(begun, file) == []
    own = begun.kohya_tensors()
    assert own.keys() == file.tensors.keys() and all(
        torch.equal(own[key], file.tensors[key]) for key in own
    )


def test_another_alpha_changes_nothing_of_what_it_does() -> None:
    file = trained(alpha=1)
    begun = network(alpha=4)
    start_from(begun, file)
    for name, branch in begun.items():
        stem = next(stem for stem in file.by_stem if stem.endswith(name.rpartition(".")[2]))
        assert torch.allclose(branch.weight_delta(), file.delta(stem).reshape(24, 16), atol=1e-5)


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    begun = network(rank=8, alpha=8)
    before = begun.kohya_tensors()
    with pytest.raises(
        LoraFileError,
        match=r"found lora_down.weight \(4, 16\), expected \(8, 16\); choose the rank",
    ):
        start_from(begun, trained())
    pytest.importorskip("lycoris")
    with pytest.raises(LoraFileError, match="trained with another algorithm"):
        start_from(network(), trained("DoRA"))
    with pytest.raises(LoraFileError, match=r"found no hada_w1_a.*another algorithm"):
        start_from(network(algorithm="LoHa"), trained())
    with pytest.raises(LoraFileError, match="found a LoRA for"):
        start_from(begun, LoraFile("isabella.safetensors", SDXL, {}, {}))
    assert all(torch.equal(tensor, before[key]) for key, tensor in begun.kohya_tensors().items())


def test_what_only_one_of_them_has_is_told() -> None:
    more = network()
    fewer = network(names=NAMES[:1])
    part = {key: tensor for key, tensor in trained().tensors.items() if "up_blocks" not in key}
    assert start_from(more, LoraFile("isabella.safetensors", SD1, part, {})) == [
        "isabella.safetensors has nothing for 1 of 2 modules: they start from zero"
    ]
    assert start_from(fewer, trained()) == [
        "isabella.safetensors: 1 of its 2 modules are not trained now and are left out"
    ]
    with pytest.raises(LoraFileError, match="found no module in it that is trained now"):
        start_from(network(names=NAMES[1:]), LoraFile("isabella.safetensors", SD1, part, {}))
