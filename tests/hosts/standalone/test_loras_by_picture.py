"""Pictures with LoRAs of their own drawn at once: each is what it is when its LoRAs are merged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor, nn

from lib_singlelora.host import Conditioning, ImageRequest, LoraUse
from lib_singlelora.hosts.standalone import loras_by_picture, merged_loras
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.hosts.standalone.loras_by_picture import PassByPicture, can_differ
from lib_singlelora.jobs import Job
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.network import LoraNetwork, LoraShape
from tests.small_sd2 import build_small_sd2

REQUEST = ImageRequest("a girl", (1,), 64, 64, steps=3)


def made(host: StandaloneHost, path: Path, shape: LoraShape, seed: int) -> LoraUse:
    """A LoRA with random weights."""
    generator = torch.Generator().manual_seed(seed)
    with host.open_for_training() as model, torch.no_grad():
        network = LoraNetwork(model.targets(), model.layout, shape, {}, True, seed)
        for _, branch in network.items():
            for parameter in branch.parameters():
                parameter.normal_(0, 0.2, generator=generator)
        write_lora(path, network.kohya_tensors(), {}, "fp32")
    return LoraUse(path)


def together_and_apart(
    host: StandaloneHost, monkeypatch: pytest.MonkeyPatch, uses: Sequence[tuple[LoraUse, ...]]
) -> list[int]:
    """Draw pictures with these LoRAs at once and one by one; how far apart each is, in levels."""
    requests = [replace(REQUEST, loras=loras, seeds=(n // 4,)) for n, loras in enumerate(uses)]
    before = [parameter.clone() for parameter in host.networks.unet.parameters()]
    together = host.generate_batch(requests, Job())
    with monkeypatch.context() as patch:
        patch.setitem(vars(host), "mixes_loras", False)
        alone = [host.generate_batch([request], Job())[0] for request in requests]
    host.generate(REQUEST, Job())  # without any LoRA
    assert all(
        torch.equal(old, new)
        for old, new in zip(before, host.networks.unet.parameters(), strict=True)
    )
    assert not any("forward" in vars(module) for module in host.networks.unet.modules())
    pairs = [
        [np.asarray(each.image).astype(int) for each in pair]
        for pair in zip(together, alone, strict=True)
    ]
    assert len({one.tobytes() for _, one in pairs}) == len(set(uses))  # they are no copies
    return [int(np.abs(one - other).max()) for one, other in pairs]


@pytest.mark.parametrize(
    "shape",
    [
        LoraShape(2, 2),
        LoraShape(2, 2, conv_rank=2),
        LoraShape(2, 2, conv_rank=2, algorithm="LoHa"),
        LoraShape(2, 2, algorithm="LoKr"),
        LoraShape(2, 2, algorithm="DoRA"),
    ],
    ids=lambda shape: f"{shape.algorithm} {shape.conv_rank}",
)
def test_each_kind_of_lora_draws_what_it_draws_merged(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, shape: LoraShape
) -> None:
    host = StandaloneHost(small_checkpoint, "cpu")
    one, two = (made(host, tmp_path / f"{n}.safetensors", shape, n) for n in (1, 2))
    drawn = []
    original = PassByPicture.__call__

    def counted(self: PassByPicture, *args: object) -> Tensor:
        drawn.append(args)
        return original(self, *args)  # type: ignore[arg-type]

    monkeypatch.setattr(PassByPicture, "__call__", counted)
    half = replace(two, unet=0.5)
    assert max(together_and_apart(host, monkeypatch, [(one,), (two,), (half,), (one, two)])) <= 1
    assert len(drawn) >= REQUEST.steps  # and they were not drawn one after another


def test_norms_are_not_mixed_and_their_pictures_are_drawn_with_merged_loras(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = StandaloneHost(small_checkpoint, "cpu")
    one, two = (made(host, tmp_path / f"{n}.safetensors", LoraShape(2, 2), n) for n in (1, 2))
    name = "lora_unet_down_blocks_0_resnets_0_norm1"
    width = host.networks.unet.down_blocks[0].resnets[0].norm1.num_channels
    tensors = {f"{name}.w_norm": torch.full((width,), 2.0), f"{name}.b_norm": torch.ones(width)}
    save_file(tensors, tmp_path / "norm.safetensors")
    norm = LoraUse(tmp_path / "norm.safetensors")
    batches = batches_of(host, monkeypatch)
    apart = together_and_apart(host, monkeypatch, [(one,), (norm,), (), (two, norm), (two,)])
    assert batches[:3] == [[(one,), (), (two,)], [(norm,)], [(two, norm)]]
    assert max(apart) <= 1


def test_the_pictures_of_one_lora_are_merged_once_they_fill_half_a_batch(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = StandaloneHost(small_checkpoint, "cpu")
    one, two = (made(host, tmp_path / f"{n}.safetensors", LoraShape(2, 2), n) for n in (1, 2))
    batches = batches_of(host, monkeypatch)
    uses = [(one,), (two,), (one,), (), (one,), (one,), ()]
    requests = [replace(REQUEST, loras=each, seeds=(n,)) for n, each in enumerate(uses)]
    pictures = host.generate_batch(requests, Job())
    assert batches == [[(one,)] * 4, [(two,), (), ()]]
    assert [picture.seed for picture in pictures] == list(range(7))


def batches_of(
    host: StandaloneHost, monkeypatch: pytest.MonkeyPatch
) -> list[list[tuple[LoraUse, ...]]]:
    """The LoRAs of the pictures of each batch that is drawn from now on."""
    batches = []
    original = host._draw_batch

    def seen(prompts: Any, uses: Any, report: Any, requests: Any, before: int) -> Any:
        batches.append(list(uses[before : before + len(requests)]))
        return original(prompts, uses, report, requests, before)

    monkeypatch.setattr(host, "_draw_batch", seen)
    return batches


def test_a_mask_and_several_steps_of_a_prompt_go_with_loras_of_their_own(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = StandaloneHost(small_checkpoint, "cpu")
    one, two = (made(host, tmp_path / f"{n}.safetensors", LoraShape(2, 2), n) for n in (1, 2))
    picture = Image.radial_gradient("L").convert("RGB").resize((64, 64))
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    request = replace(
        REQUEST, prompt="[a girl:a hat:2] AND grass", image=picture, mask=mask, denoise=0.7
    )
    requests = [replace(request, loras=(use,)) for use in (one, two)]
    together = host.generate_batch(requests, Job())
    for request, drawn in zip(requests, together, strict=True):
        (alone,) = host.generate(request, Job())
        apart = np.abs(np.asarray(alone.image).astype(int) - np.asarray(drawn.image))
        assert apart.max() <= 1


def test_a_large_unet_s_pictures_are_not_mixed_nor_those_of_a_gpu(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host = StandaloneHost(small_checkpoint, "cpu")
    assert host.mixes_loras
    (tmp_path / "large").mkdir()
    build_small_sd2(tmp_path / "large")
    (large,) = (tmp_path / "large").glob("*.safetensors")
    own = sum(each.numel() for each in host.networks.unet.parameters())
    with host.drawing_with(str(large)):
        other = sum(each.numel() for each in host.networks.unet.parameters())
    assert own != other
    monkeypatch.setattr(loras_by_picture, "MOST_PARAMETERS", min(own, other))
    with host.drawing_with(str(large)):
        assert host.mixes_loras == (other < own)
    assert host.mixes_loras == (own < other)
    monkeypatch.setattr(loras_by_picture, "MOST_PARAMETERS", max(own, other))
    assert host.mixes_loras
    monkeypatch.setattr(host, "_device", "cuda")
    assert not host.mixes_loras


def test_memory_that_does_not_suffice_for_merging_is_no_fault_of_the_file(
    small_checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It reaches whoever draws fewer pictures then."""
    host = StandaloneHost(small_checkpoint, "cpu")
    use = made(host, tmp_path / "a.safetensors", LoraShape(2, 2), 1)

    def full(*args: object) -> None:
        raise torch.cuda.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(merged_loras, "module_change", full)
    with pytest.raises(torch.cuda.OutOfMemoryError):
        host.generate(replace(REQUEST, loras=(use,)), Job())


def test_what_fails_in_a_pass_leaves_the_modules_as_they_were() -> None:
    linear = nn.Linear(2, 3)

    class Unet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = linear

        def forward(self, noisy: Tensor, *args: object) -> Tensor:
            self.inner(noisy)
            raise RuntimeError("interrupted")

    weights = {("inner", "weight"): torch.ones(3, 2)}
    by_picture = PassByPicture(Unet(), {"inner": linear}, [weights, {}])
    with pytest.raises(RuntimeError, match="interrupted"):
        by_picture(torch.ones(2, 2), torch.ones(()), Conditioning(torch.ones(2, 1, 2)), [0, 1])
    assert "forward" not in vars(linear)


def test_only_products_of_rows_can_differ() -> None:
    assert can_differ(nn.Linear(2, 2)) and can_differ(nn.Conv2d(2, 2, 3, padding=1))
    assert not can_differ(nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"))
    assert not can_differ(nn.GroupNorm(1, 2)) and not can_differ(nn.LayerNorm(2))
