"""Metadata of a training against what was computed, as in sd-scripts 0.9.1, train_network.py."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import torch

from lib_singlelora.host import Host
from lib_singlelora.lora.branches import shape_of
from lib_singlelora.lora.metadata import build_metadata
from lib_singlelora.lora.network import LoraNetwork
from lib_singlelora.naming.block_weights import parse_block_weights
from lib_singlelora.naming.blocks import SD1
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.train_metadata import training_facts
from lib_singlelora.training.epoch_plan import Picture
from lib_singlelora.training.trainer import Trainer
from tests.stages.quiet_host import QuietHost
from tests.training.tiny_model import TinyModel


class Model(TinyModel):
    """In whatever precision."""

    dtype = torch.float32

    @property
    def compute_dtype(self) -> torch.dtype:
        return self.dtype


def metadata(folder: Path, dtype: torch.dtype = torch.float32, **values: Any) -> dict[str, str]:
    options = {"rank": 2, "alpha": 2, "epochs": 1, "text_encoder_lr": 0, **values}
    settings = Settings.from_dict(
        {"character.trigger": "isa", **{f"training.{key}": v for key, v in options.items()}}
    )
    model = Model()
    shown = [Picture(folder / "5_isa" / "a.png", "isa, girl", (64, 64))]
    model.dtype = dtype
    network = LoraNetwork(model.targets(), SD1, shape_of(settings.training), {}, False, 1)
    trainer = Trainer(
        model, network, shown, settings.training, folder / "s.pt", "x", lambda *_: folder
    )
    weights = parse_block_weights("ALL", SD1)
    facts = training_facts(settings, cast(Host, QuietHost()), shown, trainer, 64, weights, 0.0)
    return build_metadata(facts, settings.metadata())


@pytest.mark.parametrize(
    ("dtype", "said"), [(torch.float32, "no"), (torch.float16, "fp16"), (torch.bfloat16, "bf16")]
)
def test_the_precision_is_the_one_that_was_computed_in(
    tmp_path: Path, dtype: torch.dtype, said: str
) -> None:
    assert metadata(tmp_path, dtype)["ss_mixed_precision"] == said


def test_the_whole_batch_counts_what_was_accumulated(tmp_path: Path) -> None:
    found = metadata(tmp_path, batch_size=2, gradient_accumulation=3)
    names = ("ss_batch_size_per_device", "ss_gradient_accumulation_steps", "ss_total_batch_size")
    assert [found[name] for name in names] == ["2", "3", "6"]


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({}, "torch.optim.adamw.AdamW"),
        ({"weight_decay": 0.1}, "torch.optim.adamw.AdamW(weight_decay=0.1)"),
        (
            {"optimizer_args": "betas=(0.9, 0.99); weight_decay=0.02"},
            "torch.optim.adamw.AdamW(betas=(0.9, 0.99),weight_decay=0.02)",
        ),
    ],
)
def test_the_optimizer_s_arguments_are_those_it_was_given(
    tmp_path: Path, values: dict[str, Any], said: str
) -> None:
    assert metadata(tmp_path, **values)["ss_optimizer"] == said
