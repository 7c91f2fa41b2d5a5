"""The index of a batch: every character's picture and sheet on one page, without a network."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from ..files.fileio import write_text
from ..sheets.page import encoded

PICTURE = (192, 16_000)  # side in pixels, bytes
DRAWN = (256, 16_000)
SHEET = (640, 90_000)
STYLE = """
:root { color-scheme: light dark; --ink: #18181b; --soft: #63636e; --line: #e4e4e7; --card: #f6f6f7;
  --paper: #fff; --mark: #15803d; --wrong: #b91c1c; }
@media (prefers-color-scheme: dark) { :root { --ink: #f1f1f3; --soft: #a5a5b0; --line: #34343a;
  --card: #1f1f23; --paper: #141416; --mark: #4ade80; --wrong: #f87171; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 16px; background: var(--paper); color: var(--ink);
  font: 14px/1.45 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.15rem; margin: 0 0 4px; } p { margin: 0; overflow-wrap: anywhere; }
.about { color: var(--soft); margin-bottom: 14px; }
main { display: grid; gap: 14px;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 340px), 1fr)); }
article { background: var(--card); border: 1px solid var(--line); border-radius: 10px;
  padding: 12px;
  display: grid; gap: 8px; align-content: start; }
header { display: flex; gap: 12px; align-items: start; }
header img { width: 72px; height: 72px; object-fit: contain; border-radius: 6px;
  background: var(--paper); }
h2 { font-size: 1rem; margin: 0; overflow-wrap: anywhere; } .state { color: var(--soft); }
.complete .state { color: var(--mark); } .failed .state, .failed .why { color: var(--wrong); }
.why, .figures { font-size: .85rem; } .figures { color: var(--soft); }
.drawn { display: grid; gap: 6px; grid-template-columns: repeat(auto-fill, minmax(92px, 1fr)); }
.drawn img { width: 100%; display: block; border-radius: 6px; }
.sheet { display: block; font-size: .85rem; color: var(--soft); }
.sheet img { width: 100%; height: 260px; object-fit: cover; object-position: top; display: block;
  border-radius: 6px; background: var(--paper); }
a { color: inherit; }
"""


@dataclass(frozen=True)
class IndexEntry:
    """One character.

    state: waiting, running, complete or failed.
    text: the recommendation's reason, or the error.
    picture, sheet, page: files; None where there is none yet.
    drawn: pictures of the recommended cell, then inpainted ones.
    """

    name: str
    state: str
    text: str
    figures: Mapping[str, float]
    picture: Path | None
    sheet: Path | None
    page: Path | None
    drawn: Sequence[Path] = ()


def write_index(path: Path, title: str, entries: Sequence[IndexEntry]) -> None:
    """Write the page; its links are relative, so that the folder can be moved."""
    counts = {state: sum(entry.state == state for entry in entries) for state in _states(entries)}
    about = ", ".join(f"{count} {state}" for state, count in counts.items())
    cards = "\n".join(_card(entry, path.parent) for entry in entries)
    write_text(
        path,
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport"'
        f' content="width=device-width, initial-scale=1">\n<title>{html.escape(title)}</title>\n'
        f'<link rel="icon" href="data:,">\n<style>{STYLE}</style>\n</head>\n<body>\n'
        f'<h1>{html.escape(title)}</h1>\n<p class="about">{html.escape(about)}</p>\n'
        f"<main>\n{cards}\n</main>\n</body>\n</html>\n",
    )


def _states(entries: Sequence[IndexEntry]) -> list[str]:
    return list(dict.fromkeys(entry.state for entry in entries))


def _card(entry: IndexEntry, folder: Path) -> str:
    name = html.escape(entry.name)
    picture = (
        f'<img src="{encoded(entry.picture, *PICTURE)}" alt="the picture of {name}">'
        if entry.picture
        else ""
    )
    figures = " · ".join(f"{figure} {value:.2f}" for figure, value in entry.figures.items())
    drawn = "".join(
        f'<a href="{_relative(path, folder)}"><img src="{encoded(path, *DRAWN)}" alt="{name},'
        f' drawn"></a>'
        for path in entry.drawn
    )
    strip = f'<div class="drawn">{drawn}</div>' if drawn else ""
    sheet = ""
    if entry.sheet:
        image = f'<img src="{encoded(entry.sheet, *SHEET)}" alt="the sheet of {name}">'
        target = _relative(entry.page or entry.sheet, folder)
        sheet = f'<a class="sheet" href="{target}">{image}The whole sheet</a>'
    return (
        f'<article class="{html.escape(entry.state)}"><header>{picture}<div><h2>{name}</h2>'
        f'<p class="state">{html.escape(entry.state)}</p>'
        f'<p class="why">{html.escape(entry.text)}</p></div></header>'
        f'<p class="figures">{html.escape(figures)}</p>{strip}{sheet}</article>'
    )


def _relative(path: Path, folder: Path) -> str:
    """The link from a page in `folder`."""
    return quote(Path(os.path.relpath(path, folder)).as_posix())
