"""ControlNet's units, with a stand-in for sd-webui-controlnet: its script, and `external_code` with
its way of reading units.

Source: Mikubill/sd-webui-controlnet, internal_controlnet/external_code.py.
"""

from __future__ import annotations

import base64
import io
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from PIL import Image

from lib_singlelora.errors import SettingsError
from lib_singlelora.host import ControlUnit
from tests.hosts.webui.stand_in import StandIn, module

FIELDS = (
    "enabled module model weight image resize_mode processor_res threshold_a threshold_b"
    " guidance_start guidance_end pixel_perfect control_mode save_detected_map"
).split()


class Script:
    """The extension's script on the tab img2img: its arguments 4 to 6 are units."""

    args_from = 4
    args_to = 7

    def title(self) -> str:
        return "ControlNet"


class Runner:
    """modules.scripts.ScriptRunner."""

    def __init__(self, *always: Any) -> None:
        self.scripts = list(always)
        self.alwayson_scripts = list(always)
        self.selectable_scripts: list[Any] = [object()]
        self.callback_map = {"script_process": (9, [])}


def units_in(p: Any) -> list[dict[str, Any]]:
    """What the extension reads: `get_all_units_in_processing`, for units as dictionaries."""
    [script] = p.scripts.alwayson_scripts
    units = p.script_args[script.args_from : script.args_to]
    assert all(isinstance(unit, dict) and set(unit) <= set(FIELDS) for unit in units)
    # An image that is no text has no truth value: the extension asks for one.
    assert all(unit.get("image") is None or isinstance(unit["image"], str) for unit in units)
    return units


@pytest.fixture
def controlnet(webui: StandIn, monkeypatch: pytest.MonkeyPatch) -> Any:
    other = SimpleNamespace(title=lambda: "ADetailer", args_from=1, args_to=4)
    vars(webui.scripts)["scripts_img2img"] = Runner(other, Script())
    code = module(
        "internal_controlnet.external_code",
        get_models=lambda: ["None", "control_v11p_sd15_inpaint [ebff9138]"],
        get_modules=lambda: ["none", "canny", "reference_only", "inpaint_only"],
    )
    monkeypatch.setitem(sys.modules, "internal_controlnet.external_code", code)
    from lib_singlelora.hosts.webui_family import controlnet

    return controlnet


def test_both_units_reach_the_extension_and_no_other_takes_part(
    webui: StandIn, controlnet: Any
) -> None:
    assert controlnet.controls() == ("inpaint", "reference")
    p = SimpleNamespace()
    picture = Image.new("RGB", (40, 30), "red")
    controlnet.add_units(p, [ControlUnit("inpaint"), ControlUnit("reference", 0.6, picture)])
    inpaint, reference, spare = units_in(p)
    assert (inpaint["module"], inpaint["model"]) == (
        "inpaint_only",
        "control_v11p_sd15_inpaint [ebff9138]",
    )
    assert inpaint["enabled"] and "image" not in inpaint
    assert (reference["module"], reference["model"], reference["weight"]) == (
        "reference_only",
        "None",
        0.6,
    )
    sent = Image.open(io.BytesIO(base64.b64decode(reference["image"])))
    assert sent.size == (40, 30)
    assert not spare["enabled"]
    installed = vars(webui.scripts)["scripts_img2img"]
    assert len(installed.alwayson_scripts) == 2 and installed.callback_map


def test_without_the_extension_there_are_no_units(webui: StandIn, controlnet: Any) -> None:
    vars(webui.scripts)["scripts_img2img"] = Runner()
    assert controlnet.controls() == ()
    p = SimpleNamespace()
    controlnet.add_units(p, ())
    assert not vars(p)
    with pytest.raises(SettingsError, match="not installed"):
        controlnet.add_units(p, [ControlUnit("reference")])


def test_without_a_model_for_inpainting_only_the_reference_is_there(
    webui: StandIn, controlnet: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = sys.modules["internal_controlnet.external_code"]
    monkeypatch.setattr(code, "get_models", lambda: ["None", "control_v11p_sd15_canny"])
    assert controlnet.controls() == ("reference",)


def test_more_units_than_places_are_refused(webui: StandIn, controlnet: Any) -> None:
    with pytest.raises(SettingsError, match="at most 3"):
        controlnet.add_units(SimpleNamespace(), [ControlUnit("reference")] * 4)
