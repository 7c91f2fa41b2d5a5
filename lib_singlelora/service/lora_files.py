"""LoRA files, for the page and the HTTP API: what a sheet costs, block presets, derived files."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import LoraFileError, SettingsError
from ..naming.blocks import BASE, SD1
from ..settings.schema import Settings, declaration
from ..workspace.workspace import Workspace
from .service import Service

if TYPE_CHECKING:
    from ..library.derive import DerivedLora


@cache
def _scratch() -> Path:
    """A folder for pictures that belong to no workspace; it is deleted when the program ends."""
    folder = tempfile.mkdtemp(prefix="singlelora-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


class LoraFilesService:
    """Requests on LoRA files; imports are late for the reason that `service.py` gives."""

    def __init__(self, service: Service) -> None:
        self.service = service

    def plan(self, name: str) -> dict[str, Any]:
        """An estimate of `plot`: pictures, missing, expected_seconds and, in words, plan.

        Raises: as the stage does before it draws.
        """
        from ..stages.context import StageContext
        from ..stages.pipeline import plan_plot

        settings, workspace = self._opened(name)
        return plan_plot(StageContext(settings, workspace, self.service.host))

    def files(self, name: str) -> dict[str, Path]:
        """The epochs and the files derived from them, by the names that prompts use.

        Empty for an unknown workspace.
        """
        from ..library.derive import named_files
        from ..library.epochs import epoch_files

        if name not in self.service.names():
            return {}
        settings, workspace = self._opened(name)
        return named_files(settings, workspace, epoch_files(workspace, settings))

    def presets_picture(self, name: str = "", lora: str = "") -> Path:
        """A picture of every block preset as bars, the user's own included.

        In a workspace with a LoRA it also shows in which blocks that LoRA has weights.

        Raises: WorkspaceError, LoraFileError, PresetError.
        """
        from ..files.fileio import write_bytes
        from ..imaging.png import png_bytes
        from ..library.block_presets import known_presets
        from ..lora.files import read_lora
        from ..lora.summary import summarize
        from ..naming.block_weights import names_for, parse_block_weights
        from ..sheets.block_bars import draw_presets

        settings, workspace = self._opened(name) if name else (Settings(), None)
        file = read_lora(self._file(name, lora)) if self.files(name) else None
        layout = file.layout if file else SD1
        known = known_presets(settings, self.service.host)
        weights = {
            preset: parse_block_weights(preset, layout, known)
            for preset in names_for(layout, known)
        }
        folder = workspace.plots if workspace else _scratch()
        picture = png_bytes(draw_presets(weights, summarize(file).norms if file else None))
        with workspace.adding() if workspace else contextlib.nullcontext():
            write_bytes(folder / "presets.png", picture)
        return folder / "presets.png"

    def blocks(self, name: str) -> dict[str, Any]:
        """Block weights as bars: labels, presets, those of the training, and the last LoRA's norms.

        held: the blocks with attention layers, which a plain LoRA trains.
        Raises: WorkspaceError, PresetError, LoraFileError.
        """
        from ..library.block_presets import known_presets
        from ..lora.files import read_lora
        from ..lora.summary import summarize
        from ..naming.block_weights import fits_layout, parse_block_weights

        settings, _ = self._opened(name)
        own = read_lora(self._file(name, "")) if self.files(name) else None
        layout = own.layout if own else SD1
        known = known_presets(settings, self.service.host)
        labels = [BASE, *layout.labels]
        now = parse_block_weights(settings.training.block_weights, layout, known)
        norms = summarize(own).norms if own else None
        return {
            "labels": labels,
            "held": [BASE, *layout.attention_labels],
            "now": list(now.as_dict().values()),
            "presets": {
                preset: list(parse_block_weights(preset, layout, known).as_dict().values())
                for preset, text in known.items()
                if fits_layout(text, layout)
            },
            "norms": [round(norms.get(label, 0.0), 5) for label in labels] if norms else None,
        }

    def summary(self, name: str, lora: str = "") -> dict[str, Any]:
        """The summary of a LoRA; `picture` is a file of the workspace with the norms of its blocks.

        Raises: WorkspaceError, LoraFileError.
        """
        from ..files.fileio import write_bytes
        from ..imaging.png import png_bytes
        from ..lora.files import read_lora
        from ..lora.summary import summarize
        from ..sheets.block_bars import describe_file, draw_summary

        own = read_lora(self._file(name, lora))
        workspace = self.service.workspace(name)
        told = summarize(own)
        picture = workspace.plots / "summary.png"
        with workspace.adding():
            write_bytes(picture, png_bytes(draw_summary(told, own.layout)))
        return {
            "description": describe_file(told),
            **told.as_dict(),
            "picture": picture.relative_to(workspace.root).as_posix(),
        }

    def bake(self, name: str, lora: str, preset: str, strength: float) -> dict[str, Any]:
        """Derive a file with block weights and a strength multiplied in.

        Raises: LoraFileError, PresetError, CheckpointError.
        """
        from ..library.derive import bake_file

        declaration("inpaint.strength").check(strength)
        return self._as_dict(
            name,
            bake_file(
                *self._opened(name), self.service.host, self._file(name, lora), preset, strength
            ),
        )

    def merge(
        self, name: str, loras: Sequence[str], method: str = "average", decay: float = 0.7
    ) -> dict[str, Any]:
        """Derive one file from several, in the order of the epochs.

        Raises: LoraFileError, SettingsError.
        """
        from ..library.derive import merge_files
        from ..lora.merge import METHODS

        if method not in METHODS:
            raise SettingsError(f"method: found {method!r}, expected one of {', '.join(METHODS)}")
        if len(set(loras)) < len(loras):
            raise SettingsError("loras: found one of them twice, expected each once")
        known = list(self.files(name))
        paths = [
            self._file(name, lora)
            for lora in sorted(loras, key=lambda lora: known.index(lora) if lora in known else -1)
        ]
        return self._as_dict(
            name, merge_files(*self._opened(name), self.service.host, paths, method, decay)
        )

    def resize(self, name: str, lora: str, rank: int) -> dict[str, Any]:
        """Derive a file of smaller rank.  Raises: LoraFileError."""
        from ..library.derive import resize_file

        return self._as_dict(
            name, resize_file(*self._opened(name), self.service.host, self._file(name, lora), rank)
        )

    def accept(self, name: str, picture: Path) -> str:
        """Keep a picture from anywhere with a note of what made it; where it lies now, relative.

        Raises: PictureError.
        """
        from ..stages.accept import accept

        settings, workspace = self._opened(name)
        kept = accept(settings, workspace, [picture])[0]
        return kept.picture.relative_to(workspace.root).as_posix()

    def _as_dict(self, name: str, derived: DerivedLora) -> dict[str, Any]:
        """A derived file as plain values."""
        root = self.service.workspace(name).root
        return {**asdict(derived), "file": derived.file.relative_to(root).as_posix()}

    def _file(self, name: str, lora: str) -> Path:
        """A LoRA of the workspace by its name; '' is the recommended one, else the last."""
        from ..library.choose import choose_lora

        known = self.files(name)
        if lora and lora not in known:
            raise LoraFileError(
                f"{lora}: found no such LoRA in {name}, expected one of"
                f" {', '.join(known) or 'none yet'}"
            )
        return known[lora] if lora else choose_lora(*self._opened(name))

    def _opened(self, name: str) -> tuple[Settings, Workspace]:
        workspace = self.service.workspace(name)
        return workspace.load_settings(), workspace
