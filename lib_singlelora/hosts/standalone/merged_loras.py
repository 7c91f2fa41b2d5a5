"""LoRA files merged into the networks' weights, and taken out again bit for bit."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import LoraFileError, LoraKeyError
from ...host import LoraUse
from ...lora.files import read_lora
from ...lora.functional import bias_change, module_change
from ...naming.blocks import is_text
from .bundled_embeddings import vectors_of


class MergedLoras:
    """What is merged now, and the weights as they were."""

    def __init__(self, targets: Iterable[tuple[str, nn.Module]]) -> None:
        self._modules = dict(targets)
        self._backup: dict[tuple[str, str], Tensor] = {}  # (module, weight or bias) -> as it was
        self._current: tuple[tuple[LoraUse, int], ...] = ()
        self.embeddings: dict[str, Tensor] = {}
        """Vectors of the textual inversions that the files bring, by name; see
        `bundled_embeddings`.
        """

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
            for (name, kind), tensor in self._backup.items():
                self._parameter(name, kind).copy_(tensor)
        self._backup.clear()
        self.embeddings.clear()
        self._current = ()

    def _parameter(self, name: str, kind: str) -> Tensor:
        found = getattr(self._modules[name], kind, None)
        if not isinstance(found, Tensor):
            raise LoraFileError(
                f"found a change of its {kind}, expected none, for this checkpoint's has no {kind};"
                " was it trained for another base model?"
            )
        return found

    def _add(self, name: str, kind: str, change: Tensor) -> None:
        parameter = self._parameter(name, kind)
        if change.numel() != parameter.numel():
            raise LoraFileError(
                f"found a change of shape {tuple(change.shape)}, expected {tuple(parameter.shape)};"
                " was it trained for another base model?"
            )
        self._backup.setdefault((name, kind), parameter.detach().clone())
        parameter.copy_(parameter.float() + change.reshape(parameter.shape).to(parameter.device))

    @torch.no_grad()
    def _merge(self, use: LoraUse) -> None:
        lora = read_lora(use.path)
        unknown = [name for name in lora.modules if name not in self._modules]
        if unknown:
            raise LoraKeyError(
                f"{use.path.name}: {len(unknown)} of {len(lora.modules)} modules are not in this"
                f" checkpoint (first: {unknown[0]!r}). Was it trained for another base model?"
            )
        self.embeddings.update(vectors_of(use.path.name, lora.embeddings))
        for name, parts in lora.modules.items():
            strength = use.text_encoder if is_text(name) else use.unet
            if not strength:
                continue
            try:
                self._add(
                    name, "weight", strength * module_change(parts, self._parameter(name, "weight"))
                )
                if (bias := bias_change(parts)) is not None:
                    self._add(name, "bias", strength * bias)
            except (LoraFileError, RuntimeError) as error:
                raise LoraKeyError(f"{use.path.name}: {name}: {error}") from None


def _changed(path: Path) -> int:
    return path.stat().st_mtime_ns if path.exists() else 0
