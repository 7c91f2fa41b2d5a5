"""The memory of a training, calculated without its networks, beside what they really have and keep.

Tolerance 5 %.
"""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.lora.branches import shape_of
from lib_singlelora.naming.block_weights import parse_block_weights
from lib_singlelora.naming.blocks import SD1, SDXL, BlockLayout
from lib_singlelora.stages.train_task import learned_settings
from lib_singlelora.training.memory_fit import computer_of, fit_memory
from lib_singlelora.training.memory_plan import (
    Computer,
    MemoryPlan,
    plan_memory,
    text_numbers,
    trained_numbers,
    unet_numbers,
)
from tests.small_sdxl import build_small_sdxl
from tests.training.test_memory import LARGE, counted
from tests.training.test_saving import borrowed_networks
from tests.training.test_trainer import settings

GOLDEN = Path(__file__).parents[1] / "golden"
GIB = 2**30
NATIVE = (1024, 1024)


def gpu(gib: float) -> Computer:
    return Computer("a GPU", True, gib * GIB)


def planned(layout: BlockLayout, computer: Computer, on: bool = False, **values: Any) -> MemoryPlan:
    options = settings(text_encoder_lr=0, **values)
    weights = parse_block_weights(options.block_weights, layout).as_dict()
    return plan_memory(layout, options, weights, NATIVE, computer, checkpointing=on)


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"algorithm": "LoCon"},
        {"block_weights": "OUTD"},
        {"algorithm": "DoRA"},
        {"algorithm": "LoKr"},
    ],
)
def test_what_a_pass_keeps_is_known_without_the_networks(
    standalone_host: StandaloneHost, tmp_path: Path, values: dict[str, Any]
) -> None:
    options = {"text_encoder_lr": 0, "masked_loss": False, **values}
    if values.get("algorithm") in ("DoRA", "LoKr"):
        pytest.importorskip("lycoris")
    found = counted(standalone_host, tmp_path, **options)
    with borrowed_networks(standalone_host, tmp_path, settings(**options)) as trainer:
        model = trainer.model
        weights = parse_block_weights(trainer.settings.block_weights, model.layout).as_dict()
        plan = plan_memory(
            model.layout,
            trainer.settings,
            weights,
            (8 * LARGE, 8 * LARGE),
            computer_of(model),
            checkpointing=False,
        )
        trained = sum(p.numel() for p in trainer.network.parameters())
    assert plan.step.kept == pytest.approx(found, rel=0.05)
    assert plan.step.lora == 8 * trained


@pytest.fixture(scope="module")
def xl_host(tmp_path_factory: pytest.TempPathFactory) -> StandaloneHost:
    return StandaloneHost(build_small_sdxl(tmp_path_factory.mktemp("xl")), "cpu")


@pytest.mark.parametrize(("rate", "tolerance"), [(0.0, 0.05), (1e-4, 0.1)])
def test_what_a_pass_of_xl_keeps_is_known_too(
    xl_host: StandaloneHost, tmp_path: Path, rate: float, tolerance: float
) -> None:
    options = settings(text_encoder_lr=rate, masked_loss=False)
    found = counted(xl_host, tmp_path, text_encoder_lr=rate, masked_loss=False)
    with xl_host.open_for_training() as model:
        layout, computer = model.layout, computer_of(model)
    size = (8 * LARGE, 8 * LARGE)
    plan = plan_memory(layout, options, {}, size, computer, checkpointing=False)
    assert plan.step.kept == pytest.approx(found, rel=tolerance)


def test_an_xl_file_asks_for_its_preset(xl_host: StandaloneHost, tmp_path: Path) -> None:
    assert xl_host.asked_preset.name == xl_host.checkpoint.preset == "recommended-sdxl"
    v = StandaloneHost(build_small_sdxl(tmp_path, "v", "v_prediction"), "cpu")
    assert v.asked_preset.name == "recommended-sdxl-v"
    assert v.checkpoint.prediction == "v_prediction"


def test_full_sizes_have_the_published_numbers_of_weights() -> None:
    assert (unet_numbers(SD1), text_numbers(SD1)) == (859_520_964, 123_060_480)
    assert unet_numbers(SDXL) == 2_567_463_684


def test_a_lora_has_the_numbers_of_kohyas_file() -> None:
    golden = json.loads((GOLDEN / "kohya_sdxl_keys.json").read_text(encoding="utf-8"))
    wanted = sum(
        math.prod(shape)
        for key, shape in golden.items()
        if key.startswith("lora_unet_") and not key.endswith(".alpha")
    )
    assert trained_numbers(SDXL, shape_of(settings(rank=16)), {}, True, ()) == wanted


def test_each_text_encoder_of_xl_counts_by_its_own_rate() -> None:
    golden = json.loads((GOLDEN / "kohya_sdxl_keys.json").read_text(encoding="utf-8"))

    def numbers(prefix: str) -> int:
        return sum(
            math.prod(shape)
            for key, shape in golden.items()
            if key.startswith(prefix) and not key.endswith(".alpha")
        )

    for texts in ((True, False), (False, True), (True, True)):
        wanted = sum(numbers(f"lora_te{n}_") for n, on in enumerate(texts, 1) if on)
        assert trained_numbers(SDXL, shape_of(settings(rank=16)), {}, False, texts) == wanted


def test_checkpointing_keeps_a_sixth_of_xl_and_needs_the_same_weights() -> None:
    plain, lean = (planned(SDXL, gpu(80), on) for on in (False, True))
    assert lean.step.kept < plain.step.kept / 6
    assert lean.step.weights == plain.step.weights


def test_vae_and_text_encoders_take_turns_on_a_gpu_and_not_on_a_cpu() -> None:
    on_gpu = planned(SDXL, gpu(80)).caching
    on_cpu = planned(SDXL, replace(gpu(80), is_gpu=False)).caching
    assert on_cpu - on_gpu == pytest.approx(2 * text_numbers(SDXL))


def test_prior_rows_and_batches_multiply_what_is_kept() -> None:
    one = planned(SDXL, gpu(80), regularization="none")
    assert planned(SDXL, gpu(80), batch_size=3, regularization="none").step.kept == pytest.approx(
        3 * one.step.kept
    )
    prior = planned(SDXL, gpu(80), regularization="prior prediction")
    assert prior.step.kept == pytest.approx(2 * one.step.kept)


@pytest.mark.parametrize(("gib", "on"), [(8, True), (12, True), (24, False)])
def test_checkpointing_is_switched_on_where_xl_does_not_fit(gib: float, on: bool) -> None:
    fit = fit_memory(SDXL, settings(text_encoder_lr=0, rank=16), {}, [NATIVE], 20, gpu(gib))
    assert fit.settings.gradient_checkpointing is on
    assert any("auto_checkpointing" in sentence for sentence in fit.said) is on


def test_xl_on_a_gpu_of_less_than_12_gb_has_it_at_any_size() -> None:
    options = settings(text_encoder_lr=0, rank=16)
    small, large = (fit_memory(SDXL, options, {}, [(512, 512)], 20, gpu(gib)) for gib in (10, 16))
    assert small.settings.gradient_checkpointing and not large.settings.gradient_checkpointing


def test_sd1_stays_without_it_on_small_cards() -> None:
    fit = fit_memory(SD1, settings(text_encoder_lr=0), {}, [(512, 512)], 20, gpu(6))
    assert not fit.settings.gradient_checkpointing and not fit.said


def test_the_user_may_keep_it_off() -> None:
    options = settings(text_encoder_lr=0, rank=16, auto_checkpointing=False)
    fit = fit_memory(SDXL, options, {}, [NATIVE], 20, gpu(12))
    assert not fit.settings.gradient_checkpointing
    assert any("training.resolution" in sentence for sentence in fit.said)


def test_a_memory_that_is_not_known_changes_nothing() -> None:
    fit = fit_memory(SDXL, settings(text_encoder_lr=0), {}, [NATIVE], 20, gpu(0))
    assert not fit.settings.gradient_checkpointing and not fit.said


def test_what_is_switched_on_belongs_to_no_fingerprint() -> None:
    options = settings()
    before = learned_settings(options)
    assert "auto_checkpointing" not in before
    assert learned_settings(replace(options, auto_checkpointing=False)) == before
