"""Names that become folders, files and words of captions: what every system takes, and one clear
line for the rest.
"""

import unicodedata

import pytest

from lib_singlelora.errors import WorkspaceError
from lib_singlelora.files.names import check_name

DEVICES = [
    "CON",
    "con",
    "PRN",
    "AUX",
    "NUL",
    "nul.txt",
    "COM1",
    "com9",
    "COM0",
    "LPT0",
    "COM¹",
    "COM²",
    "COM³",
    "LPT¹",
    "lpt³",
    "COM¹.safetensors",
    "NUL .txt",
    "CON ",
    "CONIN$",
    "conout$",
    "CLOCK$",
    "COM１",
    "ＣＯＮ",
]


@pytest.mark.parametrize("name", DEVICES)
def test_what_windows_keeps_for_devices_is_refused(name: str) -> None:
    with pytest.raises(WorkspaceError, match="trigger") as caught:
        check_name(name, "trigger")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        ".",
        "..",
        "elsa.",
        "elsa ",
        " elsa",
        "elsa...",
        "a/b",
        "a\\b",
        "C:",
        "a:b",
        "a*",
        "a?",
        'a"',
        "a<",
        "a|",
        "a,b",
        "a\n",
        "a\0b",
        "a\tb",
        "a\x7f",
        "\x1b[31m",
        "\u202eelsa",
        "el\u2066sa",
        "el\u200bsa",
        "\ufeffelsa",
        "\ud800",
        "a\udfff",
        "\u3164",
        "\u115f\u1160",
        "elsa\ufe0f",
        "elsa\U000e0100",
        "\u0301a",
        "isa\U0001f600",
        "x" * 65,
        "漢" * 41,
        "𠀀" * 31,
        "a" + "\u0323\u0307" * 31,
        "~",
        "$HOME",
        "%TEMP%",
        "`id`",
        "\u2028",
    ],
)
def test_what_some_system_cannot_take_is_one_line_that_prints(name: str) -> None:
    with pytest.raises(WorkspaceError, match="workspace") as caught:
        check_name(name, "workspace")
    said = str(caught.value)
    assert "\n" not in said and len(said) < 500
    assert all(letter.isprintable() for letter in said), ascii(said)
    said.encode("utf-8")


@pytest.mark.parametrize(
    "name",
    [
        "isabella",
        "Isa bella-2",
        "ísäbella",
        "イザベラ",
        "s_1",
        "COM",
        "COM10",
        "CONrad",
        "nulla",
        "हिन्दी",
        "ไทยแลนด์",
        "x" * 64,
        "漢" * 40,
        "com1a",
        "2 COM1",
    ],
)
def test_ordinary_names_are_taken_unchanged(name: str) -> None:
    assert check_name(name, "trigger") == unicodedata.normalize("NFC", name) == name


def test_letters_that_were_composed_in_another_way_give_one_name() -> None:
    assert check_name("isa\u0308bel", "trigger") == check_name("isäbel", "trigger") == "isäbel"
