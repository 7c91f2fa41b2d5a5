"""Merging epochs."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib_singlelora.errors import LoraFileError
from lib_singlelora.lora.files import LoraFile, read_lora, save_lora, write_lora
from lib_singlelora.lora.history import history_of
from lib_singlelora.lora.merge import epoch_shares, merge
from tests.tiny_lora import ALGORITHMS, made


def epochs(
    folder: Path, count: int = 3, algorithm: str = "lora", precision: str = "fp32"
) -> list[LoraFile]:
    """Epochs as a training leaves them: each a small step from the one before."""
    first = made(folder, algorithm, precision)
    found = [first]
    generator = torch.Generator().manual_seed(4)
    for number in range(2, count + 1):

        def step(key: str, tensor: Tensor) -> Tensor:
            if key.endswith(".alpha"):
                return tensor
            return (tensor.float() + 0.02 * torch.randn(tensor.shape, generator=generator)).to(
                tensor.dtype
            )

        moved = {key: step(key, tensor) for key, tensor in found[-1].tensors.items()}
        found.append(
            LoraFile(
                f"isa-00000{number}.safetensors", first.layout, moved, {"ss_epoch": str(number)}
            )
        )
    return found


def test_the_average_is_the_mean_of_every_tensor(tmp_path: Path) -> None:
    loras = epochs(tmp_path)
    merged = merge(loras).lora
    for key, tensor in merged.tensors.items():
        # Fp32 rounding
        torch.testing.assert_close(
            tensor, sum(lora.tensors[key] for lora in loras) / 3, rtol=1e-6, atol=1e-6
        )


def test_ema_counts_an_epoch_decay_times_the_next() -> None:
    shares = epoch_shares(4, "ema", 0.5)
    assert shares == pytest.approx((1 / 15, 2 / 15, 4 / 15, 8 / 15), rel=1e-12)


def test_ema_takes_these_shares(tmp_path: Path) -> None:
    loras = epochs(tmp_path)
    merged = merge(loras, "ema", 0.5)
    for key, tensor in merged.lora.tensors.items():
        wanted = sum(
            lora.tensors[key] * share
            for lora, share in zip(loras, (1 / 7, 2 / 7, 4 / 7), strict=True)
        )
        torch.testing.assert_close(tensor, wanted, rtol=1e-6, atol=1e-6)  # fp32 rounding


@pytest.mark.parametrize("decay", [0.0, 1.0, -1.0, float("nan")])
def test_a_decay_outside_0_to_1_is_told(decay: float) -> None:
    with pytest.raises(LoraFileError, match="decay: found"):
        epoch_shares(3, "ema", decay)


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_epochs_of_one_training_merge_close_to_the_mean_of_what_they_do(
    tmp_path: Path, algorithm: str
) -> None:
    assert merge(epochs(tmp_path, algorithm=algorithm)).deviation < 0.02


def test_the_deviation_is_that_of_the_products(tmp_path: Path) -> None:
    one = made(tmp_path)
    other = replace(
        one,
        tensors={
            key: tensor if key.endswith("alpha") else -tensor for key, tensor in one.tensors.items()
        },
    )
    assert merge([one, one]).deviation == 0
    # (-up)(-down) is up · down, but the mean of the halves is nothing.
    assert merge([one, other]).deviation == pytest.approx(1)


def test_the_last_epochs_metadata_and_precision_are_kept_and_the_files_told(tmp_path: Path) -> None:
    loras = epochs(tmp_path, precision="fp16")
    save_lora(tmp_path / "m.safetensors", merge(loras, "ema", 0.5).lora)
    merged = read_lora(tmp_path / "m.safetensors")
    assert merged.metadata["ss_epoch"] == "3" and {
        tensor.dtype for tensor in merged.tensors.values()
    } == {torch.float16}
    assert json.loads(merged.metadata["ss_merged_from"]) == [lora.name for lora in loras]
    assert history_of(merged.metadata) == [
        f"merged {', '.join(lora.name for lora in loras)} by ema with a decay of 0.5"
    ]


def test_one_file_is_not_enough(tmp_path: Path) -> None:
    with pytest.raises(LoraFileError, match="found 1 LoRA to merge, expected two or more"):
        merge([made(tmp_path)])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda key, tensor: None if key.endswith("fc1.alpha") else tensor,
            "found no lora_te.*alpha, expected it",
        ),
        (
            lambda key, tensor: tensor[..., :2] if tensor.dim() else tensor,
            r"found lora_te.*of shape \(4, 2\), expected \(4, 8\)",
        ),
        (
            lambda key, tensor: tensor * 2 if key.endswith("alpha") else tensor,
            "found lora_te.*alpha 4, expected 2",
        ),
    ],
)
def test_files_of_other_trainings_are_told_apart(
    tmp_path: Path, change: Callable[[str, Tensor], Tensor | None], message: str
) -> None:
    one = made(tmp_path)
    changed = {key: change(key, tensor) for key, tensor in one.tensors.items()}
    other = replace(
        one,
        name="other",
        tensors={key: tensor for key, tensor in changed.items() if tensor is not None},
    )
    with pytest.raises(LoraFileError, match=f"other: {message}"):
        merge([one, other])


def test_another_architecture_is_told(tmp_path: Path) -> None:
    stem = "lora_unet_input_blocks_4_1_transformer_blocks_1_attn1_to_q"
    xl = {
        f"{stem}.lora_up.weight": torch.zeros(8, 4),
        f"{stem}.lora_down.weight": torch.zeros(4, 8),
    }
    write_lora(tmp_path / "xl.safetensors", xl, {}, "fp32")
    with pytest.raises(
        LoraFileError, match=r"xl\.safetensors: found a LoRA for sdxl, expected one for sd1"
    ):
        merge([made(tmp_path), read_lora(tmp_path / "xl.safetensors")])


def test_an_epoch_that_was_deleted_is_told(tmp_path: Path) -> None:
    with pytest.raises(LoraFileError, match=r"isa-000007\.safetensors: found no such file"):
        merge([made(tmp_path), read_lora(tmp_path / "isa-000007.safetensors")])
