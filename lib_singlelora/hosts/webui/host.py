"""The host in the WebUI: the checkpoint it has loaded, its samplers, its Lora folder, its queue."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from modules import sd_hijack, sd_models, shared

from ...families.family import Prediction
from ...host import AskedPreset, CheckpointInfo, CheckpointProblem, LoraUse, TrainingModel
from ...lora.fit import require_fit
from ..webui_family import checkpoints
from ..webui_family.host import NOISE_SCHEDULE, ZERO_TERMINAL_SNR, FamilyHost
from . import v_prediction
from .architecture import family_of, layout_of, require_model, require_trainable
from .training_model import borrowed_networks, mark_stale


class WebUIHost(FamilyHost):
    """A Host on the running WebUI."""

    @property
    def name(self) -> str:
        """For the log and the metadata."""
        return "webui"

    @property
    def title(self) -> str:
        """The program's name, for people."""
        return "Stable Diffusion WebUI"

    @property
    def checkpoint(self) -> CheckpointInfo:
        """The loaded checkpoint.

        Raises:
            CheckpointError: none is loaded, or one that cannot be trained.
        """
        model = require_model(shared.sd_model)
        require_trainable(model)
        info = checkpoints.checkpoint_info(model.sd_checkpoint_info, family_of(model))
        # The WebUI measures it where a Stable Diffusion 2's file says nothing
        prediction: Prediction = "v_prediction" if model.parameterization == "v" else "epsilon"
        return replace(info, prediction=prediction)

    @property
    def asked_preset(self) -> AskedPreset:
        """The preset of the loaded checkpoint, else of the one that the WebUI would load."""
        model = sd_models.model_data.sd_model  # `shared.sd_model` would load one
        return checkpoints.asked_preset(
            model.sd_checkpoint_info if model is not None else checkpoints.next_checkpoint()
        )

    @property
    def checkpoint_problem(self) -> CheckpointProblem | None:
        """A checkpoint that predicts v and is taken for one that predicts epsilon."""
        return v_prediction.problem_of(sd_models.model_data.sd_model)

    def prompt_length(self, prompt: str) -> object:
        """The tokens that its encoding has room for.

        A prompt that changes between steps, or has parts that are encoded apart, has its own.
        """
        if any(sign in prompt for sign in ("[", "AND")):
            return prompt
        return sd_hijack.model_hijack.get_prompt_lengths(prompt)[1]

    def mend_checkpoint(self) -> str:
        """Write the config that says v-prediction, and load the checkpoint anew.

        Raises:
            CheckpointError: there is nothing to mend, or another config lies there.
            WorkspaceError: the checkpoint's folder cannot be written.
        """
        return v_prediction.mend(sd_models.model_data.sd_model)

    def picture_options(self) -> dict[str, object]:
        """The noise schedule of a checkpoint that was trained down to pure noise.

        1.10.1 has it as an option of the user's; without it such a checkpoint's pictures are grey.
        """
        model = sd_models.model_data.sd_model
        is_known = NOISE_SCHEDULE in shared.opts.data_labels  # since 1.8
        if model is None or not is_known or not v_prediction.has_zero_terminal_snr(model):
            return {}
        return {NOISE_SCHEDULE: ZERO_TERMINAL_SNR}

    def require_fitting(self, loras: Sequence[LoraUse]) -> None:
        """Do nothing if the LoRAs are for the loaded checkpoint.

        Raises:
            LoraKeyError: one is for another base model, and would be passed over in silence.
        """
        model = require_model(shared.sd_model)
        layout = layout_of(model)
        for use in loras:
            require_fit(use.path, layout)

    def forget_loras(self) -> None:
        """Have every layer merge anew what the next prompt names, as one file has changed."""
        model = sd_models.model_data.sd_model
        if model is not None:
            mark_stale(model)

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
            require_trainable(shared.sd_model)  # refused before anything is drawn
            yield
        finally:
            sd_models.reload_model_weights(info=before)

    @contextmanager
    def open_for_training(self, precision: str | None = None) -> Iterator[TrainingModel]:
        """Lend the checkpoint in memory.

        Raises:
            CheckpointError: none is loaded, or one that cannot be trained.
            TrainingError: the WebUI cannot compute in that precision.
        """
        with borrowed_networks(shared.sd_model, precision or "auto") as model:
            yield model
