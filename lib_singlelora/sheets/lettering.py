"""Letters on sheets, each drawn with a font of this machine that has it, in reading order.

Pillow's own font knows Latin letters.  For others fonts of the system are tried, first by the names
under which systems ship them, then by asking fontconfig.  A character that none has is named
instead of drawn as a box.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import math
import re
import shutil
import subprocess
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from itertools import groupby
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, features

log = logging.getLogger(__name__)

OVERSAMPLING = 4  # letters are drawn so many times larger, and made smaller
Face = ImageFont.ImageFont | ImageFont.FreeTypeFont
Colour = tuple[int, int, int]
# A private character: what a font draws of it, it draws of everything that it lacks
PRIVATE = "\U0010fffd"
# Joiners, directions and variants: part of what they follow
INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u2060\ufe0e\ufe0f\ufeff"
BITMAP = 109  # the one size of Noto's and Apple's coloured emoji, pixels

# Under these names Linux, Windows and macOS ship fonts; Pillow looks for them where each system
# keeps its own.
FONTS = tuple(
    (
        # Latin, in this order also before Pillow 10.1
        "DejaVuSans.ttf, arial.ttf, Arial.ttf, Helvetica.ttc, "
        # Chinese, Japanese and Korean
        "NotoSansCJK-Regular.ttc, NotoSansCJKjp-Regular.otf, SourceHanSans-Regular.otf, "
        "YuGothM.ttc, meiryo.ttc, msgothic.ttc, msyh.ttc, simsun.ttc, malgun.ttf, "
        "Hiragino Sans GB.ttc, PingFang.ttc, AppleSDGothicNeo.ttc, wqy-zenhei.ttc, "
        "wqy-microhei.ttc, ipag.ttf, TakaoPGothic.ttf, DroidSansFallbackFull.ttf, "
        "DroidSansFallback.ttf, "
        # Arabic, Hebrew, Thai and Indic scripts
        "NotoSansArabic-Regular.ttf, NotoNaskhArabic-Regular.ttf, segoeui.ttf, tahoma.ttf, "
        "GeezaPro.ttc, NotoSansHebrew-Regular.ttf, NotoSansThai-Regular.ttf, leelawui.ttf, "
        "NotoSansDevanagari-Regular.ttf, Nirmala.ttf, "
        # Many scripts
        "FreeSans.ttf, Arial Unicode.ttf, unifont.ttf, unifont.otf, "
        # Emoji and symbols
        "seguiemj.ttf, Apple Color Emoji.ttc, NotoColorEmoji.ttf, NotoEmoji-Regular.ttf, "
        "Symbola.ttf, Symbola_hint.ttf"
    ).split(", ")
)


@dataclass(frozen=True)
class Run:
    """Characters that one font draws.

    path: of the font; '' for Pillow's own.
    coloured: True for glyphs with colours of their own, such as emoji.
    """

    text: str
    path: str = ""
    coloured: bool = False


def font(size: int) -> Face:
    """Pillow's own font at a size.

    Before Pillow 10.1 it has one small size only, and another font is looked for.
    """
    try:
        return ImageFont.load_default(size)
    except TypeError:
        for path in _latin_fonts():
            with contextlib.suppress(OSError):
                return ImageFont.truetype(path, size)
        return ImageFont.load_default()


def length(text: str, face: Face) -> float:
    """Width of a text as `write` draws it, pixels."""
    size = getattr(face, "size", 0)
    if not size:  # Pillow's old font has one size
        return face.getlength(text)
    return sum(_width(run, int(size * OVERSAMPLING)) for run in runs(text)) / OVERSAMPLING


def write(sheet: Image.Image, at: tuple[float, float], text: str, ink: Colour, face: Face) -> None:
    """Draw a line of text.

    It is drawn large and made smaller: small letters drawn at once stand at whole pixels, and words
    run into one another.

    at: its upper left corner.
    """
    size = getattr(face, "size", 0)
    if not size:
        ImageDraw.Draw(sheet).text(at, text, ink, font=face)
        return
    large = int(size * OVERSAMPLING)
    box = (math.ceil(length(text, face)) + 4, math.ceil(size * 1.5))
    mask = Image.new("L", (box[0] * OVERSAMPLING, box[1] * OVERSAMPLING))
    pictures = []
    x = 0.0
    baseline = _ascent(large)
    for run in runs(text):
        if run.coloured:
            pictures.append((round(at[0] + x / OVERSAMPLING), _coloured(run, size)))
        else:
            ImageDraw.Draw(mask).text(
                (x, baseline), run.text, 255, font=_face(run.path, large), anchor="ls"
            )
        x += _width(run, large)
    sheet.paste(ink, (round(at[0]), round(at[1])), mask.resize(box, Image.Resampling.BOX))
    for left, picture in pictures:
        sheet.paste(picture, (left, round(at[1] + size * 0.1)), picture)


def wrap(text: str, width: float, face: Face) -> list[str]:
    """Lines of the text that fit in a width, pixels; a word that is too long is cut into pieces."""
    lines: list[str] = []
    line = ""
    for word in text.split():
        while length(word, face) > width and len(word) > 1:
            cut = max(1, int(len(word) * width / length(word, face)))
            while cut > 1 and length(word[:cut], face) > width:  # letters are not equally wide
                cut -= 1
            while cut < len(word) and (word[cut] in INVISIBLE or unicodedata.combining(word[cut])):
                cut += 1  # an accent or a joiner stays with its letter
            lines += [line] if line else []
            lines.append(word[:cut])
            line = ""
            word = word[cut:]
        joined = f"{line} {word}".strip()
        if line and length(joined, face) > width:
            lines.append(line)
            line = word
        else:
            line = joined
    return [*lines, line] if line else lines


def shortened(text: str, most: int) -> str:
    """The text, or its beginning and end with a sign where something was left out.

    most: characters.
    """
    text = " ".join(text.split())
    if len(text) <= most:
        return text
    tail = most // 4
    return f"{text[: most - tail - 3].rstrip()} … {text[-tail:].lstrip()}"


def missing_letters(texts: Iterator[str]) -> str:
    """The scripts of characters that no font here has, in words; '' when all can be drawn."""
    lacking = {
        letter
        for text in texts
        for letter in text
        if not letter.isascii() and _font_of(letter) is None
    }
    return ", ".join(sorted({_script(letter) for letter in lacking}))


@lru_cache(4096)
def runs(text: str) -> tuple[Run, ...]:
    """The text as runs of one font, from left to right as they are drawn."""
    if text.isascii():
        return (Run(text),)
    pieces: list[tuple[str | None, str]] = []  # (font, characters)
    for letter in unicodedata.normalize("NFC", text):
        path = _font_of(letter)
        if pieces and (
            letter in INVISIBLE
            or unicodedata.combining(letter)
            or _joins(letter, pieces[-1][0], path)
        ):
            pieces[-1] = (pieces[-1][0], pieces[-1][1] + letter)
        else:
            pieces.append((path, letter))
    grouped = [
        (path, "".join(part for _, part in group))
        for path, group in groupby(pieces, key=lambda piece: piece[0])
    ]
    drawn = [
        run
        for path, part in grouped
        for run in ((Run(_named(part)),) if path is None else _cut(part, path))
    ]
    first = next(
        (way for way in map(unicodedata.bidirectional, text) if way in ("L", "R", "AL")), "L"
    )
    return tuple(drawn if first == "L" else reversed(drawn))


def _cut(part: str, path: str) -> list[Run]:
    """Runs of one direction.

    Spaces and signs between two words that go leftwards go with them, others with the rest.
    """
    kinds = {"R": "R", "AL": "R", "AN": "R", "L": "L"}
    ways = "".join(kinds.get(unicodedata.bidirectional(letter), " ") for letter in part)
    pieces = []
    start = 0
    for span in re.finditer(r"R(?:[R ]*R)?", ways):
        pieces += [part[start : span.start()], part[span.start() : span.end()]]
        start = span.end()
    pieces.append(part[start:])
    return [Run(piece, path, _is_coloured(path)) for piece in pieces if piece]


def _joins(letter: str, before: str | None, path: str | None) -> bool:
    """True if a letter is drawn with the font of what stands before it.

    So are spaces and signs, that words of one script stay together.

    before: font of what stands before.
    path: font of the letter; None where none has it.
    """
    if before is None or path is None:
        return before is None and path is None
    neutral = letter.isspace() or unicodedata.category(letter)[0] == "P"
    return before == path or (
        neutral and bool(before) and not _is_coloured(before) and _has(before, letter)
    )


def _font_of(letter: str) -> str | None:
    """Path of the first font that has a character, '' for Pillow's own, None where none has."""
    if letter.isascii() or letter in INVISIBLE or letter.isspace() or _has("", letter):
        return ""
    for path in _system_fonts():
        if _has(path, letter):
            return path
    block = ord(letter) >> 7
    if block not in _asked:  # a process for each letter would take long
        _asked[block] = _by_fontconfig(letter)
    return _asked[block] if _asked[block] and _has(_asked[block], letter) else None


@lru_cache(65536)
def _has(path: str, letter: str) -> bool:
    try:
        return _picture(path, letter) != _picture(path, PRIVATE)
    except (OSError, ValueError, UnicodeError):
        return False


def _picture(path: str, letter: str) -> bytes:
    """A font's picture of a character, to be compared."""
    coloured = _is_coloured(path)
    size = BITMAP if coloured else 32
    image = Image.new("RGBA" if coloured else "L", (2 * size, 2 * size))
    ImageDraw.Draw(image).text(
        (size // 2, size // 4),
        letter,
        255 if not coloured else None,
        font=_face(path, size),
        embedded_color=coloured,
    )
    return image.tobytes()


@cache
def _face(path: str, size: int) -> Face:
    return ImageFont.truetype(path, size) if path else font(size)


@cache
def _ascent(size: int) -> int:
    face = font(size)
    return face.getmetrics()[0] if isinstance(face, ImageFont.FreeTypeFont) else size


@lru_cache(4096)
def _width(run: Run, size: int) -> float:
    if run.coloured:
        return _coloured(run, max(1, size // OVERSAMPLING)).width * OVERSAMPLING
    return _face(run.path, size).getlength(run.text)


@lru_cache(256)
def _coloured(run: Run, size: int) -> Image.Image:
    """Emoji as a picture with transparency, `size` pixels high."""
    face = _face(run.path, BITMAP)
    left, top, right, bottom = (int(value) for value in face.getbbox(run.text))
    large = Image.new("RGBA", (max(1, right), max(1, bottom)))
    ImageDraw.Draw(large).text((0, 0), run.text, font=face, embedded_color=True)
    large = large.crop((left, top, max(left + 1, right), max(top + 1, bottom)))
    return large.resize(
        (max(1, round(large.width * size / large.height)), size), Image.Resampling.LANCZOS
    )


@cache
def _is_coloured(path: str) -> bool:
    return "emoji" in path.lower() and "color" in path.lower()


@cache
def _system_fonts() -> tuple[str, ...]:
    """Paths of those FONTS that this machine has."""
    latin = list(_latin_fonts()) if importlib.util.find_spec("matplotlib") else []
    paths = []
    for name in dict.fromkeys((*latin, *FONTS)):
        for size in (32, BITMAP):  # a font of bitmaps has its own size alone
            with contextlib.suppress(OSError):
                paths.append(str(ImageFont.truetype(name, size).path))
                break
    return tuple(dict.fromkeys(paths))


def _latin_fonts() -> Iterator[str]:
    """A font of the system, or the one that matplotlib brings, which gradio 3 needs."""
    spec = importlib.util.find_spec("matplotlib")
    for folder in (spec.submodule_search_locations or []) if spec else []:
        yield str(Path(folder) / "mpl-data" / "fonts" / "ttf" / "DejaVuSans.ttf")
    yield from FONTS[:4]


# Block of 128 characters -> the font that fontconfig takes for the first that was wanted
_asked: dict[int, str] = {}


def _by_fontconfig(letter: str) -> str:
    """The font that fontconfig takes for a character, or ''."""
    program = shutil.which("fc-match")
    if program is None:
        return ""
    try:
        answer = subprocess.run(
            [program, "-f", "%{file}", f":charset={ord(letter):x}"],
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
    return answer if Path(answer).is_file() else ""


def _named(letters: str) -> str:
    """The names that stand for characters without a font: [grinning face], [Thai]."""
    names = [
        _script(letter) for letter in letters if not letter.isspace() and letter not in INVISIBLE
    ]
    listed = ", ".join(dict.fromkeys(names))
    log.warning("no font of this machine has %s; install one, such as Noto", listed)
    return f"[{listed}]"


def _script(letter: str) -> str:
    """A letter's script, or the name of a sign or an emoji."""
    name = unicodedata.name(letter, f"U+{ord(letter):04X}")
    return (
        name.split()[0].capitalize() if unicodedata.category(letter)[0] in "LMN" else name.lower()
    )


def runs_leftwards(text: str) -> bool:
    """True if a text has letters that are read from right to left."""
    return not text.isascii() and any(
        unicodedata.bidirectional(letter) in ("R", "AL") for letter in text
    )


def shapes_scripts() -> bool:
    """True if Pillow can join and order Arabic letters here.

    It needs libraqm, which its packages bring, and FriBiDi of the system.
    """
    return bool(features.check("raqm"))
