"""A checkpoint's family, by its keys; what is none of them is refused by its name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lib_singlelora.errors import CheckpointError
from lib_singlelora.families.family import Family
from lib_singlelora.families.parameterization import parameterization_of
from lib_singlelora.families.recognition import recognize
from lib_singlelora.families.registry import FAMILIES, family_of
from lib_singlelora.families.sd1 import SD1
from lib_singlelora.families.sd2 import SD2
from lib_singlelora.families.sdxl import SDXL
from lib_singlelora.naming.modules import module_specs

UNET = "model.diffusion_model."
Shapes = dict[str, tuple[int, ...]]


def shapes_of(family: Family, channels: int = 4) -> Shapes:
    """What a full checkpoint of the family has, as far as recognition looks."""
    shapes: Shapes = {
        f"{UNET}{spec.name}.weight": spec.shape
        for spec in module_specs(family.layout)
        if "text_model" not in spec.name
    }
    shapes[f"{UNET}input_blocks.0.0.weight"] = (320, channels, 3, 3)
    shapes["first_stage_model.decoder.conv_out.weight"] = (3, 128, 3, 3)
    for encoder in family.text_encoders:
        shapes[f"{encoder.keys}x"] = (1,)
    return shapes


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_checkpoint_is_known_by_its_text_encoders(family: Family) -> None:
    assert recognize(shapes_of(family), "file") is family


@pytest.mark.parametrize("family", FAMILIES, ids=str)
def test_a_narrower_layout_is_of_the_same_family(family: Family) -> None:
    assert family_of(replace(family.layout, channels=32)) is family


def without(shapes: Shapes, word: str) -> Shapes:
    return {key: shape for key, shape in shapes.items() if word not in key}


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        (
            without(shapes_of(SDXL), "embedders.1") | {"conditioner.embedders.0.model.x": (1,)},
            "ref",
        ),
        (without(shapes_of(SDXL), "middle_block.1"), "SSD-1B"),
        (shapes_of(SDXL, 9), "inpainting"),
        (shapes_of(SD1, 9), "inpainting"),
        (shapes_of(SD2, 5), "depth"),
        (shapes_of(SD1, 8), "pix2pix"),
        (shapes_of(SD1, 7), "7 input channels"),
        (without(shapes_of(SDXL), "first_stage"), "no VAE"),
        (without(shapes_of(SDXL), "embedders.0.transformer"), "no CLIP text encoder"),
        ({f"{UNET}joint_blocks.0.x": (1,)}, "Stable Diffusion 3"),
        ({f"{UNET}double_blocks.0.x": (1,), f"{UNET}single_blocks.0.x": (1,)}, "Flux"),
        ({"double_blocks.0.x": (1,)}, "Flux"),
        ({"model.diffusion_model.blocks.0.cross_attn.k.weight": (1,)}, "video"),
        ({"transformer_blocks.0.attn.to_q.weight": (1,)}, "diffusion transformer"),
        ({"down_blocks.0.resnets.0.conv1.weight": (1,)}, "diffusers"),
        ({"lora_te1_text_model_encoder.lora_up.weight": (1,)}, "a LoRA"),
        ({"base_model.model.unet.to_q.lora_A.weight": (1,)}, "a LoRA"),
        ({**shapes_of(SDXL), "edm_mean": (4,), "edm_std": (4,)}, "EDM"),
        ({**shapes_of(SDXL), "edm_vpred.sigma_max": ()}, "EDM"),
        ({"some.weight": (1,)}, "no U-Net"),
    ],
)
def test_anything_else_is_refused_by_its_name(shapes: Shapes, words: str) -> None:
    with pytest.raises(CheckpointError, match=words) as caught:
        recognize(shapes, "file.safetensors")
    message = str(caught.value)
    assert message.startswith("file.safetensors: found") and "expected" in message
    assert ";" in message.partition("expected")[2]  # and what to do


@pytest.mark.parametrize(
    ("keys", "metadata", "config", "expected"),
    [
        ((), {}, None, ("epsilon", False)),
        (("v_pred",), {}, None, ("v_prediction", False)),
        (("v_pred", "ztsnr"), {}, None, ("v_prediction", True)),
        ((), {"modelspec.prediction_type": "v"}, None, ("v_prediction", False)),
        ((), {"modelspec.prediction_type": "epsilon"}, None, ("epsilon", False)),
        (("ztsnr",), {}, "v_prediction", ("v_prediction", True)),
    ],
)
def test_the_prediction_is_what_the_file_says(keys, metadata, config, expected) -> None:
    found = parameterization_of(SDXL, keys, metadata, config)
    assert (found.prediction, found.zero_terminal_snr) == expected
    assert found.source in str(found)
