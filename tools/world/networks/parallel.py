"""Drawings by the hundred thousand: all cores draw into memory that they share, while the main
process trains.
"""

from __future__ import annotations

import io
import mmap
import multiprocessing
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.pool import Pool
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..scenes.look import PLAIN, Look, sample_look
from ..scenes.prompts import LENGTH, token_rows
from ..scenes.sample import sample_scene
from ..scenes.scene import render
from ..scenes.tags import caption, tags
from .sizes import NATIVE

CHUNK = 256
CAPTIONS = 4  # of each drawing, among which a step chooses
KINDS = ("world", "colours", "tagger")
FIRST = {"world": 70_000_000, "colours": 75_000_000, "tagger": 80_000_000}  # scene seeds


@dataclass(frozen=True)
class Shelf:
    """Drawings of a kind.

    pixels: (N, 128, 128, 3) uint8 RGB.
    told: tokens (N, CAPTIONS, 77) or tags (N, names).
    """

    kind: str
    pixels: NDArray[np.uint8]
    told: NDArray[Any]


def shared(shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
    """An array of zeros that processes forked from now on write to as well."""
    size = int(np.prod(shape)) * np.dtype(kind).itemsize
    return np.frombuffer(mmap.mmap(-1, max(1, size)), dtype=kind).reshape(shape)


def new_shelf(kind: str, count: int, tag_names: int) -> Shelf:
    """An empty one."""
    told = (
        shared((count, tag_names), np.uint8)
        if kind == "tagger"
        else shared((count, CAPTIONS, LENGTH), np.uint16)
    )
    return Shelf(kind, shared((count, NATIVE, NATIVE, 3), np.uint8), told)


class Drawers:
    """Processes that fill shelves in the order given.  Fork them before the GPU is touched.

    many_hands: drawings differ in proportions, lines and tones too (scenes/look.py).
    """

    def __init__(
        self, shelves: list[Shelf], names: tuple[str, ...], processes: int, many_hands: bool = False
    ) -> None:
        global _shelves, _index, _many_hands
        _many_hands = many_hands
        _shelves = {shelf.kind: shelf for shelf in shelves}
        _index = {name: n for n, name in enumerate(names)}
        self.done = {shelf.kind: 0 for shelf in shelves}
        self.wanted = {shelf.kind: len(shelf.pixels) for shelf in shelves}
        self.pool: Pool = multiprocessing.get_context("fork").Pool(processes)
        chunks = [
            (shelf.kind, start) for shelf in shelves for start in range(0, len(shelf.pixels), CHUNK)
        ]
        # In order, so that what is done is always a beginning
        self._results: Iterator[str] = self.pool.imap(_fill, chunks)

    def wait(self, kind: str, count: int) -> int:
        """Until so many drawings of a kind are there; how many are."""
        while self.done[kind] < min(count, self.wanted[kind]):
            found = next(self._results)
            self.done[found] = min(self.done[found] + CHUNK, self.wanted[found])
        return self.done[kind]

    def close(self) -> None:
        """End the processes."""
        self.pool.terminate()


_shelves: dict[str, Shelf] = {}
_index: dict[str, int] = {}
_many_hands = False


def _look(seed: int) -> Look:
    return sample_look(seed) if _many_hands else PLAIN


def _fill(chunk: tuple[str, int]) -> str:
    kind, start = chunk
    shelf = _shelves[kind]
    for n in range(start, min(start + CHUNK, len(shelf.pixels))):
        _DRAW[kind](shelf, n, FIRST[kind] + n)
    return kind


def _with_captions(world: bool) -> Callable[[Shelf, int, int], None]:
    def draw(shelf: Shelf, n: int, seed: int) -> None:
        scene = sample_scene(seed, world)
        rng = random.Random(seed)
        look = _look(seed)
        shelf.pixels[n] = render(scene, NATIVE, look=look).pixels
        hand = look.tags()
        shelf.told[n] = token_rows([caption(scene, rng, hand=hand) for _ in range(CAPTIONS)])

    return draw


def _with_tags(shelf: Shelf, n: int, seed: int) -> None:
    """Every other one is, of six, that with the rarest tag; one in four is higher than wide, some
    have been through JPEG.
    """
    from .train_tagger import CANDIDATES, scene_of, to_square

    scenes = [scene_of(CANDIDATES * seed + k) for k in range(CANDIDATES if n % 2 else 1)]
    scene = max(scenes, key=lambda scene: max(_index.get(tag, -1) for tag in tags(scene)))
    width = (128, 128, 128, 80, 128, 128, 128, 96, 128, 128, 128, 112)[n % 12]
    pixels = to_square(render(scene, width, NATIVE, _look(seed)).pixels)
    rng = random.Random(seed)
    if rng.random() < 0.3:
        data = io.BytesIO()
        Image.fromarray(pixels).save(data, "JPEG", quality=rng.randint(35, 95))
        pixels = np.asarray(Image.open(data))
    shelf.pixels[n] = pixels
    shelf.told[n, [_index[tag] for tag in tags(scene) if tag in _index]] = 1


_DRAW = {"world": _with_captions(True), "colours": _with_captions(False), "tagger": _with_tags}
