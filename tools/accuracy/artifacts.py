"""How many planted specks are found in clean drawings, and what else: python -m
tools.accuracy.artifacts [--drawings 24] [--json].

Drawings come from tools/world's renderer (1024 to 2048 pixels) and from examples/; each is searched
clean and with specks whose places are known.  A speck is found when a hit touches it; a hit that
touches none is false.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from lib_singlelora.imaging.colour import distance, to_lab
from lib_singlelora.imaging.specks import find_specks
from tools.world.scenes.sample import sample_scene
from tools.world.scenes.scene import render

ROOT = Path(__file__).parents[2]
SIZES = (1024, 1536, 2048)
# A colour that the picture has nowhere, or one that it has elsewhere
KINDS = ("foreign", "misplaced")
GOAL_FOUND = 0.95
GOAL_FALSE = 1.0


@dataclass
class Count:
    """planted, found: specks.  false: hits that touch none.  megapixels: searched."""

    planted: int = 0
    found: int = 0
    false: int = 0
    megapixels: float = 0.0

    def add(self, other: Count) -> None:
        self.planted += other.planted
        self.found += other.found
        self.false += other.false
        self.megapixels += other.megapixels

    def row(self) -> dict[str, float]:
        return {
            "planted": self.planted,
            "found": self.found,
            "share": round(self.found / max(1, self.planted), 4),
            "false_per_megapixel": round(self.false / self.megapixels, 4),
        }


def drawings(count: int) -> Iterator[tuple[str, Image.Image]]:
    """Name and picture of the clean drawings."""
    for path in [
        ROOT / "examples" / "isabella.png",
        *sorted((ROOT / "examples" / "heldout").glob("*.png")),
    ]:
        with Image.open(path) as image:
            yield path.name, image.convert("RGB")
    for seed in range(count):
        side = SIZES[seed % len(SIZES)]
        yield (
            f"world {seed} at {side}",
            Image.fromarray(render(sample_scene(seed), side, side).pixels),
        )


def plant(
    image: Image.Image, kind: str, count: int, seed: int
) -> tuple[Image.Image, NDArray[np.int32]]:
    """The picture with specks of 3 to 40 pixels, hard or soft, and a label image of them."""
    rng = np.random.default_rng(seed)
    pixels = np.asarray(image).copy()
    lab = to_lab(image)
    main = _main_colours(pixels)
    labels = np.zeros(pixels.shape[:2], np.int32)
    while labels.max() < count:
        row, column = (int(rng.integers(20, side - 20)) for side in pixels.shape[:2])
        if labels[row - 20 : row + 20, column - 20 : column + 20].any():
            continue
        around = lab[row - 6 : row + 7, column - 6 : column + 7].reshape(-1, 3)
        colour = _colour(rng, kind, main, around)
        if colour is None:
            continue
        shape = _blob(rng, round(float(np.exp(rng.uniform(np.log(3), np.log(40))))))
        part = np.s_[row - 10 : row + 11, column - 10 : column + 11]
        labels[part][shape] = labels.max() + 1
        soft = (
            np.asarray(
                Image.fromarray(shape.astype(np.uint8) * 255).filter(ImageFilter.GaussianBlur(0.6)),
                np.float32,
            )
            / 255
        )
        share = (
            np.maximum(shape, soft)[..., None]
            if rng.random() < 0.5
            else shape[..., None].astype(np.float32)
        )
        pixels[part] = np.rint(pixels[part] * (1 - share) + colour * share).astype(np.uint8)
    return Image.fromarray(pixels), labels


def _main_colours(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours that cover at least a thousandth of the picture; (n, 3)."""
    found, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    return found[counts > counts.sum() / 1000]


def _colour(
    rng: np.random.Generator, kind: str, main: NDArray[np.uint8], around: NDArray[np.float32]
) -> NDArray[np.uint8] | None:
    """A colour that differs clearly (30 CIELAB units) from all around the place, and a foreign one
    from all main ones (20).
    """
    own = to_lab(Image.fromarray(main[None]))[0]
    for _ in range(50):
        colour = (
            rng.integers(0, 256, 3).astype(np.uint8)
            if kind == "foreign"
            else main[rng.integers(len(main))]
        )
        lab = to_lab(Image.fromarray(colour[None, None]))[0, 0]
        if distance(around, lab).min() > 30 and (
            kind != "foreign" or distance(own, lab).min() > 20
        ):
            return colour
    return None


def _blob(rng: np.random.Generator, area: int) -> NDArray[np.bool_]:
    """A shape of that many pixels that hang together, in a square of 21."""
    shape = np.zeros((21, 21), bool)
    shape[10, 10] = True
    while shape.sum() < area:
        row, column = (int(value) for value in rng.choice(np.argwhere(shape)))
        down, right = ((0, 1), (1, 0), (0, -1), (-1, 0))[rng.integers(4)]
        if 4 <= row + down < 17 and 4 <= column + right < 17:
            shape[row + down, column + right] = True
    return shape


def search(image: Image.Image, truth: NDArray[np.int32]) -> Count:
    """Counts for one picture."""
    import cv2

    specks, labels = find_specks(cv2, image)
    near = cv2.dilate(truth.astype(np.float32), np.ones((3, 3), np.uint8)).astype(np.int32)
    touched = {speck.number: set(np.unique(near[labels == speck.number])) - {0} for speck in specks}
    found = set().union(*touched.values()) if touched else set()
    return Count(
        int(truth.max()), len(found), sum(not hits for hits in touched.values()), truth.size / 1e6
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--drawings", type=int, default=24, help="how many of the renderer's, beside the examples"
    )
    parser.add_argument("--specks", type=int, default=40, help="in each drawing")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    options = parser.parse_args()
    totals = {"clean": Count(), **{kind: Count() for kind in KINDS}}
    started = time.monotonic()
    for number, (name, image) in enumerate(drawings(options.drawings)):
        rows = {"clean": search(image, np.zeros((image.height, image.width), np.int32))}
        rows |= {kind: search(*plant(image, kind, options.specks, number)) for kind in KINDS}
        for kind, count in rows.items():
            totals[kind].add(count)
        print(
            f"{name:<20} clean {rows['clean'].false} false"
            + "".join(
                f"; {kind} {rows[kind].found} of {rows[kind].planted}, {rows[kind].false} false"
                for kind in KINDS
            ),
            file=sys.stderr,
            flush=True,
        )
    result = {kind: count.row() for kind, count in totals.items()}
    few = all(row["false_per_megapixel"] <= GOAL_FALSE for row in result.values())
    reached = result["foreign"]["share"] >= GOAL_FOUND and few
    if options.json:
        print(json.dumps({**result, "reached": reached}))
    else:
        print(f"{'':<10} planted  found  share  false per megapixel")
        for kind, row in result.items():
            print(
                f"{kind:<10} {row['planted']:7} {row['found']:6} {row['share']:6.1%} "
                f" {row['false_per_megapixel']:.3f}"
            )
        print(
            f"{totals['clean'].megapixels:.0f} megapixels of clean drawings,"
            f" {time.monotonic() - started:.0f} s; goal (95 % of foreign specks, at most one false"
            f" hit a megapixel): {'reached' if reached else 'missed'}"
        )
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
