from __future__ import annotations

from pathlib import Path

import pytest

from lib_singlelora.captions import wildcards
from lib_singlelora.captions.wildcards import SHIPPED, WildcardPrompts
from lib_singlelora.errors import WildcardError
from lib_singlelora.settings.schema import Settings

CASES = Path(__file__).parents[1] / "data" / "cases" / "wild"


def test_a_seed_always_draws_the_same_prompt_and_seeds_differ() -> None:
    template = "1girl, __expression__, {indoors|outdoors}, __pose__"
    drawn = [WildcardPrompts(template).draw(seed) for seed in range(20)]
    assert drawn == [WildcardPrompts(template).draw(seed) for seed in range(20)]
    assert len(set(drawn)) > 15


def test_an_earlier_draw_does_not_change_a_later_one() -> None:
    prompts = WildcardPrompts("__place__")
    alone = WildcardPrompts("__place__").draw(5)
    for seed in range(5):
        prompts.draw(seed)
    assert prompts.draw(5) == alone


def test_the_shipped_template_draws_from_the_shipped_files() -> None:
    prompts = WildcardPrompts(
        Settings.from_dict({}).regularization.template.replace("{class}", "girl")
    )
    for seed in range(50):
        prompt = prompts.draw(seed)
        assert prompt.startswith("1girl, solo, ")
        assert "__" not in prompt
        assert "{" not in prompt


def test_shipped_files_hold_each_line_once() -> None:
    names = {path.stem for path in SHIPPED.glob("*.txt")}
    assert {"expression", "pose", "camera_angle", "framing", "place", "clothes", "hair"} <= names
    for path in SHIPPED.glob("*.txt"):
        lines = [
            line
            for line in path.read_text(encoding="utf-8").splitlines()
            if not line.startswith("#")
        ]
        assert len(lines) == len(set(lines)) >= 10, path.name
        assert all(line == line.strip() != "" for line in lines), path.name


@pytest.mark.parametrize(
    "mistake",
    [
        "{{expression_wildcard}}",
        "{expression_wildcard}",
        "{{expression}}",
        "{{ expression_wildcard }}",
    ],
)
def test_the_article_s_mistaken_braces_are_told_with_what_to_write(mistake: str) -> None:
    with pytest.raises(WildcardError, match="write '__expression__'"):
        WildcardPrompts(f"1girl, {mistake}")


def test_braces_that_are_variants_are_none_of_that() -> None:
    assert WildcardPrompts("{{indoors|outdoors}}").draw(1) in ("indoors", "outdoors")
    assert WildcardPrompts("{2$$ and $$a|b}").draw(1) in ("a and b", "b and a")
    assert WildcardPrompts("${v=red}${v} hat").draw(1) == "red hat"


def test_an_unknown_wildcard_names_the_nearest() -> None:
    with pytest.raises(WildcardError, match="did you mean '__expression__'"):
        WildcardPrompts("1girl, __expresion__")


def test_globs_match_files() -> None:
    assert WildcardPrompts("__cam*__").draw(1)


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.txt").write_text(text, encoding="utf-8")
    return folder


def test_a_user_s_file_hides_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    folder = write(tmp_path, expression="only this\n")
    assert WildcardPrompts("__expression__", [folder, tmp_path / "missing"]).draw(3) == "only this"


def test_an_unknown_wildcard_inside_a_file_is_told_before_anything_is_drawn(tmp_path: Path) -> None:
    folder = write(tmp_path, outer="fine\n__iner__\n", inner="x\n")
    with pytest.raises(WildcardError, match="did you mean '__inner__'"):
        WildcardPrompts("__outer__", [folder])


def test_a_cycle_is_told(tmp_path: Path) -> None:
    folder = write(tmp_path, a="x\n__b__\n", b="__a__\n")
    with pytest.raises(WildcardError, match=r"cycle \(a → b → a\)"):
        WildcardPrompts("__a__", [folder])


def test_a_file_that_is_not_utf_8_is_told(tmp_path: Path) -> None:
    (tmp_path / "latin.txt").write_bytes("Mädchen\n".encode("latin-1"))
    with pytest.raises(WildcardError, match=r"latin\.txt: found a byte that is not UTF-8"):
        WildcardPrompts("__latin__", [tmp_path])


@pytest.mark.parametrize("template", ["{a|b", "${missing}", "", "  "])
def test_a_template_that_cannot_be_read_is_one_line(template: str) -> None:
    with pytest.raises(WildcardError) as caught:
        WildcardPrompts(template)
    assert "\n" not in str(caught.value)


def test_empty_draws_leave_no_loose_commas() -> None:
    assert WildcardPrompts("a, {|}, b").draw(1) == "a, b"


def drawn(template: str, folder: Path, count: int = 400) -> dict[str, float]:
    """Share of each prompt among the draws of so many seeds."""
    prompts = WildcardPrompts(template, [folder])
    found = [prompts.draw(seed) for seed in range(count)]
    return {prompt: found.count(prompt) / count for prompt in found}


def test_a_mark_at_a_file_s_start_is_no_part_of_its_first_line() -> None:
    assert drawn("1girl, __w_bom__", CASES, 5) == {"1girl, scarlet": 1.0}


def test_weights_of_a_text_file_are_followed_and_not_drawn(tmp_path: Path) -> None:
    assert set(drawn("__w_weight__", CASES, 50)) == {"crimson"}  # 0.01 against 99
    folder = write(tmp_path, hat="3::red\n 1 :: blue hat\nplain\n0::never\n.5::low\na::b\n")
    shares = drawn("__hat__", folder)
    assert set(shares) == {"red", "blue hat", "plain", "low", "a::b"}
    assert shares["red"] == pytest.approx(3 / 6.5, abs=0.08)
    assert shares["low"] == pytest.approx(0.5 / 6.5, abs=0.05)


def test_several_values_of_a_weighted_file_are_never_the_same_twice(tmp_path: Path) -> None:
    shares = drawn("{2$$ and $$__hat__}", write(tmp_path, hat="3::red\n0.3::blue\nplain\n"))
    assert "red and red" not in shares
    assert any("blue" in prompt for prompt in shares)
    assert sum(share for prompt, share in shares.items() if "red" in prompt) > 0.8


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", "no line"),
        ("\ufeff", "no line"),
        ("# only\n\n", "no line"),
        ("0::a\n0::b\n", "weight 0"),
    ],
)
def test_a_file_with_nothing_to_draw_is_told(tmp_path: Path, text: str, found: str) -> None:
    with pytest.raises(WildcardError, match=rf"w_empty\.txt: found .*{found}"):
        WildcardPrompts("x, __w_empty__, y", [write(tmp_path, w_empty=text)])


def test_faces_and_alternations_of_a_file_stay_whole(tmp_path: Path) -> None:
    folder = write(tmp_path, face=":|\n|_|\n[a|b]\n\\||/\n")
    assert set(drawn("__face__", folder, 60)) == {":|", "|_|", "[a|b]", "\\||/"}


def test_a_broken_json_file_is_named_when_its_wildcard_is_missed(tmp_path: Path) -> None:
    (tmp_path / "mine.json").write_text('{"hat": ["red"]}', encoding="utf-8-sig")
    with pytest.raises(WildcardError, match=r"mine\.json cannot be read"):
        WildcardPrompts("__mine/hat__", [tmp_path])


DOUBLED = (
    "${v0=x}" + "".join(f"${{v{n}=${{v{n - 1}}}${{v{n - 1}}}}}" for n in range(1, 25)) + "${v24}"
)


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{1000000$$a|b}", "found 1000000 options to choose"),
        ("{1-99999999999999999999$$a|b}", "options to choose"),
        ("{100000$$__long__}", "options to choose"),
        ("{" + "|" * 5000 + "}", "found 5000 options"),
        ("a, " * 20_000, "found 60000 letters"),
        ("__twice1__", "more than 1000 parts"),
        (DOUBLED, "more than 1000 parts"),
        ("__deep0__", "nested"),
        ("__round__", "cycle"),
        ("__a*__", "cycle"),
        ("{" * 300 + "a" + "|b}" * 300, "recursion"),
        ("${a=${a}}${a}", "recursively"),
        ("{" * 9_999, "recursion"),
        ("1" * 9_999 + "{", "cannot be resolved"),
    ],
    ids=range(14),
)
def test_a_template_that_would_be_drawn_for_minutes_is_refused(
    template: str, words: str, tmp_path: Path
) -> None:
    """Each of them blocked the job for minutes, during which it cannot be cancelled."""
    (tmp_path / "long.txt").write_text(
        "\n".join(f"value {n}" for n in range(2000)), encoding="utf-8"
    )
    for n in range(25):
        (tmp_path / f"twice{n}.txt").write_text(
            f"__twice{n + 1}__ __twice{n + 1}__" if n < 24 else "x", encoding="utf-8"
        )
    for n in range(40):
        (tmp_path / f"deep{n}.txt").write_text(
            f"__deep{n + 1}__" if n < 39 else "x", encoding="utf-8"
        )
    (tmp_path / "round.txt").write_text("{__round__|x}", encoding="utf-8")
    (tmp_path / "a1.txt").write_text("__a*__", encoding="utf-8")
    with pytest.raises(WildcardError, match=words) as caught:
        WildcardPrompts(template, [tmp_path])
    assert "\n" not in str(caught.value)


def test_a_few_of_a_long_list_are_chosen_without_parsing_all_of_it(tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text(
        "\n".join(f"value {n}" for n in range(20_000)), encoding="utf-8"
    )
    assert WildcardPrompts("{2$$ and $$__long__}", [tmp_path]).draw(3).count("value") == 2


def test_a_weight_may_have_a_decimal_comma(tmp_path: Path) -> None:
    assert set(drawn("__hat__", write(tmp_path, hat="0,01::blue\n99,5::red\n"), 50)) == {"red"}


@pytest.mark.parametrize("weight", ["-1", "-0.5", "9" * 400])
def test_a_weight_that_is_none_is_told_and_not_drawn(weight: str, tmp_path: Path) -> None:
    with pytest.raises(WildcardError, match="found the weight"):
        drawn("__hat__", write(tmp_path, hat=f"{weight}::blue\nred\n"), 1)


@pytest.mark.parametrize(
    "template",
    [
        "1girl, __expression__, __pose__, __clothes__, __place__",
        "{2$$ and $$a|3::b|__expression__|c d}, {x|{y|z__pose__}}",
        "${kind=!{red|blue}} ${kind} hat, ${kind} coat, {1-3$$__clothes__}",
        "@__framing__, ~__framing__, {@a|b|c}",
    ],
)
def test_a_draw_among_others_is_what_it_is_alone(template: str) -> None:
    together = WildcardPrompts(template)
    prompts = [together.draw(seed) for seed in (*range(20), *range(20))]
    assert prompts[:20] == prompts[20:] == [WildcardPrompts(template).draw(s) for s in range(20)]
    assert len(set(prompts)) > 3


def test_the_words_that_prompts_are_drawn_from_are_parsed_once() -> None:
    prompts = WildcardPrompts("1girl, __expression__")
    for seed in range(50):
        prompts.draw(seed)
    known = len(prompts._parsed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(wildcards, "parse", None)
        for seed in range(50):
            prompts.draw(seed)
    assert len(prompts._parsed) == known
