"""Block weights in all their spellings."""

import json
import random
import re
from pathlib import Path

import pytest

from lib_singlelora.errors import PresetError
from lib_singlelora.naming.block_weights import (
    LBW_PRESETS,
    PRESETS,
    names_for,
    parse_block_weights,
    remarks,
    with_blocks,
)
from lib_singlelora.naming.blocks import SD1, SDXL, block_of
from lib_singlelora.naming.keys import kohya_to_canonical

GOLDEN = json.loads(
    (Path(__file__).parent.parent / "golden" / "kohya_sd1_blocks.json").read_text(encoding="utf-8")
)


def created(preset: str) -> set[str]:
    """The U-Net modules of a plain LoRA that a block weight above 0 leaves."""
    weights = parse_block_weights(preset, SD1)
    modules = {stem for stem in GOLDEN["block_index_of_module"] if "_attentions_" in stem}
    return {stem for stem in modules if weights[block_of(kohya_to_canonical(stem, SD1), SD1)]}


def test_the_articles_vector_trains_what_sd_scripts_trained() -> None:
    assert created("article") == set(GOLDEN["modules_created_by_block_lr"]["article"])
    assert parse_block_weights("article", SD1).trained() == (
        "IN07",
        "IN08",
        "OUT03",
        "OUT04",
        "OUT05",
        "OUT10",
        "OUT11",
    )


def test_true_outd_trains_what_sd_scripts_trained() -> None:
    assert created("OUTD") == set(GOLDEN["modules_created_by_block_lr"]["outd"])
    assert parse_block_weights("OUTD", SD1).trained() == ("OUT03", "OUT04", "OUT05", "OUT06")


def test_every_lbw_preset_reads_back_as_its_vector() -> None:
    for name, text in LBW_PRESETS.items():
        assert parse_block_weights(name, SD1).values() == tuple(map(float, text.split(","))), name


def test_kohyas_form_is_read_and_written() -> None:
    weights = parse_block_weights(PRESETS["article"], SD1).as_kohya()
    assert weights["down_lr_weight"] == (1, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1)
    assert weights["mid_lr_weight"] == (0,)
    assert weights["up_lr_weight"] == (0, 1, 1, 1, 1, 1, 0, 0, 0, 0, 1, 1)


def test_kohyas_short_lists_are_padded_with_one_and_long_ones_cut() -> None:
    weights = parse_block_weights("0,0/0/" + ",".join(["0"] * 20), SD1).as_kohya()
    assert weights["down_lr_weight"] == (0, 0, *[1] * 10)
    assert weights["up_lr_weight"] == (0,) * 12


def test_a_long_form_round_trips() -> None:
    values = [round(random.Random(1).random(), 2) for _ in range(26)]
    assert parse_block_weights(",".join(map(str, values)), SD1).values(short=False) == tuple(values)


@pytest.mark.parametrize("count", [12, 20])
def test_sdxl_has_its_own_lengths(count: int) -> None:
    assert (
        len(parse_block_weights(",".join(["1"] * count), SDXL).values(short=count == 12)) == count
    )
    with pytest.raises(PresetError, match=f"found {count} values, expected 17 or 26"):
        parse_block_weights(",".join(["1"] * count), SD1)


@pytest.mark.parametrize(
    ("name", "trained"),
    [
        ("ALL", SDXL.attention_labels),
        ("OUTD", ("OUT03", "OUT04", "OUT05")),
        ("INS", ("IN04",)),
        ("MIDD", ("IN05", "IN07", "IN08", "M00", "OUT03", "OUT04", "OUT05")),
        ("OUTS", ()),
        ("BLORA content", ("OUT00",)),
        ("blora style", ("OUT01",)),
        ("article", ("IN07", "IN08", "M00", "OUT01", "OUT02", "OUT03", "OUT04", "OUT05")),
    ],
)
def test_presets_of_sd1_count_by_their_blocks_labels_in_sdxl(
    name: str, trained: tuple[str, ...]
) -> None:
    """As in LBW's to26; kohya's lists are cut to 9/3/9 and padded with 1."""
    assert parse_block_weights(name, SDXL).trained() == trained


def test_what_a_preset_does_in_another_layout_is_told() -> None:
    [told] = remarks("OUTD", SDXL)
    assert "are of sd1" in told and told.endswith("OUT03, OUT04, OUT05")
    assert remarks("OUTD", SD1) == remarks("ALL", SDXL) == remarks("BLORA style", SDXL) == []
    lists = [sentence.removeprefix("block weights: ") for sentence in remarks("article", SDXL)]
    assert [told.split(" values")[0] for told in lists] == ["down has 12", "mid has 1", "up has 12"]


@pytest.mark.parametrize("name", ["BLORA content", "BLORA style"])
def test_a_preset_that_would_leave_nothing_is_refused(name: str) -> None:
    with pytest.raises(PresetError, match="a preset for sdxl"):
        parse_block_weights(name, SD1)
    assert name not in names_for(SD1, PRESETS) and name in names_for(SDXL, PRESETS)


def test_values_that_are_written_out_must_be_the_layouts() -> None:
    with pytest.raises(PresetError, match="found 17 values, expected 12 or 20 for sdxl"):
        parse_block_weights(LBW_PRESETS["OUTD"], SDXL)


def test_kohyas_lists_of_sdxl_have_three_middle_entries() -> None:
    lists = "0,0,0,0,1,1,0,.5,.5/0,.25,0/1,1,0,0,0,0,0,0,0"
    weights = parse_block_weights(lists, SDXL)
    assert weights["M00"] == 0.25 and weights["IN07"] == 0.5
    assert weights.trained() == ("IN04", "IN05", "IN07", "IN08", "M00", "OUT00", "OUT01")
    assert [len(values) for values in weights.as_kohya().values()] == [9, 3, 9]
    assert "transformer's counts" in remarks(lists, SDXL)[0]
    shapes = parse_block_weights("linear/1,1,1/zeros+.5", SDXL)
    assert (shapes["IN08"], shapes["IN04"], shapes["OUT02"]) == (1.0, 0.5, 0.5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("OUTF", "did you mean"),
        ("1,2,3", "found 3 values, expected 17 or 26"),
        ("1/0", "found 2 lists, expected three"),
        (",".join(["1"] * 16 + ["one"]), "found 'one', expected numbers"),
        (",".join(["X*2"] * 17), r"found 'X\*2'"),
        (",".join(["1"] * 13), "found 13 values, expected 17 or 26"),
        (",".join(["nan"] * 17), "found 'nan'"),
    ],
)
def test_a_mistake_says_what_was_found_and_expected(text: str, message: str) -> None:
    with pytest.raises(PresetError, match=message):
        parse_block_weights(text, SD1)


def test_random_values_stay_in_their_ranges() -> None:
    text = ",".join(["R"] * 8 + ["U"] * 9)
    values = parse_block_weights(text, SD1, chance=random.Random(3)).values()
    assert all(0 <= v <= 1 for v in values[:8]) and all(-0.5 <= v <= 1.5 for v in values[8:])
    assert values == parse_block_weights(text, SD1, chance=random.Random(3)).values()
    assert (
        len(set(parse_block_weights(",".join(["R"] * 17), SD1, chance=random.Random(3)).values()))
        > 10
    )


def test_x_is_the_value_from_the_prompt() -> None:
    assert parse_block_weights(",".join(["X"] * 17), SD1, x=0.3).values() == (0.3,) * 17


def test_x_is_1_where_the_prompt_has_none() -> None:
    assert parse_block_weights(",".join(["X"] * 17), SD1).values() == (1.0,) * 17


def test_x_takes_what_is_added_and_taken_away() -> None:
    text = ",".join(["X", "X+0.25", "X-.5", "X-2"] + ["0"] * 13)
    assert parse_block_weights(text, SD1, x=0.5).values()[:4] == (0.5, 0.75, 0.0, -1.5)


def test_a_name_in_its_own_letters_goes_first() -> None:
    own = {"mine": ",".join(["0.1"] * 17), "MINE": ",".join(["0.2"] * 17)}
    assert [parse_block_weights(name, SD1, own)["M00"] for name in ("mine", "MINE", "Mine")] == [
        0.1,
        0.2,
        0.2,
    ]


def test_the_users_own_all_goes_before_ours() -> None:
    assert parse_block_weights("ALL", SD1, {"ALL": ",".join(["0.7"] * 17)})["M00"] == 0.7
    assert parse_block_weights("ALL", SD1, PRESETS)["IN00"] == 1  # LBW's own stands for every block


CHOSEN = {
    "IN05-OUT02": {
        "IN05",
        "IN06",
        "IN07",
        "IN08",
        "IN09",
        "IN10",
        "IN11",
        "M00",
        "OUT00",
        "OUT01",
        "OUT02",
    },
    "OUT02-IN11 BASE": {"BASE", "IN11", "M00", "OUT00", "OUT01", "OUT02"},
    "m00": {"M00"},
    "NOT IN00-OUT10": {"BASE", "OUT11"},
}


@pytest.mark.parametrize("blocks", CHOSEN)
def test_a_range_takes_its_value_and_leaves_the_others(blocks: str) -> None:
    changed = with_blocks(parse_block_weights("ALL", SD1), blocks, 0.3).as_dict()
    assert {label for label, value in changed.items() if value == 0.3} == CHOSEN[blocks]
    assert {value for label, value in changed.items() if label not in CHOSEN[blocks]} == {1.0}


@pytest.mark.parametrize("blocks", ["", "NOT", "IN12", "IN05-", "IN01-IN02-IN03", "IN05,OUT05"])
def test_a_mistaken_range_says_what_there_is(blocks: str) -> None:
    with pytest.raises(
        PresetError, match=r"expected labels such as IN04.*sd1 has BASE and IN00 to OUT11"
    ):
        with_blocks(parse_block_weights("ALL", SD1), blocks, 0.3)


def test_a_ranges_value_must_be_a_number() -> None:
    with pytest.raises(PresetError, match="found nan, expected a number"):
        with_blocks(parse_block_weights("ALL", SD1), "M00", float("nan"))


def test_kohyas_shapes_are_those_that_sd_scripts_computes() -> None:
    """The tables are sd-scripts' formulas by hand: sin(pi/2 * i / 11) and i / 11, forwards and
    backwards.
    """
    sine = (
        0,
        0.142315,
        0.281733,
        0.415415,
        0.540641,
        0.654861,
        0.75575,
        0.841254,
        0.909632,
        0.959493,
        0.989821,
        1,
    )
    line = tuple(index / 11 for index in range(12))
    for down, up, wanted in (
        ("sine", "cosine", (sine, sine[::-1])),
        ("linear", "reverse_linear", (line, line[::-1])),
        ("zeros+.5", "zeros", ((0.5,) * 12, (0,) * 12)),
        (
            "cosine+.25",
            "linear+0.1",
            (tuple(v + 0.25 for v in sine[::-1]), tuple(v + 0.1 for v in line)),
        ),
    ):
        found = parse_block_weights(f"{down}/0.7/{up}", SD1).as_kohya()
        assert found["down_lr_weight"] == pytest.approx(wanted[0], abs=1e-6)
        assert found["up_lr_weight"] == pytest.approx(wanted[1], abs=1e-6)
        assert found["mid_lr_weight"] == (0.7,)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("cosin/1/sine", "found 'cosin', expected numbers, or one of cosine"),
        ("1,1/sine/1", "found 'sine' for the one middle block"),
        ("sine+a/1/1", "found 'a', expected numbers"),
    ],
)
def test_a_shape_that_there_is_not_is_told(text: str, told: str) -> None:
    with pytest.raises(PresetError, match=re.escape(told)):
        parse_block_weights(text, SD1)


def test_short_and_long_lists_are_remarked_on() -> None:
    ones = ",".join("1" * 12)
    assert [
        remarks(text, SD1) for text in (f"{ones}/1/{ones}", "OUTD", "article", "sine/1/zeros")
    ] == [[]] * 4
    assert remarks(f"1,1,1/1/{ones},1", SD1) == [
        "block weights: down has 3 values, expected 12; as with kohya 9 are taken to be 1",
        "block weights: up has 13 values, expected 12; as with kohya the rest is cut",
    ]


def test_what_is_not_above_0_is_not_trained_as_with_kohya() -> None:
    assert parse_block_weights("-1,0.5/1/1", SD1)["IN00"] == 0


def test_values_that_a_list_tore_apart_are_told() -> None:
    with pytest.raises(PresetError, match=r"'0\.5': found one value, expected .*in double quotes"):
        parse_block_weights("0.5", SD1)
