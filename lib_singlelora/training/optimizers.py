"""Optimizers by name, each from its own library, with the library's defaults."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import logging
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import cache
from io import StringIO
from typing import Any

import torch
from torch import Tensor

from ..errors import TrainingError
from ..settings.optimizer_arguments import parse_arguments
from ..settings.optimizer_table import SOURCES, Source
from ..settings.training import TrainingSettings

log = logging.getLogger(__name__)
Groups = list[dict[str, Any]]


# From this PyTorch on, AdamW is one call on a CPU: hundreds of small tensors one by one took a
# tenth of a small step.
FUSED_ON_CPU_SINCE = "2.4"


@dataclass(frozen=True)
class Optimizer:
    """A torch optimizer.

    path: dotted name of its class, for the metadata.
    warning: what the user should know about the choice, or "".
    """

    torch: torch.optim.Optimizer
    path: str
    warning: str = ""

    def load(self, state: dict[str, Any]) -> None:
        """Continue from a snapshot's state, perhaps of a PyTorch that has no fused step."""
        fused_flags = [group.get("fused") for group in self.torch.param_groups]
        with redirect_stdout(StringIO()):
            self.torch.load_state_dict(state)
        self._restore_dtypes(state)
        for group, fused in zip(self.torch.param_groups, fused_flags, strict=True):
            if "fused" in group:
                group["fused"] = fused
            if fused:  # a step that is not fused counts on the CPU
                for weight in group["params"]:
                    count = self.torch.state[weight].get("step")
                    if isinstance(count, Tensor):
                        self.torch.state[weight]["step"] = count.to(weight.device)

    def _restore_dtypes(self, state: dict[str, Any]) -> None:
        """Give the state the dtypes it was saved with, so that a resume is exact.

        PyTorch loads it in the weights' dtype; ProdigyPlusScheduleFree keeps sums in bf16.
        """
        order = [index for group in state["param_groups"] for index in group["params"]]
        weights = [weight for group in self.torch.param_groups for weight in group["params"]]
        for index, weight in zip(order, weights, strict=True):
            loaded = self.torch.state[weight] if index in state["state"] else {}
            for key, saved in state["state"].get(index, {}).items():
                if (
                    isinstance(saved, Tensor)
                    and isinstance(loaded.get(key), Tensor)
                    and loaded[key].dtype != saved.dtype
                ):
                    loaded[key] = saved.detach().to(loaded[key].device, copy=True)

    def training(self) -> None:
        """Put the weights where gradients are taken (schedule-free keeps two points)."""
        if hasattr(self.torch, "train"):
            self.torch.train()

    def evaluating(self) -> None:
        """Put the weights where they are used and saved."""
        if hasattr(self.torch, "eval"):
            self.torch.eval()


def build_optimizer(
    settings: TrainingSettings, groups: Sequence[dict[str, Any]], device: str
) -> Optimizer:
    """The optimizer that the settings name.

    groups: dicts with `params` and `lr`.
    device: the parameters', such as cpu or cuda.

    Raises: TrainingError, when its library is missing or takes no such argument.
    """
    name = settings.optimizer
    warning = ""
    if name == "AdamW8bit" and not _has_8bit(device):
        name = "AdamW"
        warning = (
            "AdamW8bit needs bitsandbytes and a CUDA GPU; AdamW is used instead: the same result,"
            " more memory"
        )
        log.warning(warning)
    source = SOURCES[name]
    optimizer_class = _optimizer_class(name, source)
    path = f"{optimizer_class.__module__}.{optimizer_class.__qualname__}"
    if optimizer_class is torch.optim.AdamW:
        optimizer_class = uncompiled(torch.optim.AdamW)
    arguments = {**source.options, **parse_arguments(settings.optimizer_args)}
    if settings.weight_decay >= 0:
        arguments = {"weight_decay": settings.weight_decay, **arguments}
        if name == "Muon":  # its name for that of the weights which AdamW trains in its stead
            arguments = {"adamw_wd": settings.weight_decay, **arguments}
    if name == "AdamW" and _has_fused_step(device):
        arguments = {"fused": True, **arguments}
    rate: float | None = float(groups[0]["lr"])
    if name == "Adafactor" and arguments.get("relative_step", True):
        rate = None  # the library refuses any other, and ignores the groups' own
    own_groups = _SPLIT_GROUPS.get(name, list)([dict(group) for group in groups])
    try:
        with redirect_stdout(StringIO()):  # three of the libraries print
            optimizer = optimizer_class(own_groups, lr=rate, **arguments)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        reason = str(error) or "it refuses the learning rate or an argument"
        raise TrainingError(
            f"training.optimizer={name}: {reason}; see training.optimizer_args and the rates"
        ) from error
    return Optimizer(optimizer, path, warning)


# What asks PyTorch's compiler to leave it alone, and imports it for that: a second of a start
_MARKED = ("add_param_group", "zero_grad", "state_dict", "load_state_dict")


@cache
def uncompiled(optimizer_class: type[torch.optim.Optimizer]) -> type[torch.optim.Optimizer]:
    """An optimizer of PyTorch that computes the same and never imports torch._dynamo.

    For those whose `step` bears no decorator but PyTorch's own, such as AdamW.
    """
    step = inspect.unwrap(optimizer_class.step)

    def plain_step(self: torch.optim.Optimizer, closure: Callable[[], float] | None = None) -> Any:
        with torch.set_grad_enabled(bool(self.defaults.get("differentiable"))):
            return step(self, closure)

    methods = {name: inspect.unwrap(getattr(optimizer_class, name)) for name in _MARKED}
    return type(optimizer_class.__name__, (optimizer_class,), {**methods, "step": plain_step})


def _has_fused_step(device: str) -> bool:
    """True where AdamW is one call: in every CUDA build, and on newer CPUs' PyTorch."""
    kind = torch.device(device).type
    return kind == "cuda" or (kind == "cpu" and torch.__version__ >= FUSED_ON_CPU_SINCE)


def _optimizer_class(name: str, source: Source) -> Callable[..., torch.optim.Optimizer]:
    """The optimizer's class.

    Raises: TrainingError, saying what to install.
    """
    try:
        optimizer_class: Callable[..., torch.optim.Optimizer] = getattr(
            importlib.import_module(source.module), source.name
        )
    except (ImportError, AttributeError) as error:
        missing = getattr(error, "name", None) or source.module
        raise TrainingError(
            f"training.optimizer={name}: found no {missing}, expected its package; "
            f"install it with pip install {source.pip}, or choose AdamW"
        ) from error
    return optimizer_class


def is_matrix(weight: Tensor) -> bool:
    """True if a weight, flattened behind its first dimension, has several rows and columns.

    A DoRA's magnitude or a scalar has not: Muon can make nothing of it orthogonal.
    """
    return weight.dim() > 1 and min(weight.shape[0], weight[0].numel()) > 1


def _split_for_muon(groups: Groups) -> Groups:
    """Each group in two: matrices, and the rest, which AdamW trains at the same rate."""
    halves = []
    for group in groups:
        for muon in (True, False):
            weights = [weight for weight in group["params"] if is_matrix(weight) == muon]
            if weights:
                halves.append({**group, "params": weights, "use_muon": muon})
    return halves


_SPLIT_GROUPS: dict[str, Callable[[Groups], Groups]] = {"Muon": _split_for_muon}


def _has_8bit(device: str) -> bool:
    return device.startswith("cuda") and importlib.util.find_spec("bitsandbytes") is not None
