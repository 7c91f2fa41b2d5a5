"""LoRA files merged into the networks' weights, and taken out again bit for bit."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor, nn

from ...errors import LoraFileError, LoraKeyError
from ...families.family import Family
from ...families.registry import family_of
from ...families.sd1 import SD1
from ...files.fileio import file_state
from ...host import LoraUse
from ...lora.dialects import config_of
from ...lora.files import LoraFile, read_lora
from ...lora.functional import bias_change, module_change
from ...naming.blocks import is_text
from .bundled_embeddings import Vectors, vectors_of

# Of all files that are kept read, for a sheet asks for the same few again; a larger one is not kept
KEPT_BYTES = 128 * 2**20

State = tuple[tuple[int, ...], ...]


class MergedLoras:
    """The LoRAs that are merged now, and the weights as they were.

    modules: (canonical name, module) of all that a file may change.
    family: of the checkpoint.
    """

    def __init__(self, modules: Iterable[tuple[str, nn.Module]], family: Family = SD1) -> None:
        self._modules = dict(modules)
        self._family = family
        self._backup: dict[tuple[str, str], Tensor] = {}  # (module, weight or bias) -> as it was
        self._merged: tuple[tuple[LoraUse, State], ...] = ()
        # (file, its state) -> what it says, the latest used last
        self._files: dict[tuple[Path, State], LoraFile] = {}
        self.embeddings: dict[str, Vectors] = {}
        """Vectors of the files' textual inversions by name; see `bundled_embeddings`."""

    def apply(self, uses: Iterable[LoraUse]) -> None:
        """Merge exactly these LoRAs; nothing is done when they already are.

        Raises:
            LoraFileError, LoraKeyError: a file cannot be used; then no LoRA is merged.
        """
        uses = tuple(uses)
        wanted = tuple((use, _state(use.path)) for use in uses)
        if wanted == self._merged:
            return
        self.remove()
        try:
            for use in uses:
                self._merge(use)
        except BaseException:
            self.remove()
            raise
        self._merged = wanted

    def remove(self) -> None:
        """Give every weight its old values back."""
        with torch.no_grad():
            for (name, kind), tensor in self._backup.items():
                self._parameter(name, kind).copy_(tensor)
        self._backup.clear()
        self.embeddings.clear()
        self._merged = ()

    def unet_values(self) -> dict[tuple[str, str], Tensor]:
        """(module, weight or bias) -> copy of what the merged LoRAs made of it, of the U-Net's."""
        changed = [key for key in self._backup if not is_text(key[0])]
        return {key: self._parameter(*key).detach().clone() for key in changed}

    def reached(self, uses: Iterable[LoraUse]) -> set[str]:
        """The U-Net's modules that LoRAs change, whether they are merged or not.

        Raises: LoraFileError, LoraKeyError: a file cannot be read.
        """
        return {
            name
            for use in uses
            if use.unet
            for name in self._read(use.path).modules
            if not is_text(name)
        }

    @property
    def modules(self) -> Mapping[str, nn.Module]:
        """By canonical name, all that a file may change."""
        return self._modules

    def _parameter(self, name: str, kind: str) -> Tensor:
        """kind: weight or bias."""
        parameter = getattr(self._modules[name], kind, None)
        if not isinstance(parameter, Tensor):
            raise LoraFileError(
                f"found a change of its {kind}, expected none, for this checkpoint's has no {kind};"
                " was it trained for another base model?"
            )
        return parameter

    def _add(self, name: str, kind: str, change: Tensor) -> None:
        parameter = self._parameter(name, kind)
        if change.numel() != parameter.numel():
            raise LoraFileError(
                f"found a change of shape {tuple(change.shape)}, expected {tuple(parameter.shape)};"
                " was it trained for another base model?"
            )
        self._backup.setdefault((name, kind), parameter.detach().clone())
        parameter.copy_(parameter.float() + change.reshape(parameter.shape).to(parameter.device))

    def _read(self, path: Path) -> LoraFile:
        """The file, read anew where it has changed.

        Raises: LoraFileError, LoraKeyError, as `read_lora`.
        """
        key = path, _state(path)
        lora = self._files.pop(key, None)
        if lora is None:
            lora = read_lora(path)
            if _bytes(lora) > KEPT_BYTES:
                return lora
            lora = _apart_from_its_file(lora)
        self._files[key] = lora
        while sum(map(_bytes, self._files.values())) > KEPT_BYTES:
            del self._files[next(iter(self._files))]
        return lora

    @torch.no_grad()
    def _merge(self, use: LoraUse) -> None:
        lora = self._read(use.path)
        unknown = [name for name in lora.modules if name not in self._modules]
        made_for = family_of(lora.layout)
        if unknown and made_for is not self._family:
            raise LoraKeyError(
                f"{use.path.name}: found a LoRA for {made_for}, expected one for {self._family},"
                " which the checkpoint is; was it trained for another base model? Choose another"
                " LoRA, or a checkpoint of its kind"
            )
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
                weight_change = module_change(parts, self._parameter(name, "weight"))
                self._add(name, "weight", strength * weight_change)
                if (change := bias_change(parts)) is not None:
                    self._add(name, "bias", strength * change)
            except torch.cuda.OutOfMemoryError:  # a RuntimeError; of fewer pictures there is room
                raise
            except (LoraFileError, RuntimeError) as error:
                raise LoraKeyError(f"{use.path.name}: {name}: {error}") from None


def _state(path: Path) -> State:
    """What tells a LoRA's file from another one at its place, and its configuration too."""
    found = []
    for file in filter(None, (path, config_of(path))):
        with suppress(OSError):  # where it is gone, whoever reads it says so
            found.append(file_state(file))
    return tuple(found)


def _apart_from_its_file(lora: LoraFile) -> LoraFile:
    """With tensors in memory of their own.

    Those that were read are pages of the file: they would change with it, and Windows lets nobody
    replace or delete a file meanwhile.
    """
    tensors, embeddings = (
        {key: tensor.clone() for key, tensor in found.items()}
        for found in (lora.tensors, lora.embeddings)
    )
    return replace(lora, tensors=tensors, embeddings=embeddings)


def _bytes(lora: LoraFile) -> int:
    return sum(tensor.nbytes for tensor in (*lora.tensors.values(), *lora.embeddings.values()))
