"""The sheet as one HTML page: thumbnails inside, full-size pictures linked, no network."""

from __future__ import annotations

import base64
import html
import io
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from ..workspace import write_text

THUMB = 160
STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #18181b; --soft: #71717a; --line: #e4e4e7; --card: #fafafa;
  --mark: #15803d; }
@media (prefers-color-scheme: dark) {
  :root { --paper: #18181b; --ink: #f4f4f5; --soft: #a1a1aa; --line: #3f3f46; --card: #27272a; --mark: #4ade80; } }
* { box-sizing: border-box; }
body { margin: 0; padding: 16px; background: var(--paper); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
h1 { font-size: 1.35rem; margin: 0 0 4px; } h2 { font-size: 1.05rem; margin: 24px 0 8px; }
p { margin: 4px 0; color: var(--soft); max-width: 80ch; overflow-wrap: anywhere; }
p.best { color: var(--mark); font-weight: 600; }
.scroll { overflow-x: auto; max-width: 100%; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: separate; border-spacing: 0; }
th { position: sticky; background: var(--card); padding: 8px 10px; font-weight: 600; white-space: nowrap; text-align: left;
  border-bottom: 1px solid var(--line); }
thead th { top: 0; z-index: 1; } tbody th { left: 0; z-index: 2; border-right: 1px solid var(--line); vertical-align: top; }
td { padding: 6px; border-bottom: 1px solid var(--line); vertical-align: top; }
td.best { box-shadow: inset 0 0 0 3px var(--mark); border-radius: 6px; }
.pair { display: flex; gap: 4px; }
img { display: block; border-radius: 4px; background: var(--card); }
td img { width: 128px; height: auto; } td small { color: var(--soft); display: block; margin-top: 3px; }
.top { display: flex; gap: 16px; flex-wrap: wrap; margin-top: 12px; }
figure { margin: 0; } .top img { width: 160px; height: auto; }
figcaption { color: var(--soft); font-size: .85rem; margin-top: 4px; }
@media (max-width: 480px) { td img { width: 104px; } .top img { width: 132px; } body { padding: 10px; } }
"""


@dataclass(frozen=True)
class PageCell:
    """One cell; epoch 0 is the checkpoint without the LoRA.  note: what is said of it."""

    name: str
    preset: str
    epoch: int
    strength: float
    pictures: tuple[Path, ...]
    note: str
    broken: str
    best: bool


def _thumb(path: Path) -> str:
    with Image.open(path) as image:
        small = image.convert("RGB")
    small.thumbnail((THUMB, THUMB), Image.Resampling.LANCZOS)
    data = io.BytesIO()
    small.save(data, "JPEG", quality=82)
    return "data:image/jpeg;base64," + base64.b64encode(data.getvalue()).decode()


def _link(page: Path, picture: Path, text: str) -> str:
    target = html.escape(Path(os.path.relpath(picture, page.parent)).as_posix(), quote=True)
    alt = html.escape(text, quote=True)
    return f'<a href="{target}" title="{alt}"><img src="{_thumb(picture)}" alt="{alt}" loading="lazy"></a>'


def _cell(page: Path, cell: PageCell) -> str:
    images = "".join(_link(page, picture, f"{cell.name}, {picture.stem.rsplit('-', 1)[-1]}") for picture in cell.pictures)
    note = html.escape(cell.broken or cell.note)
    return f'<td{" class=best" if cell.best else ""}><div class="pair">{images}</div><small>{note}</small></td>'


def write_page(page: Path, title: str, text: str, cells: Sequence[PageCell], source: Path, reason: str) -> None:
    """Write the page.  text: how the pictures were made.  reason: of the recommendation, or ''."""
    base = [cell for cell in cells if not cell.epoch]
    parts = [f"<h1>{html.escape(title)}</h1><p>{html.escape(text)}</p>"]
    if reason:
        parts.append(f'<p class="best">Recommended: {html.escape(reason)}.</p>')
    figures = f"<figure>{_link(page, source, 'the source picture')}<figcaption>the picture</figcaption></figure>"
    for cell in base:
        for picture in cell.pictures:
            figures += f"<figure>{_link(page, picture, cell.name)}<figcaption>without the LoRA</figcaption></figure>"
    parts.append(f'<div class="top">{figures}</div>')
    for preset in dict.fromkeys(cell.preset for cell in cells if cell.epoch):
        own = [cell for cell in cells if cell.epoch and cell.preset == preset]
        strengths = list(dict.fromkeys(cell.strength for cell in own))
        head = "".join(f"<th>strength {strength:g}</th>" for strength in strengths)
        rows = ""
        for epoch in dict.fromkeys(cell.epoch for cell in own):
            by_strength = {cell.strength: cell for cell in own if cell.epoch == epoch}
            rows += f"<tr><th>epoch {epoch}</th>{''.join(_cell(page, by_strength[s]) for s in strengths)}</tr>"
        parts.append(f"<h2>Blocks: {html.escape(preset)}</h2><div class='scroll'><table><thead><tr><th></th>{head}</tr></thead>"
                     f"<tbody>{rows}</tbody></table></div>")
    head = (f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{html.escape(title)}</title><style>{STYLE}</style>")
    write_text(page, f"<!doctype html><html lang='en'><head>{head}</head><body>{''.join(parts)}</body></html>\n")
