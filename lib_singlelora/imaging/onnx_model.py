"""ONNX models of the user's, on the best device that opens them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from ..errors import ImageModelError, MissingPackageError

log = logging.getLogger(__name__)

# Best first.  TensorRT is left out, because it compiles for minutes.
PROVIDERS = (
    "CUDAExecutionProvider",
    "ROCMExecutionProvider",
    "DmlExecutionProvider",
    "CoreMLExecutionProvider",
    "CPUExecutionProvider",
)


def open_model(path: Path, what: str, setting: str) -> Any:
    """An inference session.

    what: the model in words, for errors.
    setting: that names its file, for errors.
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
            f" onnxruntime, or leave {setting} empty"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    available = [name for name in PROVIDERS if name in onnxruntime.get_available_providers()]

    def attempt(names: list[str]) -> Any:
        return onnxruntime.InferenceSession(str(path), options, providers=names)

    try:
        return attempt(available)
    except Exception as error:
        if len(available) <= 1:
            raise _no_model(path, error) from error
        log.warning(
            "%s: the GPU cannot be used (%s); continuing on the CPU", path.name, first_line(error)
        )
    try:
        return attempt(available[-1:])
    except Exception as error:
        raise _no_model(path, error) from error


def _no_model(path: Path, error: Exception) -> ImageModelError:
    return ImageModelError(
        f"{path.name}: found no ONNX model that can be opened ({first_line(error)}), expected one;"
        " get the file again"
    )


def first_line(error: Exception) -> str:
    """The first line of an error's message, or its type's name; at most 160 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
