"""A workspace with a prepared photograph, its crops, captions and two epochs of random weights."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from PIL import Image
from torch import nn

from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.workspace.workspace import Workspace

if TYPE_CHECKING:  # without diffusers the tests that need no host are collected and run
    from lib_singlelora.hosts.standalone.host import StandaloneHost

PHOTOGRAPH = Path(__file__).parents[1] / "data" / "astronaut.png"
SMALL = {
    "character.trigger": "eileen",
    "character.class_token": "woman",
    "prepare.mask": "none",
    "prepare.long_side": 256,
    "regularization.count": 0,
    "training.resolution": 64,
    "training.epochs": 2,
    "training.repeats": 2,
    "training.rank": 2,
    "training.alpha": 2,
    "caption.tagger": "none",
    "inpaint.steps": 2,
    "inpaint.count": 1,
    "plot.steps": 1,
    "plot.strengths": "1",
    "plot.sampler": "Euler",
    "plot.presets": "ALL",
    "judge.probes": 0,
    "judge.race": False,
}


def small(**values: object) -> Settings:
    return Settings.from_dict(
        {**SMALL, **{key.replace("__", "."): value for key, value in values.items()}}
    )


@pytest.fixture(scope="session")
def _finished(tmp_path_factory: pytest.TempPathFactory, standalone_host: StandaloneHost) -> Path:
    workspace = Workspace(tmp_path_factory.mktemp("finished") / "eileen")
    small_picture = workspace.root.parent / "small.png"
    with Image.open(PHOTOGRAPH) as image:
        image.resize((192, 192)).save(small_picture)
    workspace.save_settings(small(), standalone_host.checkpoint.path)
    for stage in ("prepare", "crop", "caption"):
        run_stage(
            stage,
            StageContext(small(), workspace, standalone_host),
            small_picture if stage == "prepare" else None,
        )
    with standalone_host.open_for_training() as model:
        for seed, name in ((1, "eileen-000001"), (2, "eileen")):
            network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, seed)
            for _, branch in network.items():
                nn.init.normal_(branch.up, std=0.3, generator=torch.Generator().manual_seed(seed))
            write_lora(
                workspace.models / f"{name}.safetensors", network.kohya_tensors(), {}, "fp32"
            )
    return workspace.root


@pytest.fixture
def eileen(_finished: Path, tmp_path: Path) -> Workspace:
    """A copy of it for one test, in a folder called eileen."""
    shutil.copytree(_finished, tmp_path / "eileen")
    return Workspace(tmp_path / "eileen")
