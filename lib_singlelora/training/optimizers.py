"""Optimizers by name, each from its own library."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import logging
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from typing import Any

import torch

from ..errors import SettingsError, TrainingError
from ..settings_training import TrainingSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Source:
    """Where an optimizer comes from.  pip: the package; options: what we set beyond the library's defaults.

    own_rate: the optimizer finds the rate itself, so ours are factors of it and all groups must share one.
    """

    module: str
    name: str
    pip: str
    options: dict[str, Any] = field(default_factory=dict)
    own_rate: bool = False


# transformers' Adafactor with a rate of ours; with its own relative step the schedule would mean nothing.
FIXED_RATE = {"scale_parameter": False, "relative_step": False, "warmup_init": False}
# With a warm-up, Prodigy's estimate is thrown off by the first steps otherwise (its README).
CAREFUL = {"use_bias_correction": True, "safeguard_warmup": True}
FUSED = "2.4"  # PyTorch that has AdamW in one call on a CPU: hundreds of small tensors one by one took a tenth of a small step
SOURCES = {
    "AdamW": Source("torch.optim", "AdamW", "torch"),
    "AdamW8bit": Source("bitsandbytes.optim", "AdamW8bit", "bitsandbytes"),
    "Lion": Source("lion_pytorch", "Lion", "lion-pytorch"),
    "Prodigy": Source("prodigyopt", "Prodigy", "prodigyopt", CAREFUL, own_rate=True),
    "DAdaptAdam": Source("dadaptation", "DAdaptAdam", "dadaptation", {"decouple": True}, own_rate=True),
    "Adafactor": Source("transformers.optimization", "Adafactor", "transformers", FIXED_RATE),
    "AdamWScheduleFree": Source("schedulefree", "AdamWScheduleFree", "schedulefree"),
}


@dataclass(frozen=True)
class Optimizer:
    """A torch optimizer; said: what the user should know about the choice, or nothing."""

    torch: torch.optim.Optimizer
    path: str
    said: str = ""

    def load(self, state: dict[str, Any]) -> None:
        """From a snapshot, which may come from a PyTorch that steps in another way."""
        ways = [group.get("fused") for group in self.torch.param_groups]
        self.torch.load_state_dict(state)
        for group, fused in zip(self.torch.param_groups, ways, strict=True):
            if "fused" in group:
                group["fused"] = fused

    def training(self) -> None:
        """Put the weights where gradients are taken (schedule-free keeps two points)."""
        if hasattr(self.torch, "train"):
            self.torch.train()

    def evaluating(self) -> None:
        """Put the weights where they are used and saved."""
        if hasattr(self.torch, "eval"):
            self.torch.eval()


def parse_arguments(text: str) -> dict[str, Any]:
    """`d_coef=2; betas=(0.9, 0.99)` to a dictionary.  Raises: SettingsError."""
    found = {}
    for piece in filter(None, (part.strip() for part in text.split(";"))):
        name, equals, value = piece.partition("=")
        try:
            found[name.strip()] = ast.literal_eval(value.strip())
        except (ValueError, SyntaxError):
            equals = ""
        if not equals or not name.strip().isidentifier():
            raise SettingsError(f"training.optimizer_args: found {piece!r}, expected NAME=VALUE with ; between, such as "
                                "d_coef=2; betas=(0.9, 0.99)")
    return found


def build_optimizer(settings: TrainingSettings, groups: Sequence[dict[str, Any]], device: str) -> Optimizer:
    """The optimizer that the settings name, over groups with `params` and `lr`.

    Raises: TrainingError, when its library is missing or takes no such argument.
    """
    name, said = settings.optimizer, ""
    if name == "AdamW8bit" and not _has_8bit(device):
        name, said = "AdamW", "AdamW8bit needs bitsandbytes and a CUDA GPU; AdamW is used instead: the same result, more memory"
        log.warning(said)
    source = SOURCES[name]
    try:
        kind = getattr(importlib.import_module(source.module), source.name)
    except ImportError as error:
        raise TrainingError(f"training.optimizer={name}: found no {error.name or source.module}, expected its package; "
                            f"install it with pip install {source.pip}, or choose AdamW") from error
    given = {"weight_decay": settings.weight_decay, **source.options, **parse_arguments(settings.optimizer_args)}
    if name == "AdamW" and device == "cpu" and torch.__version__ >= FUSED:
        given = {"fused": True, **given}
    try:
        with redirect_stdout(StringIO()):  # two of them print
            made = kind(list(groups), lr=float(groups[0]["lr"]), **given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TrainingError(f"training.optimizer={name}: {error}; see training.optimizer_args and the rates") from error
    return Optimizer(made, f"{kind.__module__}.{kind.__qualname__}", said)


def _has_8bit(device: str) -> bool:
    return device.startswith("cuda") and importlib.util.find_spec("bitsandbytes") is not None
