"""The artifacts of a picture on one sheet: where they lie, magnified, before and after cleaning."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from ..imaging.artifacts import RINGING, STRAY, Artifact, Found
from .grid import INK, LINE, PAPER, SOFT, Face, font, wrap

# All measures are pixels
LONG_SIDE = 1200  # of the overlay
INSET = 150  # side of a magnified artifact
MOST_INSETS = 24  # further artifacts are in artifacts.json alone
ALERT = (220, 38, 38)
HALO = (249, 115, 22)
MARGIN = 24
GAP = 14
TEXT_WIDTH = 250  # of what stands beside an inset


def draw_artifacts(
    before: Image.Image,
    found: Found,
    after: Image.Image | None = None,
    cleaned: tuple[str, ...] = (),
) -> Image.Image:
    """The sheet.

    before: the picture, RGB.
    after: the cleaned picture, of the same size; None where nothing was cleaned.
    cleaned: names of the artifacts that were cleaned.
    """
    face = font(20)
    small = font(15)
    overlay = _overlay(before, found, face)
    shown = [artifact for artifact in found.artifacts if artifact.kind == STRAY][:MOST_INSETS]
    others = [artifact for artifact in found.artifacts if artifact.kind != STRAY]
    insets = INSET * (2 if after else 1) + (GAP if after else 0)
    row = INSET + GAP
    columns = 1 if len(shown) <= 7 else 2
    rows = -(-len(shown) // columns)
    column = insets + GAP + TEXT_WIDTH
    top = (
        MARGIN
        + 40
        + 46 * len(others)
        + (24 if len(found.artifacts) > len(shown) + len(others) else 0)
    )
    size = (
        2 * MARGIN + overlay.width + 2 * GAP + columns * column + (columns - 1) * GAP,
        max(2 * MARGIN + overlay.height, top + rows * row + MARGIN),
    )
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    sheet.paste(overlay, (MARGIN, MARGIN))
    pen.rectangle(
        (MARGIN - 1, MARGIN - 1, MARGIN + overlay.width, MARGIN + overlay.height), outline=LINE
    )
    left = MARGIN + overlay.width + 2 * GAP
    _heading(pen, (left, MARGIN), found, others, len(shown), face, small, size[0] - left - MARGIN)
    for index, artifact in enumerate(shown):
        x = left + (index // rows) * (column + GAP)
        y = top + (index % rows) * row
        sheet.paste(_magnified(before, artifact), (x, y))
        pen.rectangle((x - 1, y - 1, x + INSET, y + INSET), outline=LINE)
        if after:
            sheet.paste(_magnified(after, artifact), (x + INSET + GAP, y))
            pen.rectangle(
                (x + INSET + GAP - 1, y - 1, x + 2 * INSET + GAP, y + INSET), outline=LINE
            )
        _describe(pen, (x + insets + GAP, y), artifact, artifact.name in cleaned, face, small)
    return sheet


def _heading(
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    found: Found,
    others: list[Artifact],
    shown: int,
    face: Face,
    small: Face,
    width: int,
) -> None:
    strays = sum(artifact.kind == STRAY for artifact in found.artifacts)
    title = f"{strays} stray colour{'' if strays == 1 else 's'}" if strays else "No stray colours"
    pen.text(at, title, fill=INK, font=face)
    y = at[1] + 32
    if strays > shown:
        note = f"the {shown} most striking are magnified; all are in artifacts.json"
        pen.text((at[0], y), note, fill=SOFT, font=small)
        y += 24
    for artifact in others:
        colour = HALO if artifact.kind == RINGING else ALERT
        pen.rectangle((at[0], y + 2, at[0] + 12, y + 14), fill=colour)
        for line in wrap(f"{artifact.name}: {artifact.sentence}", width - 22, small)[:2]:
            pen.text((at[0] + 22, y), line, fill=INK, font=small)
            y += 20
        y += 6


def _describe(
    pen: ImageDraw.ImageDraw,
    at: tuple[int, int],
    artifact: Artifact,
    cleaned: bool,
    face: Face,
    small: Face,
) -> None:
    x, y = at
    title = f"{artifact.name}  cleaned" if cleaned else artifact.name
    pen.text((x, y), title, fill=SOFT if cleaned else ALERT, font=face)
    y += 28
    lines = [
        (f"{artifact.colour} on {artifact.around}, {artifact.place}", INK),
        (f"{artifact.area} px at {artifact.box[0]}, {artifact.box[1]}", SOFT),
        (", ".join(artifact.tags), SOFT),
    ]
    for text, colour in lines:
        for line in wrap(text, TEXT_WIDTH, small)[:3]:
            pen.text((x, y), line, fill=colour, font=small)
            y += 20


def _overlay(image: Image.Image, found: Found, face: Face) -> Image.Image:
    """The picture, paler, with halos tinted and a numbered ring around each stray colour."""
    scale = min(1.0, LONG_SIDE / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    shown = Image.blend(
        image.resize(size, Image.Resampling.BOX), Image.new("RGB", size, PAPER), 0.45
    )
    if found.ringing:
        share = Image.fromarray(found.ringing.mask.astype(np.uint8) * 255).resize(
            size, Image.Resampling.BOX
        )
        shown = Image.composite(
            Image.new("RGB", size, HALO), shown, share.point(lambda value: min(255, value * 2))
        )
    # Pillow draws rings without smoothing
    large = shown.resize((size[0] * 2, size[1] * 2), Image.Resampling.BICUBIC)
    pen = ImageDraw.Draw(large)
    strays = [artifact for artifact in found.artifacts if artifact.kind == STRAY]
    for artifact in strays:
        x, y, radius = _ring(artifact, scale)
        pen.ellipse(
            [2 * value for value in (x - radius, y - radius, x + radius, y + radius)],
            outline=ALERT,
            width=4,
        )
    shown = large.resize(size, Image.Resampling.BOX)
    pen = ImageDraw.Draw(shown)
    for artifact in strays[:MOST_INSETS]:
        x, y, radius = _ring(artifact, scale)
        width = face.getlength(artifact.name)
        across = x + radius + 4 if x + radius + 6 + width < size[0] else x - radius - 4 - width
        pen.text(
            (across, y - 12),
            artifact.name,
            fill=ALERT,
            font=face,
            stroke_width=3,
            stroke_fill=PAPER,
        )
    return shown


def _ring(artifact: Artifact, scale: float) -> tuple[float, float, float]:
    """(x, y, radius) of the ring around an artifact on the overlay."""
    left, top, right, bottom = artifact.box
    return (
        (left + right) / 2 * scale,
        (top + bottom) / 2 * scale,
        max(right - left, bottom - top) / 2 * scale + 9,
    )


def _magnified(image: Image.Image, artifact: Artifact) -> Image.Image:
    """The surroundings of an artifact, each pixel a square."""
    left, top, right, bottom = artifact.box
    half = max(16, round(0.9 * max(right - left, bottom - top)))
    x = min(max((left + right) // 2, half), max(half, image.width - half))
    y = min(max((top + bottom) // 2, half), max(half, image.height - half))
    return image.crop((x - half, y - half, x + half, y + half)).resize(
        (INSET, INSET), Image.Resampling.NEAREST
    )
