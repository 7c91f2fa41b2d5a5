"""A training in a process of its own, killed after some seconds: python -m tests.training.dying_run
FOLDER SECONDS (0: never).
"""

from __future__ import annotations

import os
import random
import signal
import sys
import threading
from pathlib import Path

from lib_singlelora.jobs import Job
from lib_singlelora.lora.branches import shape_of
from lib_singlelora.lora.files import write_lora
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.settings.schema import Settings
from lib_singlelora.training.epoch_plan import Picture
from lib_singlelora.training.trainer import Trainer, TrainerState
from tests.training.tiny_model import TinyModel

VALUES = {
    "rank": 3,
    "alpha": 3,
    "epochs": 60,
    "unet_lr": 1e-2,
    "text_encoder_lr": 0,
    "rank_dropout": 0.2,
    "scheduler": "cosine",
    "noise_offset": 0.1,
    "gradient_accumulation": 2,
    "save_precision": "fp32",
}


def main(folder: Path, seconds: float) -> None:
    settings = Settings.from_dict(
        {f"training.{name}": value for name, value in VALUES.items()}
    ).training
    pictures = [
        Picture(path, f"isabella, girl, {path.stem}", (64, 64), 3, index == 0)
        for index, path in enumerate(sorted((folder.parent / "pictures").glob("*.png")))
    ]
    model = TinyModel()
    network = LoraNetwork(
        model.targets(), model.layout, shape_of(settings), {}, False, settings.seed
    )

    def save(epoch: int, trained: LoraNetwork, state: TrainerState) -> Path:
        path = folder / f"{epoch}.safetensors"
        write_lora(path, trained.kohya_tensors(), {}, "fp32")
        return path

    trainer = Trainer(model, network, pictures, settings, folder / "state.pt", "same", save)
    if seconds:
        moment = random.Random(seconds).uniform(0, seconds)
        threading.Timer(moment, lambda: os.kill(os.getpid(), signal.SIGKILL)).start()
    trainer.resume()
    print(trainer.state.step, flush=True)
    trainer.run(Job("train"))
    os._exit(0)  # past the timer


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
