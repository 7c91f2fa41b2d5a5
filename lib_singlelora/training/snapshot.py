"""A training's state between two steps, on disk as one file that appears whole or not at all.

Everything random in a step is drawn from generators seeded with the run's seed and the step's or
sample's own number, so weights, optimizer and step are the whole state: no generator has to be
saved, and a resume is exact.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..errors import SnapshotError
from ..files.fileio import write_bytes
from ..files.weights import read_pickle

log = logging.getLogger(__name__)
FORMAT = 3


@dataclass(frozen=True)
class Snapshot:
    """All that a training needs to go on.

    fingerprint: of settings, pictures and checkpoint.
    step: optimizer steps done.
    epoch: the epoch that the next step belongs to, 0-based.
    position: steps done in that epoch.
    seconds: spent so far.
    network, optimizer, scaler: their state.
    losses: of the epoch so far.
    ema: the average's state; empty without one.
    validated: the latest validation figures; empty without a validation.
    apt: state of APT's weights; empty without them.
    """

    fingerprint: str
    step: int
    epoch: int
    position: int
    seconds: float
    network: dict[str, Tensor]
    optimizer: dict[str, Any]
    losses: list[float]
    scaler: dict[str, Any]
    ema: dict[str, Any] = field(default_factory=dict)
    validated: dict[str, float] = field(default_factory=dict)
    apt: dict[str, Any] = field(default_factory=dict)


def save_snapshot(path: Path, snapshot: Snapshot) -> None:
    """Write a snapshot atomically."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **vars(snapshot)}, buffer)
    write_bytes(path, buffer.getvalue())


def _check(snapshot: Snapshot) -> None:
    """Check the kinds of values: the file may come from anyone.

    Raises: TypeError, for values that this trainer does not save.
    """
    counts = (snapshot.step, snapshot.epoch, snapshot.position)
    fits = (
        isinstance(snapshot.fingerprint, str)
        and all(type(count) is int and count >= 0 for count in counts)
        and isinstance(snapshot.seconds, int | float)
        and isinstance(snapshot.losses, list)
        and all(isinstance(loss, int | float) for loss in snapshot.losses)
        and isinstance(snapshot.network, dict)
        and isinstance(snapshot.optimizer, dict)
        and isinstance(snapshot.scaler, dict)
        and isinstance(snapshot.ema, dict)
        and isinstance(snapshot.apt, dict)
        and isinstance(snapshot.validated, dict)
        and all(
            isinstance(key, str) and isinstance(value, float)
            for key, value in snapshot.validated.items()
        )
    )
    if not fits:
        raise TypeError("found values that this trainer does not save")


def load_snapshot(path: Path, fingerprint: str) -> Snapshot | None:
    """The snapshot of this very training; None if there is none, or only another training's.

    Raises: SnapshotError, when the file is broken.
    """
    if not path.exists():
        return None
    try:
        values = read_pickle(path)
        if values.pop("format") != FORMAT:
            log.warning(
                "%s was written by another version of the program; training starts anew", path
            )
            return None
        snapshot = Snapshot(**values)
        _check(snapshot)
    except Exception as error:  # torch raises half a dozen types for a broken file
        raise SnapshotError(
            f"{path}: the snapshot is broken ({type(error).__name__}); delete it or call with"
            " --force to train from the start"
        ) from error
    if snapshot.fingerprint != fingerprint:
        log.info("%s belongs to other settings; training starts anew", path)
        return None
    return snapshot
