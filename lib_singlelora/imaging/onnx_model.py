"""ONNX models that the user points at, on the best device that opens them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ..errors import ImageModelError, MissingPackageError

log = logging.getLogger(__name__)

PROVIDERS = (
    "CUDAExecutionProvider",
    "ROCMExecutionProvider",
    "DmlExecutionProvider",
    "CoreMLExecutionProvider",
    "CPUExecutionProvider",
)


def open_model(path: Path, what: str, setting: str) -> Any:
    """An inference session.  what, setting: the model in words and the setting that names it, for
    errors.

    Raises: ImageModelError, for a file that is missing or broken; MissingPackageError, without
    onnxruntime.
    """
    if not path.is_file():
        raise ImageModelError(
            f"{path}: found {'a folder' if path.is_dir() else 'no such file'}, expected {what}"
            f" (.onnx); check {setting}"
        )
    try:
        import onnxruntime
    except ImportError:
        raise MissingPackageError(
            f"{what} needs the package onnxruntime; install it with python -m pip install"
            f" onnxruntime, or set no {setting}"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    there = [name for name in PROVIDERS if name in onnxruntime.get_available_providers()]

    def attempt(names: list[str]) -> Any:
        return onnxruntime.InferenceSession(str(path), options, providers=names)

    try:
        return attempt(there)
    except Exception as error:
        if there == there[-1:]:
            raise _no_model(path, error) from error
        log.warning(
            "%s: the GPU cannot be used (%s); it goes on on the CPU", path.name, first_line(error)
        )
    try:
        return attempt(there[-1:])
    except Exception as error:
        raise _no_model(path, error) from error


def _no_model(path: Path, error: Exception) -> ImageModelError:
    return ImageModelError(
        f"{path.name}: found no ONNX model that can be opened ({first_line(error)}), expected one;"
        " get the file again"
    )


def first_line(error: Exception) -> str:
    """An error's message, cut for one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
