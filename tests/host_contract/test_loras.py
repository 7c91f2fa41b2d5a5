"""The contract of every host on LoRA files: applied at a strength, added, taken out again."""

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
from tests.host_contract.pictures import REQUEST, draw


def with_loras(host: Host, *uses: LoraUse) -> np.ndarray:
    return draw(host, replace(REQUEST, loras=uses))


def test_each_network_has_its_own_strength(host: Host, lora: MakeLora) -> None:
    path = lora()
    drawn = [
        with_loras(host, LoraUse(path, *strengths))
        for strengths in ((0, 0), (1, 0), (0, 1), (1, 1), (0.5, 1))
    ]
    assert len({image.tobytes() for image in drawn}) == len(drawn)
    unet_only = lora("unet", text_encoder=False)
    text_only = lora("text", unet=False)
    assert np.array_equal(
        with_loras(host, LoraUse(unet_only, 1, 0)), with_loras(host, LoraUse(unet_only, 1, 1))
    )
    assert np.array_equal(
        with_loras(host, LoraUse(text_only, 0, 1)), with_loras(host, LoraUse(text_only, 1, 1))
    )


def joined(first: Path, second: Path, target: Path) -> Path:
    """One LoRA whose ΔW is the sum of two: their ranks side by side."""
    first_tensors, second_tensors = (safetensors.torch.load_file(path) for path in (first, second))
    tensors = {}
    for key, tensor in first_tensors.items():
        if key.endswith(".alpha"):
            tensors[key] = tensor + second_tensors[key]
        else:
            rank_axis = 0 if "lora_down" in key else 1
            tensors[key] = torch.cat([tensor, second_tensors[key]], rank_axis)
    write_lora(target, tensors, {}, "fp32")
    return target


def test_several_loras_add(host: Host, lora: MakeLora, tmp_path: Path) -> None:
    """Tolerance: 1 of 255, from the order of fp32 sums."""
    first = lora("first", 1)
    second = lora("second", 2)
    both = with_loras(host, LoraUse(first), LoraUse(second))
    summed = with_loras(host, LoraUse(joined(first, second, tmp_path / "sum.safetensors")))
    assert np.abs(both - summed).max() <= 1
    assert np.abs(both - with_loras(host, LoraUse(second), LoraUse(first))).max() <= 1
    assert not np.array_equal(both, with_loras(host, LoraUse(first)))
    halves = with_loras(host, LoraUse(first, 0.5, 0.5), LoraUse(first, 0.5, 0.5))
    assert np.abs(halves - with_loras(host, LoraUse(first))).max() <= 1


def test_a_lora_that_does_not_fit_is_refused_and_leaves_nothing_behind(
    host: Host, lora: MakeLora, tmp_path: Path
) -> None:
    plain = draw(host)
    good = lora()
    tensors = safetensors.torch.load_file(good)
    first = "te_text_model_encoder_layers_0"
    last = "te_text_model_encoder_layers_11"
    deeper = {
        key.replace(first, last): tensor.clone() for key, tensor in tensors.items() if first in key
    }
    unknown = {
        f"lora_unet_no_such_module.lora_{side}.weight": torch.ones(4, 4) for side in ("up", "down")
    }
    for name, extra in (("deeper", deeper), ("unknown", unknown)):
        bad = tmp_path / f"{name}.safetensors"
        write_lora(bad, {**tensors, **extra}, {}, "fp32")
        with pytest.raises(LoraKeyError, match="another base model") as caught:
            with_loras(host, LoraUse(good), LoraUse(bad))
        assert str(caught.value).startswith(bad.name) and "\n" not in str(caught.value)
        assert np.array_equal(draw(host), plain)


def test_the_parameters_name_the_loras(host: Host, lora: MakeLora) -> None:
    path = lora()
    request = replace(REQUEST, loras=(LoraUse(path, 0.8, 0.8), LoraUse(path, 0.5, 0)))
    assert "<lora:random:0.8> <lora:random:0:0.5>" in host.generate(request, Job())[0].parameters
