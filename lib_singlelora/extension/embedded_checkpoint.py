"""The embedded checkpoint among the WebUI's own."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

from modules import sd_models, shared

from ..embedded.paths import CHECKPOINT, CLIP
from ..files.fileio import atomic, write_text
from ..hosts.webui_family.host import FamilyHost

logger = logging.getLogger(__name__)

CONFIG = CHECKPOINT.with_suffix(".yaml")


def recognize_embedded(host: FamilyHost) -> None:
    """Have the program recognize the checkpoint, before it loads its first.

    Forge and reForge know checkpoints by their widths, and these are no one else's.
    """
    try:
        host.add_family(CONFIG, CLIP)
    except Exception:
        logger.warning(
            "%s will not load the small embedded checkpoint; all others work",
            host.title,
            exc_info=True,
        )


def add_embedded() -> str:
    """Copy it into the WebUI's folder of checkpoints; returns what the user does next.

    The WebUI reads a checkpoint's text encoder from the folder that its `.yaml` names, and would
    download a name that is no folder: the config beside the copy names our CLIP folder.

    Raises:
        WorkspaceError: the folder cannot be written.
    """
    folder = Path(shared.cmd_opts.ckpt_dir or sd_models.model_path)
    config = CONFIG.read_text(encoding="utf-8").replace(
        "version: clip", f"version: {json.dumps(str(CLIP.resolve()))}"
    )
    with CHECKPOINT.open("rb") as source, atomic(folder / CHECKPOINT.name) as target:
        shutil.copyfileobj(source, target)
    write_text(folder / CONFIG.name, config)
    had_none = not sd_models.checkpoints_list
    sd_models.list_models()
    where = f"{CHECKPOINT.name} lies in {folder}. "
    if had_none:
        return f"{where}It is the only checkpoint, so it is used: press Run everything."
    return (
        f"{where}Press the button beside the list of checkpoints at the top of the page, then"
        " choose it."
    )
