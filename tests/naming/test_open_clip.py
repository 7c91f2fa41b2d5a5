"""open_clip's names of what transformers calls otherwise."""

from __future__ import annotations

from lib_singlelora.naming.blocks import SD2, SDXL, is_text
from lib_singlelora.naming.modules import module_specs
from lib_singlelora.naming.open_clip import open_clip_name


def test_every_module_of_a_text_encoder_has_a_place_of_its_own() -> None:
    for layout, prefix in ((SD2, ""), (SDXL, "te2.")):
        names = [
            spec.name
            for spec in module_specs(layout)
            if is_text(spec.name) and spec.name.startswith(f"{prefix}text_model.")
        ]
        places = [open_clip_name(name) for name in names]
        assert None not in places
        assert len({(place.module, place.third) for place in places if place}) == len(names) > 100


def test_q_k_and_v_are_thirds_of_one_tensor() -> None:
    layer = "te2.text_model.encoder.layers.3.self_attn"
    places = [open_clip_name(f"{layer}.{part}_proj") for part in "qkv"]
    assert [place.third for place in places if place] == [0, 1, 2]
    assert {place.tensor("weight") for place in places if place} == {
        "transformer.resblocks.3.attn.in_proj_weight"
    }
    assert open_clip_name("text_model.embeddings.token_embedding") is None
