"""LoRA files merged into the standalone networks at any strength, and taken out again."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from lib_singlelora.errors import LoraKeyError
from lib_singlelora.host import LoraUse
from lib_singlelora.hosts.standalone import merged_loras
from lib_singlelora.hosts.standalone.merged_loras import MergedLoras
from lib_singlelora.lora.files import LoraFile, read_lora

LINEAR = "input_blocks.1.1.transformer_blocks.0.attn1.to_q"
CONV = "input_blocks.1.1.proj_in"
STEMS = {
    LINEAR: "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn1_to_q",
    CONV: "lora_unet_down_blocks_0_attentions_0_proj_in",
}
RANK = 3
ALPHA = 1.5


def targets() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {LINEAR: nn.Linear(10, 8), CONV: nn.Conv2d(6, 8, 1)}


@pytest.fixture
def dora(tmp_path: Path) -> Path:
    generator = torch.Generator().manual_seed(1)
    tensors = {}
    for name, module in targets().items():
        out, into, *ones = module.weight.shape
        tensors[f"{STEMS[name]}.lora_up.weight"] = torch.randn(
            out, RANK, *ones, generator=generator
        )
        tensors[f"{STEMS[name]}.lora_down.weight"] = torch.randn(
            RANK, into, *ones, generator=generator
        )
        tensors[f"{STEMS[name]}.alpha"] = torch.tensor(ALPHA)
        tensors[f"{STEMS[name]}.dora_scale"] = torch.rand(1, into, *ones, generator=generator) + 0.5
    save_file(tensors, tmp_path / "dora.safetensors")
    return tmp_path / "dora.safetensors"


def by_hand(weight: np.ndarray, file: Path, stem: str, strength: float) -> np.ndarray:
    """The weight with a DoRA, column by column: m (w + d) / |w + d| at strength 1.

    At other strengths it lies on the straight line through this and the weight.
    """
    from safetensors.numpy import load_file

    parts = load_file(file)
    halves = [parts[f"{stem}.lora_{half}.weight"] for half in ("up", "down")]
    up, down = (half.reshape(half.shape[:2]) for half in halves)
    merged = weight.reshape(weight.shape[:2]) + up @ down * (ALPHA / RANK)
    decomposed = np.empty_like(merged)
    for column in range(merged.shape[1]):
        length = float(np.sqrt((merged[:, column] ** 2).sum()))
        decomposed[:, column] = (
            merged[:, column] * parts[f"{stem}.dora_scale"].ravel()[column] / length
        )
    flat = weight.reshape(weight.shape[:2])
    return (flat + strength * (decomposed - flat)).reshape(weight.shape)


@pytest.mark.parametrize("strength", [1.0, 0.6, -0.5])
def test_a_dora_is_applied_and_taken_out(dora: Path, strength: float) -> None:
    modules = targets()
    before = {name: module.weight.detach().clone() for name, module in modules.items()}
    loras = MergedLoras(modules.items())
    loras.apply([LoraUse(dora, strength, strength)])
    for name, module in modules.items():
        expected = by_hand(before[name].numpy(), dora, STEMS[name], strength)
        assert np.allclose(module.weight.detach().numpy(), expected, atol=1e-5)
        assert not np.allclose(module.weight.detach().numpy(), before[name].numpy(), atol=1e-2)
    loras.remove()
    assert all(torch.equal(modules[name].weight, weight) for name, weight in before.items())


def test_a_magnitude_of_the_outputs_is_refused(dora: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    tensors = load_file(dora)
    tensors[f"{STEMS[LINEAR]}.dora_scale"] = torch.ones(8, 1)
    save_file(tensors, tmp_path / "other.safetensors")
    modules = targets()
    before = {name: module.weight.detach().clone() for name, module in modules.items()}
    with pytest.raises(
        LoraKeyError, match=r"found a magnitude of \(8, 1\), expected one for each of 10 inputs"
    ):
        MergedLoras(modules.items()).apply([LoraUse(tmp_path / "other.safetensors", 1, 1)])
    assert all(torch.equal(modules[name].weight, weight) for name, weight in before.items())


# What else the WebUI reads, computed here with numpy
# ------------------------------------------------------------------------

GENERATOR = np.random.default_rng(5)


def random(*size: int) -> np.ndarray:
    return GENERATOR.standard_normal(size).astype(np.float32)


def glora(weight: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    a1 = random(3, 10)
    a2 = random(10, 3)
    b1 = random(3, 10)
    b2 = random(8, 3)
    parts = {
        "a1.weight": a1,
        "a2.weight": a2,
        "b1.weight": b1,
        "b2.weight": b2,
        "alpha": np.float32(2),
    }
    return parts, b2 @ b1 + weight @ a2 @ a1


def ia3(weight: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    factors = random(8)
    return {"weight": factors, "on_input": np.array(False)}, weight * factors[:, None]


def ia3_of_inputs(weight: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    factors = random(10)
    return {"weight": factors, "on_input": np.array(True)}, weight * factors[None]


def rotation(block: np.ndarray) -> np.ndarray:
    identity = np.eye(len(block))
    skew = block - block.T
    return ((identity + skew) @ np.linalg.inv(identity - skew)).astype(np.float32)


def oft(weight: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    blocks = random(2, 4, 4)
    rescale = random(8)
    turned = np.concatenate(
        [rotation(block).T @ weight[4 * n : 4 * n + 4] for n, block in enumerate(blocks)]
    )
    parts = {"oft_blocks": blocks, "alpha": np.float32(0), "rescale": rescale}
    return parts, rescale[:, None] * turned - weight


def diff(weight: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
    change = random(8, 10)
    return {"diff": change}, change


@pytest.mark.parametrize("algorithm", [glora, ia3, ia3_of_inputs, oft, diff])
def test_other_algorithms_are_applied_as_the_webui_does(
    algorithm: Callable[..., Any], tmp_path: Path
) -> None:
    modules = targets()
    before = modules[LINEAR].weight.detach().clone()
    parts, change = algorithm(before.numpy())
    save_file(
        {f"{STEMS[LINEAR]}.{part}": torch.tensor(value) for part, value in parts.items()},
        tmp_path / "a.safetensors",
    )
    loras = MergedLoras(modules.items())
    loras.apply([LoraUse(tmp_path / "a.safetensors", 0.7, 0.7)])
    merged = modules[LINEAR].weight.detach().numpy()
    np.testing.assert_allclose(merged, before.numpy() + 0.7 * change, atol=1e-4)
    loras.remove()
    assert torch.equal(modules[LINEAR].weight, before)


def test_norms_and_biases_are_changed_too_and_given_back(tmp_path: Path) -> None:
    norm = nn.GroupNorm(2, 8)
    modules = {**targets(), "input_blocks.1.0.in_layers.0": norm}
    linear = modules[LINEAR]
    tensors = {
        "lora_unet_down_blocks_0_resnets_0_norm1.w_norm": torch.full((8,), 2.0),
        "lora_unet_down_blocks_0_resnets_0_norm1.b_norm": torch.full((8,), 3.0),
        f"{STEMS[LINEAR]}.diff": torch.zeros(8, 10),
        f"{STEMS[LINEAR]}.diff_b": torch.ones(8),
    }
    save_file(tensors, tmp_path / "a.safetensors")
    bias = linear.bias.detach().clone()
    loras = MergedLoras(modules.items())
    loras.apply([LoraUse(tmp_path / "a.safetensors", 0.5, 0.5)])
    assert torch.equal(norm.weight, torch.full((8,), 2.0))
    assert torch.equal(norm.bias, torch.full((8,), 1.5))
    torch.testing.assert_close(linear.bias, bias + 0.5)
    loras.remove()
    assert torch.equal(norm.weight, torch.ones(8))
    assert torch.equal(norm.bias, torch.zeros(8))
    assert torch.equal(linear.bias, bias)


def test_a_change_of_a_bias_that_is_not_there_is_refused(tmp_path: Path) -> None:
    save_file(
        {f"{STEMS[LINEAR]}.diff": torch.zeros(8, 10), f"{STEMS[LINEAR]}.diff_b": torch.ones(8)},
        tmp_path / "a.safetensors",
    )
    modules = {**targets(), LINEAR: nn.Linear(10, 8, bias=False)}
    with pytest.raises(LoraKeyError, match="found a change of its bias, expected none"):
        MergedLoras(modules.items()).apply([LoraUse(tmp_path / "a.safetensors", 1, 1)])


# Files that are used again
# ------------------------------------------------------------------------


def plain_lora(path: Path, value: float, rank: int = 2) -> LoraUse:
    save_file(
        {
            f"{STEMS[LINEAR]}.lora_up.weight": torch.full((8, rank), value),
            f"{STEMS[LINEAR]}.lora_down.weight": torch.ones(rank, 10),
            f"{STEMS[LINEAR]}.alpha": torch.tensor(float(rank)),
        },
        path,
    )
    return LoraUse(path, 1, 1)


def test_a_file_is_read_once_until_it_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []

    def counted(path: Path) -> LoraFile:
        reads.append(path.name)
        return read_lora(path)

    monkeypatch.setattr(merged_loras, "read_lora", counted)
    modules = targets()
    before = modules[LINEAR].weight.detach().clone()
    loras = MergedLoras(modules.items())
    one = plain_lora(tmp_path / "one.safetensors", 1.0)
    two = plain_lora(tmp_path / "two.safetensors", 2.0)
    for use in (one, two, one):
        loras.apply([use])
    assert reads == ["one.safetensors", "two.safetensors"]
    torch.testing.assert_close(modules[LINEAR].weight.detach(), before + 2)

    one = plain_lora(tmp_path / "one.safetensors", 5.0)
    os.utime(one.path, ns=(1, 1))  # whatever the clock's steps are
    loras.apply([two])
    loras.apply([one])
    assert reads[2:] == ["one.safetensors"]
    torch.testing.assert_close(modules[LINEAR].weight.detach(), before + 10)


def test_no_more_is_kept_read_than_fits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    modules = targets()
    loras = MergedLoras(modules.items())
    uses = [plain_lora(tmp_path / f"{number}.safetensors", 1.0) for number in range(4)]
    monkeypatch.setattr(merged_loras, "KEPT_BYTES", 2 * (4 * (16 + 20 + 1)))
    for use in uses:
        loras.apply([use])
    assert [path.stem for path, _ in loras._files] == ["2", "3"]
    loras.apply([uses[2]])  # used again, it stays before 3
    loras.apply([uses[1]])
    assert [path.stem for path, _ in loras._files] == ["2", "1"]
    monkeypatch.setattr(merged_loras, "KEPT_BYTES", 1)  # SDXL's are of hundreds of megabytes
    loras.apply([uses[0]])
    assert [path.stem for path, _ in loras._files] == ["2", "1"]
    loras.apply([uses[1]])
    assert not loras._files


@pytest.mark.parametrize("how", ["moved there", "written over"])
def test_another_file_of_the_same_time_is_another_file(tmp_path: Path, how: str) -> None:
    """As those of an archive have it, or of a copy that keeps it."""
    modules = targets()
    before = modules[LINEAR].weight.detach().clone()
    loras = MergedLoras(modules.items())
    use = plain_lora(tmp_path / "a.safetensors", 1.0)
    other = plain_lora(tmp_path / "other.safetensors", 3.0)
    for each in (use, other):
        os.utime(each.path, ns=(1, 1))
    loras.apply([use])
    if how == "moved there":
        other.path.replace(use.path)
    else:
        use.path.write_bytes(other.path.read_bytes())
        os.utime(use.path, ns=(1, 1))
    loras.apply([use])
    torch.testing.assert_close(modules[LINEAR].weight.detach(), before + 6)


def test_what_is_kept_read_does_not_change_with_its_file(tmp_path: Path) -> None:
    loras = MergedLoras(targets().items())
    use = plain_lora(tmp_path / "a.safetensors", 1.0)
    loras.apply([use])
    [kept] = loras._files.values()
    before = {key: tensor.clone() for key, tensor in kept.tensors.items()}
    with use.path.open("r+b") as file:
        file.write(b"\0" * use.path.stat().st_size)
    assert all(torch.equal(kept.tensors[key], tensor) for key, tensor in before.items())


def test_a_changed_configuration_beside_a_file_of_peft_counts(tmp_path: Path) -> None:
    """Its alpha is there."""
    modules = targets()
    before = modules[LINEAR].weight.detach().clone()
    path = tmp_path / "adapter_model.safetensors"
    module = "base_model.model.unet.down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    halves = {"lora_A": torch.ones(2, 10), "lora_B": torch.ones(8, 2)}
    save_file({f"{module}.{half}.weight": value for half, value in halves.items()}, path)
    loras = MergedLoras(modules.items())
    for alpha in (2, 8):
        config = {"r": 2, "lora_alpha": alpha}
        (tmp_path / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
        loras.apply([LoraUse(path, 1, 1)])
        torch.testing.assert_close(modules[LINEAR].weight.detach(), before + alpha)
