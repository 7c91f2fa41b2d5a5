"""Which files a setting that comes by HTTP may name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..errors import SettingsError
from ..service.service import Service
from ..settings.schema import declaration


def check_settings(service: Service, values: Mapping[str, Any], workspace: Path) -> None:
    """Refuse settings that name files outside the workspaces and the host's own folders.

    On the page and the command line, at the machine itself, any file may be named; a program that
    asks by HTTP may be anywhere.

    workspace: its folder, from which some settings' relative paths start.
    Raises: SettingsError, also for unknown names and values of a wrong type.
    """
    if not isinstance(values, Mapping):
        raise SettingsError(
            f"settings: found a {type(values).__name__}, expected an object of dotted names and"
            " values"
        )
    paths = service.host.paths
    folders = (paths.loras, paths.downloads, *paths.taggers, *paths.wildcards)
    roots = [folder.resolve() for folder in (service.root, *folders) if folder]
    for setting, given in values.items():
        declared = declaration(setting)
        # Refuses paths on other machines by their text, before anything looks there
        checked = declared.check(given)
        if not declared.path:
            continue
        base = workspace if declared.path == "workspace" else Path()
        for text in (checked,) if isinstance(checked, str) else checked:
            # Some readers strip the text.
            if not all(_inside(path, base, roots) for path in {text, text.strip()}):
                raise SettingsError(
                    f"{setting}: found {text!r}, which lies outside the workspaces and the host's"
                    " folders, expected one inside, as HTTP reaches no further; set it on the page"
                    " or the command line"
                )


def _inside(text: str, base: Path, roots: list[Path]) -> bool:
    """True for a bare name that is no file, and for a path in one of the folders."""
    path = Path(text).expanduser()
    try:
        place = (base / path).resolve()
        if path.name == text and not place.exists():
            return True
    # Too long, or a circle of links: no readable file
    except (OSError, RuntimeError, ValueError):
        return False
    return not text or any(place.is_relative_to(root) for root in roots)
