"""Which block-weight presets there are: LBW's, and the user's own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..host import Host
from ..naming.block_preset_files import gather_presets
from ..naming.block_weights import PRESETS, expand_preset
from ..settings.schema import Settings


def known_presets(settings: Settings, host: Host) -> dict[str, str]:
    """The presets by name: LBW's, and the user's own from the host's folders and those of the
    settings.  Raises: PresetError.
    """
    return gather_presets(
        host.paths.presets, named=[Path(text).expanduser() for text in settings.plot.preset_folders]
    )


def preset_key(preset: str, presets: Mapping[str, str]) -> str:
    """What tells block weights apart: the name of one of LBW's, and the values of any other, which
    a person may change.
    """
    text = expand_preset(preset, presets)
    return preset if text == expand_preset(preset, PRESETS) else text
