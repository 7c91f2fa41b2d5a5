"""LoRA files merged into the networks' weights, and taken out again bit for bit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import LoraFileError, LoraKeyError
from ...host import LoraUse
from ...lora.files import read_lora
from ...lora.functional import module_change
from ...naming.blocks import is_text


class AppliedLoras:
    """What is merged now, and the weights as they were."""

    def __init__(self, targets: Iterable[tuple[str, nn.Module]]) -> None:
        self._modules = dict(targets)
        self._backup: dict[str, Tensor] = {}
        self._current: tuple[tuple[LoraUse, int], ...] = ()

    def apply(self, uses: Iterable[LoraUse]) -> None:
        """Make exactly these LoRAs effective; nothing is done when they already are.

        Raises: LoraFileError, LoraKeyError; the weights are then as without any LoRA.
        """
        uses = tuple(uses)
        wanted = tuple((use, _changed(use.path)) for use in uses)
        if wanted == self._current:
            return
        self.remove()
        try:
            for use in uses:
                self._merge(use)
        except BaseException:
            self.remove()
            raise
        self._current = wanted

    def remove(self) -> None:
        """Give every weight its old values back."""
        with torch.no_grad():
            for name, weight in self._backup.items():
                self._weight(name).copy_(weight)
        self._backup.clear()
        self._current = ()

    def _weight(self, name: str) -> Tensor:
        weight = self._modules[name].weight
        assert isinstance(weight, Tensor)
        return weight

    @torch.no_grad()
    def _merge(self, use: LoraUse) -> None:
        lora = read_lora(use.path)
        unknown = [name for name in lora.modules if name not in self._modules]
        if unknown:
            raise LoraKeyError(f"{use.path.name}: {len(unknown)} of {len(lora.modules)} modules are not in this checkpoint "
                               f"(first: {unknown[0]!r}). Was it trained for another base model?")
        for name, parts in lora.modules.items():
            strength = use.text_encoder if is_text(name) else use.unet
            if not strength:
                continue
            weight = self._weight(name)
            try:
                delta = module_change(parts, weight)
            except (LoraFileError, RuntimeError) as error:
                raise LoraKeyError(f"{use.path.name}: {name}: {error}") from None
            if name not in self._backup:
                self._backup[name] = weight.detach().clone()
            weight.copy_(weight.float() + strength * delta)


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0
