"""Axes for the WebUI's own X/Y/Z plot: which epoch, how strong, which blocks."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from modules import paths, scripts

from ..errors import SingleLoraError
from ..files.fileio import fingerprint
from ..hosts.webui.lora_folder import LoraFolder, lora_folder, register
from ..naming.block_preset_files import gather_presets
from ..naming.block_weights import parse_block_weights

LABELS = ("[Single LoRA] Epoch", "[Single LoRA] Strength", "[Single LoRA] Block preset")
BAKED = ".baked"  # beside the epochs' folders; the WebUI's own scan passes over hidden folders
NO_EFFECT = (
    f"{LABELS[1]} and {LABELS[2]} had no effect: the prompt has no LoRA of ours; add one, or an"
    " Epoch axis"
)
_TAG = re.compile(r"<lora:([^:>]+)((?::[^:>]*)*)>")


def add_axes(library: LoraFolder) -> None:
    """Put the axes into the X/Y/Z script that is loaded now; once, however often it is called."""
    for data in scripts.scripts_data:
        if data.script_class.__module__ != "xyz_grid.py":
            continue
        module: Any = data.module
        if any(option.label == LABELS[0] for option in module.axis_options):
            return
        axes = Axes(library)
        option = module.AxisOption
        module.axis_options.extend(
            [
                option(
                    LABELS[0],
                    str,
                    axes.epoch,
                    format_value=_plain,
                    confirm=axes.confirm_epochs,
                    choices=axes.epochs,
                    cost=0.5,
                ),
                option(LABELS[1], float, axes.strength),
                option(
                    LABELS[2],
                    str,
                    axes.preset,
                    format_value=_plain,
                    confirm=axes.confirm_presets,
                    choices=_presets,
                    cost=0.5,
                ),
            ]
        )


def _plain(p: Any, option: Any, value: Any) -> str:
    return str(value)


def _known() -> dict[str, str]:
    """The presets by name, with the user's own where LBW is installed."""
    return gather_presets([Path(paths.extensions_dir)])


def _presets() -> list[str]:
    return list(_known())


class Axes:
    """What the axes do to one cell: they rewrite the LoRA's tag in its prompt.

    The order in which the script applies them does not matter: each remembers its value on the cell
    and the tag is written from all of them.
    """

    def __init__(self, library: LoraFolder) -> None:
        self._library = library

    def epochs(self) -> list[str]:
        """Every epoch on disk, of every workspace."""
        return list(self._library.published())

    def confirm_epochs(self, p: Any, values: list[str]) -> None:
        """Raises: RuntimeError, for a name that is not there (that is what the script shows)."""
        known = self._library.published()
        for value in values:
            if value not in known:
                raise RuntimeError(
                    f"{LABELS[0]}: found no {value!r} in the Lora folder, expected one of "
                    f"{', '.join(known) or 'none'}"
                )

    def confirm_presets(self, p: Any, values: list[str]) -> None:
        """Raises: RuntimeError, for block weights that cannot be read."""
        from ..naming.blocks import SD1

        for value in values:
            try:
                parse_block_weights(value, SD1, _known())
            except SingleLoraError as error:
                raise RuntimeError(f"{LABELS[2]}: {error}") from error

    def epoch(self, p: Any, value: str, values: list[str]) -> None:
        """X, Y or Z value: the epoch's file name."""
        self._set(p, name=value)

    def strength(self, p: Any, value: float, values: list[float]) -> None:
        """X, Y or Z value: the strength of text encoder and U-Net."""
        self._set(p, strength=value)

    def preset(self, p: Any, value: str, values: list[str]) -> None:
        """X, Y or Z value: a preset's name or block weights."""
        self._set(p, preset=value)

    def _set(self, p: Any, **values: object) -> None:
        cell: dict[str, Any] = dict(getattr(p, "singlelora_cell", None) or self._found(p.prompt))
        cell.update(values)
        p.singlelora_cell = cell
        if not cell.get("name"):
            # The Epoch axis may come after this one; when it does not, the user must not wonder why
            # nothing changes.
            p.comment(NO_EFFECT)
            return
        p.comments.pop(NO_EFFECT, None)
        name = self._baked(cell["name"], cell["preset"]) if "preset" in cell else cell["name"]
        tag = (
            f"<lora:{name}:{cell['strength']:g}>"
            if "strength" in cell
            else f"<lora:{name}{cell['rest']}>"
        )
        p.prompt = p.prompt.replace(cell["tag"], tag) if cell["tag"] else f"{p.prompt} {tag}"
        cell["tag"] = tag

    def _found(self, prompt: str) -> dict[str, Any]:
        """The first tag of ours in the prompt: its text, the LoRA's name, and its strengths as
        written.
        """
        known = self._library.published()
        tag = next((tag for tag in _TAG.finditer(prompt) if tag[1] in known), None)
        return {"tag": tag[0], "name": tag[1], "rest": tag[2]} if tag else {"tag": "", "rest": ":1"}

    def _baked(self, name: str, preset: str) -> str:
        """Name of a copy of the file with the block weights multiplied in; ALL is the file itself."""
        import networks

        from ..lora.bake import bake
        from ..lora.files import read_lora, save_lora

        if preset == "ALL":
            return name
        path = self._library.published()[name]
        lora = read_lora(path)
        weights = parse_block_weights(preset, lora.layout, _known())
        mark = fingerprint(str(weights), path.stat().st_mtime_ns)[:8]
        target = lora_folder() / "singlelora" / BAKED / f"{name}-{mark}.safetensors"
        if not target.exists():
            save_lora(target, bake(lora, weights, 1.0))
        if target.stem not in networks.available_networks:
            register(target.stem, target)
        return target.stem
