"""What errors say."""

import pytest

from lib_singlelora.errors import LoraFileError, SettingsError


@pytest.mark.parametrize(
    ("found", "told"),
    [
        ("a\nb\r\0\x1b", r"a\nb\r\x00\x1b"),
        ("\ud800", r"\ud800"),
        ("\u2028", r"\u2028"),
        ("é猫 😀", "é猫 😀"),
        ("", ""),
    ],
)
def test_a_message_is_one_line_that_every_encoding_takes(found: str, told: str) -> None:
    assert str(SettingsError(found)) == told
    str(SettingsError(found)).encode()


def test_a_message_that_tells_a_whole_file_is_cut() -> None:
    assert len(str(LoraFileError(f"found {'x' * 10**6}, expected less"))) < 2100
    assert str(LoraFileError(f"found {'x' * 10**6}, expected less")).endswith("expected less")
