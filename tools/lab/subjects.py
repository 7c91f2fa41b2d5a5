"""The characters of the experiments: drawings of the renderer's, and pictures by other hands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tools.accuracy.judge.truth import CHARACTERS
from tools.world.examples import portrait_of
from tools.world.scenes.spec import Character, Scene
from tools.world.scenes.tags import tags

ROOT = Path(__file__).parents[2]
DRAWINGS = ROOT / "examples" / "drawings"
OTHER_TOPS = ("blue dress", "red dress", "black dress", "green shirt", "yellow shirt")


@dataclass(frozen=True)
class Subject:
    """One character.

    name: its trigger.
    character: its truth; None for a picture by another hand.
    """

    name: str
    character: Character | None = None

    def picture(self, folder: Path) -> Path:
        """The picture to train on; the renderer's drawings are written into the folder."""
        if self.character is None:
            return DRAWINGS / f"{self.name}.png"
        path = folder / f"{self.name}.png"
        if not path.exists():
            folder.mkdir(parents=True, exist_ok=True)
            portrait_of(self.character).save(path)
        return path

    def tags(self, pose: str, view: str, framing: str) -> list[str]:
        """What a drawing of it in that pose, view and framing shows; none by another hand."""
        if self.character is None:
            return []
        return tags(Scene((self.character,), pose, view, framing, "white"))

    @property
    def other_clothes(self) -> str:
        """A garment that it does not wear."""
        if self.character is None:
            return OTHER_TOPS[0]
        outfit = self.character.outfit
        worn = {f"{outfit.top_colour} {outfit.top}", f"{outfit.bottom_colour} skirt"}
        colours = {tag.split()[0] for tag in worn}
        return next(tag for tag in OTHER_TOPS if tag not in worn and tag.split()[0] not in colours)


def known_subjects() -> dict[str, Subject]:
    """Every character by name: the renderer's first, then the pictures in examples/drawings."""
    drawn = {name: Subject(name, character) for name, character in CHARACTERS.items()}
    pictures = sorted(path for path in DRAWINGS.glob("*.png") if not path.stem.endswith("-mask"))
    others = {path.stem: Subject(path.stem) for path in pictures}
    return {**drawn, **others}
