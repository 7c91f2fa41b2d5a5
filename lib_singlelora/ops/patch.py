"""Attributes of modules replaced for a while: how this room changes a host's networks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


@contextmanager
def patched(patches: Iterable[tuple[nn.Module, str, Any]]) -> Iterator[None]:
    """While inside, each module has the value as an instance attribute of that name.

    patches: (module, attribute, value), drawn one by one, so that a value may wrap what the module
        has by then.
    Afterwards, after an error too, an earlier instance attribute is put back, and where there was
    none the class's shows again: hosts and other extensions patch classes and instances as well.
    """
    # All of them in one generator: with a context manager each, Python 3.10 lengthens an error's
    # traceback by two entries for every module that it passes on its way out.
    earlier: list[tuple[nn.Module, str, bool, Any]] = []
    try:
        for module, name, value in patches:
            attributes = vars(module)
            earlier.append((module, name, name in attributes, attributes.get(name)))
            attributes[name] = value
        yield
    finally:
        # The last first, so that a module that was patched twice gets its very own back
        for module, name, existed, value in reversed(earlier):
            if existed:
                vars(module)[name] = value
            else:
                vars(module).pop(name, None)
