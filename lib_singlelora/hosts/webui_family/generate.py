"""Pictures by the WebUI's own processing: its checkpoint, VAE, samplers, embeddings and styles."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import networks
from modules import devices, processing, sd_samplers, sd_schedulers, shared
from PIL import Image

from ...captions.prompt_language import without_extra_networks
from ...errors import LoraFileError, SettingsError, TrainingError
from ...host import GeneratedImage, ImageRequest, Keep
from ...jobs import Job, Progress, in_series
from ..batches import BatchSizes
from ..request import check_steps_and_size
from .controlnet import add_units
from .lora_folder import LoraFolder
from .picture_options import options_kept

# The WebUI's numbers for "Masked content"
FILLS = {"fill": 0, "original": 1, "latent noise": 2, "latent nothing": 3}
ADAPTIVE = "DPM adaptive"  # one step size for all that is drawn at once
# Of the WebUI's options: nothing but pictures comes back
PICTURES_ALONE = {"return_mask": False, "return_mask_composite": False}
LBW_SUFFIX = "_in_LBW_"  # LBW puts this behind the name of a network whose blocks it weights


@dataclass(frozen=True)
class Custom:
    """What a program wants of each of our pictures.

    options: of its settings, by their names, for these pictures alone.
    complete: puts what else it needs into its processing object.
    prompt_length: of a prompt, the same for prompts whose encodings are of one length.
    shares_mask_noise: True if an inpainting's noise depends on what is drawn with it.
    """

    options: dict[str, object] = field(default_factory=dict)
    complete: Callable[[Any], None] = lambda p: None
    prompt_length: Callable[[str], object] = str
    shares_mask_noise: bool = False


def sampler_names() -> tuple[str, ...]:
    """The WebUI's samplers, each alone and with every schedule, as in "DPM++ 2M Karras"."""
    samplers = [sampler.name for sampler in sd_samplers.all_samplers]
    schedules = [
        schedule.label for schedule in sd_schedulers.schedulers if schedule.name != "automatic"
    ]
    return (*samplers, *(f"{sampler} {schedule}" for sampler in samplers for schedule in schedules))


def generate_images(
    requests: Sequence[ImageRequest],
    job: Job,
    library: LoraFolder,
    custom: Custom,
    batches: BatchSizes,
    keep: Keep | None = None,
) -> list[GeneratedImage]:
    """Draw one picture per request, several at once where nothing but the last bits tells.

    requests: alike, see `check_alike`.
    custom: what the program wants of them.
    keep: called with the number of a request and its picture, company by company.

    Raises:
        JobCancelled: in the middle of a picture too.
        SettingsError: a request that the WebUI cannot draw.
        TrainingError: the WebUI gave NaN, or no picture.
        LoraFileError: the WebUI left a LoRA out, which it says on its console only.
    """
    for request in requests[:1]:
        _check(request)
    companies: dict[object, list[int]] = {}
    for number, request in enumerate(requests):
        companies.setdefault(company_of(request, number, custom), []).append(number)
    outer = job.view().progress
    drawn: dict[int, GeneratedImage] = {}
    for numbers in companies.values():
        report = _Report(job, outer, len(requests), len(drawn))
        images = batches.draw(
            [requests[number] for number in numbers],
            partial(_draw, job, library, custom, report),
            devices.torch_gc,
        )
        drawn |= dict(zip(numbers, images, strict=True))
        for number in numbers:
            if keep:
                keep(number, drawn[number])
    return [drawn[number] for number in range(len(requests))]


@dataclass(frozen=True)
class _Report:
    """Tells the job which pictures are drawn; called with (before, count).

    outer: the job's progress when the pictures were asked for.
    total: pictures that were asked for.
    earlier: of them, those that were drawn in other company.
    """

    job: Job
    outer: Progress
    total: int
    earlier: int

    def __call__(self, before: int, count: int) -> None:
        outer = self.outer
        before += self.earlier
        which = f"{in_series(before, count)} of {self.total}"
        message = f"{outer.message}; {which}".removeprefix("; ")
        if outer.stage:
            self.job.report(replace(outer, message=message))
        else:
            self.job.report(Progress("generate", before, self.total, message))


def draws_alone() -> bool:
    """True where the WebUI's options let a picture depend on those that are drawn with it."""
    return bool(
        getattr(shared.opts, "token_merging_ratio", 0)
        or getattr(shared.opts, "token_merging_ratio_img2img", 0)
    )


def company_of(request: ImageRequest, number: int, custom: Custom) -> object:
    """Equal for requests whose pictures are the same whether they are drawn together or apart.

    The WebUI fills the shorter prompts of a batch up to its longest one, which changes their
    pictures, and takes extra networks from its first prompt.
    """
    alone = draws_alone() or bool(request.controls) or _is_shared(request.sampler)
    if alone or (custom.shares_mask_noise and request.mask is not None):
        return number
    length = custom.prompt_length
    prompt, extra_networks = without_extra_networks(request.prompt)
    return (request.loras, str(extra_networks), length(prompt), length(request.negative_prompt))


def _is_shared(sampler: str) -> bool:
    """True for a sampler whose steps or noise are those of the batch and not of each picture."""
    seeded = not getattr(shared.opts, "no_dpmpp_sde_batch_determinism", False)
    return sampler.startswith(ADAPTIVE) or ("SDE" in sampler and not seeded)


def _draw(
    job: Job,
    library: LoraFolder,
    custom: Custom,
    report: _Report,
    requests: Sequence[ImageRequest],
    before: int,
) -> list[GeneratedImage]:
    """Pictures that are drawn at once; before: how many were drawn in their company already."""
    job.raise_if_cancelled()
    report(before, len(requests))
    loras = [(library.name_of(use.path), use) for use in requests[0].loras]
    tags = "".join(f" <lora:{name}:{use.text_encoder:g}:{use.unet:g}>" for name, use in loras)
    images = _generate(requests, tags, job, custom)
    loaded = {network.name.split(LBW_SUFFIX)[0] for network in networks.loaded_networks}
    if missing := [name for name, _ in loras if name not in loaded]:
        raise LoraFileError(
            f"{', '.join(missing)}: the WebUI drew without it, expected it loaded; was the file"
            " deleted or broken? Its console says why"
        )
    return images


def _check(request: ImageRequest) -> None:
    if request.sampler not in sampler_names():
        raise SettingsError(
            f"sampler: found {request.sampler!r}, expected one of the WebUI's, such as 'DPM++ 2M"
            " Karras'"
        )
    check_steps_and_size(request)


def _processing(
    requests: Sequence[ImageRequest], tags: str, settings: dict[str, object]
) -> processing.StableDiffusionProcessing:
    """The WebUI's object for one picture of each request.

    tags: `<lora:…>` behind the prompt.
    settings: of the WebUI, for these pictures alone.
    """
    request = requests[0]
    sampler, schedule = sd_samplers.get_sampler_and_scheduler(
        request.sampler, "Automatic", convert_automatic=False
    )
    options: dict[str, Any] = {
        "prompt": _one_or_all([each.prompt + tags for each in requests]),
        "negative_prompt": _one_or_all([each.negative_prompt for each in requests]),
        "seed": _one_or_all([each.seeds[0] for each in requests]),
        "steps": request.steps,
        "cfg_scale": request.cfg_scale,
        "width": request.width,
        "height": request.height,
        "batch_size": len(requests),
        "n_iter": 1,
        "do_not_save_samples": True,
        "do_not_save_grid": True,
        "sampler_name": sampler,
        "scheduler": schedule,
        "override_settings": {
            **PICTURES_ALONE,
            **settings,
            "CLIP_stop_at_last_layers": request.clip_skip,
        },
    }
    if request.image is None:
        return processing.StableDiffusionProcessingTxt2Img(**options)
    size = (request.width, request.height)
    picture = request.image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    if request.mask is not None:
        options |= {
            "mask": request.mask.convert("L").resize(size, Image.Resampling.LANCZOS),
            "mask_blur": 0 if request.hard_edge else max(1, request.width // 128),
            "inpainting_fill": FILLS[request.fill],
            "inpaint_full_res": False,
        }
    p = processing.StableDiffusionProcessingImg2Img(
        **options, init_images=[picture], denoising_strength=request.denoise, resize_mode=0
    )
    add_units(p, request.controls)
    return p


def _one_or_all(values: list[Any]) -> Any:
    """A single value as itself: other extensions may expect no list."""
    return values[0] if len(values) == 1 else values


def _generate(
    requests: Sequence[ImageRequest], tags: str, job: Job, custom: Custom
) -> list[GeneratedImage]:
    p = _processing(requests, tags, custom.options)
    custom.complete(p)
    try:
        with options_kept(p.override_settings):
            result = processing.process_images(p)
    except devices.NansException as error:
        raise TrainingError(
            f"the WebUI gave NaN for a picture: {' '.join(str(error).split())}"
        ) from error
    finally:
        p.close()
    if shared.state.interrupted or shared.state.stopping_generation:
        job.cancel()
    job.raise_if_cancelled()
    if len(result.images) != len(requests):
        raise TrainingError(
            f"the WebUI drew {len(result.images)} pictures, expected {len(requests)}; its console"
            " says why"
        )
    # After Skip the WebUI returns the unfinished pictures, and clears the flag only when it draws
    # the next ones.
    skipped = shared.state.skipped
    shared.state.skipped = False
    end = ", Unfinished: skipped" if skipped else ""
    return [
        GeneratedImage(image.convert("RGB"), request.seeds[0], f"{parameters}{end}", skipped)
        for request, image, parameters in zip(
            requests, result.images, result.infotexts, strict=True
        )
    ]


def interrupt_when_cancelled(job: Job | None) -> None:
    """Stop the sampler between two steps when the job was cancelled.

    The WebUI calls this at every step.
    """
    if job is not None and job.cancelled:
        shared.state.interrupt()
