"""The training preset that a family's checkpoints ask for."""

from __future__ import annotations

from lib_singlelora.families.registry import FAMILIES, family_of
from lib_singlelora.naming.blocks import SDXL
from lib_singlelora.settings.preset_files import PRESET_KEY, preset_names, preset_of
from lib_singlelora.settings.schema import Settings


def test_every_family_names_presets_that_ship() -> None:
    for family in FAMILIES:
        for prediction in ("epsilon", "v_prediction"):
            assert family.preset_for(prediction) in preset_names()  # type: ignore[arg-type]


def test_what_xl_predicts_decides_on_min_snr() -> None:
    noise, v = (family_of(SDXL).preset_for(kind) for kind in ("epsilon", "v_prediction"))  # type: ignore[arg-type]
    values = {name: Settings.from_dict({"training.preset": name}).training for name in (noise, v)}
    assert (values[noise].min_snr_gamma, values[v].min_snr_gamma) == (5, 0)
    assert values[noise].text_encoder_lr == values[v].text_encoder_lr == 0


def test_what_the_metadata_name_goes_before_the_family() -> None:
    assert preset_of({PRESET_KEY: "quick"}, "recommended-sdxl") == "quick"
    assert preset_of({PRESET_KEY: "none of ours"}, "recommended-sdxl") == "recommended-sdxl"
    assert preset_of(None, "recommended-sdxl") == "recommended-sdxl"
