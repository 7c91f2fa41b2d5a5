"""LoRA files at a strength: applied, added, taken out again."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from lib_singlelora.errors import LoraKeyError
from lib_singlelora.host import Host, LoraUse
from lib_singlelora.jobs import Job
from lib_singlelora.lora.files import write_lora
from tests.host_contract.conftest import MakeLora
from tests.host_contract.drawing import REQUEST, draw


def with_loras(host: Host, *uses: LoraUse) -> np.ndarray:
    return draw(host, replace(REQUEST, loras=uses))


def test_each_network_has_its_own_strength(host: Host, lora: MakeLora) -> None:
    path = lora()
    drawn = [
        with_loras(host, LoraUse(path, *strengths))
        for strengths in ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 1))
    ]
    assert len({image.tobytes() for image in drawn}) == len(drawn)
    of_unet, of_text = lora("unet", text_encoder=False), lora("text", unet=False)
    assert np.array_equal(
        with_loras(host, LoraUse(of_unet, 1, 0)), with_loras(host, LoraUse(of_unet, 1, 1))
    )
    assert np.array_equal(
        with_loras(host, LoraUse(of_text, 0, 1)), with_loras(host, LoraUse(of_text, 1, 1))
    )


def joined(first: Path, second: Path, target: Path) -> Path:
    """One LoRA whose ΔW is the sum of two: their ranks side by side."""
    one, two = (safetensors.torch.load_file(path) for path in (first, second))
    made = {}
    for key in one:
        dimension = 0 if "lora_down" in key else 1
        made[key] = (
            one[key] + two[key]
            if key.endswith(".alpha")
            else torch.cat([one[key], two[key]], dimension)
        )
    write_lora(target, made, {}, "fp32")
    return target


def test_several_loras_add(host: Host, lora: MakeLora, tmp_path: Path) -> None:
    """Tolerance: 1 of 255, from the order of fp32 sums."""
    first, second = lora("first", 1), lora("second", 2)
    both = with_loras(host, LoraUse(first), LoraUse(second))
    assert (
        np.abs(
            both - with_loras(host, LoraUse(joined(first, second, tmp_path / "sum.safetensors")))
        ).max()
        <= 1
    )
    assert np.abs(both - with_loras(host, LoraUse(second), LoraUse(first))).max() <= 1
    assert not np.array_equal(both, with_loras(host, LoraUse(first)))
    halves = with_loras(host, LoraUse(first, 0.5, 0.5), LoraUse(first, 0.5, 0.5))
    assert np.abs(halves - with_loras(host, LoraUse(first))).max() <= 1


def test_a_lora_that_does_not_fit_is_told_and_leaves_nothing_behind(
    host: Host, lora: MakeLora, tmp_path: Path
) -> None:
    plain, good = draw(host), lora()
    tensors, first, last = (
        safetensors.torch.load_file(good),
        "te_text_model_encoder_layers_0",
        "te_text_model_encoder_layers_11",
    )
    deeper = {
        key.replace(first, last): tensor.clone() for key, tensor in tensors.items() if first in key
    }
    unknown = {
        f"lora_unet_no_such_module.lora_{side}.weight": torch.ones(4, 4) for side in ("up", "down")
    }
    for name, extra in (("deeper", deeper), ("unknown", unknown)):
        bad = tmp_path / f"{name}.safetensors"
        write_lora(bad, {**tensors, **extra}, {}, "fp32")
        with pytest.raises(LoraKeyError, match="another base model") as told:
            with_loras(host, LoraUse(good), LoraUse(bad))
        assert str(told.value).startswith(bad.name) and "\n" not in str(told.value)
        assert np.array_equal(draw(host), plain)


def test_the_parameters_name_the_loras(host: Host, lora: MakeLora) -> None:
    path = lora()
    request = replace(REQUEST, loras=(LoraUse(path, 0.8, 0.8), LoraUse(path, 0.5, 0)))
    assert "<lora:random:0.8> <lora:random:0:0.5>" in host.generate(request, Job())[0].parameters
