"""Our entries on the WebUI's settings page."""

from __future__ import annotations

from pathlib import Path

from modules import paths_internal, shared

SECTION = ("singlelora", "Single LoRA")


def add_options() -> None:
    """Declare the entries; called by the WebUI when it builds its settings page."""
    entries = {
        "singlelora_workspaces": (
            shared.OptionInfo("", "Folder of the workspaces").info(
                "empty: 'singlelora' in the WebUI's output folder"
            )
        ),
        "singlelora_upscaler": (
            shared.OptionInfo("", "Upscaler for the picture").info(
                "one of the WebUI's upscalers; empty: one whose model is there, else Lanczos"
            )
        ),
    }
    for name, entry in entries.items():
        entry.section = SECTION
        shared.opts.add_option(name, entry)


def workspace_root() -> Path:
    """Where the workspaces lie now."""
    chosen = str(shared.opts.data.get("singlelora_workspaces", "")).strip()
    return (
        Path(chosen).expanduser()
        if chosen
        else Path(paths_internal.default_output_dir) / "singlelora"
    )
