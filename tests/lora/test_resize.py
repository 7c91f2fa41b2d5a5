"""Resizing by SVD."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib_singlelora.errors import LoraFileError
from lib_singlelora.lora.files import LoraFile, read_lora, save_lora, write_lora
from lib_singlelora.lora.functional import natural_delta, scale_of
from lib_singlelora.lora.history import history_of
from lib_singlelora.lora.resize import Resized, resize
from tests.tiny_lora import made


def best_error(delta: Tensor, rank: int) -> float:
    """What Eckart and Young allow: the norm of the singular values left out, over that of all."""
    values = torch.linalg.svdvals(delta.double().flatten(1))
    return float(values[rank:].norm() / values.norm())


def error_of(before: dict[str, Tensor], after: dict[str, Tensor]) -> float:
    delta = natural_delta(before)
    return float((natural_delta(after) - delta).norm() / delta.norm())


@pytest.mark.parametrize("algorithm", ["lora", "locon"])
@pytest.mark.parametrize("rank", [1, 3])
def test_the_result_is_the_nearest_of_that_rank(tmp_path: Path, algorithm: str, rank: int) -> None:
    lora = made(tmp_path, algorithm)
    save_lora(tmp_path / "b.safetensors", resize(lora, rank).lora)
    resized = read_lora(tmp_path / "b.safetensors")
    for name, parts in lora.modules.items():
        after = resized.modules[name]
        assert after["lora_down.weight"].shape[0] == rank == after["lora_up.weight"].shape[1]
        best = best_error(natural_delta(parts), rank)
        assert error_of(parts, after) == pytest.approx(best, abs=1e-5)  # fp32 rounding


def test_the_errors_told_are_those_of_the_file(tmp_path: Path) -> None:
    lora = made(tmp_path, precision="fp16")
    resized = resize(lora, 2)
    off = whole = 0.0
    for name, module in resized.modules.items():
        before = lora.modules[name]
        after = resized.lora.modules[name]
        assert 0 < module.error == pytest.approx(error_of(before, after), rel=1e-6)
        off += float((natural_delta(after) - natural_delta(before)).norm()) ** 2
        whole += float(natural_delta(before).norm()) ** 2
    assert resized.error == pytest.approx((off / whole) ** 0.5, rel=1e-6)


def test_alpha_follows_so_that_the_scale_stays(tmp_path: Path) -> None:
    lora = made(tmp_path)
    for name, parts in resize(lora, 2).lora.modules.items():
        assert scale_of(parts) == scale_of(lora.modules[name])


@pytest.mark.parametrize("retain", [0.5, 0.9, 0.99])
def test_retain_takes_the_smallest_rank_that_holds_the_share(tmp_path: Path, retain: float) -> None:
    lora = made(tmp_path)
    resized = resize(lora, retain=retain)
    for name, module in resized.modules.items():
        values = torch.linalg.svdvals(natural_delta(lora.modules[name]).double().flatten(1))
        held = (values.square().cumsum(0).sqrt() / values.norm()).tolist()
        assert held[module.after - 1] >= retain and (
            module.after == 1 or held[module.after - 2] < retain
        )


def test_modules_may_keep_different_ranks(tmp_path: Path) -> None:
    resized = resize(made(tmp_path), retain=0.8)
    assert resized.ranks[0] < resized.ranks[1]
    assert resized.lora.metadata["ss_network_dim"] == "Dynamic"


def test_what_was_padding_goes_without_error(tmp_path: Path) -> None:
    lora = made(tmp_path)

    def padded(key: str, tensor: Tensor) -> Tensor:
        if key.endswith("alpha"):
            return tensor * 2
        side = 1 if "lora_up" in key else 0
        return torch.cat([tensor, torch.zeros_like(tensor)], side)

    wide = LoraFile(
        "wide.safetensors",
        lora.layout,
        {key: padded(key, tensor) for key, tensor in lora.tensors.items()},
        {},
    )
    assert resize(wide, 4).error < 1e-6
    assert resize(wide, retain=1.0).ranks == (4, 4)


def test_a_module_of_zeros_keeps_rank_one(tmp_path: Path) -> None:
    lora = made(tmp_path)
    still = {
        key: torch.zeros_like(tensor) if "lora_up" in key else tensor
        for key, tensor in lora.tensors.items()
    }
    resized = resize(LoraFile("still.safetensors", lora.layout, still, {}), retain=0.9)
    assert resized.ranks == (1, 1) and resized.error == 0


def test_the_rest_of_a_dora_stays(tmp_path: Path) -> None:
    lora = made(tmp_path)
    stem = next(iter(lora.by_stem))
    magnitudes = torch.rand(1, 8)
    own = {**lora.tensors, f"{stem}.dora_scale": magnitudes}
    assert torch.equal(
        resize(LoraFile("d.safetensors", lora.layout, own, {}), 2).lora.tensors[
            f"{stem}.dora_scale"
        ],
        magnitudes,
    )


def test_the_metadata_tells_the_new_rank_and_the_error(tmp_path: Path) -> None:
    resized: Resized = resize(
        made(tmp_path, ss_network_dim="4", ss_network_alpha="2.0", ss_steps="9"), 2
    )
    told = resized.lora.metadata
    assert (told["ss_network_dim"], told["ss_network_alpha"], told["ss_steps"]) == ("2", "1.0", "9")
    assert float(told["ss_resized_error"]) == pytest.approx(resized.error, rel=1e-5)
    assert history_of(told) == [f"resized lora-1.safetensors to rank 2, error {resized.error:.2%}"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"rank": 0}, "rank: found 0, expected 1 or more"),
        ({"retain": 1.5}, "retain: found 1.5, expected a share"),
        ({}, "expected one of them"),
        ({"rank": 2, "retain": 0.5}, "expected one of them"),
        ({"rank": 4}, "found rank 4, expected one above 4"),
    ],
)
def test_a_wrong_size_is_told(tmp_path: Path, given: dict[str, float], message: str) -> None:
    with pytest.raises(LoraFileError, match=message):
        resize(made(tmp_path), **given)


@pytest.mark.parametrize("algorithm", ["loha", "lokr", "diff"])
def test_another_algorithm_is_refused_by_name(tmp_path: Path, algorithm: str) -> None:
    found = "full" if algorithm == "diff" else algorithm
    with pytest.raises(LoraFileError, match=f"found {found}, expected LoRA or LoCon"):
        resize(made(tmp_path, algorithm), 2)


def test_a_rank_above_the_modules_own_size_is_cut_to_it(tmp_path: Path) -> None:
    stem = "lora_unet_mid_block_attentions_0_proj_in"
    generator = torch.Generator().manual_seed(2)
    own = {
        f"{stem}.lora_up.weight": torch.randn(3, 9, generator=generator),
        f"{stem}.lora_down.weight": torch.randn(9, 5),
    }
    write_lora(tmp_path / "a.safetensors", own, {}, "fp32")
    resized = resize(read_lora(tmp_path / "a.safetensors"), 7)
    assert resized.ranks == (3, 3) and resized.error < 1e-6
