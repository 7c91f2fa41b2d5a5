"""The attention loss, against the probabilities that diffusers' own attention computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from lib_singlelora.errors import JobCancelled, TrainingError
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.lora.branches import LoraShape
from lib_singlelora.lora.network import LoraNetwork, attached
from lib_singlelora.ops.checkpointing import checkpointed
from lib_singlelora.training.attention import AttentionLoss, Products, map_size
from lib_singlelora.training.batch import make_batch
from lib_singlelora.training.epoch_plan import MaskPart, Picture, Sample
from lib_singlelora.training.latents import LatentCache, Versions
from lib_singlelora.training.objective import Objective
from tests.training import test_trainer
from tests.training.test_trainer import settings, train
from tests.training.tiny_model import TinyModel

CAPTIONS = ["isabella, girl, red hat", "girl, standing", "a dog, isabella, girl"]
LATENTS = (16, 8)


def shaken(model: Any) -> LoraNetwork:
    """A network as after a training."""
    network = LoraNetwork(model.targets(), model.layout, LoraShape(2, 2), {}, False, 1)
    generator = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for _, branch in network.items():
            branch.up.copy_(torch.randn(branch.up.shape, generator=generator) * 0.2)
    return network


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Noisy latents, timesteps, masks."""
    generator = torch.Generator().manual_seed(3)
    noisy = torch.randn(3, 4, *LATENTS, generator=generator)
    masks = (torch.rand(3, 1, *LATENTS, generator=generator) > 0.5).float()
    return noisy, torch.tensor([100, 500, 900]), masks


@contextmanager
def probabilities(model: Any) -> Iterator[list[Tensor]]:
    """What diffusers' plain attention computes in every cross-attention, (B, heads, N, S)."""
    from diffusers.models.attention_processor import Attention, AttnProcessor

    found: list[Tensor] = []
    unet = model._networks.unet
    before = unet.attn_processors
    modules = [
        module
        for name, module in unet.named_modules()
        if isinstance(module, Attention) and name.endswith("attn2")
    ]
    try:
        unet.set_attn_processor(AttnProcessor())
        for module in modules:

            def recording(q: Any, k: Any, m: Any = None, own: Any = module) -> Tensor:
                scores: Tensor = type(own).get_attention_scores(own, q, k, m)
                found.append(scores.unflatten(0, (-1, own.heads)).detach())
                return scores

            module.get_attention_scores = recording
        yield found
    finally:
        unet.set_attn_processor(before)
        for module in modules:
            del module.get_attention_scores


def test_it_is_the_error_of_the_trigger_s_maps(standalone_host: StandaloneHost) -> None:
    """Tolerance 1e-4."""
    noisy, timesteps, masks = inputs()
    with standalone_host.open_for_training() as model, torch.no_grad():
        network = shaken(model)
        loss = AttentionLoss(model)
        texts = model.encode_prompts(CAPTIONS, 1)
        with attached(network, model.targets()):
            with loss.recorded() as products:
                model.predict(noisy, timesteps, texts)
            with probabilities(model) as found:
                model.predict(noisy, timesteps, texts)
        got = loss.losses(products, CAPTIONS, ["isabella", "isabella", "isabella"], masks)
        ids = [model._networks.tokenizer(caption).input_ids for caption in CAPTIONS]
        [_, *own, _] = model._networks.tokenizer("isabella").input_ids
    assert not any(m._forward_hooks for _, m in model.targets())
    chosen = [p for p in found if p.shape[2] == LATENTS[0] * LATENTS[1]]
    assert 0 < len(chosen) < len(found)
    for row in (0, 2):
        first = next(i for i in range(len(ids[row])) if ids[row][i : i + len(own)] == own)
        columns = list(range(first, first + len(own)))
        own_map = np.mean([p[row][:, :, columns].mean(dim=(0, 2)).numpy() for p in chosen], axis=0)
        expected = ((own_map / own_map.max() - masks[row].flatten().numpy()) ** 2).mean()
        assert float(got[row]) == pytest.approx(float(expected), rel=1e-4)
    assert float(got[1]) == 0  # no trigger, no loss


def test_a_caption_s_own_place_of_the_trigger_counts(standalone_host: StandaloneHost) -> None:
    with standalone_host.open_for_training() as model:
        assert model.token_positions("isabella, girl", "isabella")[0] == 1
        later = model.token_positions("a dog, isabella, girl", "isabella")
        assert later == [place + 3 for place in model.token_positions("isabella", "isabella")]
        assert model.token_positions("hat " * 74 + "red bow", "red bow") == [75, 78]
        assert model.token_positions("hat " * 80 + "bow", "bow") == [77 + 1 + 5]
        assert model.token_positions("girl, standing", "isabella") == []


@pytest.mark.parametrize(
    ("latents", "present", "expected"),
    [
        ((64, 64), (4096, 1024, 256, 64), (16, 16)),
        ((48, 80), (3840, 960, 240, 60), (12, 20)),
        ((16, 16), (256, 64, 16, 4), (16, 16)),  # a checkpoint of 128 pixels
        ((16, 16), (64, 16), (8, 8)),
        ((15, 9), (135, 40, 12), (15, 9)),  # odd sides are halved upwards
        ((15, 9), (40, 12), (8, 5)),
        ((128, 128), (4096, 1024), (32, 32)),
    ],
)
def test_the_maps_nearest_to_16_places_a_side_are_taken(
    latents: tuple[int, int], present: tuple[int, ...], expected: tuple[int, int]
) -> None:
    products = [Products(1, torch.zeros(1, count, 1)) for count in present]
    assert map_size(products, latents) == expected


def test_attention_of_other_sizes_is_told() -> None:
    with pytest.raises(TrainingError, match="attention_loss"):
        map_size([Products(1, torch.zeros(1, 100, 1))], (16, 16))
    with pytest.raises(TrainingError, match="attention_loss"):
        AttentionLoss(TinyModel())


def test_it_draws_the_attention_into_the_mask(standalone_host: StandaloneHost) -> None:
    """Eight steps on this loss alone, with gradients that checkpointing computes again; the first
    of which are those without it, to 1e-5.
    """
    noisy, timesteps, masks = inputs()
    masks[:, :, 8:] = 0
    masks[:, :, :8] = 1
    triggers = ["isabella", "", "isabella"]
    first: list[list[Tensor]] = []
    with standalone_host.open_for_training() as model:
        texts = model.encode_prompts(CAPTIONS, 1)
        loss = AttentionLoss(model)
        for checkpointing in (False, True):
            network = shaken(model)
            optimizer = torch.optim.Adam(network.parameters(), lr=5e-2)
            curve = []
            blocks = model.blocks() if checkpointing else []
            with checkpointed(blocks, network.again), attached(network, model.targets()):
                for _ in range(8 if checkpointing else 1):
                    with loss.recorded() as products:
                        model.predict(noisy, timesteps, texts)
                    value = loss.losses(products, CAPTIONS, triggers, masks).sum()
                    optimizer.zero_grad()
                    value.backward()
                    if not curve:
                        first.append(
                            [p.grad.clone() for p in network.parameters() if p.grad is not None]
                        )
                    optimizer.step()
                    curve.append(float(value.detach()))
    assert curve[-1] < 0.8 * curve[0], curve
    plain, again = first
    assert len(plain) == len(again) > 0
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(plain, again, strict=True))


def shown(folder: Path) -> list[Picture]:
    """Two pictures with a mask whose left half is the character, one without, and one of the
    class.
    """
    mask = Image.new("L", (64, 64), 0)
    mask.paste(255, (0, 0, 32, 64))
    mask.save(folder / "mask.png")
    part = MaskPart(folder / "mask.png", (0, 0, 64, 64))
    made = []
    for index in range(4):
        path = folder / f"{index}.png"
        values = np.random.default_rng(index).integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(values).resize((64, 64), Image.Resampling.NEAREST).save(path)
        made.append(
            Picture(
                path,
                "isabella, girl, red, blue",
                (64, 64),
                2,
                index == 2,
                "" if index == 2 else "isabella",
                part if index < 2 else None,
            )
        )
    return made


def test_each_row_has_its_trigger_and_mask(tmp_path: Path) -> None:
    cache = LatentCache()
    own = shown(tmp_path)
    cache.fill(TinyModel(), own, Versions(flip=True), lambda done, total: None)
    batch = [Sample(picture, number) for number, picture in enumerate([*own, *own])]

    def attended(**values: object) -> Any:
        options = settings(regularization="both", flip=True, **values)
        return make_batch(options, cache, batch, 1000).attended

    assert attended() is None
    made = attended(attention_loss=0.1)
    # Two with masks, one of the class, one without a mask, twice; then the rows of prior prediction
    assert made.triggers == ["isabella", "isabella", "", ""] * 2 + [""] * 6
    left = torch.zeros(8, 8)
    left[:, :4] = 1
    sides = {bool(made.masks[row, 0].equal(left)) for row in (0, 1, 4, 5)}
    assert sides == {True, False}  # some are mirrored, and their masks with them
    assert all(
        made.masks[row, 0].equal(left) or made.masks[row, 0].equal(left.flip(-1))
        for row in (0, 1, 4, 5)
    )
    assert set(attended(attention_loss=0.1, caption_dropout=1.0).triggers) == {""}
    assert attended(attention_loss=0.1, masked_loss=True).masks.equal(made.masks)


def test_pictures_without_mask_or_trigger_are_told(
    standalone_host: StandaloneHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = shown(tmp_path)
    options = settings(attention_loss=0.1)
    unnamed = [replace(picture, caption="girl, red") for picture in own]
    for pictures in ([replace(picture, mask=None) for picture in own], unnamed, own[2:]):
        monkeypatch.setattr(test_trainer, "pictures", lambda folder, made=pictures: made)
        with pytest.raises(TrainingError, match="attention_loss"):
            train(standalone_host, tmp_path, options)


def test_it_is_added_with_its_weight(standalone_host: StandaloneHost, tmp_path: Path) -> None:
    own = shown(tmp_path)
    cache = LatentCache()
    totals = {}
    with standalone_host.open_for_training() as model, torch.no_grad():
        cache.fill(model, own, Versions(), lambda done, total: None)
        network = shaken(model)
        batch = [Sample(picture, number) for number, picture in enumerate(own)]
        for weight in (0.0, 0.5, 2.0):
            options = settings(attention_loss=weight, text_encoder_lr=0)
            objective = Objective(model, network, options)
            with attached(network, model.targets()):
                totals[weight] = float(objective.loss(make_batch(options, cache, batch, 1000)))
    assert totals[0.5] > totals[0.0]
    assert totals[2.0] - totals[0.0] == pytest.approx(4 * (totals[0.5] - totals[0.0]), rel=1e-3)


def test_a_resumed_training_equals_an_uninterrupted_one(
    standalone_host: StandaloneHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(test_trainer, "pictures", shown)
    for folder in ("whole", "parts", "plain"):
        (tmp_path / folder).mkdir()
    own = {"epochs": 1, "batch_size": 4}
    options = settings(**own, attention_loss=0.5)
    whole = train(standalone_host, tmp_path / "whole", options)
    with pytest.raises(JobCancelled):
        train(standalone_host, tmp_path / "parts", options, 1)
    parts = train(standalone_host, tmp_path / "parts", options)
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    plain = train(standalone_host, tmp_path / "plain", settings(**own))
    assert any(not torch.equal(whole[key], plain[key]) for key in whole)
