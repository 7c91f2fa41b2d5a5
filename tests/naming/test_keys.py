"""Names against the tables that sd-scripts wrote."""

import json
from pathlib import Path

import pytest

from lib_singlelora.errors import LoraKeyError
from lib_singlelora.naming.blocks import LAYOUTS, SD1, SD2, SDXL, BlockLayout
from lib_singlelora.naming.keys import (
    canonical_to_diffusers,
    canonical_to_kohya,
    diffusers_to_canonical,
    kohya_to_canonical,
    lora_shapes,
    module_names,
    stems,
)

GOLDEN = Path(__file__).parent.parent / "golden"
SD1_KEYS = json.loads((GOLDEN / "kohya_sd1_keys.json").read_text())
SDXL_KEYS = json.loads((GOLDEN / "kohya_sdxl_keys.json").read_text())
TABLES = [
    pytest.param(SD1_KEYS["sd1_lora_rank16"], SD1, {}, id="sd1-lora"),
    pytest.param(SD1_KEYS["sd1_locon_rank16_conv8"], SD1, {"conv_rank": 8}, id="sd1-locon"),
    pytest.param(SDXL_KEYS, SDXL, {}, id="sdxl"),
]


@pytest.mark.parametrize(("table", "layout", "options"), TABLES)
def test_shapes_equal_those_sd_scripts_writes(table, layout: BlockLayout, options) -> None:
    assert lora_shapes(layout, 16, **options) == {key: tuple(shape) for key, shape in table.items()}


@pytest.mark.parametrize(("table", "layout", "options"), TABLES)
def test_golden_stems_round_trip(table, layout: BlockLayout, options) -> None:
    for stem in {key.split(".", 1)[0] for key in table}:
        name = kohya_to_canonical(stem, layout)
        assert canonical_to_kohya(name, layout) == stem
        assert diffusers_to_canonical(canonical_to_diffusers(name, layout), layout) == name


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_module_round_trips_and_no_two_share_a_stem(layout: BlockLayout) -> None:
    names = module_names(layout, norms=True)
    assert len(set(names)) == len(names)
    assert len({canonical_to_kohya(name, layout) for name in names}) == len(names)
    for name in names:
        assert kohya_to_canonical(canonical_to_kohya(name, layout), layout) == name
        assert diffusers_to_canonical(canonical_to_diffusers(name, layout), layout) == name


@pytest.mark.parametrize(
    ("canonical", "diffusers"),
    [
        ("input_blocks.0.0", "conv_in"),
        (
            "input_blocks.4.1.transformer_blocks.0.attn1.to_q",
            "down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_q",
        ),
        ("input_blocks.4.0.in_layers.2", "down_blocks.1.resnets.0.conv1"),
        ("input_blocks.4.0.emb_layers.1", "down_blocks.1.resnets.0.time_emb_proj"),
        ("input_blocks.4.0.out_layers.3", "down_blocks.1.resnets.0.conv2"),
        ("input_blocks.4.0.skip_connection", "down_blocks.1.resnets.0.conv_shortcut"),
        ("input_blocks.6.0.op", "down_blocks.1.downsamplers.0.conv"),
        ("middle_block.0.in_layers.0", "mid_block.resnets.0.norm1"),
        ("middle_block.1.proj_out", "mid_block.attentions.0.proj_out"),
        ("middle_block.2.out_layers.0", "mid_block.resnets.1.norm2"),
        ("output_blocks.2.1.conv", "up_blocks.0.upsamplers.0.conv"),
        ("output_blocks.5.2.conv", "up_blocks.1.upsamplers.0.conv"),
        ("output_blocks.11.1.norm", "up_blocks.3.attentions.2.norm"),
        ("time_embed.0", "time_embedding.linear_1"),
        ("out.2", "conv_out"),
        ("text_model.encoder.layers.3.mlp.fc1", "text_model.encoder.layers.3.mlp.fc1"),
    ],
)
def test_sd1_diffusers_names(canonical: str, diffusers: str) -> None:
    assert canonical_to_diffusers(canonical, SD1) == diffusers
    assert diffusers_to_canonical(diffusers, SD1) == canonical


def test_sdxl_upsampler_lies_behind_the_transformer() -> None:
    assert diffusers_to_canonical("up_blocks.0.upsamplers.0.conv", SDXL) == "output_blocks.2.2.conv"


def test_sdxl_stems_of_other_trainers_are_read_too() -> None:
    name = "input_blocks.4.1.transformer_blocks.1.attn2.to_v"
    assert (
        stems(SDXL)["lora_unet_down_blocks_1_attentions_0_transformer_blocks_1_attn2_to_v"] == name
    )
    assert stems(SDXL)["lora_unet_input_blocks_4_1_transformer_blocks_1_attn2_to_v"] == name


def test_sdxl_without_resblocks_has_the_722_unet_modules_that_its_trainer_reports() -> None:
    shapes = lora_shapes(SDXL, 4)
    assert sum(key.startswith("lora_unet_") for key in shapes) == 3 * 722


def test_sd2_projects_with_linears_and_reads_a_wider_context() -> None:
    shapes = lora_shapes(SD2, 4)
    assert shapes["lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight"] == (4, 320)
    assert shapes[
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight"
    ] == (4, 1024)


@pytest.mark.parametrize(
    "stem",
    ["lora_unet_down_blocks_9_attentions_0_proj_in", "lora_te1_text_model_final", "weight", ""],
)
def test_an_unknown_stem_is_an_error_that_names_it(stem: str) -> None:
    with pytest.raises(LoraKeyError, match="matches no sd1 module") as caught:
        kohya_to_canonical(stem, SD1)
    assert repr(stem) in str(caught.value)
