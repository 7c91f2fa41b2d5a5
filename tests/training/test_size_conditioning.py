"""The sizes that a picture is said to have, and where they go in a step."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_singlelora.host import Conditioning
from lib_singlelora.lora.network import LoraNetwork, LoraShape
from lib_singlelora.settings.schema import Settings
from lib_singlelora.training.batch import make_batch
from lib_singlelora.training.epoch_plan import Picture, Sample
from lib_singlelora.training.latents import LatentCache
from lib_singlelora.training.objective import Objective
from lib_singlelora.training.size_conditioning import size_numbers
from tests.training.tiny_model import TinyModel

# 300×200 pixels of the source, enlarged to 900×600, shown in a square bucket
ENLARGED = Picture(Path("face.png"), "face", (512, 512), file_size=(900, 600), true_size=(300, 200))


def test_real_is_the_picture_s_own_pixels_and_the_bucket_s_cut() -> None:
    # Resized to 768×512, of which 128 go left and right
    assert size_numbers("real", ENLARGED) == (200, 300, 0, 128, 512, 512)
    assert size_numbers("real", ENLARGED, True) == (200, 300, 0, 128, 512, 512)


def test_a_picture_that_was_not_cut_from_the_source_has_its_file_s_pixels() -> None:
    own = Picture(Path("own.png"), "girl", (512, 768), file_size=(1000, 1500))
    assert size_numbers("real", own) == (1500, 1000, 0, 0, 768, 512)
    assert size_numbers("real", Picture(own.path, "girl", (512, 768))) == (768, 512, 0, 0, 768, 512)


def test_constant_is_what_pictures_are_drawn_with() -> None:
    assert size_numbers("constant", ENLARGED) == (512, 512, 0, 0, 512, 512)


@pytest.mark.parametrize(
    ("file_size", "bucket", "mirrored", "expected"),
    [
        # Values of sd-scripts' formula, calculated by hand
        ((900, 600), (512, 512), False, (600, 900, 85, 0, 512, 512)),
        ((600, 900), (512, 512), False, (900, 600, 0, 85, 512, 512)),
        ((600, 900), (512, 512), True, (900, 600, 0, 512 - (85 + 512 * 2 / 3), 512, 512)),
        ((1024, 1024), (1024, 1024), False, (1024, 1024, 0, 0, 1024, 1024)),
    ],
)
def test_kohya_is_sd_scripts_formula(
    file_size: tuple[int, int], bucket: tuple[int, int], mirrored: bool, expected: tuple[float, ...]
) -> None:
    picture = Picture(Path("a.png"), "a", bucket, file_size=file_size)
    assert size_numbers("kohya", picture, mirrored) == pytest.approx(expected)


class Recording(TinyModel):
    """Keeps the sizes that it is told, with the caption's first letter."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[torch.Tensor | None] = []

    def predict(
        self, noisy: torch.Tensor, timesteps: torch.Tensor, conditioning: Conditioning
    ) -> torch.Tensor:
        self.told.append(conditioning.sizes)
        return super().predict(noisy, timesteps, conditioning)


def test_every_row_of_a_step_has_its_picture_s_sizes_the_frozen_ones_too() -> None:
    settings = Settings.from_dict(
        {
            "training.dco_beta": 100.0,
            "training.regularization": "both",
            "training.size_conditioning": "real",
            "training.text_encoder_lr": 0.0,
        }
    ).training
    model = Recording()
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    girl = Picture(Path("reg.png"), "girl", (512, 512), 1, True, file_size=(640, 640))
    cache = LatentCache()
    cache.get = lambda picture, version=None: torch.zeros(1, 4, 6, 5)  # type: ignore[method-assign]
    batch = make_batch(settings, cache, [Sample(ENLARGED, 1), Sample(girl, 2)], 1000)
    Objective(model, network, settings).loss(batch)
    frozen, trained = model.told
    assert trained is not None and frozen is not None
    # the character, the class, and the character again as a prior row
    assert trained[:, :2].tolist() == [[200, 300], [640, 640], [200, 300]]
    assert frozen[:, :2].tolist() == [[200, 300], [200, 300]]
