"""Each loss term against a few lines of its own; the frozen model runs once a batch.

Tolerance 1e-5.
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lib_singlelora.errors import JobCancelled, SettingsError, TrainingError
from lib_singlelora.jobs import Job
from lib_singlelora.lora.branches import shape_of
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.settings.training import TrainingSettings
from lib_singlelora.training.apt import AptWeights
from lib_singlelora.training.batch import TrainingBatch, captions_of, make_batch, versions_of
from lib_singlelora.training.epoch_plan import MaskPart, Picture, Sample
from lib_singlelora.training.latents import LatentCache
from lib_singlelora.training.objective import Objective
from lib_singlelora.training.trainer import Trainer
from tests.training.test_objective import settings
from tests.training.tiny_model import TinyModel

CAPTION = "isa, girl, red hat"
PLAIN = {"min_snr_gamma": 0, "text_encoder_lr": 0, "regularization": "none"}


def shown(folder: Path) -> list[Picture]:
    """Two pictures of the character, whose mask is their left half, and one of the class."""
    half = Image.new("L", (64, 64))
    half.paste(255, (0, 0, 32, 64))
    half.save(folder / "mask.png")
    mask = MaskPart(folder / "mask.png", (0, 0, 64, 64))
    made = []
    for index in range(3):
        values = np.random.default_rng(index).integers(0, 255, (4, 4, 3), dtype=np.uint8)
        path = folder / f"{index}.png"
        Image.fromarray(values).resize((64, 64), Image.Resampling.NEAREST).save(path)
        made.append(
            Picture(path, CAPTION, (64, 64), 2, False, "isa", mask, class_token="girl")
            if index < 2
            else Picture(path, "girl", (64, 64), 2, True)
        )
    return made


class Counted(TinyModel):
    """Keeps what it was asked to predict: (rows, whether the LoRA's gradient was wanted)."""

    def __init__(self) -> None:
        super().__init__()
        self.passes: list[tuple[int, bool]] = []

    def predict(self, noisy: Tensor, timesteps: Tensor, conditioning: Any) -> Tensor:
        self.passes.append((len(noisy), torch.is_grad_enabled()))
        return super().predict(noisy, timesteps, conditioning)


def shaken(options: TrainingSettings, model: TinyModel) -> Objective:
    """An objective whose LoRA changes the prediction."""
    network = LoraNetwork(model.targets(), model.layout, shape_of(options), {}, False, 1)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return Objective(model, network, options)


def batch_of(
    options: TrainingSettings, folder: Path, count: int = 3, prior: bool = True
) -> TrainingBatch:
    cache = LatentCache()
    generator = torch.Generator().manual_seed(2)
    latents = torch.randn(1, 4, 8, 8, generator=generator)
    cache.get = lambda *_: latents
    samples = [Sample(picture, 7 + n) for n, picture in enumerate(shown(folder)[:count])]
    return make_batch(options, cache, samples, 1000, prior)


def predictions(made: Objective, batch: TrainingBatch) -> tuple[Tensor, Tensor, Tensor]:
    """(what the LoRA predicts, what the frozen model predicts, the noise that is to be predicted)
    by the tiny model's own weights.
    """
    model = made.model
    assert isinstance(model, TinyModel) and model.unet.bias is not None
    alpha = model.alphas_cumprod[batch.timesteps].view(-1, 1, 1, 1)
    noisy = alpha.sqrt() * batch.latents + (1 - alpha).sqrt() * batch.noise
    lengths = torch.tensor([float(len(caption)) for caption in batch.captions])
    shift = lengths.view(-1, 1, 1, 1) / 50 + batch.timesteps.view(-1, 1, 1, 1) / 1000
    [(_, branch)] = made.network.items()

    def convolved(weight: Tensor) -> Tensor:
        flat = torch.einsum("oc,bchw->bohw", weight.flatten(1), noisy)
        return flat + model.unet.bias.view(-1, 1, 1) + shift

    weight = model.unet.weight
    return convolved(weight + branch.weight_delta().detach()), convolved(weight), batch.noise


def test_output_preservation_asks_for_the_frozen_prediction_under_the_class(tmp_path: Path) -> None:
    options = settings(**PLAIN, dop_weight=0.7)
    made = shaken(options, Counted())
    batch = batch_of(options, tmp_path)
    assert batch.captions[3:] == ["girl, girl, red hat"] * 2 and batch.prior == [3, 4]
    with attached(made.network, made.model.targets()):
        found = float(made.loss(batch).detach())
    ours, frozen, noise = predictions(made, batch)
    data = ((ours - noise) ** 2)[:3].mean(dim=(1, 2, 3))
    kept = ((ours - frozen) ** 2)[3:].mean(dim=(1, 2, 3))
    # What the data's loss weighs is the same as without: the mean is over the three samples
    assert found == pytest.approx(float((data.sum() + 0.7 * kept.sum()) / 3), rel=1e-5)


def test_output_preservation_leaves_out_captions_without_the_trigger(tmp_path: Path) -> None:
    options = settings(**PLAIN, dop_weight=0.7, caption_dropout=1)
    assert batch_of(options, tmp_path).prior == []


def test_the_class_keeps_the_frozen_prediction_of_its_pictures(tmp_path: Path) -> None:
    options = settings(**{**PLAIN, "regularization": "pictures"}, class_prediction=True)
    options = replace(options, prior_loss_weight=3)
    made = shaken(options, Counted())
    batch = batch_of(options, tmp_path)
    assert batch.captions[2] == "girl" and batch.prior == [2]
    with attached(made.network, made.model.targets()):
        found = float(made.loss(batch).detach())
    ours, frozen, noise = predictions(made, batch)
    data = ((ours - noise) ** 2)[:2].mean(dim=(1, 2, 3))
    kept = ((ours - frozen) ** 2)[2].mean()
    assert found == pytest.approx(float((data.sum() + 3 * kept) / 3), rel=1e-5)


def test_what_changed_nothing_of_the_class_pays_nothing_for_its_pictures(tmp_path: Path) -> None:
    options = settings(**{**PLAIN, "regularization": "pictures"}, class_prediction=True)
    model = Counted()
    network = LoraNetwork(model.targets(), model.layout, shape_of(options), {}, False, 1)
    made = Objective(model, network, options)
    batch = batch_of(options, tmp_path)
    only = replace(batch, weights=torch.tensor([0.0, 0.0, 1.0]))
    with attached(network, model.targets()):
        assert float(made.loss(only).detach()) == 0
        assert float(made.loss(replace(only, prior=[])).detach()) > 0.1


@pytest.mark.parametrize("terms", [{}, {"dop_weight": 1.0}, {"masked_prior_weight": 1.0}])
def test_captions_encoded_ahead_are_those_of_the_batch_with_a_preserved_class(
    tmp_path: Path, terms: dict[str, float]
) -> None:
    values: dict[str, Any] = {**PLAIN, "regularization": "pictures", **terms}
    options = settings(**values, class_prediction=True)
    samples = [Sample(picture, 7 + n) for n, picture in enumerate(shown(tmp_path))]
    batch = batch_of(options, tmp_path)
    every, frozen = captions_of(options, samples, 1000)
    assert every == batch.captions
    assert frozen == [batch.captions[row] for row in batch.frozen_rows]


def test_outside_the_mask_the_masked_prior_asks_for_the_frozen_prediction(tmp_path: Path) -> None:
    options = settings(**PLAIN, masked_prior_weight=0.6)
    made = shaken(options, Counted())
    batch = batch_of(options, tmp_path)
    with attached(made.network, made.model.targets()):
        found = float(made.loss(batch).detach())
    ours, frozen, noise = predictions(made, batch)
    inside = torch.zeros(1, 1, 8, 8)
    inside[..., :4] = 1
    data = (ours - noise) ** 2 * inside
    kept = (ours - frozen) ** 2 * (1 - inside)
    whole = ((ours - noise) ** 2)[2].mean()  # the class has no mask
    expected = ((data + 0.6 * kept)[:2].mean(dim=(1, 2, 3)).sum() + whole) / 3
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_the_floor_of_a_masked_loss_is_shared_with_the_masked_prior(tmp_path: Path) -> None:
    options = settings(**PLAIN, masked_prior_weight=1, masked_loss=True, mask_floor=0.25)
    made = shaken(options, Counted())
    batch = batch_of(options, tmp_path, 1)
    with attached(made.network, made.model.targets()):
        found = float(made.loss(batch).detach())
    ours, frozen, noise = predictions(made, batch)
    inside = torch.full((1, 1, 8, 8), 0.25)
    inside[..., :4] = 1
    expected = ((ours - noise) ** 2 * inside + (ours - frozen) ** 2 * (1 - inside)).mean()
    assert found == pytest.approx(float(expected), rel=1e-5)


def squared_errors(made: Objective, batch: TrainingBatch) -> tuple[Tensor, Tensor]:
    """(L_θ, L_ref) of each row."""
    ours, frozen, noise = predictions(made, batch)
    own = ((ours - noise) ** 2).mean(dim=(1, 2, 3))
    return own, ((frozen - noise) ** 2).mean(dim=(1, 2, 3))


def test_direct_consistency_weighs_a_sample_by_how_far_it_is_from_the_reference(
    tmp_path: Path,
) -> None:
    options = settings(**PLAIN, dco_beta=3)
    made = shaken(options, Counted())
    batch = batch_of(options, tmp_path, 2)
    own, reference = squared_errors(made, batch)
    assert float((own - reference).abs().min()) > 0.01
    with attached(made.network, made.model.targets()):
        loss = made.loss(batch)
        loss.backward()
        found = [p.grad.clone() for p in made.network.parameters() if p.grad is not None]
        expected = -torch.log(1 / (1 + torch.exp(3 * (own - reference)))).mean() * 2 / 3
        assert float(loss.detach()) == pytest.approx(float(expected), rel=1e-5)
        # Its gradient is 2 σ(β (L_θ - L_ref)) times that of a sample's own loss
        made.network.zero_grad()
        plain = shaken(settings(**PLAIN), Counted())
    share = 2 / (1 + torch.exp(-3 * (own - reference)))
    weighted = replace(batch, compared=[], weights=share)
    with attached(plain.network, plain.model.targets()):
        plain.loss(weighted).backward()
    for grad, parameter in zip(found, plain.network.parameters(), strict=True):
        assert parameter.grad is not None
        assert torch.allclose(grad, parameter.grad, rtol=1e-4, atol=1e-6)


def test_the_timesteps_weights_are_part_of_what_direct_consistency_compares(tmp_path: Path) -> None:
    options = settings(**{**PLAIN, "min_snr_gamma": 0.5}, dco_beta=3)
    made = shaken(options, Counted())
    batch = batch_of(options, tmp_path, 2)
    own, reference = squared_errors(made, batch)
    alpha = made.model.alphas_cumprod[batch.timesteps]
    snr = alpha / (1 - alpha)
    by_timestep = snr.clamp(max=0.5) / snr
    assert float((by_timestep - 1).abs().max()) > 0.1
    expected = torch.log(1 + torch.exp(3 * by_timestep * (own - reference))).mean() * 2 / 3
    with attached(made.network, made.model.targets()), torch.no_grad():
        assert float(made.loss(batch)) == pytest.approx(float(expected), rel=1e-5)


def test_adaptive_weights_follow_the_averages_of_their_bin(tmp_path: Path) -> None:
    options = settings(**PLAIN, apt=4)
    made = shaken(options, Counted())
    batch = batch_of(options, tmp_path)
    batch.timesteps[:] = torch.tensor([120, 180, 950])  # two in a bin; the third is the class's
    own, reference = squared_errors(made, batch)
    # The frozen prediction is better here; exchanged, the LoRA is the one that has overtaken it
    assert made.apt is not None
    made.apt.observe(batch.timesteps[:2], reference[:2], own[:2])
    ahead = [float(new[0] + 0.1 * (new[1] - new[0])) for new in (own.tolist(), reference.tolist())]
    gap = ahead[0] - ahead[1]
    assert gap > 0.01
    weight = math.exp(-4 * gap)
    assert made.apt.indicators() == pytest.approx([0, 1 - weight] + [0] * 8)
    with attached(made.network, made.model.targets()), torch.no_grad():
        found = float(made.loss(batch))
        again = float(made.loss(batch))  # without a gradient nothing is observed
    expected = float((own[:2].sum() * weight + own[2]) / 3)
    assert found == pytest.approx(expected, rel=1e-5) and again == found
    before = made.apt.state()
    with attached(made.network, made.model.targets()):
        made.loss(batch)
    after = made.apt.state()
    assert before != after and after["own"][9] is None  # the class is not compared
    worse = AptWeights(4, 1000)
    worse.observe(batch.timesteps[:1], own[:1], own[:1] - 0.1)
    assert worse.indicators() == [0] * 10  # worse than the checkpoint: nothing is held back


def test_the_weight_penalty_adds_its_gradient_once_a_step(tmp_path: Path) -> None:
    gradients = []
    for values in ({}, {"delta_penalty": 0.5}):
        options = settings(**PLAIN, **values, gradient_accumulation=2, max_grad_norm=0)
        model = TinyModel()
        network = shaken(options, model).network
        pictures = shown(tmp_path)
        trainer = Trainer(
            model, network, pictures, options, tmp_path / "s.pt", "x", lambda *_: tmp_path
        )
        trainer.latents.fill(model, pictures, versions_of(options), lambda done, total: None)
        [(_, branch)] = network.items()
        delta = branch.weight_delta().square().sum()
        expected = torch.autograd.grad(delta, list(network.parameters()))
        with trainer.prepared():
            trainer.step([[Sample(pictures[0], 1)], [Sample(pictures[1], 2)]])
        gradients.append([p.grad.clone() for p in network.parameters() if p.grad is not None])
    assert trainer.figures == {"delta_penalty": pytest.approx(0.5 * float(delta.detach()))}
    for plain, penalized, own in zip(*gradients, expected, strict=True):
        assert torch.allclose(penalized - plain, 0.5 * own, rtol=1e-4, atol=1e-5)


def test_a_step_tells_how_many_modules_were_scaled_down(tmp_path: Path) -> None:
    for longest, scaled in ((1e-4, 1), (100, 0)):
        events: list[dict[str, Any]] = []
        trained(tmp_path / str(longest), 0, events, scale_weight_norms=longest)
        # The first step leaves ΔW so small that nothing needs scaling
        assert {event["scaled_modules"] for event in events[1:-1]} == {scaled}


def test_the_frozen_model_runs_once_for_all_terms_and_takes_no_gradient(tmp_path: Path) -> None:
    options = settings(
        **{**PLAIN, "regularization": "prior prediction"}, dop_weight=1, masked_prior_weight=1
    )
    model = Counted()
    made = shaken(options, model)
    batch = batch_of(options, tmp_path)
    assert batch.prior == [3, 4, 5, 6] and batch.frozen_rows == [0, 1, 3, 4, 5, 6]
    with attached(made.network, model.targets()):
        made.loss(batch).backward()
    assert model.passes == [(6, False), (7, True)]
    assert all(p.grad is None for p in model.unet.parameters())
    assert all(p.grad is not None for p in made.network.parameters()) and made.network.enabled


def test_without_terms_the_frozen_model_does_not_run(tmp_path: Path) -> None:
    model = Counted()
    made = shaken(settings(**PLAIN), model)
    made.loss(batch_of(made.settings, tmp_path))
    assert model.passes == [(3, True)]


def test_prior_rows_left_out_do_not_change_what_the_data_weighs(tmp_path: Path) -> None:
    for values in ({"prior_start": 0.5}, {"prior_min_timestep": 990}):
        options = settings(**{**PLAIN, "regularization": "prior prediction"}, **values)
        model = Counted()
        made = shaken(options, model)
        whole = batch_of(replace(options, prior_min_timestep=0), tmp_path)
        parts = batch_of(options, tmp_path, prior="prior_start" not in values)
        assert len(whole.captions) == 5 and parts.prior == [] and len(parts.captions) == 3
        with attached(made.network, model.targets()):
            found = float(made.loss(parts).detach())
        assert model.passes == [(3, True)]  # no pass of the frozen model
        ours, _, noise = predictions(made, whole)
        assert found == pytest.approx(float(((ours - noise) ** 2)[:3].mean() * 3 / 5), rel=1e-5)


@pytest.mark.parametrize("prior", [True, False])
def test_the_captions_ahead_are_those_of_the_batch(tmp_path: Path, prior: bool) -> None:
    options = settings(
        regularization="prior prediction",
        dop_weight=1,
        masked_prior_weight=1,
        prior_min_timestep=500,
        caption_dropout=0.3,
        noise_offset=0.1,
        multires_noise_iterations=6,
    )
    cache = LatentCache()
    cache.get = lambda *_: torch.zeros(1, 4, 8, 8)
    sizes = set()
    for number in range(12):
        batch = [Sample(picture, 3 * number + n) for n, picture in enumerate(shown(tmp_path))]
        made = make_batch(options, cache, batch, 1000, prior)
        sizes.add(len(made.prior))
        frozen = [made.captions[row] for row in made.frozen_rows]
        assert captions_of(options, batch, 1000, prior) == (made.captions, frozen)
    assert sizes == {0} if not prior else len(sizes) > 2


def trained(
    folder: Path, stop_at: int = 0, events: list[dict[str, Any]] | None = None, **values: Any
) -> dict[str, Tensor]:
    """The network after a training on the tiny model.

    events: takes those of the steps, and at the end the number of passes.
    """
    options = settings(**{**PLAIN, "epochs": 2, "rank": 2, "unet_lr": 1e-2, "warmup": 0, **values})
    told = [] if events is None else events
    job = Job("train")
    job._listener = lambda progress: job.cancel() if stop_at and progress.done == stop_at else None
    job.log = lambda kind, **found: told.append(found) if kind == "step" else None
    folder.mkdir(exist_ok=True)
    model = Counted()
    network = LoraNetwork(model.targets(), model.layout, shape_of(options), {}, False, options.seed)
    pictures = [
        picture for picture in shown(folder) if not (picture.regularization and options.dco_beta)
    ]
    trainer = Trainer(
        model, network, pictures, options, folder / "state.pt", "same", lambda *_: folder
    )
    trainer.resume()
    trainer.run(job)
    told.append({"passes": len(model.passes)})
    return {key: value.clone() for key, value in network.state_dict().items()}


TERMS: list[dict[str, Any]] = [
    {"dop_weight": 1},
    {"masked_prior_weight": 1},
    {"regularization": "prior prediction", "prior_start": 0.5, "prior_min_timestep": 300},
    {"dop_weight": 1, "masked_prior_weight": 1, "prior_start": 0.4, "gradient_accumulation": 2},
    {"dco_beta": 100},
    {"apt": 50, "masked_prior_weight": 0.5, "gradient_accumulation": 2},
    {"delta_penalty": 0.1, "scale_weight_norms": 0.05},
]


@pytest.mark.parametrize("values", TERMS, ids=lambda values: " ".join(values))
def test_a_resumed_training_equals_an_uninterrupted_one_and_the_term_matters(
    tmp_path: Path, values: dict[str, Any]
) -> None:
    plain = trained(tmp_path / "plain")
    whole = trained(tmp_path / "whole", **values)
    with pytest.raises(JobCancelled):
        trained(tmp_path / "parts", 3, **values)
    parts = trained(tmp_path / "parts", **values)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    assert any(not torch.equal(whole[key], plain[key]) for key in whole)


def test_before_it_begins_a_prior_costs_no_pass_and_changes_nothing(tmp_path: Path) -> None:
    events: list[dict[str, Any]] = []
    late = trained(tmp_path / "late", 0, events, dop_weight=1, prior_start=1)
    never = trained(tmp_path / "never", 0, events)
    trained(tmp_path / "begun", 0, events, dop_weight=1, prior_start=0.5)
    passes = [event["passes"] for event in events if "passes" in event]
    assert all(torch.equal(late[key], never[key]) for key in late)
    steps = passes[1]
    frozen = passes[2] - steps  # only batches with the character have it, and half of the steps
    assert passes[0] == steps and 0 < frozen <= steps / 2


def test_what_a_term_needs_and_pictures_lack_is_refused(tmp_path: Path) -> None:
    def build(pictures: list[Picture], **values: Any) -> None:
        options = settings(**PLAIN, **values)
        model = TinyModel()
        network = LoraNetwork(model.targets(), model.layout, shape_of(options), {}, False, 1)
        Trainer(model, network, pictures, options, tmp_path / "s.pt", "x", lambda *_: tmp_path)

    pictures = shown(tmp_path)
    build(pictures, masked_prior_weight=1, dop_weight=1)
    with pytest.raises(TrainingError, match="1 of 2 pictures have no mask"):
        build([pictures[0], replace(pictures[1], mask=None), pictures[2]], masked_prior_weight=1)
    with pytest.raises(TrainingError, match="found no class"):
        build([replace(pictures[0], class_token=" ")], dop_weight=1)
    with pytest.raises(TrainingError, match="no caption has the trigger 'isa'"):
        build([replace(pictures[0], caption="girl")], dop_weight=1)
    build(pictures[:2], dco_beta=1000)
    with pytest.raises(TrainingError, match="found 1 pictures of the class"):
        build(pictures, dco_beta=1000)
    with pytest.raises(SettingsError, match="prior_min_timestep"):
        settings(prior_min_timestep=500, max_timestep=500)
