"""Optuna, which is an optional package."""

from __future__ import annotations

import importlib
import warnings
from types import ModuleType

from ..errors import MissingPackageError

OLDEST = 5  # its storages and their heartbeat callback


def load_optuna() -> ModuleType:
    """The package, quiet.  Raises: MissingPackageError, naming what to install."""
    try:
        optuna = importlib.import_module("optuna")
    except ImportError as error:
        raise MissingPackageError(
            f"found no {error.name}, expected optuna, which sweeps and batches need; install it"
            " with pip install 'single-image-lora[sweep]'"
        ) from error
    version = str(optuna.__version__)
    if int(version.split(".")[0]) < OLDEST:
        raise MissingPackageError(
            f"found optuna {version}, expected {OLDEST} or newer; install it with pip install"
            " 'single-image-lora[sweep]'"
        )
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # Heartbeats and a few samplers' options are "experimental" by their own words
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
