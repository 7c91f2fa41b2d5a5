"""Pictures beside a training: samples drawn on the way, and a thumbnail for each file."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from ..captions.prompt_bars import split_prompts
from ..captions.prompt_language import tags_of
from ..captions.pruning import subject_of
from ..captions.text import join_tags
from ..errors import TrainingError
from ..families.quality import NO_TAGS, QualityTags
from ..files.fileio import file_state, write_bytes
from ..host import TrainingModel
from ..imaging.load import read_rgb
from ..imaging.png import png_bytes
from ..jobs import Job, Progress
from ..lora.network import LoraNetwork
from ..settings.schema import Settings
from ..training.preview import sample
from ..workspace.workspace import Workspace

THUMBNAIL = 256


def draw_samples(
    settings: Settings,
    workspace: Workspace,
    model: TrainingModel,
    network: LoraNetwork,
    job: Job,
    epoch: int,
    resolution: int,
    quality: QualityTags = NO_TAGS,
) -> list[Path]:
    """Draw the sample prompts to samples/ with the LoRA as it is now; the paths.

    It draws with the networks that train, so no second copy of them is loaded.

    resolution: side of a picture, pixels.
    quality: tags of the checkpoint.
    Raises: JobCancelled.
    """
    options = settings.training
    # The networks that train know captions, not the language of prompts.
    prompts = [join_tags(tags_of(prompt)) for prompt in split_prompts(options.sample_prompts)]
    if not prompts:
        prompts = [join_tags(subject_of(settings.character, settings.caption))]
    name = f"{workspace.lora_name(settings)}-{epoch:06d}"
    paths = []
    for number, prompt in enumerate(prompts, 1):
        job.raise_if_cancelled()
        path = workspace.root / "samples" / f"{name}-{number}.png"
        try:
            pixels = sample(
                model,
                network,
                quality.in_prompt(prompt),
                quality.in_negative(settings.plot.negative_prompt),
                options.sample_seed,
                resolution,
                options.clip_skip,
            )
        except TrainingError as error:
            # A picture that cannot be decoded is no reason to stop training.
            job.log("warning", message=f"epoch {epoch}: sample '{prompt}': {error}")
            continue
        write_bytes(path, png_bytes(to_image(pixels)))
        paths.append(path)
    message = f"epoch {epoch}: {len(paths)} sample pictures"
    job.report(Progress("train", message=message, pictures=tuple(paths)))
    return paths


def to_image(pixels: Tensor) -> Image.Image:
    """(1, 3, H, W) in [-1, 1] to RGB."""
    values = (pixels[0].permute(1, 2, 0).float().cpu().numpy() + 1) * 127.5
    return Image.fromarray(np.rint(values).clip(0, 255).astype(np.uint8))


def thumbnail(file: Path, workspace: Workspace) -> None:
    """Write the source picture, small, beside a LoRA file: WebUIs show it as the file's preview."""
    target = file.with_suffix(".png")
    if workspace.prepared.exists() and not target.exists():
        write_bytes(target, _small(workspace.prepared, file_state(workspace.prepared)))


@lru_cache(maxsize=1)  # every epoch's file has the same
def _small(picture: Path, state: tuple[int, ...]) -> bytes:
    """state: of the picture's file, which tells a changed one."""
    small = read_rgb(picture)
    small.thumbnail((THUMBNAIL, THUMBNAIL))
    return png_bytes(small)
