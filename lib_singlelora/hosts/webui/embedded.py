"""The embedded checkpoint among the WebUI's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from modules import sd_models, shared

from ...fileio import atomic, write_text

SOURCE = Path(__file__).parent.parent.parent / "embedded"
FILE, CONFIG = "singlelora.safetensors", "singlelora.yaml"


def add_embedded() -> str:
    """Copy it into the folder of checkpoints, with a config that names our CLIP folder; gives what to do next.

    The WebUI reads a checkpoint's text encoder from the folder that its `.yaml` names, and would ask a network for a name that
    is no folder.  Raises: WorkspaceError, when the folder cannot be written.
    """
    folder = Path(shared.cmd_opts.ckpt_dir or sd_models.model_path)
    config = (SOURCE / CONFIG).read_text(encoding="utf-8")
    named = config.replace("version: clip", f"version: {json.dumps(str((SOURCE / 'clip').resolve()))}")
    with (SOURCE / FILE).open("rb") as source, atomic(folder / FILE) as target:
        shutil.copyfileobj(source, target)
    write_text(folder / CONFIG, named)
    sd_models.list_models()
    return f"{FILE} lies in {folder}. Press the button beside the list of checkpoints at the top of the page, then choose it."
