"""Pictures drawn by the WebUI's own processing, with its checkpoint, VAE, samplers, embeddings and
styles.
"""

from __future__ import annotations

import networks
from modules import devices, processing, sd_samplers, sd_schedulers, shared
from PIL import Image

from ...errors import CheckpointError, LoraFileError, SettingsError, TrainingError
from ...host import GeneratedImage, ImageRequest
from ...jobs import Job, Progress
from .lora_folder import LoraFolder

# The WebUI's numbers for "Masked content"
FILLS = {"fill": 0, "original": 1, "latent noise": 2, "latent nothing": 3}
LBW = "_in_LBW_"  # what LBW puts behind the name of a network whose blocks it weighs


def sampler_names() -> tuple[str, ...]:
    """Names a request may use: the WebUI's samplers, and each with a schedule, as in "DPM++ 2M
    Karras".
    """
    names = [sampler.name for sampler in sd_samplers.all_samplers]
    schedules = [
        schedule.label for schedule in sd_schedulers.schedulers if schedule.name != "automatic"
    ]
    return (*names, *(f"{name} {schedule}" for name in names for schedule in schedules))


def draw(request: ImageRequest, job: Job, library: LoraFolder) -> list[GeneratedImage]:
    """One picture per seed.

    Raises: JobCancelled, in the middle of a picture too; SettingsError, CheckpointError,
    TrainingError (NaN); LoraFileError, for a LoRA that the WebUI left out, which it tells its
    console only.
    """
    if shared.sd_model is None:
        raise CheckpointError(
            "found no checkpoint loaded in the WebUI, expected one; choose one at the top of the"
            " page"
        )
    if request.sampler not in sampler_names():
        raise SettingsError(
            f"sampler: found {request.sampler!r}, expected one of the WebUI's, such as 'DPM++ 2M"
            " Karras'"
        )
    if request.steps < 1:
        raise SettingsError(f"steps: found {request.steps}, expected at least 1")
    if request.width % 8 or request.height % 8 or min(request.width, request.height) < 8:
        raise SettingsError(
            f"size: found {request.width}x{request.height}, expected multiples of 8"
        )
    names = [(library.name_of(use.path), use) for use in request.loras]
    tags = "".join(f" <lora:{name}:{use.text_encoder:g}:{use.unet:g}>" for name, use in names)
    outer = job.view().progress
    drawn = []
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
        drawn.append(_one(request, seed, tags, job))
        loaded = {network.name.split(LBW)[0] for network in networks.loaded_networks}
        if missing := [name for name, _ in names if name not in loaded]:
            raise LoraFileError(
                f"{', '.join(missing)}: the WebUI drew without it, expected it loaded; was the file"
                " deleted or broken? Its console says why"
            )
    return drawn


def _one(request: ImageRequest, seed: int, tags: str, job: Job) -> GeneratedImage:
    sampler, schedule = sd_samplers.get_sampler_and_scheduler(
        request.sampler, "Automatic", convert_automatic=False
    )
    common = {
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
        "override_settings": {"CLIP_stop_at_last_layers": request.clip_skip},
    }
    if request.image is None:
        p = processing.StableDiffusionProcessingTxt2Img(**common)
    else:
        picture = request.image.convert("RGB").resize(
            (request.width, request.height), Image.Resampling.LANCZOS
        )
        inpainting = (
            {}
            if request.mask is None
            else {
                "mask": request.mask.convert("L").resize(picture.size, Image.Resampling.LANCZOS),
                "mask_blur": max(1, request.width // 128),
                "inpainting_fill": FILLS[request.fill],
                "inpaint_full_res": False,
            }
        )
        p = processing.StableDiffusionProcessingImg2Img(
            **common,
            **inpainting,
            init_images=[picture],
            denoising_strength=request.denoise,
            resize_mode=0,
        )
    try:
        made = processing.process_images(p)
    except devices.NansException as error:
        raise TrainingError(
            f"the WebUI gave NaN for a picture: {' '.join(str(error).split())}"
        ) from error
    finally:
        p.close()
    if shared.state.interrupted or shared.state.stopping_generation:
        job.cancel()
    job.raise_if_cancelled()
    if not made.images:
        raise TrainingError("the WebUI drew no picture, expected one; its console says why")
    # The WebUI keeps what it had when Skip was pressed, and forgets the press only when it draws
    # the next one.
    skipped, shared.state.skipped = shared.state.skipped, False
    told = f"{made.infotexts[0]}, Unfinished: skipped" if skipped else made.infotexts[0]
    return GeneratedImage(made.images[0].convert("RGB"), seed, told, skipped)


def interrupt_when_cancelled(job: Job | None) -> None:
    """Stop the sampler between two steps when the job was cancelled; called by the WebUI at every
    step.
    """
    if job is not None and job.cancelled:
        shared.state.interrupt()
