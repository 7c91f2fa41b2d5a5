"""The host in the WebUI: the checkpoint it has loaded, its samplers, its Lora folder, its queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from modules import sd_models, shared

from ...host import AskedPreset, CheckpointInfo, TrainingModel
from ..webui_family import checkpoints
from ..webui_family.host import FamilyHost
from .training_model import borrowed_networks, layout_of, require_model


class WebUIHost(FamilyHost):
    """A Host on the running WebUI."""

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
        native_size = checkpoints.NATIVE_SIZES[layout_of(model).name]
        return checkpoints.checkpoint_info(model.sd_checkpoint_info, native_size)

    @property
    def asked_preset(self) -> AskedPreset:
        """The preset of the loaded checkpoint, else of the one that the WebUI would load."""
        model = sd_models.model_data.sd_model  # `shared.sd_model` would load one
        return checkpoints.asked_preset(
            model.sd_checkpoint_info if model is not None else checkpoints.next_checkpoint()
        )

    def require_checkpoint(self) -> None:
        """Have the WebUI load its checkpoint, unless one is loaded.

        Raises:
            CheckpointError: there is none.
        """
        require_model(shared.sd_model)

    @contextmanager
    def drawing_with(self, name: str) -> Iterator[None]:
        """The WebUI loads another checkpoint, and the one before again at the end.

        Raises:
            CheckpointError: the WebUI has none of this name, or one of another architecture.
        """
        before = require_model(shared.sd_model).sd_checkpoint_info
        wanted = checkpoints.checkpoint_named(name)
        if wanted.filename == before.filename:
            yield
            return
        try:
            sd_models.reload_model_weights(info=wanted)
            layout_of(shared.sd_model)  # another architecture is refused before anything is drawn
            yield
        finally:
            sd_models.reload_model_weights(info=before)

    @contextmanager
    def open_for_training(self, precision: str = "auto") -> Iterator[TrainingModel]:
        """Lend the checkpoint in memory.

        Raises:
            CheckpointError: none is loaded, or one that cannot be trained.
            TrainingError: the WebUI cannot compute in that precision.
        """
        with borrowed_networks(shared.sd_model, precision) as model:
            yield model
