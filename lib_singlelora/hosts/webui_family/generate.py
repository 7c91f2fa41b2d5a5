"""Pictures by the WebUI's own processing: its checkpoint, VAE, samplers, embeddings and styles."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import networks
from modules import devices, processing, sd_samplers, sd_schedulers, shared
from PIL import Image

from ...errors import LoraFileError, SettingsError, TrainingError
from ...host import GeneratedImage, ImageRequest
from ...jobs import Job, Progress
from ..request import check_steps_and_size
from .controlnet import add_units
from .lora_folder import LoraFolder
from .picture_options import options_kept

# The WebUI's numbers for "Masked content"
FILLS = {"fill": 0, "original": 1, "latent noise": 2, "latent nothing": 3}
LBW_SUFFIX = "_in_LBW_"  # LBW puts this behind the name of a network whose blocks it weights


@dataclass(frozen=True)
class Custom:
    """What a program wants of each of our pictures.

    options: of its settings, by their names, for these pictures alone.
    complete: puts what else it needs into its processing object.
    """

    options: dict[str, object] = field(default_factory=dict)
    complete: Callable[[Any], None] = lambda p: None


def sampler_names() -> tuple[str, ...]:
    """The WebUI's samplers, each alone and with every schedule, as in "DPM++ 2M Karras"."""
    samplers = [sampler.name for sampler in sd_samplers.all_samplers]
    schedules = [
        schedule.label for schedule in sd_schedulers.schedulers if schedule.name != "automatic"
    ]
    return (*samplers, *(f"{sampler} {schedule}" for sampler in samplers for schedule in schedules))


def generate_images(
    request: ImageRequest, job: Job, library: LoraFolder, custom: Custom
) -> list[GeneratedImage]:
    """Draw one picture per seed.

    custom: what the program wants of them.

    Raises:
        JobCancelled: in the middle of a picture too.
        SettingsError: a request that the WebUI cannot draw.
        TrainingError: the WebUI gave NaN, or no picture.
        LoraFileError: the WebUI left a LoRA out, which it says on its console only.
    """
    _check(request)
    loras = [(library.name_of(use.path), use) for use in request.loras]
    tags = "".join(f" <lora:{name}:{use.text_encoder:g}:{use.unet:g}>" for name, use in loras)
    outer = job.view().progress
    images = []
    for index, seed in enumerate(request.seeds):
        job.raise_if_cancelled()
        message = f"{outer.message}; picture {index + 1} of {len(request.seeds)}".removeprefix("; ")
        if outer.stage:
            job.report(
                Progress(
                    outer.stage, outer.done, outer.total, message, outer.values, outer.pictures
                )
            )
        else:
            job.report(Progress("generate", index, len(request.seeds), message))
        images.append(_generate_image(request, seed, tags, job, custom))
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
    request: ImageRequest, seed: int, tags: str, settings: dict[str, object]
) -> processing.StableDiffusionProcessing:
    """The WebUI's object for one picture of a request.

    tags: `<lora:…>` behind the prompt.
    settings: of the WebUI, for this picture alone.
    """
    sampler, schedule = sd_samplers.get_sampler_and_scheduler(
        request.sampler, "Automatic", convert_automatic=False
    )
    options: dict[str, Any] = {
        "prompt": request.prompt + tags,
        "negative_prompt": request.negative_prompt,
        "seed": seed,
        "steps": request.steps,
        "cfg_scale": request.cfg_scale,
        "width": request.width,
        "height": request.height,
        "batch_size": 1,
        "n_iter": 1,
        "do_not_save_samples": True,
        "do_not_save_grid": True,
        "sampler_name": sampler,
        "scheduler": schedule,
        "override_settings": {**settings, "CLIP_stop_at_last_layers": request.clip_skip},
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


def _generate_image(
    request: ImageRequest, seed: int, tags: str, job: Job, custom: Custom
) -> GeneratedImage:
    p = _processing(request, seed, tags, custom.options)
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
    if not result.images:
        raise TrainingError("the WebUI drew no picture, expected one; its console says why")
    # After Skip the WebUI returns the unfinished picture, and clears the flag only when it draws
    # the next one.
    skipped = shared.state.skipped
    shared.state.skipped = False
    parameters = result.infotexts[0]
    if skipped:
        parameters = f"{parameters}, Unfinished: skipped"
    return GeneratedImage(result.images[0].convert("RGB"), seed, parameters, skipped)


def interrupt_when_cancelled(job: Job | None) -> None:
    """Stop the sampler between two steps when the job was cancelled.

    The WebUI calls this at every step.
    """
    if job is not None and job.cancelled:
        shared.state.interrupt()
