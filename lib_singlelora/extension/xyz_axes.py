"""Axes for the WebUI's own X/Y/Z plot: epoch, strength and block preset of a LoRA."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from modules import paths, scripts

from ..errors import SingleLoraError
from ..files.fileio import fingerprint
from ..hosts.webui_family.lora_folder import FOLDER, LoraFolder, lora_folder, register
from ..naming.block_preset_files import gather_presets
from ..naming.block_weights import parse_block_weights
from ..naming.blocks import LAYOUTS

EPOCH = "[Single LoRA] Epoch"
STRENGTH = "[Single LoRA] Strength"
BLOCK_PRESET = "[Single LoRA] Block preset"
BAKED = ".baked"  # beside the epochs' folders; the WebUI's own scan passes over hidden folders
NO_EFFECT = (
    f"{STRENGTH} and {BLOCK_PRESET} had no effect: the prompt has no LoRA of ours; add one, or an"
    " Epoch axis"
)
LORA_TAG = re.compile(r"<lora:(?P<name>[^:>]+)(?P<strengths>(?::[^:>]*)*)>")


def add_axes(library: LoraFolder) -> None:
    """Put the axes into the X/Y/Z script that is loaded now; once, however often it is called."""
    for data in scripts.scripts_data:
        if data.script_class.__module__ == "xyz_grid.py":
            script: Any = data.module
            if not any(option.label == EPOCH for option in script.axis_options):
                script.axis_options.extend(_axis_options(script.AxisOption, Axes(library)))


def _axis_options(option: Any, axes: Axes) -> list[Any]:
    """option: the script's class AxisOption."""
    return [
        option(
            EPOCH,
            str,
            axes.epoch,
            format_value=_value_text,
            confirm=axes.confirm_epochs,
            choices=axes.epochs,
            cost=0.5,
        ),
        option(STRENGTH, float, axes.strength),
        option(
            BLOCK_PRESET,
            str,
            axes.preset,
            format_value=_value_text,
            confirm=axes.confirm_presets,
            choices=_preset_names,
            cost=0.5,
        ),
    ]


def _value_text(p: Any, option: Any, value: Any) -> str:
    """The text beside a row or column; the script's own would put the axis's label before it."""
    return str(value)


def _presets() -> dict[str, str]:
    """Preset name -> block weights, with the user's own where LBW is installed."""
    return gather_presets([Path(paths.extensions_dir)])


def _preset_names() -> list[str]:
    return list(_presets())


class Axes:
    """Apply the axes to one cell: they rewrite the LoRA's tag in its prompt.

    The order in which the script applies them does not matter: each remembers its value on the cell
    and the tag is written from all of them.
    """

    def __init__(self, library: LoraFolder) -> None:
        self._library = library

    def epochs(self) -> list[str]:
        """Every epoch on disk, of every workspace."""
        return list(self._library.published())

    def confirm_epochs(self, p: Any, values: list[str]) -> None:
        """Refuse unknown names.

        Raises:
            RuntimeError: what the script shows to the user.
        """
        known = self._library.published()
        for value in values:
            if value not in known:
                raise RuntimeError(
                    f"{EPOCH}: found no {value!r} in the Lora folder, expected one of "
                    f"{', '.join(known) or 'none'}"
                )

    def confirm_presets(self, p: Any, values: list[str]) -> None:
        """Refuse block weights that cannot be read.

        Raises:
            RuntimeError: what the script shows to the user.
        """
        presets = _presets()
        for value in values:
            errors = []
            for layout in LAYOUTS:  # that of the LoRA is known when a cell is drawn
                try:
                    parse_block_weights(value, layout, presets)
                except SingleLoraError as error:
                    errors.append(error)
            if len(errors) == len(LAYOUTS):
                raise RuntimeError(f"{BLOCK_PRESET}: {errors[0]}") from errors[0]

    def epoch(self, p: Any, value: str, values: list[str]) -> None:
        """Apply an axis value: the epoch's file name."""
        self._set(p, name=value)

    def strength(self, p: Any, value: float, values: list[float]) -> None:
        """Apply an axis value: the strength of text encoder and U-Net."""
        self._set(p, strength=value)

    def preset(self, p: Any, value: str, values: list[str]) -> None:
        """Apply an axis value: a preset's name or block weights."""
        self._set(p, preset=value)

    def _set(self, p: Any, **values: object) -> None:
        """Remember values on the cell `p`, the WebUI's processing object, and rewrite its tag."""
        cell: dict[str, Any] = dict(
            getattr(p, "singlelora_cell", None) or self._cell_of_prompt(p.prompt)
        )
        cell.update(values)
        p.singlelora_cell = cell
        if not cell["name"]:
            # The Epoch axis may come after this one; when it does not, the user must not wonder why
            # nothing changes.
            p.comment(NO_EFFECT)
            return
        p.comments.pop(NO_EFFECT, None)
        name = self._baked(cell["name"], cell["preset"]) if "preset" in cell else cell["name"]
        strengths = f":{cell['strength']:g}" if "strength" in cell else cell["strengths"]
        tag = f"<lora:{name}{strengths}>"
        p.prompt = p.prompt.replace(cell["tag"], tag) if cell["tag"] else f"{p.prompt} {tag}"
        cell["tag"] = tag

    def _cell_of_prompt(self, prompt: str) -> dict[str, str]:
        """The first tag of ours in a prompt: its text, LoRA and strengths as they are written."""
        known = self._library.published()
        for tag in LORA_TAG.finditer(prompt):
            if tag["name"] in known:
                return {"tag": tag[0], "name": tag["name"], "strengths": tag["strengths"]}
        return {"tag": "", "name": "", "strengths": ":1"}

    def _baked(self, name: str, preset: str) -> str:
        """Name of a copy of the file with the block weights multiplied in; ALL is the file itself.

        The copy's name holds a hash of weights and file, so that it is written once.
        """
        import networks

        from ..lora.bake import bake
        from ..lora.files import read_lora, save_lora

        if preset == "ALL":
            return name
        path = self._library.published()[name]
        lora = read_lora(path)
        weights = parse_block_weights(preset, lora.layout, _presets())
        mark = fingerprint(str(weights), path.stat().st_mtime_ns)[:8]
        target = lora_folder() / FOLDER / BAKED / f"{name}-{mark}.safetensors"
        if not target.exists():
            save_lora(target, bake(lora, weights, 1.0))
        if target.stem not in networks.available_networks:
            register(target.stem, target)
        return target.stem
