"""The WebUI's prompt language; the expected values are what its prompt_parser.py gives."""

from __future__ import annotations

import pytest

from lib_singlelora.captions.prompt_language import (
    BREAK_WEIGHT,
    emphasized,
    escape,
    phase_at,
    prompt_of,
    schedule,
    split_at_and,
    tags_of,
    unescape,
    without_comments,
    without_extra_networks,
)
from lib_singlelora.errors import SettingsError


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("plain text", [("plain text", 1.0)]),
        ("", [("", 1.0)]),
        ("an (important) word", [("an ", 1.0), ("important", 1.1), (" word", 1.0)]),
        ("(a)(b)", [("ab", 1.1)]),
        ("(a", [("a", 1.1)]),
        ("[a", [("a", 1 / 1.1)]),
        ("a)", [("a)", 1.0)]),
        (r"\(a\] \\", [("(a] \\", 1.0)]),
        (r"a\b", [("ab", 1.0)]),
        ("(a:1.5)", [("a", 1.5)]),
        ("(a: -2 )", [("a", -2.0)]),
        ("((a:2) b)", [("a", 2.2), (" b", 1.1)]),
        ("a:1.5)", [("a:1.5)", 1.0)]),
        ("a BREAK b", [("a", 1.0), ("BREAK", -1.0), ("b", 1.0)]),
        ("a BREAK  BREAK ", [("a", 1.0), ("BREAK", -1.0), ("", 1.0), ("BREAK", -1.0), ("", 1.0)]),
        (" a BREAK\n, b ", [(" a", 1.0), ("BREAK", -1.0), (", b ", 1.0)]),
        ("BREAKFAST", [("BREAKFAST", 1.0)]),
    ],
)
def test_weights(text: str, pieces: list[tuple[str, float]]) -> None:
    found = emphasized(text)
    assert [piece for piece, _ in found] == [piece for piece, _ in pieces]
    assert [weight for _, weight in found] == pytest.approx([weight for _, weight in pieces])


@pytest.mark.parametrize("text", ["(a:1.2.3)", "(a:..)", "(a:.)"])
def test_a_weight_that_is_no_number_is_named(text: str) -> None:
    with pytest.raises(SettingsError, match="weight"):
        emphasized(text)


@pytest.mark.parametrize(
    ("text", "phases"),
    [
        ("a", [(10, "a")]),
        ("a [b:3]", [(3, "a "), (10, "a b")]),
        ("a [b : c : 1] d", [(1, "a b  d"), (10, "a  c  d")]),
        ("a [b:.5] c", [(5, "a  c"), (10, "a b c")]),
        ("[a::4]", [(4, "a"), (10, "")]),
        ("[(a:2):3]", [(3, ""), (10, "(a:2)")]),
        ("a[b:[c:d:2]:1]e", [(1, "abe"), (2, "ace"), (10, "ade")]),
        ("a [[[b]]:2]", [(2, "a "), (10, "a [[b]]")]),
        ("a [unbalanced", [(10, "a [unbalanced")]),
        ("((a][:b:c [d:3]", [(3, "((a][:b:c "), (10, "((a][:b:c d")]),
        ("[fe|]male", [(n, "female" if n % 2 else "male") for n in range(1, 11)]),
        ("[a:b:30]", [(10, "a")]),
        ("[a:b:-1]", [(10, "b")]),
        ("a | b [c:3]", [(10, "a | b [c:3]")]),
        ("[c:3] \\", [(10, "[c:3] \\")]),
        (r"\[c:3\]", [(10, r"\[c:3\]")]),
    ],
)
def test_prompt_editing(text: str, phases: list[tuple[int, str]]) -> None:
    assert schedule(text, 10) == phases


@pytest.mark.parametrize(
    "text",
    [
        "(" * 5000,
        "[" * 5000,
        "[a|" * 400 + "b" + "]" * 400,
        "(" * 300 + "[a:3]" + ")" * 300,
        "[a:b:1e999]",
        "[a:b:-1e999]",
        "[a:b:1e999.]",
    ],
)
def test_what_is_nested_or_huge_beyond_sense_is_read_all_the_same(text: str) -> None:
    assert schedule(text, 4)[-1][0] == 4
    emphasized(text)


def test_the_first_phase_lasts_as_long_as_in_the_webui() -> None:
    assert [phase_at([(2, "a"), (6, "b")], index) for index in range(6)] == [0, 0, 0, 1, 1, 1]


def test_and_divides_with_weights() -> None:
    assert split_at_and("a AND b :0.5 AND c: -1") == [("a", 1.0), (" b", 0.5), (" c", -1.0)]
    assert split_at_and("ANDROID") == [("ANDROID", 1.0)]


def test_lora_tags_are_taken_out() -> None:
    text, found = without_extra_networks("a <lora:one:0.8> b<lora:two:0.5:0.7:lbw=OUTD> <3")
    assert text == "a  b <3"
    assert [(each.kind, each.values, each.named) for each in found] == [
        ("lora", ("one", "0.8"), {}),
        ("lora", ("two", "0.5", "0.7"), {"lbw": "OUTD"}),
    ]


def test_comments_end_with_their_line() -> None:
    assert without_comments("# all\na # some\nb").split() == ["a", "b"]


@pytest.mark.parametrize(
    "tag",
    ["hat (red)", ":)", "[x]", "a\\b", "(o)_(o)", "plain", ">:(", "[a|b]", "(x:1.2)", "[a:b:0.5]"],
)
def test_an_escaped_tag_means_itself(tag: str) -> None:
    phases = schedule(escape(tag), 8)
    assert len(phases) == 1
    assert emphasized(phases[0][1]) == [(tag, 1.0)]
    assert unescape(escape(tag)) == tag


def test_what_is_escaped_is_not_escaped_twice() -> None:
    assert escape(escape("hat (red)")) == r"hat \(red\)"


def test_a_face_at_the_end_is_not_the_weight_of_the_prompt() -> None:
    assert split_at_and("1girl, :3") == [("1girl,", 3.0)]  # as the WebUI takes it
    assert split_at_and(prompt_of(["1girl", ":3"]))[0][1] == 1.0


def test_the_tags_of_a_prompt_are_those_that_it_asks_for() -> None:
    prompt = r"isabella, (hat \(red\):1.2), [a:b:0.5] BREAK c <lora:x:1> AND d :0.4 # no"
    assert set(tags_of(prompt)) == {"isabella", "hat (red)", "a", "b", "c", "d"}
    assert tags_of(prompt_of(["a (b)", "c"])) == ["a (b)", "c"]


@pytest.mark.parametrize(
    ("prompt", "tags"),
    [
        ("[cat:dog:10], hat", ["cat", "hat", "dog"]),
        ("[cat:dog:0.1]", ["cat", "dog"]),
        ("[cat:0.99]", ["cat"]),
        ("[a|b|c|d|e|f]", list("abcdef")),
        ("[[a:b:2]:c:20], [d::3]", list("adbc")),
        ("x [red:blue:15] y", ["x red y", "x blue y"]),
    ],
)
def test_the_tags_of_an_edited_part_do_not_depend_on_when_it_changes(
    prompt: str, tags: list[str]
) -> None:
    assert tags_of(prompt) == tags


@pytest.mark.parametrize(
    "text", ["(a|" * 6000, "[a:b:" * 4000, "((a:1.5" * 2800], ids=["round", "square", "weights"]
)
def test_thousands_of_brackets_are_refused_and_not_worked_on_for_minutes(text: str) -> None:
    with pytest.raises(SettingsError, match="brackets"):
        emphasized(text)


def test_thousands_of_spaces_and_of_brackets_that_are_letters_take_no_minutes() -> None:
    assert emphasized("a" + " " * 20_000 + "BREAK b") == [
        ("a", 1.0),
        ("BREAK", BREAK_WEIGHT),
        ("b", 1.0),
    ]
    assert split_at_and("a" + " " * 20_000 + ": 2") == [("a", 2.0)]
    assert emphasized("\\(" * 6000) == [("(" * 6000, 1.0)]
