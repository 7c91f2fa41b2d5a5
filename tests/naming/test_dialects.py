"""Keys of LoRA files in the trainers' dialects are parsed into network, module and tensor."""

import pytest

from lib_singlelora.naming.blocks import SD1, SDXL
from lib_singlelora.naming.dialects import LoraKey, foreign_kind, layout_of, parse_key

MODULE = "down_blocks_1_attentions_0_proj_in"


@pytest.mark.parametrize(
    ("key", "part"),
    [
        ("lora_unet_down_blocks_1_attentions_0_proj_in.lora_down.weight", "lora_down.weight"),
        ("lora_unet_down_blocks_1_attentions_0_proj_in.alpha", "alpha"),
        ("unet.down_blocks.1.attentions.0.proj_in.lora_B.weight", "lora_up.weight"),
        ("base_model.model.down_blocks.1.attentions.0.proj_in.lora_A.weight", "lora_down.weight"),
        ("diffusion_model.down_blocks.1.attentions.0.proj_in.diff_b", "diff_b"),
    ],
)
def test_dialects_agree_on_a_module(key: str, part: str) -> None:
    assert parse_key(key) == LoraKey("unet", MODULE, part)


def test_a_key_of_no_lora_is_none() -> None:
    assert parse_key("model.diffusion_model.out.2.step") is None


def test_a_second_text_encoder_means_sdxl() -> None:
    key = LoraKey("te2", "text_model_encoder_layers_0_mlp_fc1", "lora_up.weight")
    assert layout_of([key], {key: (1280, 4)}, {}) is SDXL
    assert layout_of([LoraKey("te0", key.module, "alpha")], {}, {}) is SD1


def test_other_files_are_named() -> None:
    assert foreign_kind(["double_blocks.0.lora_A.weight"]) == "a LoRA for Flux"
    assert foreign_kind(["decoder.conv_in.weight"]) == "a VAE"
    assert foreign_kind(["unknown"]) == ""


def test_keys_are_parsed_alike_the_first_time_and_later() -> None:
    keys = ("lora_unet_mid_block_attentions_0_proj_in.alpha", "nothing", "unet.conv_in.lora_A.bias")
    assert [parse_key(key) for key in keys] == [parse_key.__wrapped__(key) for key in keys]
    assert parse_key.cache_info().maxsize  # keys of files from anywhere
