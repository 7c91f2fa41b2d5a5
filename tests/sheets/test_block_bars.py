"""Pictures of block weights, looked at pixel by pixel."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.lora.summary import summarize
from lib_singlelora.naming.block_roles import COLOUR, COMPOSITION, OUTLINE, STYLE, WORDS
from lib_singlelora.naming.block_weights import PRESETS, names_for, parse_block_weights
from lib_singlelora.naming.blocks import SD1, SDXL, BlockLayout
from lib_singlelora.sheets.block_bars import (
    HUES,
    NARROWEST,
    describe_file,
    draw_preset,
    draw_summary,
    nice_ticks,
    shown_labels,
)
from lib_singlelora.sheets.canvas import Canvas
from tests.tiny_lora import made

EVERYWHERE = dict.fromkeys(("BASE", *SD1.attention_labels), 1.0)


def pixels(sheet: Image.Image, hue: str) -> int:
    """Pixels of exactly this colour; smoothed edges have others."""
    return int((np.asarray(sheet) == HUES[hue]).all(axis=2).sum())


def has_margins(sheet: Image.Image) -> bool:
    """True if nothing touches the picture's edges."""
    values = np.asarray(sheet)
    edges = (values[:3], values[-3:], values[:, :3], values[:, -3:])
    return all((edge == 255).all() for edge in edges)


@pytest.mark.parametrize("layout", [SD1, SDXL], ids=lambda layout: layout.name)
@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("width", [NARROWEST, 900])
def test_every_preset_fits_its_picture(name: str, width: int, layout: BlockLayout) -> None:
    if name not in names_for(layout, PRESETS):
        pytest.skip(f"not of {layout.name}")
    sheet = draw_preset(
        name, parse_block_weights(name, layout), EVERYWHERE, "a LoRA of a long name " * 4, width
    )
    assert sheet.width == width and has_margins(sheet)


@pytest.mark.parametrize("seed", range(3))
def test_any_values_fit_the_picture(seed: int) -> None:
    weights = parse_block_weights(",".join("U" * 26), SD1, chance=random.Random(seed))
    assert has_margins(draw_preset("U", weights, dict.fromkeys(SD1.labels, 0.1), width=500))
    huge = parse_block_weights(",".join(["1000", "-3", "0.001"] + ["0.33"] * 14), SD1)
    assert has_margins(draw_preset("huge", huge, width=500))


def test_the_bars_are_in_the_colours_of_what_the_blocks_carry() -> None:
    # Three blocks of outline, one of style, and the text encoder
    outd = draw_preset("OUTD", parse_block_weights("OUTD", SD1))
    nothing = draw_preset("NONE", parse_block_weights("NONE", SD1))
    drawn = {hue: pixels(outd, hue) - pixels(nothing, hue) for hue in HUES}
    assert drawn[COLOUR] == drawn[COMPOSITION] == 0
    assert drawn[OUTLINE] == pytest.approx(3 * drawn[STYLE], rel=0.02) and drawn[
        STYLE
    ] == pytest.approx(drawn[WORDS], rel=0.02)


def test_a_bar_is_as_high_as_its_factor() -> None:
    nothing, half, whole = (
        pixels(draw_preset("x", parse_block_weights(",".join([factor] * 17), SD1)), OUTLINE)
        for factor in ("0", "0.5", "1")
    )
    assert half - nothing == pytest.approx((whole - nothing) / 2, rel=0.05)


def test_a_bar_of_1_reaches_the_line_of_1() -> None:
    values = np.asarray(draw_preset("x", parse_block_weights("1" + ",0" * 16, SD1)))
    # Smoothing blurs an edge over three pixels
    nearly = (abs(values.astype(int) - HUES[WORDS]) < 40).all(axis=2)
    bar = np.nonzero(nearly.sum(axis=1) > 10)[0].min()
    # Right of the last bar is nothing but the lines
    lines = np.nonzero((values[:, -25] != 255).any(axis=1))[0]
    assert abs(int(bar) - int(lines.min())) <= 2


def test_a_bar_below_zero_hangs_below_the_line() -> None:
    values = np.asarray(draw_preset("x", parse_block_weights("-1" + ",0" * 16, SD1)))
    rows = np.nonzero((values == HUES[WORDS]).all(axis=2).sum(axis=1) > 10)[0]
    up = np.asarray(draw_preset("x", parse_block_weights("1" + ",0" * 16, SD1)))
    assert rows.max() > np.nonzero((up == HUES[WORDS]).all(axis=2).sum(axis=1) > 10)[0].min() + 50


def test_a_bar_where_the_lora_has_no_weights_is_hollow() -> None:
    weights = parse_block_weights("ALL", SD1)
    held = draw_preset("ALL", weights, EVERYWHERE)
    lacking = draw_preset(
        "ALL",
        weights,
        {label: norm for label, norm in EVERYWHERE.items() if not label.startswith("OUT")},
    )
    assert pixels(lacking, COLOUR) < pixels(held, COLOUR) * 0.6 and pixels(
        lacking, WORDS
    ) == pixels(held, WORDS)


def test_a_block_of_zero_norm_counts_as_without_weights() -> None:
    weights = parse_block_weights("ALL", SD1)
    assert (
        pixels(draw_preset("ALL", weights, {**EVERYWHERE, "M00": 0.0}), COMPOSITION)
        < pixels(draw_preset("ALL", weights, EVERYWHERE), COMPOSITION) * 0.6
    )


def test_a_stronger_block_has_a_larger_dot() -> None:
    weights = parse_block_weights("NONE", SD1)
    weak, strong = ({**EVERYWHERE, "M00": norm} for norm in (0.01, 1.0))
    assert pixels(draw_preset("x", weights, weak), COMPOSITION) < pixels(
        draw_preset("x", weights, strong), COMPOSITION
    )


@pytest.mark.parametrize(
    ("layout", "held", "count"),
    [
        (SD1, (), 17),
        (SD1, ("BASE", "OUT11"), 17),
        (SD1, ("IN00",), 26),
        (SDXL, (), 12),
        (SDXL, ("OUT08",), 20),
    ],
)
def test_blocks_without_transformers_are_shown_once_a_lora_has_weights_there(
    layout: BlockLayout, held: tuple[str, ...], count: int
) -> None:
    assert len(shown_labels(layout, dict.fromkeys(held, 1.0))) == count


def test_the_summary_shows_only_the_blocks_of_the_file(tmp_path: Path) -> None:
    lora = made(tmp_path)  # BASE, IN01, M00, OUT03 and OUT10
    whole = draw_summary(summarize(lora), SD1)
    assert has_margins(whole) and pixels(whole, COMPOSITION) > 1000
    without = {key: tensor for key, tensor in lora.tensors.items() if "mid_block" not in key}
    assert pixels(draw_summary(summarize(replace(lora, tensors=without)), SD1), COMPOSITION) < 500


@pytest.mark.parametrize("width", [NARROWEST, 700, 1600])
def test_a_summary_with_much_to_tell_fits(tmp_path: Path, width: int) -> None:
    lora = made(
        tmp_path,
        ss_sd_model_name="a_checkpoint_of_a_very_long_name_" * 6,
        ss_epoch="3",
        ss_singlelora_history=str([f"step {i}" for i in range(9)]).replace("'", '"'),
    )
    assert has_margins(draw_summary(summarize(lora), SD1, width))


def test_the_description_tells_algorithm_rank_and_alpha(tmp_path: Path) -> None:
    text = describe_file(summarize(made(tmp_path, precision="fp16")))
    assert text.startswith("LoCon for sd1 · rank 4 · alpha 2 · 5 modules · ") and "float16" in text


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.5, 1.5), (0, 0.0132), (-3, 1000), (0, 1e-9)])
def test_ticks_are_few_hold_the_range_and_zero(low: float, high: float) -> None:
    ticks = nice_ticks(low, high)
    assert ticks[0] <= low and ticks[-1] >= high and 0 in ticks and 3 <= len(ticks) <= 7


def test_a_flat_bar_is_drawn_and_stays_thin() -> None:
    canvas = Canvas(60)
    canvas.bar((10, 20, 50, 20), (255, 0, 0))
    # Smoothing leaves faint rows beside it
    rows = np.nonzero((np.asarray(canvas.picture(40))[..., 1] < 230).any(axis=1))[0]
    assert rows.min() >= 19 and rows.max() <= 21
    assert np.asarray(canvas.picture(40))[..., 1].min() < 64  # its middle has nearly its own colour
