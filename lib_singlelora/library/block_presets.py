"""The block-weight presets at hand: LBW's, and the user's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from ..host import Host
from ..naming.block_preset_files import gather_presets
from ..naming.block_weights import PRESETS, expand_preset
from ..settings.schema import Settings


def known_presets(settings: Settings, host: Host) -> dict[str, str]:
    """The presets by name: LBW's, then those of the host's folders and of the settings' folders.

    Raises: PresetError.
    """
    folders = [Path(text).expanduser() for text in settings.plot.preset_folders]
    return gather_presets(host.paths.presets, named=folders)


def preset_key(preset: str, presets: Mapping[str, str]) -> str:
    """What identifies block weights in records: the name of LBW's presets, else the values.

    The values, because users may change what stands behind a name of theirs.
    """
    values = expand_preset(preset, presets)
    return preset if values == expand_preset(preset, PRESETS) else values
