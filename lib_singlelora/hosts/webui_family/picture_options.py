"""The program's options while one of our pictures is drawn."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from modules import shared


@contextmanager
def options_kept(names: Iterable[str]) -> Iterator[None]:
    """Options of these names that have no value have none after the exit either.

    The WebUI puts back what a picture alone had another value of, but only where its config.json
    has one, which it lacks for options that are newer than that file.
    Source: AUTOMATIC1111 1.10.1, modules/processing.py, process_images, `stored_opts`.
    """
    data = shared.opts.data
    without_value = [name for name in names if name not in data]
    try:
        yield
    finally:
        for name in without_value:
            data.pop(name, None)
