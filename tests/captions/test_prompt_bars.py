from __future__ import annotations

import pytest

from lib_singlelora.captions.prompt_bars import hold_bars, release_bars, split_prompts
from lib_singlelora.captions.wildcards import WildcardPrompts


@pytest.mark.parametrize(
    ("text", "prompts"),
    [
        (" a, b | c ||", ["a, b", "c"]),
        ("a|b", ["a", "b"]),
        ("isabella, :| | isabella, ^_^", ["isabella, :|", "isabella, ^_^"]),
        ("isabella, :||standing", ["isabella, :|", "standing"]),
        ("isabella, (:|:1.2) | b", ["isabella, (:|:1.2)", "b"]),
        ("|_|, a | ||_||", ["|_|, a", "||_||"]),
        ("<|>_<|> | b", ["<|>_<|>", "b"]),
        ("\\||/, isabella | b", ["\\||/, isabella", "b"]),
        ("[a|b], c | d", ["[a|b], c", "d"]),
        ("{a|b} x | y", ["{a|b} x", "y"]),
        ("[a|(b|c:1.2)] | d", ["[a|(b|c:1.2)]", "d"]),
        ("isabella, :( | isabella, :)", ["isabella, :(", "isabella, :)"]),
        ("cup \\(blue\\) | b", ["cup \\(blue\\)", "b"]),
        ("[a | b", ["[a", "b"]),  # a bracket without its partner is a letter
        ("a\\|b | c", ["a|b", "c"]),
        ("", []),
    ],
)
def test_a_bar_divides_prompts_only_where_it_stands_between_them(
    text: str, prompts: list[str]
) -> None:
    assert split_prompts(text) == prompts


@pytest.mark.parametrize(
    ("template", "drawn"),
    [
        ("1girl, :|, solo", {"1girl, :|, solo"}),
        ("{:||smile}", {":|", "smile"}),
        ("{a|[b|c]}", {"a", "[b|c]"}),
        ("{a\\|b|c}", {"a|b", "c"}),
        ("{x|{y|z}}", {"x", "y", "z"}),
    ],
)
def test_a_template_s_faces_and_alternations_stay_whole(template: str, drawn: set[str]) -> None:
    prompts = WildcardPrompts(template)
    assert {prompts.draw(seed) for seed in range(40)} == drawn


@pytest.mark.parametrize("text", ["a, :|, [b|c]", "{a|b}", "plain"])
def test_held_bars_come_back(text: str) -> None:
    assert release_bars(hold_bars(text)) == text


@pytest.mark.parametrize(
    "text", ["[" * 9000 + ")" * 9000, "(" * 9000 + "a|b" + ")" * 9000, "([{" * 6000]
)
@pytest.mark.timeout(10)  # a search back for each of them took minutes
def test_brackets_without_end_are_read_once(text: str) -> None:
    assert split_prompts(text) == [text]
