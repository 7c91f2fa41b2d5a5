"""Letters of every script on sheets, with the fonts of this machine or none of them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image, features

from lib_singlelora.sheets import lettering
from lib_singlelora.sheets.grid import Cell, Grid, draw_sheet
from lib_singlelora.sheets.lettering import (
    Run,
    font,
    length,
    missing_letters,
    runs,
    shortened,
    wrap,
    write,
)

TEXTS = {
    "kanji": "白い帽子",
    "hangul": "이사벨라",
    "arabic": "إيزابيلا تبتسم",
    "hebrew": "איזבלה",
    "cyrillic": "Изабелла",
    "emoji": "😀",
}


@pytest.fixture
def without_fonts(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which Pillow's own font is the only one."""
    for cached in (runs, lettering._width):
        cached.cache_clear()
    monkeypatch.setattr(lettering, "_system_fonts", lambda: ())
    monkeypatch.setattr(lettering, "_by_fontconfig", lambda letter: "")
    monkeypatch.setattr(lettering, "_asked", {})
    yield
    for cached in (runs, lettering._width):
        cached.cache_clear()


def drawn(text: str, size: int = 32) -> np.ndarray:
    image = Image.new("RGB", (400, 60), "white")
    write(image, (4, 4), text, (0, 0, 0), font(size))
    return np.asarray(image)


@pytest.mark.parametrize("script", TEXTS)
def test_a_script_is_drawn_with_a_font_that_has_it(script: str) -> None:
    text = TEXTS[script]
    if missing_letters(iter([text])):
        pytest.skip(f"no font here has {script}")
    # Were they boxes, all of them would look alike.
    pictures = {drawn(letter).tobytes() for letter in set(text) if not letter.isspace()}
    assert len(pictures) == len({letter for letter in text if not letter.isspace()})
    assert length(text, font(32)) > 16 and not np.array_equal(
        drawn(text), drawn("\U0010fffd" * len(text))
    )


@pytest.mark.skipif(not hasattr(font(16), "size"), reason="Pillow's old font has one size")
def test_what_no_font_has_is_named_and_no_box(without_fonts: None) -> None:
    assert runs("a ไทย") == (Run("a "), Run("[Thai]"))
    assert "[fox face]" in "".join(run.text for run in runs("isabella 🦊"))
    assert missing_letters(iter(["isabella", "ไทย 🦊"])) == "Thai, fox face"


@pytest.mark.skipif(not hasattr(font(16), "size"), reason="Pillow's old font has one size")
def test_the_sheet_says_which_letters_are_missing(without_fonts: None) -> None:
    cell = Cell((Image.new("RGB", (64, 64), "teal"),))
    plain = draw_sheet("t", "s", [Grid("g", ("r",), ("[Thai]",), ((cell,),))], 64)
    told = draw_sheet("t", "s", [Grid("g", ("r",), ("ไทย",), ((cell,),))], 64)
    assert told.height > plain.height  # by the line that says it


def test_words_of_two_directions_stand_in_the_order_in_which_they_are_read() -> None:
    if missing_letters(iter(["عربي"])) or not features.check("raqm"):
        pytest.skip("no font, or no FriBiDi, for Arabic here")
    texts = [run.text for run in runs("girl, عربي جدا, solo")]
    assert texts[:2] == ["girl, ", "عربي جدا"] and "".join(texts[2:]) == ", solo"
    # The line goes leftwards: its first word is the rightmost
    assert [run.text for run in runs("عربي solo")][-1] == "عربي"


def test_ascii_needs_no_font_of_the_system() -> None:
    assert runs("isabella, girl (x:1.2)") == (Run("isabella, girl (x:1.2)"),)


@pytest.mark.parametrize("text", [*TEXTS.values(), "a" * 300, "e\u0301" * 90, "👩‍🎨" * 30, ""])
def test_lines_fit_and_lose_nothing(text: str) -> None:
    lines = wrap(text, 120, font(16))
    assert "".join(lines) == text.replace(" ", "") or text in TEXTS.values()
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_long_text_keeps_its_beginning_and_its_end() -> None:
    text = ", ".join(f"tag {number}" for number in range(100))
    short = shortened(text, 60)
    assert (
        len(short) <= 60
        and short.startswith("tag 0, tag 1")
        and short.endswith("tag 99")
        and " … " in short
    )
    assert shortened("a  b\nc", 60) == "a b c"


def test_long_labels_leave_room_for_pictures_and_stay_apart() -> None:
    rows = tuple("word " * 300 + end for end in ("same", "same"))
    cell = Cell((Image.new("RGB", (64, 64), "teal"),))
    sheet = draw_sheet(
        "t" * 3000, "s " * 3000, [Grid("g", rows, ("1",), ((cell,), (cell,)))], 64, ["l " * 3000]
    )
    assert sheet.height < 1500
    from lib_singlelora.sheets.grid import _labels

    first, second = _labels(rows)
    assert first != second and max(len(first), len(second)) <= 130
