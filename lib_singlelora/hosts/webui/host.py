"""The host in the WebUI: the checkpoint it has loaded, its samplers, its LoRA folder, its queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from modules import hashes, paths, sd_models, shared

from ...errors import CheckpointError
from ...host import (
    CheckpointInfo,
    GeneratedImage,
    HostPaths,
    HostTagger,
    ImageRequest,
    LoraCard,
    TrainingModel,
    Upscaler,
)
from ...jobs import Job, Progress
from ...settings.schema import preset_of
from . import generate
from .deepbooru import Deepbooru
from .lora_folder import LoraFolder, lora_folder
from .queue import QueueLock
from .training_model import borrowed_networks, layout_of
from .upscalers import upscalers

logger = logging.getLogger(__name__)

NATIVE_SIZES = {"sd1": 512, "sd2": 768}


def _loaded() -> Any:
    model = shared.sd_model
    if model is None:
        raise CheckpointError(
            "found no checkpoint loaded in the WebUI, expected a Stable Diffusion 1.x one; choose"
            " one at the top of the page"
        )
    return model


def _named(name: str) -> Any:
    info = sd_models.get_closet_checkpoint_match(name)  # the WebUI's own spelling
    if info is None:
        known = ", ".join(
            sorted(Path(each.filename).stem for each in sd_models.checkpoints_list.values())
        )
        raise CheckpointError(
            f"{name}: found no such checkpoint in the WebUI, expected one of {known}"
        )
    return info


def _told(info: Any, native_size: int) -> CheckpointInfo:
    """A checkpoint of the WebUI's list."""
    sha256 = info.sha256 or hashes.sha256(info.filename, f"checkpoint/{info.name}") or ""
    native = str(info.metadata.get("native_size", "")) if info.metadata else ""
    size = int(native) if native.isdecimal() and 64 <= int(native) <= 2048 else native_size
    return CheckpointInfo(
        Path(info.filename).stem,
        Path(info.filename),
        size,
        sd_models.model_hash(info.filename),
        sha256,
        preset_of(info.metadata),
    )


class WebUIHost:
    """A Host on the running WebUI.

    show_warning: puts a sentence before the user whose click is being answered.
    """

    def __init__(self, show_warning: Callable[[str], None] = logger.warning) -> None:
        self.queue = QueueLock(show_warning)
        self.library = LoraFolder()

    @property
    def name(self) -> str:
        """For the log and the metadata."""
        return "webui"

    @property
    def checkpoint(self) -> CheckpointInfo:
        """The loaded checkpoint.  Raises: CheckpointError, when there is none."""
        model = _loaded()
        return _told(model.sd_checkpoint_info, NATIVE_SIZES[layout_of(model).name])

    def other_checkpoint(self, name: str) -> CheckpointInfo:
        """One of the WebUI's by its name.  Raises: CheckpointError."""
        return _told(_named(name), NATIVE_SIZES["sd1"])

    @contextmanager
    def drawing_with(self, name: str) -> Iterator[None]:
        """The WebUI loads it, and the one before again at the end.  Raises: CheckpointError."""
        before, wanted = _loaded().sd_checkpoint_info, _named(name)
        if wanted.filename == before.filename:
            yield
            return
        try:
            sd_models.reload_model_weights(info=wanted)
            layout_of(_loaded())  # another kind of model is refused before anything is drawn
            yield
        finally:
            sd_models.reload_model_weights(info=before)

    @property
    def paths(self) -> HostPaths:
        """The Lora folder; where the usual tagger extensions keep their models; where LBW keeps its
        presets.
        """
        models = Path(paths.models_path)
        # Those of the wd14-tagger extensions (toriato's and picobyte's forks, xiaolaa2's), and of
        # dataset-tag-editor.
        taggers = tuple(
            p.parent
            for base in ("tagger", "interrogators", "TaggerOnnx", "wd-tagger", "WD14")
            for p in sorted((models / base).glob("**/selected_tags.csv"))
        )
        wildcards = tuple(sorted(Path(paths.extensions_dir).glob("*/wildcards")))
        return HostPaths(
            lora_folder(), taggers, wildcards, models / "tagger", (Path(paths.extensions_dir),)
        )

    @property
    def samplers(self) -> Sequence[str]:
        """Names that a request may ask for."""
        return generate.sampler_names()

    def upscalers(self) -> Sequence[Upscaler]:
        """The one chosen in the settings page, those whose model is on the disk, Lanczos, then what
        would have to be fetched.
        """
        return upscalers()

    def taggers(self) -> Sequence[HostTagger]:
        """Its deepbooru."""
        return (Deepbooru(),)

    def exclusive(self, job: Job) -> AbstractContextManager[None]:
        """Wait in the WebUI's queue, then hold it.  Raises: JobCancelled, while waiting."""
        return self.queue.acquire(job)

    def mirror(self, job: Job, progress: Progress) -> None:
        """Progress into the WebUI's state; its Interrupt cancels the job."""
        self.queue.mirror(progress)

    def publish(self, card: LoraCard) -> None:
        """Into the WebUI's Lora folder, known to prompts at once."""
        self.library.publish(card)

    def generate(self, request: ImageRequest, job: Job) -> list[GeneratedImage]:
        """Draw one picture per seed by the WebUI's own processing."""
        with self.exclusive(job):
            return generate.draw(request, job, self.library)

    @contextmanager
    def open_for_training(self, precision: str = "auto") -> Iterator[TrainingModel]:
        """Lend the checkpoint in memory.  Raises: CheckpointError, TrainingError."""
        with borrowed_networks(shared.sd_model, precision) as model:
            yield model
