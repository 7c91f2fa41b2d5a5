"""The word loopback with --judged: what goes together, and what it prints."""

from __future__ import annotations

import argparse
from typing import Any

import pytest

from lib_singlelora.cli.loopback import _values, add_parsers, render_loopback


def parsed(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_parsers(parser.add_subparsers(dest="word", required=True))
    return parser.parse_args(["loopback", "--workspace", "none", *words])


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--count", "3", "a.png"),
        ("--rounds", "2", "a.png"),
        ("--judged", "a.png"),
        ("--judged", "--repeats", "3"),
    ],
)
def test_words_that_do_not_go_together_are_a_usage_error(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    options = parsed(*words)
    with pytest.raises(SystemExit) as stopped:
        options.run(options, None)
    assert stopped.value.code == 2 and "error" in capsys.readouterr().err


def test_short_options_win_over_set() -> None:
    options = parsed(
        "--judged", "--count", "12", "--set", "loopback.count=3", "--set", "loopback.keep=2"
    )
    assert _values(options) == {"loopback.count": 12, "loopback.keep": "2"}


def test_the_text_says_what_was_kept_and_why_others_were_not() -> None:
    done = {"made": 5, "kept": 2, "reasons": {"damaged": 2, "other colours": 1}, "sheet": "s.png"}
    result: dict[str, Any] = {"workspace": "isa-v2", "version": 2, "rounds": [done]}
    text = render_loopback(result)
    assert "2 of 5" in text and "2 rejected: damaged" in text and "isa-v2" in text
    assert "none was made" in render_loopback({**result, "version": None})
