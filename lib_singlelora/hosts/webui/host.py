"""The host in the WebUI: the checkpoint it has loaded, its samplers, its Lora folder, its queue."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from modules import hashes, paths, sd_models, shared

from ...errors import CheckpointError
from ...host import (
    AskedPreset,
    CheckpointInfo,
    Control,
    GeneratedImage,
    HostPaths,
    HostTagger,
    ImageRequest,
    LoraCard,
    TrainingModel,
    Upscaler,
)
from ...jobs import Job, Progress
from ...settings.preset_files import preset_of
from . import controlnet, generate
from .deepbooru import Deepbooru
from .lora_folder import LoraFolder, lora_folder
from .queue import QueueLock
from .training_model import borrowed_networks, layout_of, require_model
from .upscalers import upscalers

logger = logging.getLogger(__name__)

NATIVE_SIZES = {"sd1": 512, "sd2": 768}  # pixels, by the layout's name
# Under `models/`: where the wd14-tagger extensions (toriato's and picobyte's forks, xiaolaa2's)
# and dataset-tag-editor keep their models
TAGGER_FOLDERS = ("tagger", "interrogators", "TaggerOnnx", "wd-tagger", "WD14")


class WebUIHost:
    """A Host on the running WebUI.

    show_warning: shows a sentence to the user whose click is being answered.
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
        """The loaded checkpoint.

        Raises:
            CheckpointError: none is loaded, or one that cannot be trained.
        """
        model = require_model(shared.sd_model)
        return _checkpoint_info(model.sd_checkpoint_info, NATIVE_SIZES[layout_of(model).name])

    @property
    def asked_preset(self) -> AskedPreset:
        """The preset of the loaded checkpoint, else of the one that the WebUI would load."""
        model = sd_models.model_data.sd_model  # `shared.sd_model` would load one
        checkpoint = model.sd_checkpoint_info if model is not None else _next_checkpoint()
        if checkpoint is None:
            return AskedPreset()
        return AskedPreset(preset_of(checkpoint.metadata), Path(checkpoint.filename).stem)

    def other_checkpoint(self, name: str) -> CheckpointInfo:
        """A checkpoint of the WebUI's by its name.

        Raises:
            CheckpointError: the WebUI has none of this name.
        """
        return _checkpoint_info(_checkpoint_named(name), NATIVE_SIZES["sd1"])

    @contextmanager
    def drawing_with(self, name: str) -> Iterator[None]:
        """The WebUI loads another checkpoint, and the one before again at the end.

        Raises:
            CheckpointError: the WebUI has none of this name, or one of another architecture.
        """
        before = require_model(shared.sd_model).sd_checkpoint_info
        wanted = _checkpoint_named(name)
        if wanted.filename == before.filename:
            yield
            return
        try:
            sd_models.reload_model_weights(info=wanted)
            layout_of(shared.sd_model)  # another architecture is refused before anything is drawn
            yield
        finally:
            sd_models.reload_model_weights(info=before)

    @property
    def paths(self) -> HostPaths:
        """The Lora folder, those of the usual tagger and wildcard extensions, and LBW's presets."""
        models = Path(paths.models_path)
        extensions = Path(paths.extensions_dir)
        taggers = tuple(
            tags.parent
            for folder in TAGGER_FOLDERS
            for tags in sorted((models / folder).glob("**/selected_tags.csv"))
        )
        return HostPaths(
            loras=lora_folder(),
            taggers=taggers,
            wildcards=tuple(sorted(extensions.glob("*/wildcards"))),
            downloads=models / "tagger",
            presets=(extensions,),
        )

    @property
    def samplers(self) -> Sequence[str]:
        """Names that a request may use."""
        return generate.sampler_names()

    def upscalers(self) -> Sequence[Upscaler]:
        """The WebUI's upscalers, best first."""
        return upscalers()

    def controls(self) -> Sequence[Control]:
        """What the extension sd-webui-controlnet can do, where it is installed."""
        return controlnet.controls()

    def taggers(self) -> Sequence[HostTagger]:
        """The WebUI's deepbooru."""
        return (Deepbooru(),)

    def exclusive(self, job: Job) -> AbstractContextManager[None]:
        """Wait in the WebUI's queue, then hold it.

        Raises:
            JobCancelled: while waiting.
        """
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
            return generate.generate_images(request, job, self.library)

    @contextmanager
    def open_for_training(self, precision: str = "auto") -> Iterator[TrainingModel]:
        """Lend the checkpoint in memory.

        Raises:
            CheckpointError: none is loaded, or one that cannot be trained.
            TrainingError: the WebUI cannot compute in that precision.
        """
        with borrowed_networks(shared.sd_model, precision) as model:
            yield model


def _next_checkpoint() -> sd_models.CheckpointInfo | None:
    """The checkpoint that the WebUI loads when a model is first needed; None where it has none.

    Source: AUTOMATIC1111 1.10.1, modules/sd_models.py, select_checkpoint, which also prints.
    """
    chosen = sd_models.checkpoint_aliases.get(shared.opts.sd_model_checkpoint or "")
    return chosen or next(iter(sd_models.checkpoints_list.values()), None)


def _checkpoint_named(name: str) -> sd_models.CheckpointInfo:
    checkpoint = sd_models.get_closet_checkpoint_match(name)  # the WebUI's own spelling
    if checkpoint is None:
        known = sorted(Path(info.filename).stem for info in sd_models.checkpoints_list.values())
        raise CheckpointError(
            f"{name}: found no such checkpoint in the WebUI, expected one of {', '.join(known)}"
        )
    return checkpoint


def _checkpoint_info(checkpoint: sd_models.CheckpointInfo, native_size: int) -> CheckpointInfo:
    """A checkpoint of the WebUI's list.  native_size: where its metadata names none."""
    path = Path(checkpoint.filename)
    sha256 = (
        checkpoint.sha256
        or hashes.sha256(checkpoint.filename, f"checkpoint/{checkpoint.name}")
        or ""
    )
    text = str(checkpoint.metadata.get("native_size", "")) if checkpoint.metadata else ""
    if text.isdecimal() and 64 <= int(text) <= 2048:
        native_size = int(text)
    return CheckpointInfo(
        name=path.stem,
        path=path,
        native_size=native_size,
        legacy_hash=sd_models.model_hash(checkpoint.filename),
        sha256=sha256,
        preset=preset_of(checkpoint.metadata),
    )
