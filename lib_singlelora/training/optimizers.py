"""Optimizers by name, each from its own library, with the library's own values for all that is not
set.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
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


# PyTorch that has AdamW in one call on a CPU: hundreds of small tensors one by one took a tenth of
# a small step.
FUSED = "2.4"


@dataclass(frozen=True)
class Optimizer:
    """A torch optimizer; said: what the user should know about the choice, or nothing."""

    torch: torch.optim.Optimizer
    path: str
    said: str = ""

    def load(self, state: dict[str, Any]) -> None:
        """From a snapshot, which may come from a PyTorch that steps in another way."""
        ways = [group.get("fused") for group in self.torch.param_groups]
        with redirect_stdout(StringIO()):
            self.torch.load_state_dict(state)
        self._keep_dtypes(state)
        for group, fused in zip(self.torch.param_groups, ways, strict=True):
            if "fused" in group:
                group["fused"] = fused

    def _keep_dtypes(self, state: dict[str, Any]) -> None:
        """Numbers as they were saved: PyTorch gives them the weights' dtype, and a resume would not
        be exact.

        (ProdigyPlusScheduleFree sums in bf16 what it estimates the rate from.)
        """
        order = [index for group in state["param_groups"] for index in group["params"]]
        weights = [weight for group in self.torch.param_groups for weight in group["params"]]
        for index, weight in zip(order, weights, strict=True):
            own = self.torch.state[weight] if index in state["state"] else {}
            for key, saved in state["state"].get(index, {}).items():
                if (
                    isinstance(saved, Tensor)
                    and isinstance(own.get(key), Tensor)
                    and own[key].dtype != saved.dtype
                ):
                    own[key] = saved.detach().to(own[key].device, copy=True)

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
    """The optimizer that the settings name, over groups with `params` and `lr`.

    Raises: TrainingError, when its library is missing or takes no such argument.
    """
    name, said = settings.optimizer, ""
    if name == "AdamW8bit" and not _has_8bit(device):
        name, said = (
            "AdamW",
            (
                "AdamW8bit needs bitsandbytes and a CUDA GPU; AdamW is used instead: the same"
                " result, more memory"
            ),
        )
        log.warning(said)
    source = SOURCES[name]
    kind = _kind(name, source)
    given = {**source.options, **parse_arguments(settings.optimizer_args)}
    if settings.weight_decay >= 0:
        given = {"weight_decay": settings.weight_decay, **given}
        if name == "Muon":  # it has another name for it where AdamW steps in its stead
            given = {"adamw_wd": settings.weight_decay, **given}
    if name == "AdamW" and device == "cpu" and torch.__version__ >= FUSED:
        given = {"fused": True, **given}
    rate: float | None = float(groups[0]["lr"])
    if name == "Adafactor" and given.get("relative_step", True):
        rate = None  # the library takes no other; the groups' own are not looked at then
    own = _SPLIT.get(name, list)([dict(group) for group in groups])
    try:
        with redirect_stdout(StringIO()):  # three of them print
            made = kind(own, lr=rate, **given)
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        why = str(error) or "it refuses the learning rate or an argument"
        raise TrainingError(
            f"training.optimizer={name}: {why}; see training.optimizer_args and the rates"
        ) from error
    return Optimizer(made, f"{kind.__module__}.{kind.__qualname__}", said)


def _kind(name: str, source: Source) -> Callable[..., torch.optim.Optimizer]:
    """The optimizer's class.  Raises: TrainingError, saying what to install."""
    try:
        kind: Callable[..., torch.optim.Optimizer] = getattr(
            importlib.import_module(source.module), source.name
        )
    except (ImportError, AttributeError) as error:
        missing = getattr(error, "name", None) or source.module
        raise TrainingError(
            f"training.optimizer={name}: found no {missing}, expected its package; "
            f"install it with pip install {source.pip}, or choose AdamW"
        ) from error
    return kind


def is_matrix(weight: Tensor) -> bool:
    """Whether a weight, its dimensions behind the first laid out as one, has several rows and
    columns.

    A DoRA's magnitude or a scalar has not: nothing about it can be made orthogonal.
    """
    return weight.dim() > 1 and min(weight.shape[0], weight[0].numel()) > 1


def _for_muon(groups: Groups) -> Groups:
    """Each group in two: matrices, and what AdamW trains in their stead at the same rate."""
    found = []
    for group in groups:
        for muon in (True, False):
            chosen = [weight for weight in group["params"] if is_matrix(weight) == muon]
            if chosen:
                found.append({**group, "params": chosen, "use_muon": muon})
    return found


_SPLIT: dict[str, Callable[[Groups], Groups]] = {"Muon": _for_muon}


def _has_8bit(device: str) -> bool:
    return device.startswith("cuda") and importlib.util.find_spec("bitsandbytes") is not None
