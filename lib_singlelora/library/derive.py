"""Files derived from a workspace's LoRAs: block weights baked in, epochs merged, a smaller rank.

Each is handed to the host, so that prompts can use it at once.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..captions.pruning import subject_of
from ..captions.text import join_tags
from ..files.fileio import fingerprint
from ..host import Host, LoraCard
from ..lora.bake import bake
from ..lora.files import LoraFile, read_lora, save_lora
from ..lora.merge import DECAY, FAR, Method, merge
from ..lora.resize import resize
from ..naming.block_weights import parse_block_weights
from ..settings.schema import Settings
from ..workspace.workspace import Workspace
from .bake import checkpoint_weights
from .block_presets import known_presets
from .choose import derived_files, derived_folder
from .epochs import published_name

MOST_LETTERS = 24  # of a preset in a file's name


@dataclass(frozen=True)
class DerivedLora:
    """A new file.

    file: its path.
    name: what prompts call it.
    told: what was done, and how exactly, in a sentence; a key of the HTTP API.
    """

    file: Path
    name: str
    told: str


def bake_file(
    settings: Settings, workspace: Workspace, host: Host, path: Path, preset: str, strength: float
) -> DerivedLora:
    """The file with block weights and a strength multiplied in, to be used at strength 1.

    preset: block weights, by name or written out.
    Raises: LoraFileError, PresetError; CheckpointError, where a DoRA's weights of the checkpoint
        cannot be read.
    """
    known = known_presets(settings, host)
    lora = read_lora(path)
    weights = parse_block_weights(preset, lora.layout, known)
    needed = checkpoint_weights(lora, weights, strength, host.checkpoint.path)
    baked = bake(lora, weights, strength, preset, needed)
    label = preset.strip() if preset.strip() in known else fingerprint(str(weights))[:6]
    blocks = ", ".join(weights.trained()) or "no block"
    return _save(
        settings,
        workspace,
        host,
        baked,
        f"{path.stem}-{label[:MOST_LETTERS]}-{strength:g}",
        f"{preset} at {strength:g} is multiplied in ({blocks}); use it at strength 1",
    )


def merge_files(
    settings: Settings,
    workspace: Workspace,
    host: Host,
    paths: Sequence[Path],
    method: Method = "average",
    decay: float = DECAY,
) -> DerivedLora:
    """Several epochs as one file.

    paths: the oldest first.
    decay: of the moving average, for method "ema" alone.
    Raises: LoraFileError.
    """
    merged = merge([read_lora(path) for path in paths], method, decay)
    far = "; that is far for epochs of one training" if merged.deviation > FAR else ""
    mark = fingerprint([path.name for path in paths], decay if method == "ema" else None)[:6]
    return _save(
        settings,
        workspace,
        host,
        merged.lora,
        f"{workspace.lora_name(settings)}-{method}{len(paths)}-{mark}",
        f"{len(paths)} files are merged; {merged.deviation:.1%} from the mean of what they do{far}",
    )


def resize_file(
    settings: Settings, workspace: Workspace, host: Host, path: Path, rank: int
) -> DerivedLora:
    """The file cut to a smaller rank.  Raises: LoraFileError."""
    resized = resize(read_lora(path), rank)
    return _save(
        settings,
        workspace,
        host,
        resized.lora,
        f"{path.stem}-rank{rank}",
        f"cut to rank {rank}; {resized.error:.1%} of what it does is lost",
    )


def named_files(
    settings: Settings, workspace: Workspace, files: Mapping[int, Path]
) -> dict[str, Path]:
    """The epochs and the files derived from them, by the names that prompts use."""
    paths = (*files.values(), *derived_files(workspace))
    return {published_name(workspace, settings, path): path for path in paths}


def _save(
    settings: Settings, workspace: Workspace, host: Host, lora: LoraFile, name: str, told: str
) -> DerivedLora:
    """Save the file and hand it to the host.  told: what was done, for its card."""
    stem = re.sub(r"[^\w.-]+", "_", name)
    if not stem.startswith(workspace.lora_name(settings)):
        stem = f"{workspace.lora_name(settings)}-{stem}"
    target = derived_folder(workspace) / f"{stem}.safetensors"
    with workspace.adding():
        save_lora(target, lora)
    published = published_name(workspace, settings, target)
    trigger = join_tags(subject_of(settings.character, settings.caption))
    preview = workspace.prepared if workspace.prepared.exists() else None
    text = f"Single-Image LoRA of {settings.character.trigger}: {told}. Trigger: {trigger}"
    host.publish(LoraCard(target, published, workspace.root.name, trigger, text, preview))
    return DerivedLora(target, published, told)
