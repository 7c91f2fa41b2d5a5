"""On a GPU whose memory is short each part of a checkpoint comes for its own work."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from lib_singlelora.families.registry import FAMILIES
from lib_singlelora.host import Conditioning, Part
from lib_singlelora.jobs import Job
from lib_singlelora.lora.network import LoraNetwork, LoraShape
from lib_singlelora.settings.schema import Settings
from lib_singlelora.training import memory_fit, trainer
from lib_singlelora.training.epoch_plan import Picture
from lib_singlelora.training.memory_plan import Computer
from tests.training.tiny_model import TinyModel

SDXL = next(family for family in FAMILIES if family.takes_sizes)
SD1 = next(family for family in FAMILIES if not family.checkpointing_below)


class NotedModel(TinyModel):
    """Notes which part is asked for and which is set aside.  events: in their order."""

    def __init__(self) -> None:
        super().__init__()
        self.events: list[str] = []

    def set_aside(self, *parts: Part) -> None:
        self.events += [f"without {part}" for part in parts]

    def encode_images(self, pixels: Tensor) -> Tensor:
        self.events.append("vae")
        return super().encode_images(pixels)

    def encode_prompts(self, prompts: Sequence[str], clip_skip: int) -> Conditioning:
        self.events.append("text encoder")
        return super().encode_prompts(prompts, clip_skip)

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        self.events.append("unet")
        return super().predict(noisy, timesteps, conditioning)


def trained(folder: Path) -> list[str]:
    """What a training of one picture asks of its model."""
    path = folder / "a.png"
    Image.new("RGB", (64, 64), "red").save(path)
    model = NotedModel()
    values = {"training.epochs": 1, "training.optimizer": "AdamW", "training.masked_loss": False}
    options = Settings.from_dict(values).training
    network = LoraNetwork(model.targets(), model.layout, LoraShape(1, 1), {}, False, 1)
    training = trainer.Trainer(
        model,
        network,
        [Picture(path, "a girl", (64, 64))],
        options,
        folder / "state.pt",
        "mark",
        lambda *_: path,
    )
    model.events.clear()
    training.run(Job())
    return model.events


@pytest.mark.parametrize("is_small", [True, False])
def test_the_unet_waits_while_pictures_are_encoded_where_memory_is_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_small: bool
) -> None:
    monkeypatch.setattr(trainer, "is_small", lambda model: is_small)
    monkeypatch.setattr(trainer, "encodes_when_asked", lambda model: False)  # as on a GPU
    events = trained(tmp_path)
    assert ("without unet" in events) == is_small
    encoded, first_pass = events.index("vae"), events.index("unet")
    assert "without text encoder" in events[:encoded]
    assert "without vae" in events[encoded:first_pass]
    if is_small:
        assert events.index("without unet") < encoded


def test_on_a_cpu_a_step_encodes_its_own_pictures(tmp_path: Path) -> None:
    events = trained(tmp_path)
    assert "without text encoder" in events[: events.index("vae")]
    # The pass comes once the step has its pictures, and each is encoded once
    assert events.count("vae") == 1 and events.index("vae") < events.index("unet")


@pytest.mark.parametrize(
    ("gigabytes", "layout", "expected"),
    [(8, SDXL.layout, True), (24, SDXL.layout, False), (4, SD1.layout, False)],
)
def test_memory_is_short_by_the_familys_measure(
    monkeypatch: pytest.MonkeyPatch, gigabytes: int, layout: object, expected: bool
) -> None:
    card = Computer("a card", True, gigabytes * 2.0**30)
    monkeypatch.setattr(memory_fit, "_computer", lambda device: card)
    monkeypatch.setattr(NotedModel, "device", "cuda")
    model = NotedModel()
    model.layout = layout  # type: ignore[assignment]
    assert memory_fit.is_small(model) == expected
    assert not memory_fit.is_small(TinyModel())
    assert torch.device(model.device).type == "cuda"
