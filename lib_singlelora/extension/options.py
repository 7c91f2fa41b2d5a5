"""Our entries on the WebUI's settings page."""

from __future__ import annotations

from pathlib import Path

from modules import paths_internal, shared

SECTION = ("singlelora", "Single LoRA")


def add_options() -> None:
    """Declare the entries; called by the WebUI when it builds its settings page."""
    options = {
        "singlelora_workspaces": shared.OptionInfo("", "Folder of the workspaces").info(
            "empty: 'singlelora' in the WebUI's output folder"
        ),
        "singlelora_upscaler": shared.OptionInfo("", "Upscaler for the picture").info(
            "one of the WebUI's upscalers; empty: one whose model is there, else Lanczos"
        ),
    }
    for name, option in options.items():
        option.section = SECTION
        shared.opts.add_option(name, option)


def workspace_root() -> Path:
    """The folder of the workspaces, as the settings page has it now."""
    chosen = str(shared.opts.data.get("singlelora_workspaces", "")).strip()
    if chosen:
        return Path(chosen).expanduser()
    return Path(paths_internal.default_output_dir) / "singlelora"
