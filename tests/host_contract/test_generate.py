"""The contract of every host on pictures."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.host import Host
from lib_singlelora.jobs import Job, Progress
from tests.host_contract.pictures import REQUEST, draw, pixels


def photograph() -> Image.Image:
    """A smooth picture with its own colours."""
    y, x = np.mgrid[0:64, 0:64]
    return Image.fromarray(np.stack([4 * x, 4 * y, 255 - 4 * x], axis=-1).astype(np.uint8))


def hole() -> Image.Image:
    mask = Image.new("L", (64, 64))
    mask.paste(255, (16, 16, 48, 48))
    return mask


def test_every_sampler_draws_a_picture_of_the_size_asked_for(host: Host) -> None:
    assert {"DPM++ 2M Karras", "Euler a", "Euler", "DDIM"} <= set(host.samplers)
    drawn = {}
    for sampler in host.samplers:
        image = host.generate(replace(REQUEST, sampler=sampler, width=96, steps=6), Job())[0].image
        assert image.mode == "RGB" and image.size == (96, 64)
        drawn[sampler] = pixels(image)
        assert drawn[sampler].std() > 5  # neither grey nor a flat saturation
        assert np.isin(drawn[sampler], (0, 255)).mean() < 0.2
    assert len({image.tobytes() for image in drawn.values()}) == len(drawn)


def test_every_sampler_comes_to_the_same_picture_in_many_steps(host: Host) -> None:
    """Samplers without added noise solve one differential equation.

    Tolerance: 6 of 255 on the mean.
    """
    drawn = [
        draw(host, replace(REQUEST, sampler=sampler, steps=25))
        for sampler in ("DPM++ 2M Karras", "Euler", "DDIM")
    ]
    apart = np.abs(drawn[0] - draw(host, replace(REQUEST, steps=25, seeds=(2,)))).mean()
    for other in drawn[1:]:
        assert np.abs(drawn[0] - other).mean() < min(6, apart / 2)


def test_a_picture_of_another_size_is_resized(host: Host) -> None:
    request = replace(REQUEST, image=photograph().resize((100, 50)), mask=hole().resize((30, 30)))
    assert host.generate(request, Job())[0].image.size == (64, 64)


@pytest.mark.parametrize("fill", ["fill", "original", "latent noise", "latent nothing"])
@pytest.mark.parametrize("sampler", ["DPM++ 2M Karras", "Euler a", "Euler", "DDIM"])
def test_inpainting_keeps_what_lies_outside_the_mask(host: Host, fill: str, sampler: str) -> None:
    origin = photograph()
    drawn = draw(host, replace(REQUEST, image=origin, mask=hole(), fill=fill, sampler=sampler))
    outside = np.asarray(hole()) == 0
    assert np.array_equal(drawn[outside], pixels(origin)[outside])
    assert np.abs(drawn - pixels(origin))[20:44, 20:44].mean() > 5


def test_an_empty_mask_gives_the_picture_back(host: Host) -> None:
    drawn = draw(host, replace(REQUEST, image=photograph(), mask=Image.new("L", (64, 64))))
    assert np.array_equal(drawn, pixels(photograph()))


def test_progress_never_goes_back_and_comes_to_its_end(host: Host) -> None:
    reports: list[Progress] = []
    host.generate(replace(REQUEST, seeds=(1, 2, 3)), Job("drawing", reports.append))
    done = [progress.fraction for progress in reports]
    assert done == sorted(done) and done[-1] == 1
    assert len(set(done)) >= REQUEST.steps
    assert "3 of 3" in reports[-1].message


def test_the_stage_that_draws_keeps_its_own_count(host: Host) -> None:
    reports: list[Progress] = []
    job = Job("drawing", reports.append)
    job.report(Progress("plot", 3, 9, "epoch 2"))
    host.generate(REQUEST, job)
    assert {(progress.stage, progress.done, progress.total) for progress in reports} == {
        ("plot", 3, 9)
    }
    assert reports[-1].message.startswith("epoch 2; ")


def test_the_parameters_are_the_webuis(host: Host) -> None:
    request = replace(
        REQUEST,
        negative_prompt="hat",
        clip_skip=2,
        cfg_scale=6.5,
        image=photograph(),
        denoise=0.5,
        seeds=(3, 4),
    )
    first, negative, last = host.generate(request, Job())[1].parameters.split("\n")
    fields = dict(part.split(": ", 1) for part in last.split(", "))
    assert first == request.prompt and negative == "Negative prompt: hat"
    assert {
        "Steps": "4",
        "Sampler": "DPM++ 2M Karras",
        "CFG scale": "6.5",
        "Seed": "4",
        "Size": "64x64",
        "Clip skip": "2",
        "Denoising strength": "0.5",
        "Model": host.checkpoint.name,
    }.items() <= fields.items()
    assert (
        host.checkpoint.sha256.startswith(fields["Model hash"]) and len(fields["Model hash"]) == 10
    )
