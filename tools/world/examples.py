"""The pictures in examples/: python -m tools.world.examples [--out examples]."""

from __future__ import annotations

import argparse
from pathlib import Path

from PIL import Image

from .scenes.characters import HELD_OUT, ISABELLA
from .scenes.scene import render
from .scenes.spec import Character, Scene

WIDTH = 768
HEIGHT = 1152


def portrait_of(character: Character, background: str = "white") -> Image.Image:
    """The picture a user would bring: full body, standing, front, simple background."""
    scene = Scene((character,), "standing", "front", "full body", background, False, 1)
    return Image.fromarray(render(scene, WIDTH, HEIGHT).pixels)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("examples"))
    out = parser.parse_args().out
    (out / "heldout").mkdir(parents=True, exist_ok=True)
    portrait_of(ISABELLA).save(out / "isabella.png", optimize=True)
    for name, character in HELD_OUT.items():
        portrait_of(character).save(out / "heldout" / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
