"""Our entries on the WebUI's settings page."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modules import paths_internal, shared

from ...errors import HostBusyError
from ...jobs import Job
from ...ui import compat

SECTION = ("singlelora", "Single LoRA")
LOCKED = ("sd_model_checkpoint", "sd_vae", "sd_unet", "fp8_storage", "cross_attention_optimization")


def add_options() -> None:
    """Declare the entries; called by the WebUI when it builds its settings page."""
    entries = {
        "singlelora_workspaces": shared.OptionInfo(
            "", "Folder of the workspaces").info("empty: 'singlelora' in the WebUI's output folder"),
        "singlelora_upscaler": shared.OptionInfo(
            "", "Upscaler for the picture").info("one of the WebUI's upscalers; empty: one whose model is there, else Lanczos"),
    }
    for name, entry in entries.items():
        entry.section = SECTION
        shared.opts.add_option(name, entry)


def workspace_root() -> Path:
    """Where the workspaces lie now."""
    chosen = str(shared.opts.data.get("singlelora_workspaces", "")).strip()
    return Path(chosen).expanduser() if chosen else Path(paths_internal.default_output_dir) / "singlelora"


@contextmanager
def locked(job: Job) -> Iterator[None]:
    """Refuse to change what a running job stands on: the checkpoint and how it computes.

    The WebUI sets an option back to its old value when the callback of its change raises; it tells its console why, so the
    page is told here.
    """
    def refuse() -> None:
        why = f"Single LoRA: '{job.title}' is running on this checkpoint; cancel the job or wait until it ends"
        compat.warn(why)
        raise HostBusyError(why)

    before: dict[str, Callable[[], Any]] = {}
    for name in LOCKED:
        info = shared.opts.data_labels.get(name)
        if info is not None:
            before[name] = info.onchange
            info.onchange = refuse
    try:
        yield
    finally:
        for name, callback in before.items():
            shared.opts.data_labels[name].onchange = callback
