"""The contract of every host; pictures, LoRAs and training have files of their own beside it."""

from __future__ import annotations

import contextlib
import threading
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import torch
from PIL import Image, ImageChops

from lib_singlelora.errors import (
    HostBusyError,
    JobCancelled,
    LoraFileError,
    LoraKeyError,
    SettingsError,
)
from lib_singlelora.host import Host, ImageRequest, LoraUse, TrainingModel
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.naming.keys import canonical_to_kohya, kohya_to_canonical
from tests.host_contract.conftest import MakeLora

SIZE = 64


def ask(**values: object) -> ImageRequest:
    return ImageRequest(
        **{
            "prompt": "isabella, girl",
            "seeds": (1,),
            "width": SIZE,
            "height": SIZE,
            "steps": 4,
            **values,
        }
    )


def draw(host: Host, **values: object) -> list[bytes]:
    return [image.image.tobytes() for image in host.generate(ask(**values), Job())]


def picture() -> Image.Image:
    image = Image.linear_gradient("L").resize((SIZE, SIZE))
    return Image.merge("RGB", (image, image.rotate(90), image.rotate(180)))


def apart(one: Image.Image, other: Image.Image) -> int:
    """The largest difference of two pictures, in levels of 255."""
    extrema = ImageChops.difference(one, other).getextrema()
    return max(high for _, high in cast("tuple[tuple[int, int], ...]", extrema))


def test_a_seed_gives_the_same_picture_whatever_its_company(host: Host) -> None:
    seeds = (3, 7, 9, 11, 12, 13, 14, 15, 16)
    alone = host.generate(ask(seeds=(7,)), Job())[0]
    together = host.generate(ask(seeds=seeds), Job())
    assert [picture.seed for picture in together] == list(seeds)
    # Sums of several pictures at once end in other bits
    assert apart(alone.image, together[1].image) <= 1
    assert len({picture.image.tobytes() for picture in together}) == len(seeds)


@pytest.mark.parametrize("sampler", ["DPM++ 2M Karras", "Euler a", "Euler", "DDIM"])
def test_pictures_of_several_prompts_are_those_of_each_alone(host: Host, sampler: str) -> None:
    long = "a girl BREAK a hat BREAK grass"  # of another length, and with an AND
    prompts = ("isabella, girl", "a castle AND a tree", long, "isabella, girl")
    negatives = ("", "blurry", long, "")
    requests = [
        ask(prompt=prompt, negative_prompt=negative, seeds=(seed,), sampler=sampler)
        for seed, (prompt, negative) in enumerate(zip(prompts, negatives, strict=True))
    ]
    together = host.generate_batch(requests, Job())
    for request, picture in zip(requests, together, strict=True):
        alone = host.generate(request, Job())[0]
        assert apart(alone.image, picture.image) <= 1
        assert alone.parameters == picture.parameters
    assert apart(together[0].image, together[3].image) > 1


def test_pictures_with_loras_of_their_own_are_those_of_each_alone(
    host: Host, lora: MakeLora
) -> None:
    one, two = (LoraUse(lora(name, seed)) for name, seed in (("one", 1), ("two", 2)))
    text_only = LoraUse(lora("text", 3, unet=False))
    uses = [(one,), (), (two,), (one, two), (replace(two, unet=0.3),), (text_only,), (one,)]
    prompts = ["a girl", "a girl BREAK a hat", "a castle AND a tree", *["a girl"] * 4]
    requests = [
        ask(prompt=prompt, loras=loras, seeds=(seed,))
        for seed, (prompt, loras) in enumerate(zip(prompts, uses, strict=True))
    ]
    requests[-1] = replace(requests[-1], seeds=requests[0].seeds)
    together = host.generate_batch(requests, Job())
    for request, picture in zip(requests, together, strict=True):
        alone = host.generate(request, Job())[0]
        assert apart(alone.image, picture.image) <= 1
        assert alone.parameters == picture.parameters
        if request.loras:
            plain = host.generate(replace(request, loras=()), Job())[0]
            assert apart(plain.image, picture.image) > 1
    assert apart(together[0].image, together[-1].image) <= 1


def test_a_batch_of_unlike_requests_is_refused(host: Host) -> None:
    requests = [ask(), ask(steps=ask().steps + 1)]
    with pytest.raises(ValueError, match="differ in more"):
        host.generate_batch(requests, Job())


def test_no_requests_are_no_pictures_and_one_picture_is_always_drawn(host: Host) -> None:
    assert host.generate_batch([], Job()) == []
    assert host.batch_limit(8192, 8192) == 1
    assert host.batch_limit(SIZE, SIZE) >= 1


def test_every_sampler_draws(host: Host) -> None:
    for sampler in ("DPM++ 2M Karras", "Euler a", "Euler", "DDIM"):
        assert sampler in host.samplers
        generated = host.generate(ask(sampler=sampler), Job())[0]
        assert generated.image.size == (SIZE, SIZE)
        assert f"Sampler: {sampler}" in generated.parameters
        assert len(set(generated.image.tobytes())) > 10


def test_prompt_negative_cfg_clip_skip_and_steps_matter(host: Host) -> None:
    variants = [
        {},
        {"prompt": "a castle"},
        {"negative_prompt": "hat"},
        {"cfg_scale": 2.0},
        {"clip_skip": 2},
        {"steps": 5},
    ]
    assert len({draw(host, **variant)[0] for variant in variants}) == len(variants)


def test_an_unknown_sampler_or_size_is_an_error(host: Host) -> None:
    with pytest.raises(SettingsError, match="expected one of"):
        draw(host, sampler="Eular")
    with pytest.raises(SettingsError, match="multiples of 8"):
        draw(host, width=63)


def test_the_parameters_are_in_the_webuis_form(host: Host) -> None:
    generated = host.generate(ask(negative_prompt="blurry", seeds=(5,)), Job())[0]
    prompt, negative, fields = generated.parameters.split("\n")
    assert prompt == "isabella, girl"
    assert negative == "Negative prompt: blurry"
    assert {"Steps: 4", "Seed: 5", f"Size: {SIZE}x{SIZE}"} <= set(fields.split(", "))


def test_a_lora_works_at_a_strength_and_leaves_no_trace(host: Host, lora: MakeLora) -> None:
    path = lora("one", 1)
    before = draw(host)
    assert draw(host, loras=(LoraUse(path, 0.0, 0.0),)) == before
    half = draw(host, loras=(LoraUse(path, 0.5, 0.5),))
    full = draw(host, loras=(LoraUse(path),))
    assert len({before[0], half[0], full[0]}) == 3
    assert draw(host) == before


def test_several_loras_add_up(host: Host, lora: MakeLora) -> None:
    first = LoraUse(lora("first", 1))
    second = LoraUse(lora("second", 2))
    pictures = {draw(host, loras=loras)[0] for loras in ((), (first,), (second,), (first, second))}
    assert len(pictures) == 4


def test_a_lora_file_that_changed_is_read_again(host: Host, lora: MakeLora) -> None:
    first = draw(host, loras=(LoraUse(lora("one", 1)),))
    assert draw(host, loras=(LoraUse(lora("one", 2)),)) != first


def test_a_lora_of_another_model_is_refused_and_changes_nothing(
    host: Host, lora: MakeLora, tmp_path: Path
) -> None:
    before = draw(host)
    with host.open_for_training() as model:
        name = next(name for name, module in model.targets() if name.endswith("attn1.to_q"))
        stem = canonical_to_kohya(name, model.layout)
    wrong = {
        f"{stem}.lora_up.weight": torch.ones(999, 2),
        f"{stem}.lora_down.weight": torch.ones(2, 999),
    }
    write_lora(tmp_path / "wrong.safetensors", wrong, {}, "fp32")
    with pytest.raises(LoraKeyError, match="another base model"):
        draw(host, loras=(LoraUse(lora("one", 1)), LoraUse(tmp_path / "wrong.safetensors")))
    with pytest.raises(LoraFileError, match="no such file"):
        draw(host, loras=(LoraUse(tmp_path / "none.safetensors"),))
    assert draw(host) == before


def test_cancelling_inside_a_picture_stops_it(host: Host) -> None:
    job = Job()
    reports = []

    def stop(progress: Progress) -> None:
        reports.append(progress)
        if len(reports) == 3:
            job.cancel()

    job._listener = stop
    with pytest.raises(JobCancelled):
        host.generate(ask(steps=50), job)
    assert len(reports) < 6


def test_img2img_keeps_more_at_a_lower_denoise(host: Host) -> None:
    source = picture()

    def distance(denoise: float) -> float:
        redrawn, unchanged = (
            host.generate(ask(image=source, denoise=strength, steps=10), Job())[0].image
            for strength in (denoise, 0.0)
        )
        difference = ImageChops.difference(redrawn, unchanged).convert("L")
        return sum(level * count for level, count in enumerate(difference.histogram()))

    assert distance(0.3) < distance(0.9)


@pytest.mark.parametrize("fill", ["fill", "original", "latent noise", "latent nothing"])
def test_inpainting_changes_only_what_is_masked(host: Host, fill: str) -> None:
    source = picture()
    mask = Image.new("L", (SIZE, SIZE))
    mask.paste(255, (16, 16, 40, 40))
    redrawn = host.generate(ask(image=source, mask=mask, fill=fill), Job())[0].image
    outside = Image.composite(
        Image.new("RGB", source.size), ImageChops.difference(redrawn, source), mask
    )
    assert outside.getbbox() is None
    assert redrawn.crop((20, 20, 36, 36)).tobytes() != source.crop((20, 20, 36, 36)).tobytes()


def state(model: TrainingModel) -> dict[str, tuple[object, ...]]:
    """Everything of the networks that a training could leave changed."""
    states: dict[str, tuple[object, ...]] = {}
    for name, module in model.targets():
        weight = module.weight
        assert isinstance(weight, torch.Tensor)
        states[name] = (
            weight.detach().clone(),
            weight.dtype,
            weight.device,
            len(module._forward_hooks),
        )
    return states


def same(before: dict[str, tuple[object, ...]], after: dict[str, tuple[object, ...]]) -> bool:
    return before.keys() == after.keys() and all(
        torch.equal(old[0], new[0]) and old[1:] == new[1:]
        for old, new in zip(before.values(), after.values(), strict=True)
    )


def test_training_starts_without_applied_loras_and_gives_everything_back(
    host: Host, lora: MakeLora
) -> None:
    path = lora("one", 1)
    before = draw(host)
    with host.open_for_training() as model:
        clean = state(model)
    draw(host, loras=(LoraUse(path),))
    with pytest.raises(RuntimeError), host.open_for_training() as model:
        assert same(state(model), clean)
        assert not any(
            p.requires_grad for _, module in model.targets() for p in module.parameters()
        )
        raise RuntimeError("in the middle")
    with host.open_for_training() as model:
        assert same(state(model), clean)
    assert draw(host) == before


def test_the_networks_have_the_shapes_of_their_kind(host: Host) -> None:
    with host.open_for_training() as model, torch.no_grad():
        latents = model.encode_images(torch.zeros(2, 3, SIZE, SIZE))
        assert latents.shape == (2, 4, SIZE // 8, SIZE // 8)
        short = model.encode_prompts(["a girl", "a hat"], 1)
        long = model.encode_prompts(["word, " * 60, "a hat"], 2)
        assert short.context.shape[:2] == (2, 77) and long.context.shape[1] == 2 * 77
        assert model.predict(latents, torch.tensor([1, 999]), short).shape == latents.shape
        assert len(model.alphas_cumprod) == 1000 and bool((model.alphas_cumprod.diff() < 0).all())


def test_target_names_are_canonical_and_unique(host: Host) -> None:
    with host.open_for_training() as model:
        names = [name for name, _ in model.targets()]
        assert len(set(names)) == len(names) > 100
        for name in names:
            assert kohya_to_canonical(canonical_to_kohya(name, model.layout), model.layout) == name


def test_gradients_reach_the_text_encoders_branches(host: Host) -> None:
    from lib_singlelora.lora.network import attached

    with host.open_for_training() as model:
        network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, 1)
        with attached(network, model.targets()):
            noise = torch.randn(1, 4, 8, 8, generator=torch.Generator().manual_seed(0))
            model.predict(
                noise, torch.tensor([500]), model.encode_prompts(["isabella"], 1)
            ).square().mean().backward()
        gradients = {name: branch.up.grad for name, branch in network.items()}
    assert all(gradient is not None for gradient in gradients.values())
    assert any(
        float(g.abs().max()) > 0
        for name, g in gradients.items()
        if name.startswith("text_model") and g is not None
    )


def test_the_host_is_held_by_one_at_a_time(host: Host) -> None:
    """Another thread is refused, or waits until it is cancelled; the same one may come in again."""
    second = Job("second")
    entered = threading.Event()

    def other() -> None:
        with contextlib.suppress(HostBusyError, JobCancelled), host.exclusive(second):
            entered.set()

    with host.exclusive(Job("first")), host.exclusive(Job("first, again")):
        thread = threading.Thread(target=other)
        thread.start()
        second.cancel()
        thread.join(10)
        assert not thread.is_alive() and not entered.is_set()
    with host.exclusive(Job("third")):
        pass


def test_the_checkpoint_is_known_by_name_and_hashes(host: Host) -> None:
    info = host.checkpoint
    assert info.native_size == SIZE
    assert len(info.sha256) == 64
    assert len(info.legacy_hash) == 8
