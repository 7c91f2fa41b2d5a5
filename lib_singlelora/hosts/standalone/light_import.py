"""Importing diffusers in a third of its time: without what its U-Net and VAE never call.

Plainly imported, these two bring every other model's code, PyTorch's compiler, peft and accelerate
with them: 2,500 modules. `import_diffusers_lightly` is for a process that is the program's own.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

logger = logging.getLogger(__name__)

# Packages whose `__init__` imports every model; what is needed of them names its own file
WHOLE_PACKAGES = (
    "diffusers.models.transformers",
    "diffusers.models.unets",
    "diffusers.models.autoencoders",
    "diffusers.hooks",
)
# What diffusers uses where it is there, to share weights out or to add a LoRA of its own
OPTIONAL = ("peft", "accelerate", "transformers")
COMPILER = "torch._dynamo"
NEEDED = (
    "diffusers.models.unets.unet_2d_condition",
    "diffusers.models.autoencoders.autoencoder_kl",
)


def import_diffusers_lightly() -> None:
    """Import diffusers' U-Net and VAE without the rest, if nothing of diffusers is there yet.

    Afterwards nothing stays in place of what was left out: importing it works as ever, but what
    diffusers noted of its absence stays with its U-Net and VAE.  Where another version of diffusers
    is made otherwise, it is imported as usual when it is needed.
    """
    if "diffusers" in sys.modules or importlib.util.find_spec("diffusers") is None:
        return
    try:
        with (
            _absent(OPTIONAL),
            _compiler_unused(),
            _packages_not_listed(),
            _bare_packages(WHOLE_PACKAGES),
        ):
            for name in NEEDED:
                importlib.import_module(name)
    except (ImportError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        logger.info("diffusers is imported whole: %s", error)
        for name in [name for name in sys.modules if name.partition(".")[0] == "diffusers"]:
            del sys.modules[name]


@contextmanager
def _absent(names: Sequence[str]) -> Iterator[None]:
    """While inside, packages that were not imported yet seem not to be installed."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        for name in hidden:
            sys.modules.pop(name, None)


class _UnusedCompiler(ModuleType):
    """torch._dynamo for decorators: what they mark is compiled by nobody, so nothing is marked.

    Any other name brings the real one.
    """

    def disable(self, function: Any = None, *_: Any, **__: Any) -> Any:
        return _same if function is None else function

    def allow_in_graph(self, function: Any) -> Any:
        return function

    def assume_constant_result(self, function: Any) -> Any:
        return function

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if sys.modules.get(COMPILER) is self:
            del sys.modules[COMPILER]
        return getattr(importlib.import_module(COMPILER), name)


def _same(function: Callable[..., Any]) -> Callable[..., Any]:
    return function


@contextmanager
def _compiler_unused() -> Iterator[None]:
    """While inside, PyTorch's compiler is not imported by those that only decorate with it."""
    if COMPILER in sys.modules or not (spec := importlib.util.find_spec(COMPILER)):
        yield
        return
    stand_in = _UnusedCompiler(COMPILER)
    stand_in.__spec__ = spec
    stand_in.__path__ = list(spec.submodule_search_locations or ())
    sys.modules[COMPILER] = stand_in
    try:
        yield
    finally:
        if sys.modules.get(COMPILER) is stand_in:
            del sys.modules[COMPILER]


@contextmanager
def _packages_not_listed() -> Iterator[None]:
    """While inside, diffusers does not read what every installed package brings.

    It asks for that once, a quarter of a second, to find a package's other name; afterwards it asks
    when it wants to know.
    """
    list_all = importlib.metadata.packages_distributions
    importlib.metadata.packages_distributions = dict
    try:
        yield
    finally:
        importlib.metadata.packages_distributions = list_all
        noted = sys.modules.get("diffusers.utils.import_utils")
        if noted is not None and getattr(noted, "_package_map", None) == {}:
            noted._package_map = None  # type: ignore[attr-defined]


@contextmanager
def _bare_packages(names: Sequence[str]) -> Iterator[None]:
    """While inside, packages give their files without running their own `__init__`.

    Afterwards importing one runs it, with the files that are there already.
    """
    bare: dict[str, ModuleType] = {}
    for name in names:
        # Finding it imports the package above
        spec = importlib.util.find_spec(name)
        if spec is None or name in sys.modules:
            continue
        package = ModuleType(name)
        package.__spec__ = spec
        package.__path__ = list(spec.submodule_search_locations or ())
        bare[name] = sys.modules[name] = package
    try:
        yield
    finally:
        for name, package in bare.items():
            if sys.modules.get(name) is package:
                del sys.modules[name]
