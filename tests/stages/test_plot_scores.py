"""The pictures that are most like the crops, each beside its part of one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from PIL import Image

from lib_singlelora.judge.cells import CellSpec, Copy, Judgement, LoraSource
from lib_singlelora.metrics.similarity import PixelCheck
from lib_singlelora.stages.plot_scores import copies_sheet


def test_each_picture_is_beside_its_own_part_of_its_own_crop(tmp_path: Path) -> None:
    crops = {}
    for name, colours in (("face", ("red", "blue")), ("body", ("green", "black"))):
        crop = Image.new("RGB", (200, 100), colours[0])
        crop.paste(colours[1], (100, 0, 200, 100))
        crops[name] = tmp_path / f"{name}.png"
        crop.save(crops[name])
    drawn = tmp_path / "drawn.png"
    Image.new("RGB", (64, 64), "white").save(drawn)
    halves = ((0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0))
    copies = [Copy(drawn, crops[name], box, 0.5) for box in halves for name in ("face", "body")]
    cell = CellSpec(LoraSource.epoch(1), 1.0, "ALL", tmp_path / "a.safetensors")
    judged = {
        replace(cell, strength=strength): Judgement(PixelCheck(0.5, ""), nearest="", copy=copy)
        for strength, copy in zip((0.4, 0.6, 0.8, 1.0), copies, strict=True)
    }
    sheet = copies_sheet(judged, None)
    places = {}
    colours = dict.fromkeys(("red", "green", "blue", "black"), 0)
    for colour in colours:
        shade = Image.new("RGB", (1, 1), colour).getpixel((0, 0))
        found = [
            row for row in range(sheet.height) if _row(sheet, row).count(shade) >= 30
        ]  # letters are thinner
        assert found, colour
        places[colour] = found[0]
    assert list(places) == sorted(places, key=lambda colour: places[colour])


def _row(image: Image.Image, row: int) -> list[tuple[int, ...]]:
    pixels = image.convert("RGB").crop((0, row, image.width, row + 1)).tobytes()
    return [tuple(pixels[at : at + 3]) for at in range(0, len(pixels), 3)]
