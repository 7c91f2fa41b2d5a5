"""The networks in bf16 as on a GPU, here on the CPU: the same code paths, without the device."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from lib_singlelora.host import ImageRequest, LoraUse
from lib_singlelora.hosts.standalone.checkpoint_loader import load_networks
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.hosts.standalone.inspection import inspect
from lib_singlelora.hosts.standalone.training_model import targets_of
from lib_singlelora.jobs import Job
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.network import LoraNetwork, LoraShape, attached

REQUEST = ImageRequest("a girl", (1,), 64, 64, steps=3)


@pytest.fixture
def half_host(small_checkpoint: Path) -> StandaloneHost:
    host = StandaloneHost(small_checkpoint, "cpu")
    host.networks.unet.to(torch.bfloat16)
    host.networks.text.to(torch.bfloat16)
    return host


@pytest.mark.parametrize("sampler", ["DPM++ 2M Karras", "Euler a", "Euler", "DDIM"])
def test_a_picture_is_nearly_that_of_full_precision(
    half_host: StandaloneHost, standalone_host: StandaloneHost, sampler: str
) -> None:
    """Tolerance: 12 of 255 on the mean; bf16 keeps 8 bits and the small networks amplify it."""
    request = replace(REQUEST, sampler=sampler)
    half, full = (
        np.asarray(host.generate(request, Job())[0].image, np.int16)
        for host in (half_host, standalone_host)
    )
    assert np.abs(half - full).mean() < 12


def test_a_lora_is_merged_and_taken_out_bit_for_bit(
    half_host: StandaloneHost, tmp_path: Path
) -> None:
    with half_host.open_for_training() as model, torch.no_grad():
        network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, 1)
        for _, branch in network.items():
            branch.up.fill_(0.1)
        write_lora(tmp_path / "lora.safetensors", network.kohya_tensors(), {}, "fp16")
    before = {name: module.weight.clone() for name, module in targets_of(half_host.networks)}
    plain = half_host.generate(REQUEST, Job())[0].image.tobytes()
    changed = half_host.generate(
        replace(REQUEST, loras=(LoraUse(tmp_path / "lora.safetensors"),)), Job()
    )[0].image.tobytes()
    assert changed != plain and half_host.generate(REQUEST, Job())[0].image.tobytes() == plain
    assert all(
        torch.equal(module.weight, before[name]) for name, module in targets_of(half_host.networks)
    )


def test_branches_in_fp32_learn_beside_networks_in_bf16(half_host: StandaloneHost) -> None:
    with half_host.open_for_training() as model:
        network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, 1)
        with attached(network, model.targets()):
            latents = model.encode_images(torch.zeros(1, 3, 64, 64))
            predicted = model.predict(
                latents, torch.tensor([500]), model.encode_prompts(["a girl"], 1)
            )
            predicted.float().square().mean().backward()
        gradients = [branch.up.grad for _, branch in network.items()]
    assert all(gradient is not None and gradient.dtype == torch.float32 for gradient in gradients)
    assert all(
        bool(torch.isfinite(gradient).all()) for gradient in gradients if gradient is not None
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_networks_loaded_in_half_precision_are_those_that_were_halved(
    small_checkpoint: Path, dtype: torch.dtype
) -> None:
    file = inspect(small_checkpoint)
    halves, full = load_networks(file, dtype), load_networks(file)
    for name in ("unet", "text"):
        loaded, halved = getattr(halves, name).state_dict(), getattr(full, name).state_dict()
        assert all(torch.equal(loaded[key], halved[key].to(dtype)) for key in halved)
    assert next(halves.vae.parameters()).dtype == torch.float32
