"""The host in Forge, reForge and their kind: the checkpoint that is chosen, loaded when needed."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...errors import CheckpointError
from ...host import AskedPreset, CheckpointInfo, LoraUse, TrainingModel
from ...lora.fit import require_fit
from ..webui_family import checkpoints
from ..webui_family.host import FamilyHost
from .architecture import family_of, layout_of, prediction_of, require_trainable
from .program import Program
from .small_family import small_family
from .training_model import borrowed_networks

logger = logging.getLogger(__name__)


class ForgeHost(FamilyHost):
    """A Host on one of these programs.

    They load a checkpoint when a picture is drawn: until then there is none in memory, and the one
    in memory may be another than the one that is chosen.
    """

    # Behind the mask each step has noise of the global generator, which the last seed of a batch
    # sets; in reForge with DDIM and its like alone
    shares_mask_noise = True

    def __init__(
        self, program: Program, show_warning: Callable[[str], None] = logger.warning
    ) -> None:
        super().__init__(show_warning)
        self._program = program

    @property
    def name(self) -> str:
        """For the log and the metadata."""
        return self._program.name

    @property
    def title(self) -> str:
        """The program's name, for people."""
        return self._program.title

    @property
    def checkpoint(self) -> CheckpointInfo:
        """The checkpoint that the next job works on; nothing is loaded for the question.

        Raises:
            CheckpointError: there is none, or the one in memory cannot be trained.
        """
        chosen = self._program.chosen()
        if chosen is None:
            raise CheckpointError(
                f"found no checkpoint in {self._program.title}, expected one; put one into"
                " models/Stable-diffusion, or add the small embedded one (Settings)"
            )
        loaded = self._program.loaded()
        if loaded is not None and loaded.sd_checkpoint_info.filename == chosen.filename:
            require_trainable(self._program, loaded)
            info = checkpoints.checkpoint_info(chosen, family_of(loaded))
            # What it is drawn and trained by; a Stable Diffusion 2's file says nothing of it
            return replace(info, prediction=prediction_of(self._program, loaded))
        return checkpoints.checkpoint_info(chosen, checkpoints.file_family(chosen))

    @property
    def asked_preset(self) -> AskedPreset:
        """The preset of the chosen checkpoint."""
        return checkpoints.asked_preset(self._program.chosen())

    def require_checkpoint(self) -> None:
        """Load the chosen checkpoint, unless it is in memory.

        Raises:
            CheckpointError: there is none, or it cannot be loaded.
        """
        self._program.load()

    def add_family(self, config: Path, clip: Path) -> None:
        """Have the program recognize a small checkpoint; once, however often it is called.

        config: its original configuration file.
        clip: folder of its text encoder's config and tokenizer.
        """
        self._program.add_family(small_family(config, clip))

    def require_fitting(self, loras: Sequence[LoraUse]) -> None:
        """Do nothing if the LoRAs are for the checkpoint in memory.

        Raises:
            LoraKeyError: one is for another base model, and would be passed over in silence.
        """
        layout = layout_of(self._program, self._program.loaded())
        for use in loras:
            require_fit(use.path, layout)

    def forget_loras(self) -> None:
        """Forget what was read of LoRA files: one has changed under its name."""
        self._program.forget_loras()

    def complete_picture(self, p: Any) -> None:
        """Put what else the program needs into a picture's processing object."""
        self._program.complete_picture(p)

    @contextmanager
    def drawing_with(self, name: str) -> Iterator[None]:
        """Pictures are drawn with another checkpoint, and with the one before again at the end.

        Raises:
            CheckpointError: there is none of this name, or one of another architecture.
        """
        wanted = checkpoints.checkpoint_named(name)
        before = self._program.load().sd_checkpoint_info
        if wanted.filename == before.filename:
            yield
            return
        with self._program.drawing_with(wanted):
            # Another architecture is refused before anything is drawn.
            require_trainable(self._program, self._program.loaded())
            yield

    @contextmanager
    def open_for_training(self, precision: str | None = None) -> Iterator[TrainingModel]:
        """Lend the chosen checkpoint, loaded first if need be.

        Raises:
            CheckpointError: there is none, or one that cannot be trained.
            TrainingError: the program cannot compute in that precision.
        """
        wanted = precision or "auto"
        with borrowed_networks(self._program, self._program.load(), wanted) as model:
            yield model
