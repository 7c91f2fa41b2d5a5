"""The loss of a batch equals the formulas, written a second time here in plain numpy; tolerance
1e-5.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from lib_singlelora.errors import TrainingError
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.settings.schema import Settings
from lib_singlelora.settings.training import TrainingSettings
from lib_singlelora.training.batch import TrainingBatch, captions_of, make_batch
from lib_singlelora.training.epoch_plan import Picture, Sample
from lib_singlelora.training.latents import LatentCache
from lib_singlelora.training.objective import Objective, cut_caption
from tests.training.tiny_model import TinyModel

Kind = Literal["epsilon", "v_prediction"]
OFF = {"min_snr_gamma": 0}
OPTIONS: list[dict[str, Any]] = [
    {**OFF},
    {"min_snr_gamma": 5},
    {**OFF, "debiased_estimation": True},
    {**OFF, "loss": "huber", "huber_schedule": "constant"},
    {**OFF, "loss": "huber", "huber_schedule": "snr"},
    {**OFF, "loss": "smooth_l1", "huber_schedule": "exponential"},
    {"min_snr_gamma": 1, "loss": "smooth_l1", "huber_c": 0.3},
    {**OFF, "band_weights": (2.0, 1.0, 0.5, 0.0, 0.5)},
]


def settings(**values: Any) -> TrainingSettings:
    return Settings.from_dict({f"training.{key}": value for key, value in values.items()}).training


def drawn(masked: bool = False, prior: list[int] | None = None) -> TrainingBatch:
    generator = torch.Generator().manual_seed(5)
    latents, noise = (torch.randn(3, 4, 6, 5, generator=generator) for _ in range(2))
    mask = torch.rand(3, 1, 6, 5, generator=generator) if masked else torch.ones(3, 1, 6, 5)
    timesteps = torch.tensor([7, 480, 990])
    weights = torch.tensor([1.0, 0.5, 1.0])
    sizes = torch.zeros(3, 6)
    return TrainingBatch(
        latents, noise, timesteps, weights, mask, ["a", "bb", "a dog"], prior or [], sizes
    )


def objective(options: TrainingSettings, prediction: Kind = "epsilon") -> Objective:
    model = TinyModel(prediction)
    return Objective(
        model, LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, True, 1), options
    )


def reference(
    batch: TrainingBatch, options: TrainingSettings, kind: Kind, model: TinyModel
) -> float:
    """The same in float64, sample by sample."""
    weight = model.unet.weight.double().numpy()[:, :, 0, 0]
    bias = model.unet.bias
    assert bias is not None
    total = 0.0
    for i in range(3):
        x = batch.latents[i].double().numpy()
        e = batch.noise[i].double().numpy()
        t = int(batch.timesteps[i])
        a = float(model.alphas_cumprod[t])
        noisy = a**0.5 * x + (1 - a) ** 0.5 * e
        answer = np.einsum("oc,chw->ohw", weight, noisy) + bias.double().numpy()[:, None, None]
        answer = answer + len(batch.captions[i]) / 50 + t / 1000
        wanted = e if kind == "epsilon" else a**0.5 * e - (1 - a) ** 0.5 * x
        d = answer - wanted
        c = options.huber_c
        if options.huber_schedule == "exponential":
            c = options.huber_c ** (t / 1000)
        elif options.huber_schedule == "snr":
            c = (1 - options.huber_c) / (1 + ((1 - a) / a) ** 0.5) ** 2 + options.huber_c
        curve = np.sqrt(d**2 + c**2) - c
        each = {"l2": d**2, "huber": 2 * c * curve, "smooth_l1": 2 * curve}[
            options.loss
        ] * batch.mask[i].double().numpy()
        snr = a / (1 - a)
        share = 1.0
        if options.min_snr_gamma:
            share *= min(snr, options.min_snr_gamma) / (snr if kind == "epsilon" else snr + 1)
        if options.debiased_estimation:
            share *= 1 / min(snr, 1000) ** 0.5 if kind == "epsilon" else 1 / (snr + 1)
        if bands := options.band_weights:
            share *= bands[t * len(bands) // 1000] * len(bands) / sum(bands)
        total += each.mean() * share * float(batch.weights[i])
    return total / 3


@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize(
    "options", OPTIONS, ids=lambda o: " ".join(f"{k}={v}" for k, v in o.items())
)
@pytest.mark.parametrize("masked", [False, True])
def test_the_loss_is_its_formula(options: dict[str, Any], kind: Kind, masked: bool) -> None:
    own = settings(**options)
    batch = drawn(masked)
    made = objective(own, kind)
    assert isinstance(made.model, TinyModel)
    assert float(made.loss(batch)) == pytest.approx(
        reference(batch, own, kind, made.model), rel=1e-5
    )


def test_prior_rows_are_judged_by_the_frozen_model_alone() -> None:
    made = objective(settings(min_snr_gamma=0))
    with attached(made.network, made.model.targets()):
        with torch.no_grad():
            untouched = made.loss(drawn(prior=[0, 1, 2]))
            for _, branch in made.network.items():
                for parameter in branch.parameters():
                    parameter.add_(0.2)
            moved = made.loss(drawn(prior=[0, 1, 2]))
        assert float(untouched) == 0 and float(moved) > 0.001
        made.loss(drawn(prior=[0, 1, 2])).backward()
    assert made.network.enabled
    assert any(
        float(p.grad.abs().sum()) > 0 for p in made.network.parameters() if p.grad is not None
    )


def test_zero_terminal_snr_is_for_v_prediction_only() -> None:
    with pytest.raises(TrainingError, match="v-prediction"):
        objective(settings(zero_terminal_snr=True))
    made = objective(settings(zero_terminal_snr=True, debiased_estimation=True), "v_prediction")
    batch = drawn()
    batch.timesteps[2] = 999
    assert torch.isfinite(made.loss(batch))


def test_a_long_caption_loses_whole_pieces_at_its_end() -> None:
    count = TinyModel().count_tokens
    assert cut_caption("a girl, red hat, blue bow", 6, count) == "a girl, red hat"
    assert (
        cut_caption("one piece that is far too long", 3, count) == "one piece that is far too long"
    )


def test_what_was_encoded_ahead_is_not_encoded_again_and_is_the_same() -> None:
    made = objective(settings(text_encoder_lr=0))
    plain = made.encode(["a", "bb"]).context
    made.encode_ahead([["a", "bb"], ["a dog"]])
    made.model.encode_prompts = None
    assert made.encode(["a", "bb"]).context.equal(plain)


@pytest.mark.parametrize("kind", ["pictures", "prior prediction"])
def test_the_captions_of_an_epoch_are_those_that_are_drawn(kind: str) -> None:
    options = settings(
        regularization=kind, caption_dropout=0.3, tag_dropout=0.3, flip=True, color_aug=True
    )
    cache = LatentCache()
    cache.get = lambda *_: torch.zeros(1, 4, 2, 2)
    shown = [
        Picture(Path(f"{n}.png"), "isa, girl, red, blue, hat", (16, 16), 1, n == 2, "isa")
        for n in range(3)
    ]
    for number in range(10):
        batch = [Sample(picture, 3 * number + place) for place, picture in enumerate(shown)]
        made = make_batch(options, cache, batch, 1000)
        assert captions_of(options, batch, 1000) == (
            made.captions,
            [made.captions[row] for row in made.prior],
        )


def test_conditioning_is_kept_while_the_text_encoder_does_not_learn() -> None:
    made = objective(settings(text_encoder_lr=0))
    assert made.encode(["a", "bb"]) is made.encode(["a", "bb"])
