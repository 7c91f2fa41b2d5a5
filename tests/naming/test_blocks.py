"""Block labels of modules."""

import json
from pathlib import Path

import pytest

from lib_singlelora.errors import LoraKeyError
from lib_singlelora.naming.blocks import LAYOUTS, SD1, SDXL, BlockLayout, block_of
from lib_singlelora.naming.keys import kohya_to_canonical
from lib_singlelora.naming.modules import lora_targets, module_names

GOLDEN = json.loads((Path(__file__).parent.parent / "golden" / "kohya_sd1_blocks.json").read_text())


def test_labels_are_in_the_order_of_sd_scripts_indices() -> None:
    for stem, index in GOLDEN["block_index_of_module"].items():
        assert block_of(kohya_to_canonical(stem, SD1), SD1) == SD1.labels[index]


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("input_blocks.4.1.transformer_blocks.0.attn1.to_q", "IN04"),
        ("input_blocks.11.0.in_layers.2", "IN11"),
        ("middle_block.1.proj_in", "M00"),
        ("middle_block", "M00"),
        ("output_blocks.3.1.proj_in", "OUT03"),
        ("output_blocks.11.0.skip_connection", "OUT11"),
        ("text_model.encoder.layers.0.self_attn.q_proj", "BASE"),
        ("time_embed.0", "IN00"),
        ("input_blocks.0.0", "IN00"),
        ("out.2", "OUT11"),
    ],
)
def test_sd1_labels(name: str, label: str) -> None:
    assert block_of(name, SD1) == label


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("te2.text_model.encoder.layers.0.mlp.fc1", "BASE"),
        ("label_emb.0.0", "IN00"),
        ("input_blocks.4.1.proj_in", "IN04"),
        ("middle_block.2.in_layers.2", "M00"),
        ("output_blocks.8.0.in_layers.2", "OUT08"),
        ("out.2", "OUT08"),
    ],
)
def test_sdxl_labels(name: str, label: str) -> None:
    assert block_of(name, SDXL) == label


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_module_lies_in_a_block_of_its_layout(layout: BlockLayout) -> None:
    assert {block_of(name, layout) for name in module_names(layout)} == {"BASE", *layout.labels}


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_attention_labels_are_the_blocks_of_a_plain_lora(layout: BlockLayout) -> None:
    blocks = {block_of(spec.name, layout) for spec in lora_targets(layout)}
    assert blocks == {"BASE", *layout.attention_labels}


@pytest.mark.parametrize(
    "name", ["input_blocks.12.0", "decoder.conv_in", "", "transformer_blocks.0"]
)
def test_a_name_of_no_block_is_an_error(name: str) -> None:
    with pytest.raises(LoraKeyError, match="found no such block in sd1"):
        block_of(name, SD1)
