"""ControlNet's units for our own pictures, where the extension sd-webui-controlnet is installed.

Units are given as dictionaries, as its HTTP interface takes them, which all its versions read; of
its Python interface, `external_code`, only the lists of models and preprocessors are asked.
Source: Mikubill/sd-webui-controlnet, internal_controlnet/external_code.py; older versions have the
same in scripts/external_code.py.
"""

from __future__ import annotations

import base64
import copy
import sys
from collections.abc import Sequence
from typing import Any

from modules import scripts
from PIL import Image

from ...errors import SettingsError
from ...host import Control, ControlUnit
from ...imaging.png import png_bytes

TITLE = "controlnet"
# The preprocessors, best first
REFERENCE = ("reference_only", "reference_adain+attn", "reference_adain")
INPAINT = ("inpaint_only", "inpaint_global_harmonious", "inpaint")


def controls() -> tuple[Control, ...]:
    """What the installed extension can do now; () without one."""
    if _script() is None:
        return ()
    found: list[Control] = []
    if _first(INPAINT, _listed("get_modules")) and _inpainting_model():
        found.append("inpaint")
    if _first(REFERENCE, _listed("get_modules")):
        found.append("reference")
    return tuple(found)


def add_units(p: Any, units: Sequence[ControlUnit]) -> None:
    """Have ControlNet, and no other extension, take part in a picture of the WebUI's.

    p: its processing object.
    Raises: SettingsError, for more units than the extension has places, or one it cannot do.
    """
    if not units:
        return
    script = _script()
    able = controls()
    lacking = [unit.kind for unit in units if unit.kind not in able]
    if script is None or lacking:
        raise SettingsError(
            f"inpaint.controlnet: found {', '.join(lacking) or 'units'}, expected some of"
            f" {', '.join(able) or 'nothing, as the extension is not installed'}"
        )
    places = script.args_to - script.args_from
    if len(units) > places:
        raise SettingsError(
            f"inpaint.controlnet: found {len(units)} units, expected at most {places}; raise"
            " ControlNet's number of units in the WebUI's settings"
        )
    # Other extensions, such as one that redraws faces, would change what is compared.
    runner = copy.copy(scripts.scripts_img2img)
    runner.scripts = [script]
    runner.alwayson_scripts = [script]
    runner.selectable_scripts = []
    runner.callback_map = {}
    arguments: list[Any] = [None] * script.args_to
    arguments[0] = 0  # no selectable script
    arguments[script.args_from : script.args_to] = [
        *map(_plain, units),
        *({"enabled": False} for _ in range(places - len(units))),
    ]
    p.scripts = runner
    p.script_args = arguments


def _script() -> Any:
    """The extension's script on the tab img2img; None where it is not installed."""
    runner = getattr(scripts, "scripts_img2img", None)
    always = runner.alwayson_scripts if runner is not None else ()
    return next((script for script in always if script.title().lower() == TITLE), None)


def _listed(function: str) -> list[str]:
    """What a function of `external_code` lists, under whichever name the extension imported it."""
    for name, module in list(sys.modules.items()):
        if name.rpartition(".")[2] == "external_code" and hasattr(module, "get_models"):
            return [str(item) for item in getattr(module, function)()]
    return []


def _first(wanted: Sequence[str], listed: Sequence[str]) -> str:
    """The first that is listed, or ''."""
    return next((name for name in wanted if name in listed), "")


def _inpainting_model() -> str:
    """A model for inpainting, as the extension calls it, or ''."""
    return next((name for name in _listed("get_models") if "inpaint" in name.lower()), "")


def _plain(unit: ControlUnit) -> dict[str, Any]:
    """The unit as a dictionary."""
    modules = _listed("get_modules")
    values: dict[str, Any] = {
        "enabled": True,
        "weight": unit.weight,
        "resize_mode": "Crop and Resize",
        "pixel_perfect": True,
        "save_detected_map": False,
    }
    if unit.kind == "inpaint":
        # Without a picture of its own it takes the one that is redrawn, with its mask.
        return {**values, "module": _first(INPAINT, modules), "model": _inpainting_model()}
    values |= {"module": _first(REFERENCE, modules), "model": "None"}
    return {**values, "image": _base64(unit.image)} if unit.image is not None else values


def _base64(image: Image.Image) -> str:
    return base64.b64encode(png_bytes(image.convert("RGB"))).decode("ascii")
