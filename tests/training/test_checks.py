"""NaN that is not the LoRA's doing is not blamed on the learning rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lib_singlelora.errors import TrainingError
from lib_singlelora.host import Conditioning
from lib_singlelora.jobs import Job
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.training.latents import FittedPictures, to_pixels
from lib_singlelora.training.trainer import Trainer
from tests.training.test_trainer import pictures, settings
from tests.training.tiny_model import TinyModel

NAN = float("nan")


class Half(TinyModel):
    """Predicts NaN, as half precision does where a value overflows."""

    @property
    def compute_dtype(self) -> torch.dtype:
        return torch.float16

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Conditioning) -> Tensor:
        return super().predict(noisy, timesteps, conditioning) * NAN


class DarkVae(TinyModel):
    """Gives NaN for one of the pictures."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: Iterator[float] = iter((1.0, NAN, 1.0))
        self.dark = torch.empty(0)  # the picture's pixels

    def encode_images(self, pixels: Tensor) -> Tensor:
        call = next(self.calls)
        if call != 1.0:
            self.dark = pixels
        return super().encode_images(pixels) * call


class NoWords(TinyModel):
    def encode_prompts(self, prompts: object, clip_skip: int) -> Conditioning:
        return Conditioning(torch.full((1, 1, 1), NAN))


def message(model: TinyModel, folder: Path) -> str:
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    trainer = Trainer(
        model,
        network,
        pictures(folder),
        settings(text_encoder_lr=0, batch_size=1),
        folder / "s.pt",
        "x",
        lambda *_: folder,
    )
    with pytest.raises(TrainingError) as raised:
        trainer.run(Job("train"))
    return str(raised.value)


def test_a_checkpoint_that_half_precision_is_too_little_for(tmp_path: Path) -> None:
    text = message(Half(), tmp_path)
    assert (
        text.startswith("step 1: the loss is nan")
        and "Half precision is too little" in text
        and "--no-half" in text
    )
    assert "unet_lr" not in text


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    model = TinyModel()
    with torch.no_grad():
        model.unet.weight.fill_(NAN)
    assert "(first: input_blocks.1.1.proj_in)" in message(model, tmp_path)


def test_the_picture_that_the_vae_cannot_encode_is_named(tmp_path: Path) -> None:
    model = DarkVae()
    name, _, said = message(model, tmp_path).partition(": ")
    assert said.startswith("the VAE gave")
    [named] = [picture for picture in pictures(tmp_path) if picture.path.name == name]
    assert torch.equal(to_pixels(FittedPictures().image(named)), model.dark)


def test_the_text_encoder_is_named_with_the_caption(tmp_path: Path) -> None:
    assert "text encoder's output for 'isabella" in message(NoWords(), tmp_path)
