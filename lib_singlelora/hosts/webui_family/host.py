"""A host of the WebUI's family: all of it but how its checkpoint is loaded and lent."""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from typing import Any

from modules import devices, paths, shared

from ...errors import CheckpointError
from ...host import (
    NOTHING_TO_MEND,
    AskedPreset,
    CheckpointInfo,
    CheckpointProblem,
    Control,
    GeneratedImage,
    HostPaths,
    HostTagger,
    ImageRequest,
    Keep,
    LoraCard,
    LoraUse,
    TrainingModel,
    Upscaler,
)
from ...jobs import Job, Progress
from ..batches import BatchSizes, check_alike, single
from ..request import require_own_prediction
from . import controlnet, generate
from .checkpoints import checkpoint_info, checkpoint_named, file_family
from .deepbooru import Deepbooru
from .lora_folder import LoraFolder, lora_folder
from .queue import QueueLock
from .upscalers import upscalers

logger = logging.getLogger(__name__)

# Under `models/`: where the wd14-tagger extensions (toriato's and picobyte's forks, xiaolaa2's)
# and dataset-tag-editor keep their models
NOISE_SCHEDULE = "sd_noise_schedule"  # the program's option, and what it calls zero terminal SNR
ZERO_TERMINAL_SNR = "Zero Terminal SNR"
TAGGER_FOLDERS = ("tagger", "interrogators", "TaggerOnnx", "wd-tagger", "WD14")


class FamilyHost(ABC):
    """A Host on a running program of the WebUI's family.

    show_warning: shows a sentence to the user whose click is being answered.
    """

    shares_mask_noise = False  # of an inpainting, with all that is drawn at once

    def __init__(self, show_warning: Callable[[str], None] = logger.warning) -> None:
        self.queue = QueueLock(show_warning)
        self.library = LoraFolder(self.forget_loras)

    @property
    @abstractmethod
    def name(self) -> str:
        """For the log and the metadata."""

    @property
    @abstractmethod
    def title(self) -> str:
        """The program's name, for people."""

    @property
    @abstractmethod
    def checkpoint(self) -> CheckpointInfo:
        """The loaded checkpoint, or the one that the next job loads.

        Raises:
            CheckpointError: there is none, or one that cannot be trained.
        """

    @property
    @abstractmethod
    def asked_preset(self) -> AskedPreset:
        """The preset of the loaded checkpoint, else of the one that the WebUI would load."""

    @property
    def checkpoint_problem(self) -> CheckpointProblem | None:
        """None where the program reads a checkpoint's file as we do."""
        return None

    def mend_checkpoint(self) -> str:
        """Nothing to mend.

        Raises:
            CheckpointError: always.
        """
        raise CheckpointError(NOTHING_TO_MEND)

    @abstractmethod
    def drawing_with(self, name: str) -> AbstractContextManager[None]:
        """The WebUI draws with another checkpoint, and with the one before again at the end.

        Raises:
            CheckpointError: the WebUI has none of this name, or one of another architecture.
        """

    @abstractmethod
    def open_for_training(
        self, precision: str | None = None
    ) -> AbstractContextManager[TrainingModel]:
        """Lend the checkpoint in memory.

        Raises:
            CheckpointError: none is loaded, or one that cannot be trained.
            TrainingError: the WebUI cannot compute in that precision.
        """

    @abstractmethod
    def require_checkpoint(self) -> None:
        """Do nothing if there is a checkpoint to draw with.

        Raises:
            CheckpointError: there is none.
        """

    def add_family(self, config: Path, clip: Path) -> None:  # noqa: B027  (it reads the .yaml)
        """Have the program recognize a small checkpoint, where it reads no `.yaml` beside it.

        config: its original configuration file.
        clip: folder of its text encoder's config and tokenizer.
        """

    def forget_loras(self) -> None:  # noqa: B027  (nothing to forget is no omission)
        """Forget what was read of LoRA files: one has changed under its name."""

    def require_fitting(self, loras: Sequence[LoraUse]) -> None:  # noqa: B027
        """Do nothing if the LoRAs are for the checkpoint in use.

        Raises:
            LoraKeyError: one is for another base model, and would be passed over in silence.
        """

    def picture_options(self) -> dict[str, object]:
        """The WebUI's options that each of our pictures sets for itself, by their names."""
        return {}

    def complete_picture(self, p: Any) -> None:  # noqa: B027  (nothing to add is no omission)
        """Put what else the program needs into a picture's processing object."""

    def prompt_length(self, prompt: str) -> object:
        """The same for prompts whose encodings are of one length; here each has its own."""
        return prompt

    def other_checkpoint(self, name: str) -> CheckpointInfo:
        """A checkpoint of the WebUI's by its name.

        Raises:
            CheckpointError: the WebUI has none of this name, or one that cannot be used.
        """
        checkpoint = checkpoint_named(name)
        return checkpoint_info(checkpoint, file_family(checkpoint))

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
        """Draw one picture per seed, as `generate_batch` does.

        Raises: as `generate_batch`.
        """
        return self.generate_batch(single(request), job)

    def generate_batch(
        self, requests: Sequence[ImageRequest], job: Job, keep: Keep | None = None
    ) -> list[GeneratedImage]:
        """Draw one picture per request by the WebUI's own processing, several at once.

        Raises:
            CheckpointError: there is no checkpoint to draw with.
            LoraKeyError: a LoRA is for another base model.
            SettingsError: the settings say that the checkpoint predicts what the program does not
                take it for.
        """
        check_alike(requests)
        with self.exclusive(job):
            self.require_checkpoint()
            for loras in dict.fromkeys(request.loras for request in requests):
                self.require_fitting(loras)
            for request in requests[:1]:
                require_own_prediction(request)
            options = self.picture_options()
            may_rescale = NOISE_SCHEDULE in shared.opts.data_labels
            if may_rescale and any(request.zero_terminal_snr for request in requests):
                options = {**options, NOISE_SCHEDULE: ZERO_TERMINAL_SNR}
            custom = generate.Custom(
                options, self.complete_picture, self.prompt_length, self.shares_mask_noise
            )
            return generate.generate_images(
                requests, job, self.library, custom, self._batches, keep
            )

    def batch_limit(self, width: int, height: int) -> int:
        """How many pictures of so many pixels are drawn at once."""
        return 1 if generate.draws_alone() else self._batches.limit(width, height)

    @property
    def mixes_loras(self) -> bool:
        """False: what the program merges or adds counts for all pictures of a batch."""
        return False

    @cached_property
    def _batches(self) -> BatchSizes:
        return BatchSizes(str(devices.device))
