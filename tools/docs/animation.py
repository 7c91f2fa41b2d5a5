"""docs/job.gif, the job from picture to sheet: python -m tools.docs.animation --workspace DIR.

Everything shown is read from a finished workspace, such as the one of `singlelora.py demo`. The
sheet must vary epochs and strengths and nothing else.
"""

from __future__ import annotations

import argparse
import functools
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from PIL import Image, ImageChops, ImageDraw, ImageOps

from lib_singlelora.sheets.lettering import font, length, wrap, write
from lib_singlelora.workspace.recommendation import saved_recommendation
from lib_singlelora.workspace.workspace import Workspace

ROOT = Path(__file__).parents[2]
WIDTH = 800
HEIGHT = 500
MARGIN = 20
TOP = 96  # below the bar of stages
STAGES = ("prepare", "crop", "caption", "regularize", "train", "plot")
LARGEST = 2_000_000  # bytes

WHITE = (255, 255, 255)
INK = (34, 34, 34)
GREY = (120, 120, 120)
PALE = (222, 222, 222)
GREEN = (22, 150, 80)
RED = (200, 50, 50)

Box = tuple[int, int, int, int]
Frame = tuple[Image.Image, int]  # with how long it is shown, milliseconds


@dataclass(frozen=True)
class Cell:
    """A picture of the sheet, and how many of the character's traits the judge saw in it."""

    picture: Image.Image
    traits: int
    of: int


class Outputs:
    """What a finished job left in its workspace, as pictures and words."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace(folder, create=False)
        self.settings = self.workspace.load_settings()
        self.picture = _rgb(self.workspace.original())
        self.prepared = _rgb(self.workspace.prepared)
        self.mask = _rgb(self.workspace.mask)
        recommendation = saved_recommendation(self.workspace)
        if recommendation is None:
            raise SystemExit(f"{folder}: found no recommendation; run 'plot' first")
        self.recommendation = recommendation

    @cached_property
    def views(self) -> dict[str, Box]:
        """Boxes in the prepared picture, pixels, by the view's name."""
        views = self.workspace.record("crop").data["views"]
        return {name: tuple(view["box"]) for name, view in views.items()}

    def crop(self, view: str) -> Image.Image:
        return _rgb(self.workspace.image_folder(self.settings) / f"{view}.png")

    def caption(self, view: str) -> str:
        path = self.workspace.image_folder(self.settings) / f"{view}.txt"
        return path.read_text(encoding="utf-8").strip()

    @cached_property
    def pruned(self) -> list[str]:
        """Tags that most crops show and no caption says."""
        captions = ", ".join(self.caption(view) for view in self.views)
        traits = self.workspace.record("caption").data["traits"]
        return [
            trait["tag"]
            for trait in traits
            if trait["seen"] >= trait["visible"] / 2 and trait["tag"] not in captions
        ]

    @cached_property
    def class_pictures(self) -> list[tuple[Image.Image, bool]]:
        """The regularization set in the order of drawing, with whether a picture was kept."""
        kept = self.workspace.reg_folder(self.settings)
        files = [*kept.glob("*.png"), *(kept.parent / "rejected").glob("*.png")]
        return [(_rgb(path), path.parent == kept) for path in sorted(files, key=lambda f: f.name)]

    @cached_property
    def losses(self) -> list[tuple[int, float]]:
        """Epoch and smoothed loss of each step."""
        events = self.workspace.events.read()
        return [(step["epoch"], step["smoothed"]) for step in events if step["event"] == "step"]

    @cached_property
    def cells(self) -> dict[tuple[int, float], Cell]:
        """The sheet's cells by epoch and strength; (0, 0) is the checkpoint alone."""
        pictures = {}
        for path in (self.workspace.plots / "cells").glob("*-1.png"):
            with Image.open(path) as image:
                used = re.search(r"<lora:([^:>]+):([\d.]+)>", image.info["parameters"])
            pictures[(used[1], float(used[2])) if used else ("", 0.0)] = _rgb(path)
        scores = json.loads((self.workspace.plots / "scores.json").read_text(encoding="utf-8"))
        cells = {}
        best = self.recommendation.preset
        for row in scores["cells"]:
            if row.get("preset", best) not in ("", best):
                continue
            kept = [not counts.startswith("0/") for counts in row["traits"].values()]
            picture = pictures[Path(row["file"]).stem, row["strength"]]
            cells[row["epoch"], row["strength"]] = Cell(picture, sum(kept), len(kept))
        return cells

    @cached_property
    def figure(self) -> Box:
        """The part of the cells outside which every one is paper, pixels."""
        darkest = functools.reduce(
            ImageChops.darker, (cell.picture.convert("L") for cell in self.cells.values())
        )
        box = darkest.point(lambda level: 255 if level < 200 else 0).getbbox()
        return box or (0, 0, *darkest.size)

    def cell_figure(self, epoch: int, strength: float) -> Image.Image:
        return self.cells[epoch, strength].picture.crop(self.figure)

    @cached_property
    def epochs(self) -> list[int]:
        return sorted({epoch for epoch, _ in self.cells if epoch})

    @cached_property
    def strengths(self) -> list[float]:
        return sorted({strength for epoch, strength in self.cells if epoch})


def _rgb(path: Path | None) -> Image.Image:
    if path is None:
        raise SystemExit("the workspace has no picture")
    with Image.open(path) as image:
        return image.convert("RGB")


# Drawing
# -------------------------------------------------------------------------------------------------


def stage_page(stage: str, sentence: str) -> Image.Image:
    """An empty page with the bar of stages, this one marked, and a sentence below it."""
    page = Image.new("RGB", (WIDTH, HEIGHT), WHITE)
    draw = ImageDraw.Draw(page)
    step = (WIDTH - 2 * MARGIN) / len(STAGES)
    reached = STAGES.index(stage) if stage in STAGES else len(STAGES)
    for index, name in enumerate(STAGES):
        left = MARGIN + index * step
        bar = (left, 36, left + step - 8, 40)
        draw.rectangle(bar, fill=GREEN if index <= reached and stage else PALE)
        ink = INK if name == stage else GREY
        write(page, (left, 12), name, ink, font(17))
    write(page, (MARGIN, 54), sentence, INK, font(18))
    return page


def fit(picture: Image.Image, width: int, height: int) -> Image.Image:
    """The whole picture within so many pixels."""
    return ImageOps.contain(picture, (width, height), Image.Resampling.LANCZOS)


def put(page: Image.Image, picture: Image.Image, box: Box, frame: tuple[int, int, int]) -> Box:
    """Draw the whole picture in the middle of a box, framed; its own box."""
    small = fit(picture, box[2] - box[0], box[3] - box[1])
    left = (box[0] + box[2] - small.width) // 2
    top = (box[1] + box[3] - small.height) // 2
    page.paste(small, (left, top))
    inner = (left, top, left + small.width, top + small.height)
    ImageDraw.Draw(page).rectangle(_around(inner, 1), outline=frame)
    return inner


def label(page: Image.Image, text: str, middle: float, top: float, size: int = 14) -> None:
    face = font(size)
    write(page, (middle - length(text, face) / 2, top), text, GREY, face)


def _around(box: Box, by: int) -> Box:
    return (box[0] - by, box[1] - by, box[2] + by - 1, box[3] + by - 1)


# Scenes
# -------------------------------------------------------------------------------------------------


def prepare_scene(outputs: Outputs) -> Iterator[Frame]:
    left = (MARGIN, TOP, 390, 460)
    right = (410, TOP, WIDTH - MARGIN, 460)
    page = stage_page("", "One picture of a character goes in")
    put(page, outputs.picture, (200, TOP, 600, 460), PALE)
    label(page, "the picture", WIDTH / 2, 466)
    yield page, 2000

    large = f"{outputs.prepared.width} × {outputs.prepared.height} pixels"
    page = stage_page("prepare", "Enlarged, and told from the background")
    put(page, outputs.prepared, left, PALE)
    label(page, large, 205, 466)
    yield page.copy(), 900
    put(page, outputs.mask, right, PALE)
    label(page, "the mask; paint it where it is wrong", 595, 466)
    yield page, 2000


def view_boxes(outputs: Outputs) -> dict[str, Box]:
    """Where each crop lies on the page, four in a row."""
    boxes = {}
    for index, view in enumerate(outputs.views):
        left = 340 + index % 4 * 111
        top = TOP + index // 4 * 156
        boxes[view] = (left, top, left + 106, top + 106)
    return boxes


def crop_scene(outputs: Outputs) -> Iterator[Frame]:
    boxes = view_boxes(outputs)
    page = stage_page("crop", "Close-ups are cut and named")
    place = put(page, outputs.prepared, (MARGIN, TOP, 316, 392), PALE)
    scale = (place[2] - place[0]) / outputs.prepared.width
    yield page.copy(), 600
    for view, source in outputs.views.items():
        put(page, outputs.crop(view), boxes[view], PALE)
        label(page, view.replace("_", " "), boxes[view][0] + 53, boxes[view][3] + 5, 13)
        cut = [round(side * scale) for side in source]
        shown = page.copy()
        ImageDraw.Draw(shown).rectangle(
            (place[0] + cut[0], place[1] + cut[1], place[0] + cut[2] - 1, place[1] + cut[3] - 1),
            outline=GREEN,
            width=3,
        )
        yield shown, 550
    yield page, 900


def caption_scene(outputs: Outputs) -> Iterator[Frame]:
    page = stage_page("caption", "Captions name what prompts may change …")
    face = font(15)
    boxes = {
        view: (MARGIN, TOP + index * 84, MARGIN + 76, TOP + index * 84 + 76)
        for index, view in enumerate(_telling(outputs))
    }
    for view, box in boxes.items():
        put(page, outputs.crop(view), box, PALE)
    yield page.copy(), 600
    for view, box in boxes.items():
        for number, line in enumerate(wrap(outputs.caption(view), 350, face)):
            write(page, (box[2] + 14, box[1] + 2 + number * 20), line, INK, face)
        yield page.copy(), 800
    left = 490
    write(page, (left, TOP), "… and leave out what belongs", INK, font(18))
    write(page, (left, TOP + 24), "to the character:", INK, font(18))
    yield page.copy(), 500
    for number, tag in enumerate(outputs.pruned[:11]):
        write(page, (left, TOP + 58 + number * 20), tag, GREEN, face)
    top = TOP + 66 + 20 * len(outputs.pruned[:11])
    write(
        page,
        (left, top),
        f"The word '{outputs.settings.character.trigger}' learns these.",
        INK,
        face,
    )
    yield page, 2600


def _telling(outputs: Outputs) -> list[str]:
    """Four views with unlike captions."""
    wanted = ("full_body", "portrait", "face", "head_out_of_frame")
    return [view for view in wanted if view in outputs.views]


def regularize_scene(outputs: Outputs) -> Iterator[Frame]:
    word = outputs.settings.character.class_token
    page = stage_page("regularize", f"The checkpoint draws other pictures of a {word}")
    columns = 11
    size = 68
    rejected: dict[Box, Image.Image] = {}
    for number, (picture, kept) in enumerate(outputs.class_pictures[: 4 * columns]):
        left = MARGIN + number % columns * (size + 1)
        top = TOP + number // columns * (size + 1)
        box = (left, top, left + size, top + size)
        put(page, picture, box, WHITE)
        if not kept:
            rejected[box] = picture
        if number % 4 == 3:
            yield page.copy(), 160
    yield page.copy(), 900
    if rejected:
        grid = (0, TOP, WIDTH, TOP + 4 * (size + 1))
        pale = Image.blend(page.crop(grid), Image.new("RGB", (WIDTH, grid[3] - TOP), WHITE), 0.65)
        page.paste(pale, grid[:2])
        for box, picture in rejected.items():
            put(page, picture, box, RED)
            ImageDraw.Draw(page).rectangle(_around(box, 2), outline=RED, width=3)
        text = "This one resembles the character too much and is put aside."
        write(page, (MARGIN, TOP + 4 * (size + 1) + 16), text, RED, font(16))
        yield page, 2200


def train_scene(outputs: Outputs) -> Iterator[Frame]:
    strength = outputs.strengths[-1]
    losses = [loss for _, loss in outputs.losses]
    chart = (MARGIN, TOP + 26, 330, 440)
    page = stage_page("train", f"{len(losses)} steps; after each epoch a LoRA file is saved")
    write(page, (MARGIN, TOP), "loss", GREY, font(14))
    draw = ImageDraw.Draw(page)
    draw.line((chart[0], chart[1], chart[0], chart[3], chart[2], chart[3]), fill=PALE, width=2)
    text = f"the same prompt and seed, strength {strength:g}"
    write(page, (370, TOP), text, GREY, font(14))
    points = [
        (
            chart[0] + (chart[2] - chart[0]) * index / max(1, len(losses) - 1),
            chart[3] - (chart[3] - chart[1]) * loss / max(losses),
        )
        for index, loss in enumerate(losses)
    ]
    shown = [epoch for epoch in outputs.epochs if (epoch, strength) in outputs.cells]
    for index, epoch in enumerate(shown):
        done = sum(number <= epoch for number, _ in outputs.losses)
        draw.line(points[:done], fill=GREEN, width=3, joint="curve")
        left = 360 + index % 5 * 84
        top = TOP + 28 + index // 5 * 192
        place = (left, top, left + 80, top + 160)
        put(page, outputs.cell_figure(epoch, strength), place, WHITE)
        label(page, f"epoch {epoch}", left + 40, top + 163, 13)
        yield page.copy(), 2200 if epoch == shown[-1] else 420


def plot_scene(outputs: Outputs) -> Iterator[Frame]:
    page = stage_page("plot", "Epochs and strengths on one sheet, the promising ones drawn most")
    width = 70
    height = 82
    places = {}
    for column, epoch in enumerate(outputs.epochs):
        left = 84 + column * (width - 1)
        label(page, f"epoch {epoch}", left + width / 2, TOP - 8, 12)
        for row, strength in enumerate(outputs.strengths):
            top = TOP + 10 + row * (height + 16)
            if not column:
                write(page, (MARGIN, top + 32), f"at {strength:g}", GREY, font(14))
            cell = outputs.cells.get((epoch, strength))
            if cell is None:  # the race went elsewhere
                continue
            place = (left, top, left + width, top + height)
            put(page, outputs.cell_figure(epoch, strength), place, WHITE)
            label(page, f"{cell.traits} of {cell.of}", left + width / 2, top + height, 11)
            places[epoch, strength] = place
        yield page.copy(), 220
    yield page.copy(), 1000
    best = outputs.recommendation
    place = places[best.epoch, best.strength]
    framed = (place[0] + 4, place[1] - 3, place[2] - 4, place[3] + 15)
    ImageDraw.Draw(page).rectangle(framed, outline=GREEN, width=3)
    yield page, 2600


def last_scene(outputs: Outputs) -> Iterator[Frame]:
    best = outputs.recommendation
    cell = outputs.cells[best.epoch, best.strength]
    alone = outputs.cells[0, 0.0]
    page = stage_page("done", f"Recommended: <lora:{best.lora.stem}:{best.strength:g}>")
    columns = (
        (outputs.prepared, "the picture"),
        (cell.picture, f"with the LoRA: {cell.traits} of {cell.of} traits"),
        (alone.picture, f"without it: {alone.traits} of {alone.of}"),
    )
    for index, (picture, text) in enumerate(columns):
        left = MARGIN + index * 256
        frame = GREEN if index == 1 else PALE
        put(page, picture, (left, TOP + 20, left + 248, TOP + 300), frame)
        label(page, text, left + 124, TOP + 306, 15)
    yield page, 4000


SCENES = (
    prepare_scene,
    crop_scene,
    caption_scene,
    regularize_scene,
    train_scene,
    plot_scene,
    last_scene,
)


# The file
# -------------------------------------------------------------------------------------------------


def shared_palette(frames: Sequence[Image.Image]) -> Image.Image:
    """256 colours for all frames: with one palette what stays the same is not stored again."""
    contact = Image.new("RGB", (WIDTH, HEIGHT * len(frames)), WHITE)
    for number, frame in enumerate(frames):
        contact.paste(frame, (0, HEIGHT * number))
    palette = contact.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    colours = palette.getpalette() or []
    # Quantizing mixes the paper's white with what is nearly white
    for start in range(0, len(colours), 3):
        if min(colours[start : start + 3]) > 246:
            colours[start : start + 3] = WHITE
    palette.putpalette(colours)
    return palette


def save(frames: Sequence[Frame], out: Path) -> None:
    """An animated GIF that begins again."""
    palette = shared_palette([picture for picture, _ in frames])
    pages = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture, _ in frames]
    durations = [duration for _, duration in frames]
    pages[0].save(
        out, save_all=True, append_images=pages[1:], duration=durations, loop=0, optimize=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description="The job from picture to sheet as a GIF.")
    parser.add_argument("--workspace", type=Path, required=True, help="a finished job's folder")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "job.gif")
    parser.add_argument("--frames", type=Path, help="also write each frame here, as PNG")
    options = parser.parse_args()
    outputs = Outputs(options.workspace)
    frames = [frame for scene in SCENES for frame in scene(outputs)]
    if options.frames:
        options.frames.mkdir(parents=True, exist_ok=True)
        for number, (picture, _) in enumerate(frames):
            picture.save(options.frames / f"{number:03}.png")
    save(frames, options.out)
    size = options.out.stat().st_size
    seconds = sum(duration for _, duration in frames) / 1000
    print(f"{options.out}: {len(frames)} frames, {seconds:.1f} s, {size:,} bytes")
    if size > LARGEST:
        raise SystemExit(f"expected at most {LARGEST:,} bytes")


if __name__ == "__main__":
    main()
