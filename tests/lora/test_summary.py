"""What a file is, told from the file."""

import json
from pathlib import Path

import pytest
import torch

from lib_singlelora.lora.bake import bake
from lib_singlelora.lora.files import LoraFile
from lib_singlelora.lora.functional import natural_delta
from lib_singlelora.lora.summary import summarize
from lib_singlelora.naming.block_weights import parse_block_weights
from lib_singlelora.naming.blocks import SD1
from tests.tiny_lora import made


@pytest.mark.parametrize(
    ("algorithm", "name"),
    [
        ("lora", "LoCon"),
        ("locon", "LoCon"),
        ("loha", "LoHa"),
        ("loha tucker", "LoHa"),
        ("lokr", "LoKr"),
        ("diff", "full"),
    ],
)
def test_the_algorithm_is_named(tmp_path: Path, algorithm: str, name: str) -> None:
    assert summarize(made(tmp_path, algorithm)).algorithm == name


def without_convolution(lora: LoraFile) -> LoraFile:
    return LoraFile(
        lora.name,
        lora.layout,
        {key: tensor for key, tensor in lora.tensors.items() if "conv1" not in key},
        {},
    )


def test_a_lora_without_convolutions_is_no_locon(tmp_path: Path) -> None:
    assert summarize(without_convolution(made(tmp_path))).algorithm == "LoRA"


def test_a_dora_is_named(tmp_path: Path) -> None:
    lora = without_convolution(made(tmp_path))
    magnitudes = {f"{stem}.dora_scale": torch.ones(1, 1) for stem in lora.by_stem}
    assert (
        summarize(LoraFile(lora.name, SD1, {**lora.tensors, **magnitudes}, {})).algorithm == "DoRA"
    )


def test_rank_alpha_precision_and_size_are_the_files(tmp_path: Path) -> None:
    lora = made(tmp_path, precision="fp16")
    summary = summarize(lora)
    assert (summary.architecture, summary.ranks, summary.alphas, summary.precision) == (
        "sd1",
        (4, 4),
        (2.0, 2.0),
        "float16",
    )
    assert summary.parameters == sum(tensor.numel() for tensor in lora.tensors.values())
    assert summary.size == 2 * summary.parameters and summary.modules == 5


def test_a_full_diff_has_no_rank_and_no_alpha(tmp_path: Path) -> None:
    summary = summarize(made(tmp_path, "diff"))
    assert summary.ranks is None and summary.alphas is None


def test_a_blocks_norm_is_the_mean_of_its_modules(tmp_path: Path) -> None:
    lora = made(tmp_path)
    second = {
        key.replace("to_q", "to_k"): tensor * 2
        for key, tensor in lora.tensors.items()
        if "down_blocks_0" in key
    }
    both = LoraFile(lora.name, SD1, {**lora.tensors, **second}, {})
    found = summarize(both).blocks["IN01"]
    norms = [
        float(natural_delta(parts).norm())
        for name, parts in both.modules.items()
        if name.startswith("input_blocks.1.")
    ]
    assert (
        found.modules == 2 and norms[0] != norms[1] and found.norm == pytest.approx(sum(norms) / 2)
    )


def test_the_blocks_that_hold_weights_are_told_in_their_order(tmp_path: Path) -> None:
    lora = made(tmp_path)
    assert list(summarize(lora).blocks) == ["BASE", "IN01", "M00", "OUT03", "OUT10"]
    assert list(summarize(bake(lora, parse_block_weights("OUTD", SD1))).blocks) == ["BASE", "OUT03"]


def test_highlights_tags_and_history_come_from_the_metadata(tmp_path: Path) -> None:
    tags = json.dumps({"5_isa": {"isabella": 5, "girl": 9}, "1_reg": {"girl": 1, "solo": 7}})
    lora = made(tmp_path, ss_epoch="3", ss_noise_offset="None", ss_tag_frequency=tags)
    summary = summarize(bake(lora, parse_block_weights("OUTD", SD1), 0.8, "OUTD"))
    assert (
        summary.highlights["name"] == "isa"
        and summary.highlights["epoch"] == "3"
        and "noise offset" not in summary.highlights
    )
    assert summary.tags == ("girl", "solo", "isabella")
    assert summary.history == ("baked OUTD at 0.8 into lora-1.safetensors",)


@pytest.mark.parametrize("broken", ["no JSON", "[1]", '{"a": {"b": "c"}}', '{"a": 1}'])
def test_broken_tag_counts_are_passed_over(tmp_path: Path, broken: str) -> None:
    assert (
        summarize(made(tmp_path, ss_tag_frequency=broken, ss_singlelora_history=broken)).tags == ()
    )


def test_the_summary_is_json(tmp_path: Path) -> None:
    told = json.loads(json.dumps(summarize(made(tmp_path)).as_dict()))
    assert told["modules"] == 5 and told["blocks"]["M00"]["norm"] > 0
