"""Are captions true, and do they leave out the character's own traits and keep all else?

python -m tools.accuracy.captions [--characters 50] [--first 3000] [--keep-implausible]
    [--drawings] [--json]

Characters of tools/world's renderer in every pose, view and background are cropped and captioned by
the stages themselves, close-ups of details included, with the embedded tagger and the policy as it
comes.  What a crop shows is known from where the renderer drew it (`crop_truth`).  What is a trait
is read off the renderer's own vocabulary, not off our list: colour and length of hair, bangs,
colour of eyes.  Everything else that the tagger found and the rules do not doubt, but framings,
must stand in the caption.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from lib_singlelora.captions.text import split_tags
from lib_singlelora.embedded.paths import CHECKPOINT
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.imaging.background import foreground_mask
from lib_singlelora.imaging.png import png_bytes
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.caption import CaptionResult, caption
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.crop import crop
from lib_singlelora.workspace.captions import seen_tags
from lib_singlelora.workspace.crops import view_box
from lib_singlelora.workspace.workspace import Workspace
from tools.world.scenes.sample import sample_scene
from tools.world.scenes.scene import render
from tools.world.scenes.spec import BANGS, EYE_COLOURS, FRAMINGS, HAIR_COLOURS, HAIR_LENGTHS, Scene

from .crop_truth import Truth, truth_of, truth_of_drawing

HAND_DRAWN = Path(__file__).parents[2] / "examples" / "drawings"
SIZE = (768, 1152)
SOURCES = ("full body", "full body", "cowboy shot", "upper body")  # by turns
DETAILS = 2
TRAITS = frozenset(
    (
        *(f"{colour} hair" for colour in HAIR_COLOURS),
        *(f"{length} hair" for length in HAIR_LENGTHS),
        *(f"{kind} bangs" for kind in BANGS),
        *(f"{colour} eyes" for colour in EYE_COLOURS),
        "split-color hair",
    )
)
NO_MATTER = frozenset((*FRAMINGS, "face focus"))  # what the crop itself says
# Left out where most crops agree on them
HAIR_STYLES = frozenset(("twintails", "ponytail", "bob cut"))
PRUNED = TRAITS | NO_MATTER | HAIR_STYLES | {"cat ears"}


@dataclass
class Count:
    """What was counted.

    traits: trait tags that the tagger found; leaked: of them in captions.
    others, lost: what is no trait.
    told, false: tags in captions that the crop does not say itself; those that are not true.
    shown, named: what crops clearly show besides traits; what of it the captions name.
    doubted, rightly: tags that the rules took out; those of them that are not true.
    wrong: a line each for what leaked or was lost.
    falsehoods, mistakes: how often each tag stood falsely, or was falsely taken out.
    """

    captions: int = 0
    traits: int = 0
    leaked: int = 0
    others: int = 0
    lost: int = 0
    told: int = 0
    false: int = 0
    shown: int = 0
    named: int = 0
    doubted: int = 0
    rightly: int = 0
    wrong: list[str] = field(default_factory=list)
    falsehoods: Counter[str] = field(default_factory=Counter)
    mistakes: Counter[str] = field(default_factory=Counter)

    def figures(self) -> dict[str, float]:
        """The numbers by name, with precision and recall."""
        numbers = {name: value for name, value in vars(self).items() if isinstance(value, int)}
        return {
            **numbers,
            "precision": round(1 - self.false / max(1, self.told), 4),
            "recall": round(self.named / max(1, self.shown), 4),
        }


def captioned(
    image: Image.Image, host: StandaloneHost, settings: Settings, folder: Path
) -> tuple[Workspace, CaptionResult]:
    """A workspace with the picture's crops and their captions, by the stages themselves."""
    workspace = Workspace(folder)
    workspace.save_settings(settings)
    workspace.prepared.parent.mkdir(parents=True, exist_ok=True)
    workspace.prepared.write_bytes(png_bytes(image))
    workspace.mask.write_bytes(png_bytes(foreground_mask(image).mask))
    context = StageContext(settings, workspace, host)
    crop(context)
    return workspace, caption(context)


def measure(
    scene: Scene, host: StandaloneHost, settings: Settings, folder: Path, count: Count
) -> None:
    """Crop and caption one character and count."""
    drawing = render(scene, *SIZE)
    workspace, made = captioned(Image.fromarray(drawing.pixels), host, settings, folder)
    add(count, workspace, made, lambda box: truth_of(scene, drawing, box))


def measure_drawing(
    path: Path, host: StandaloneHost, settings: Settings, folder: Path, count: Count
) -> None:
    """Crop and caption one of `examples/drawings` and count."""
    mask = np.asarray(Image.open(path.with_name(f"{path.stem}-mask.png")).convert("L")) > 127
    workspace, made = captioned(Image.open(path).convert("RGB"), host, settings, folder)
    add(count, workspace, made, lambda box: truth_of_drawing(path.stem, mask, box))


def add(
    count: Count,
    workspace: Workspace,
    made: CaptionResult,
    truth_at: Callable[[tuple[int, int, int, int]], Truth],
) -> None:
    """Count the captions of one picture."""
    seen = seen_tags(workspace)
    for path, text in made.captions.items():
        said = set(split_tags(text))
        found = set(seen[path.stem])
        leaked = (found & TRAITS) & said
        lost = found - TRAITS - NO_MATTER - HAIR_STYLES - said
        count.captions += 1
        count.traits += len(found & TRAITS)
        count.leaked += len(leaked)
        count.others += len(found - TRAITS - NO_MATTER - HAIR_STYLES)
        count.lost += len(lost)
        if leaked or lost:
            count.wrong.append(
                f"{workspace.root.name} {path.stem}: leaked {sorted(leaked)}, lost {sorted(lost)}"
            )
        box = view_box(workspace, path.stem)
        assert box is not None
        truth = truth_at(box)
        told = said - {"bench", "girl"} - NO_MATTER
        doubted = {doubt.tag for doubt in made.doubts.get(path.stem, ())} - NO_MATTER
        count.told += len(told)
        count.false += len(told - truth.possible)
        count.shown += len(truth.clear - PRUNED)
        count.named += len((truth.clear - PRUNED) & told)
        count.doubted += len(doubted)
        count.rightly += len(doubted - truth.possible)
        count.falsehoods.update(told - truth.possible)
        count.mistakes.update(doubted & truth.possible)


def bench(characters: int, first: int, implausible: str = "drop", drawings: bool = False) -> Count:
    """Single figures of the renderer from a seed on, or the drawings that it did not make."""
    host = StandaloneHost(CHECKPOINT)
    count = Count()
    seed = first
    settings = Settings.from_dict(
        {
            "character": {"trigger": "bench", "class_token": "girl"},
            "crop": {"details": DETAILS},
            "caption": {"implausible": implausible},
        }
    )
    with tempfile.TemporaryDirectory() as name:
        for mask in sorted(HAND_DRAWN.glob("*-mask.png")) if drawings else ():
            own = mask.with_name(mask.name.replace("-mask", ""))
            measure_drawing(own, host, settings, Path(name) / own.stem, count)
        done = characters if drawings else 0
        while done < characters:
            scene = sample_scene(seed, world=False, framing=SOURCES[done % len(SOURCES)])
            if len(scene.characters) == 1:
                measure(scene, host, settings, Path(name) / str(seed), count)
                done += 1
            seed += 1
    return count


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--characters", type=int, default=50)
    parser.add_argument("--first", type=int, default=3000, help="seed of the first")
    parser.add_argument(
        "--keep-implausible", action="store_true", help="trust the tagger, as without the rules"
    )
    parser.add_argument(
        "--drawings", action="store_true", help="those of examples/drawings instead"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    options = parser.parse_args()
    started = time.monotonic()
    implausible = "keep" if options.keep_implausible else "drop"
    count = bench(options.characters, options.first, implausible, options.drawings)
    reached = count.leaked == 0 and count.lost == 0
    for line in count.wrong:
        print(line, file=sys.stderr)
    print("false in captions:", count.falsehoods.most_common(40), file=sys.stderr)
    print("true but doubted:", count.mistakes.most_common(40), file=sys.stderr)
    figures = count.figures()
    subjects = "the drawings" if options.drawings else f"{options.characters} characters"
    if options.json:
        print(json.dumps({**figures, "reached": reached}))
    else:
        print(
            f"{count.captions} captions of {subjects}: {count.leaked} of"
            f" {count.traits} trait tags left in, {count.lost} of {count.others} other tags lost;"
            f" {count.false} of {count.told} tags false (precision {figures['precision']:.3f},"
            f" recall {figures['recall']:.3f}); {count.rightly} of {count.doubted} doubts right;"
            f" {time.monotonic() - started:.0f} s; goal (none leaked, none lost):"
            f" {'reached' if reached else 'missed'}"
        )
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
