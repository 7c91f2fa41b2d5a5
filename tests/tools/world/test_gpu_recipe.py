"""The GPU's recipe on a CPU, a few steps of each stage; on a GPU only its steps are recorded as
well.
"""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

pytest.importorskip(
    "skia", reason="the drawings need skia-python: pip install 'single-image-lora[world]'"
)

from lib_singlelora.embedded.paths import CHECKPOINT
from tools.world.networks.models import new_text_encoder
from tools.world.networks.muon import Muon
from tools.world.networks.parallel import Drawers, new_shelf
from tools.world.networks.recorded import Recorded
from tools.world.networks.store import Store
from tools.world.networks.train_gpu import World, context_of
from tools.world.networks.train_tagger import known_names, vocabulary
from tools.world.scenes.look import sample_look
from tools.world.scenes.prompts import encode, tokens
from tools.world.scenes.sample import sample_scene
from tools.world.scenes.scene import render
from tools.world.scenes.spoiling import spoiled


def test_clip_by_hand_is_transformers_clip() -> None:
    torch.manual_seed(0)
    text = new_text_encoder().eval()
    numbers = tokens(["1girl, red hair, hat", "", "2girls, outdoors"])
    for clip_skip in (1, 2):
        assert torch.allclose(
            context_of(text, numbers, clip_skip), encode(text, numbers, clip_skip), atol=1e-5
        )


def test_all_cores_draw_what_one_draws() -> None:
    names = known_names()
    shelves = [new_shelf("world", 5, len(names)), new_shelf("tagger", 3, len(names))]
    drawers = Drawers(shelves, names, 2)
    try:
        assert drawers.wait("tagger", 3) == 3 and drawers.done["world"] == 5
    finally:
        drawers.close()
    assert (shelves[0].pixels[4] == render(sample_scene(70_000_004, True), 128).pixels).all()
    assert shelves[0].told.shape == (5, 4, 77) and (shelves[0].told[:, :, 0] == 49406).all()
    assert shelves[1].told.sum(1).min() >= 3


def test_all_cores_draw_by_many_hands() -> None:
    shelf = new_shelf("world", 12, len(known_names()))
    drawers = Drawers([shelf], known_names(), 2, many_hands=True)
    try:
        drawers.wait("world", 12)
    finally:
        drawers.close()
    seeds = range(70_000_000, 70_000_012)
    for pixels, seed in zip(shelf.pixels, seeds, strict=True):
        drawn = render(sample_scene(seed, True), 128, look=sample_look(seed)).pixels
        assert (pixels == drawn).all()
    assert len({sample_look(seed) for seed in seeds}) > 4


def test_the_shipped_tagger_lists_the_vocabulary() -> None:
    assert known_names() == vocabulary()[0]


def test_spoiled_pictures_keep_shape_and_range_and_differ() -> None:
    torch.manual_seed(1)
    pixels = torch.rand(16, 32, 32, 3) * 255
    found = spoiled(pixels)
    assert found.shape == pixels.shape and float(found.min()) >= 0 and float(found.max()) <= 255
    assert float((found - pixels).abs().amax((1, 2, 3)).median()) > 1


def test_rates_rise_and_fall_to_nothing() -> None:
    weight = torch.nn.Parameter(torch.ones(16, 16))
    optimizer = Muon([("weight", weight)], lr=0.5)

    def step() -> torch.Tensor:
        optimizer.zero_grad()
        loss = weight.square().mean()
        loss.backward()
        optimizer.step()
        return loss.detach()

    seen: list[float] = []
    recorded = Recorded(step, optimizer.param_groups, "cpu")
    recorded.run(
        0.2, lambda number, loss, seconds: seen.append(float(optimizer.param_groups[0]["lr"]))
    )
    assert recorded.steps > 10 and max(seen) > 0.1 and seen[-1] < 0.1


@pytest.mark.parametrize("stage", ["unet", "decoder", "tagger"])
def test_a_stage_runs_and_leaves_what_export_reads(stage: str, tmp_path: Path) -> None:
    world = World(
        Store(tmp_path), 1.0, {"colours": 8, "world": 16, "tagger": 12}, "cpu", CHECKPOINT
    )
    try:
        world.load_vae()
        {
            "unet": world.train_unet,
            "decoder": lambda: world.train_vae(decoder_only=True),
            "tagger": world.train_tagger,
        }[stage]()
    finally:
        world.drawers.close()
    state = Store(tmp_path).load(stage)
    assert (
        state and state["step"] >= 1 and all(torch.isfinite(v).all() for v in state["ema"].values())
    )
    if stage == "unet":
        assert set(state) == {"step", "ema", "text_ema"}
