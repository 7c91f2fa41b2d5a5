"""The LoRAs that are judged: known characters, trained too little, enough and far too much."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path

from lib_singlelora.host import Host
from lib_singlelora.jobs import Job
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.workspace.workspace import Workspace

ROOT = Path(__file__).parents[3]
OVERFIT: dict[str, object] = {
    "training.repeats": 100,
    "training.epochs": 3,
    "training.regularization": "none",
    "training.scheduler": "constant",
}
SHORT: dict[str, object] = {"training.epochs": 6}


@dataclass(frozen=True)
class Run:
    """One training.  epochs: those of its files that are judged."""

    character: str
    condition: str
    values: dict[str, object] = field(default_factory=dict)
    epochs: tuple[int, ...] = (1, 2, 4, 6)

    @property
    def picture(self) -> Path:
        """What is trained on."""
        return (
            ROOT
            / "examples"
            / ("isabella.png" if self.character == "isabella" else f"heldout/{self.character}.png")
        )

    def settings(self) -> Settings:
        """Those of the embedded preset, with few regularization pictures, and what the condition
        changes.
        """
        return Settings.from_dict(
            {
                "character.trigger": self.character,
                "character.class_token": "girl",
                "training.preset": "embedded",
                "prepare.long_side": 1152,
                "regularization.count": 20,
                **self.values,
            }
        )


RUNS = (
    *(Run(name, "usual", SHORT) for name in ("isabella", "wren")),
    *(Run(name, "overfit", OVERFIT, (1, 3)) for name in ("isabella", "wren")),
    *(Run(name, "usual", SHORT) for name in ("pearl", "mika", "luna", "morgan")),
    Run(
        "isabella",
        "small",
        {**SHORT, "training.rank": 4, "training.alpha": 4.0, "training.unet_lr": 1e-3},
    ),
    Run("pearl", "gentle", {**SHORT, "training.unet_lr": 5e-4}, (2, 4, 6)),
)


def train(run: Run, host: Host, folder: Path, job: Job) -> tuple[Workspace, Settings]:
    """The run's workspace, trained; what is there already is not done again."""
    workspace = Workspace(folder / f"{run.character}-{run.condition}")
    settings = run.settings()
    shared = folder / "regularization"
    # The same pictures for all: drawn once
    if shared.exists() and not workspace.record("regularize").complete:
        shutil.copytree(shared / "reg", workspace.root / "reg", dirs_exist_ok=True)
        (workspace.root / "log").mkdir(parents=True, exist_ok=True)
        shutil.copy(shared / "regularize.json", workspace.root / "log" / "regularize.json")
    for stage in ("prepare", "crop", "caption", "regularize", "train"):
        run_stage(
            stage,
            StageContext(settings, workspace, host, job),
            run.picture if stage == "prepare" else None,
        )
    if not shared.exists() and (workspace.root / "reg").exists():
        shutil.copytree(workspace.root / "reg", shared / "reg")
        shutil.copy(workspace.root / "log" / "regularize.json", shared / "regularize.json")
    return workspace, settings
