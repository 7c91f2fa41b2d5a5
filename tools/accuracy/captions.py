"""Do captions leave out the character's own traits and keep all else?

python -m tools.accuracy.captions [--characters 50] [--first 3000] [--json]

Characters of tools/world's renderer in every pose and background are cropped and captioned by the
stages themselves, with the embedded tagger and the policy as it comes.  What is a trait is read off
the renderer's own vocabulary, not off our list: colour and length of hair, bangs, colour of
eyes.  Everything else that the tagger found, but framings, must stand in the caption.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from lib_singlelora.captions.text import split_tags
from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.crops.views import propose_views
from lib_singlelora.embedded.paths import CHECKPOINT
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.imaging.background import foreground_mask
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.caption import caption
from lib_singlelora.stages.context import StageContext
from lib_singlelora.workspace.captions import seen_tags
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace
from tools.world.scenes.sample import sample_scene
from tools.world.scenes.scene import render
from tools.world.scenes.spec import BANGS, EYE_COLOURS, FRAMINGS, HAIR_COLOURS, HAIR_LENGTHS, Scene

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


@dataclass
class Count:
    """captions; traits: trait tags that the tagger found; leaked: of them in captions.

    others, lost: what is no trait.
    """

    captions: int = 0
    traits: int = 0
    leaked: int = 0
    others: int = 0
    lost: int = 0
    wrong: list[str] = field(default_factory=list)


def measure(
    scene: Scene, host: StandaloneHost, settings: Settings, folder: Path, count: Count
) -> None:
    """Crop and caption one character and count."""
    image = Image.fromarray(render(scene, 768, 1152).pixels)
    workspace = Workspace(folder)
    workspace.save_settings(settings)
    pictures = workspace.image_folder(settings)
    pictures.mkdir(parents=True)
    views = propose_views(
        foreground_mask(image).mask, make_buckets(host.checkpoint.native_size), image
    )
    for view in views:
        image.crop(view.box).save(pictures / f"{view.name}.png")
    told = {view.name: {"box": list(view.box), "tags": list(view.tags)} for view in views}
    workspace.save_record(StageRecord("crop", "bench", True, {}, {"views": told}))
    made = caption(StageContext(settings, workspace, host))
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
                f"{folder.name} {path.stem}: leaked {sorted(leaked)}, lost {sorted(lost)}"
            )


def bench(characters: int, first: int) -> Count:
    """Single figures of the renderer from a seed on, each whole."""
    host = StandaloneHost(CHECKPOINT)
    count = Count()
    seed = first
    settings = Settings.from_dict({"character": {"trigger": "bench", "class_token": "girl"}})
    with tempfile.TemporaryDirectory() as name:
        done = 0
        while done < characters:
            scene = sample_scene(seed, world=False, framing="full body")
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
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    options = parser.parse_args()
    started = time.monotonic()
    count = bench(options.characters, options.first)
    reached = count.leaked == 0 and count.lost == 0
    for line in count.wrong:
        print(line, file=sys.stderr)
    if options.json:
        print(
            json.dumps(
                {
                    "captions": count.captions,
                    "traits": count.traits,
                    "leaked": count.leaked,
                    "others": count.others,
                    "lost": count.lost,
                    "reached": reached,
                }
            )
        )
    else:
        print(
            f"{count.captions} captions of {options.characters} characters: {count.leaked} of"
            f" {count.traits} trait tags left in, {count.lost} of {count.others} other tags lost;"
            f" {time.monotonic() - started:.0f} s; goal (none, none):"
            f" {'reached' if reached else 'missed'}"
        )
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
