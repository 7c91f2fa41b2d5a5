"""A host whose checkpoint predicts what the settings say, where they say other than it was read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from ..errors import SettingsError
from ..families.family import Prediction
from ..host import CheckpointInfo, GeneratedImage, Host, ImageRequest, Keep, TrainingModel
from ..jobs import Job
from ..settings.training import TrainingSettings


def with_declared_prediction(host: Host, settings: TrainingSettings) -> Host:
    """The host, or one that takes `training.prediction` and `training.zero_terminal_snr`."""
    inner = host.inner if isinstance(host, DeclaredHost) else host
    if settings.prediction == "auto" and not settings.zero_terminal_snr:
        return inner
    return cast(Host, DeclaredHost(inner, settings))


class DeclaredHost:
    """Everything is the inner host's but what its loaded checkpoint predicts.

    One truth for training, the samples of a training and every picture that is drawn.  Another
    checkpoint that is drawn with for a sheet is what its own file says.
    """

    def __init__(self, inner: Host, settings: TrainingSettings) -> None:
        self.inner = inner
        self._settings = settings
        self._is_another = False
        self._home: Path | None = None  # of the loaded checkpoint, while another is drawn with

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    @property
    def checkpoint(self) -> CheckpointInfo:
        """The loaded checkpoint, with what the settings say of it."""
        return self._declared(self.inner.checkpoint)

    @contextmanager
    def drawing_with(self, name: str) -> Iterator[None]:
        """Another checkpoint is the loaded one while inside.  Raises: CheckpointError."""
        before = self._home, self._is_another
        self._home = self._home or self.inner.checkpoint.path
        try:
            with self.inner.drawing_with(name):
                self._is_another = self.inner.checkpoint.path != self._home
                yield
        finally:
            self._home, self._is_another = before

    def generate(self, request: ImageRequest, job: Job) -> list[GeneratedImage]:
        """Draw as the settings say."""
        return self.inner.generate(self._asked(request), job)

    def generate_batch(
        self, requests: Sequence[ImageRequest], job: Job, keep: Keep | None = None
    ) -> list[GeneratedImage]:
        """Draw several at once, on a host that can."""
        return self.inner.generate_batch([self._asked(each) for each in requests], job, keep)

    @contextmanager
    def open_for_training(self, precision: str | None = None) -> Iterator[TrainingModel]:
        """Lend the networks.  Raises: CheckpointError, TrainingError."""
        with self.inner.open_for_training(precision) as model:
            if self._settings.prediction != "auto":
                model.prediction = cast(Prediction, self._settings.prediction)
            if self._settings.zero_terminal_snr:
                from ..training.noise import zero_terminal_snr

                model.alphas_cumprod = zero_terminal_snr(model.alphas_cumprod)
            yield model

    def _prediction(self, found: Prediction) -> Prediction:
        """What the loaded checkpoint predicts.

        Raises:
            SettingsError: zero terminal SNR with epsilon.
        """
        said = self._settings.prediction
        prediction = found if said == "auto" else cast(Prediction, said)
        if self._settings.zero_terminal_snr and prediction == "epsilon":
            raise SettingsError(
                "training.zero_terminal_snr: found an epsilon checkpoint, expected v-prediction:"
                " pure noise tells an epsilon network nothing; switch it off, or set"
                " training.prediction to v_prediction if the checkpoint is one"
            )
        return prediction

    def _declared(self, info: CheckpointInfo) -> CheckpointInfo:
        if self._is_another:
            return info
        said = self._settings
        words = [f"training.prediction={said.prediction}"] if said.prediction != "auto" else []
        words += ["training.zero_terminal_snr"] if said.zero_terminal_snr else []
        prediction = self._prediction(info.prediction)
        changed = prediction != info.prediction or said.zero_terminal_snr
        description = f"{info.description or info.family}; by the settings {' and '.join(words)}"
        return replace(
            info,
            prediction=prediction,
            description=description,
            declared=", ".join(words) if changed else "",
        )

    def _asked(self, request: ImageRequest) -> ImageRequest:
        if self._is_another:
            return request
        found = self.inner.checkpoint.prediction
        prediction = self._prediction(found)
        return replace(
            request,
            prediction=prediction if prediction != found else None,
            zero_terminal_snr=self._settings.zero_terminal_snr,
        )
