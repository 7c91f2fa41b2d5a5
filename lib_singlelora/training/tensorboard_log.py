"""The training's figures as TensorBoard event files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import MissingPackageError


class TensorboardLog:
    """Event files in a folder.

    step: of the snapshot that a training resumes from; later entries of the interrupted run are
        purged.
    Raises: MissingPackageError, without the package tensorboard.
    """

    def __init__(self, folder: Path, step: int = 0) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise MissingPackageError(
                f"training.tensorboard: found no {error.name}, expected tensorboard; install it"
                " with pip install tensorboard, or switch it off: log/events.jsonl holds the same"
                " figures"
            ) from error
        writer: Any = SummaryWriter
        self._writer: Any = writer(str(folder), purge_step=step + 1 if step else None)

    def write(self, group: str, values: Mapping[str, float], step: int) -> None:
        """Write scalars at a step, as `group/name`."""
        for name, value in values.items():
            self._writer.add_scalar(f"{group}/{name}", value, step)

    def __enter__(self) -> TensorboardLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.close()
