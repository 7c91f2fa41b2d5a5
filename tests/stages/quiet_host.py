"""A host that neither draws nor trains: what captions need of one."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

from PIL import Image

from lib_singlelora.host import (
    AskedPreset,
    CheckpointInfo,
    Control,
    Host,
    HostPaths,
    HostTagger,
    Upscaler,
)
from lib_singlelora.settings.schema import Settings
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace

COLOURS = {"full_body": "red", "face": "blue", "legs": "lime"}
VIEWS = {
    "full_body": ["full body"],
    "face": ["close-up", "face focus"],
    "legs": ["lower body", "head out of frame"],
}


@dataclass
class QuietHost:
    """paths, checkpoint: as a host has them.  own: its taggers."""

    paths: HostPaths = field(default_factory=HostPaths)
    checkpoint: CheckpointInfo = field(
        default_factory=lambda: CheckpointInfo("none", Path("none.safetensors"))
    )
    own: tuple[HostTagger, ...] = ()
    name: str = "quiet"
    title: str = "Quiet"
    checkpoint_problem: None = None

    @property
    def asked_preset(self) -> AskedPreset:
        return AskedPreset(self.checkpoint.preset, self.checkpoint.name)

    def upscalers(self) -> tuple[Upscaler, ...]:
        return ()

    def controls(self) -> tuple[Control, ...]:
        return ()

    def taggers(self) -> tuple[HostTagger, ...]:
        return self.own


def quiet_host(folder: Path, taggers: tuple[Path, ...] = ()) -> Host:
    """A host whose downloads go below the folder, with these taggers."""
    return cast(Host, QuietHost(HostPaths(taggers=taggers, downloads=folder / "downloads")))


def cropped(root: Path, settings: Settings) -> Workspace:
    """A workspace with three crops, each of one colour, as 'crop' leaves them."""
    workspace = Workspace(root)
    workspace.save_settings(settings)
    folder = workspace.image_folder(settings)
    folder.mkdir(parents=True)
    for name, colour in COLOURS.items():
        Image.new("RGB", (48, 64), colour).save(folder / f"{name}.png")
    views = {name: {"box": [0, 0, 48, 64], "tags": tags} for name, tags in VIEWS.items()}
    workspace.save_record(StageRecord("crop", "x", True, {}, {"views": views}))
    return workspace
