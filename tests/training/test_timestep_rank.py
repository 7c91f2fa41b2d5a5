"""Trainings in which a LoRA's rank depends on the timestep."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from lib_singlelora.errors import JobCancelled
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.lora.active_ranks import RankSchedule
from lib_singlelora.lora.branches import LoraBranch, LoraShape
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.naming.blocks import is_text
from tests.training.test_trainer import settings, train


def test_the_text_encoder_keeps_all_ranks(standalone_host: StandaloneHost) -> None:
    with standalone_host.open_for_training() as model:
        shape = LoraShape(4, 4, ranks=RankSchedule(0.25))
        made = LoraNetwork(model.targets(), model.layout, shape, {}, True, 1)
        assert {is_text(name) for name, _ in made.items()} == {True, False}
        for name, branch in made.items():
            assert isinstance(branch, LoraBranch)
            branch.up.data.fill_(0.1)
            with made.at(torch.tensor([0, 430, 999])):
                assert (branch.rank_mask() is None) == is_text(name)


def test_a_resumed_training_equals_an_uninterrupted_one(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    """With gradient checkpointing the second time: the same to rounding, 1e-5."""
    own = {
        "timestep_rank": True,
        "timestep_rank_min": 0.25,
        "rank": 4,
        "epochs": 1,
        "batch_size": 2,
    }
    for folder in ("whole", "parts", "again", "plain"):
        (tmp_path / folder).mkdir()
    whole = train(standalone_host, tmp_path / "whole", settings(**own))
    with pytest.raises(JobCancelled):
        train(standalone_host, tmp_path / "parts", settings(**own), 2)
    parts = train(standalone_host, tmp_path / "parts", settings(**own))
    assert all(torch.equal(whole[key], parts[key]) for key in whole)
    again = train(standalone_host, tmp_path / "again", settings(**own, gradient_checkpointing=True))
    assert all(torch.allclose(whole[key], again[key], atol=1e-5) for key in whole)
    plain = train(standalone_host, tmp_path / "plain", settings(rank=4, epochs=1, batch_size=2))
    assert any(not torch.allclose(whole[key], plain[key], atol=1e-5) for key in whole)
