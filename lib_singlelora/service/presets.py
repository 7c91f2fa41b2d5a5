"""The training presets with their reasons, as a page lists them."""

from __future__ import annotations

from typing import Any

from ..errors import SettingsError
from ..settings.preset_files import preset_names, read_preset


def training_presets() -> list[dict[str, Any]]:
    """Each preset's name, what it is for, and its values by dotted names, each with its reason.

    One of the user's own that cannot be read has no values.
    """
    listed: list[dict[str, Any]] = []
    for name in preset_names():
        try:
            preset = read_preset(name)
        except SettingsError as error:
            listed.append({"name": name, "about": str(error), "values": []})
            continue
        values = [
            {
                "setting": f"{section}.{key}",
                "value": value,
                "why": preset.why.get(f"{section}.{key}", ""),
            }
            for section, settings in preset.values.items()
            if isinstance(settings, dict)
            for key, value in settings.items()
        ]
        listed.append({"name": name, "about": preset.about, "values": values})
    return listed
