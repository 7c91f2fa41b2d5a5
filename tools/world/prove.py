"""The product on the world's characters: python -m tools.world.prove [--names isabella,pearl]
[--workspaces DIR] [--docs FOLDER].

Runs the whole job on examples/ with the embedded checkpoint, draws ten seeds in two framings with
the recommended LoRA and with the checkpoint alone, and writes a sheet for each character and
figures.json: the character's traits that the tagger sees, and how far prompts without the
trigger have moved.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lib_singlelora.embedded.paths import CHECKPOINT, TAGGER
from lib_singlelora.host import ImageRequest, LoraUse
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.imaging.load import load_picture
from lib_singlelora.jobs import Job
from lib_singlelora.settings.schema import Settings
from lib_singlelora.sheets.grid import Cell, Grid, draw_sheet
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_all
from lib_singlelora.workspace.workspace import Workspace

from .measure import Reader
from .networks.models import NATIVE

ROOT = Path(__file__).parents[2]
SEEDS = tuple(range(101, 111))
FRAMINGS = ("upper body", "cowboy shot")
OTHERS = (
    "1girl, solo, upper body, red hair, blue dress, grey background",
    "1girl, solo, full body, standing, black hair, white shirt, red skirt",
    "1girl, solo, portrait, blue hair, green eyes, smile, white background",
    "1girl, solo, cowboy shot, pink dress, outdoors",
    "no humans, outdoors, scenery",
)
# What a reader of the sheet would call each character, and the tagger's tags for it.
LOOKED_FOR = {
    "isabella": ("white hat", "long hair", "blonde hair", "striped capelet"),
    "pearl": ("polka dot", "red dress", "brown hair"),
    "wren": ("red scarf", "black hair", "grey shirt"),
    "morgan": ("eyepatch", "red hair", "white shirt"),
    "luna": ("split-color hair", "twintails", "purple collar"),
    "mika": ("cat ears", "pink hair", "yellow dress"),
}

Pictures = list[Image.Image]


def request(prompt: str, seeds: Sequence[int], loras: tuple[LoraUse, ...]) -> ImageRequest:
    """At the checkpoint's own size."""
    return ImageRequest(prompt, tuple(seeds), NATIVE, NATIVE, steps=20, cfg_scale=7, loras=loras)


def prove(
    name: str, host: StandaloneHost, reader: Reader, workspaces: Path
) -> tuple[dict[str, Any], Image.Image]:
    """One character: (figures, sheet)."""
    job = Job(name)
    workspace = Workspace(workspaces / name)
    settings = Settings.from_dict(
        {
            "character": {"trigger": name, "class_token": "girl"},
            "training": {"preset": host.checkpoint.preset},
        }
    )
    picture = ROOT / "examples" / ("isabella.png" if name == "isabella" else f"heldout/{name}.png")
    result = run_all(StageContext(settings, workspace, host, job), picture)
    best = result["recommendation"]
    lora = (LoraUse(Path(best["lora"]), best["strength"], best["strength"]),)

    def draw(prompt: str, seeds: Sequence[int], loras: tuple[LoraUse, ...] = ()) -> Pictures:
        return [made.image for made in host.generate(request(prompt, seeds, loras), job)]

    grids: list[Grid] = []
    seen: dict[str, int] = {}
    for framing in FRAMINGS:
        prompt = f"{name}, girl, {framing}, looking at viewer"
        base = draw(prompt, SEEDS)
        drawn = draw(prompt, SEEDS, lora)
        for who, pictures in (("LoRA", drawn), ("base", base)):
            read = reader(np.stack([np.asarray(one) for one in pictures]))
            seen |= {
                f"{framing}, {who}: {tag}": sum(r.get(tag, 0.0) >= 0.5 for r in read)
                for tag in LOOKED_FOR[name]
            }
        grids.append(
            Grid(
                f"{framing}, ten seeds",
                ("with the LoRA", "without"),
                ("",) * len(SEEDS),
                (tuple(Cell((one,)) for one in drawn), tuple(Cell((one,)) for one in base)),
            )
        )
    plain = [draw(prompt, (7,))[0] for prompt in OTHERS]
    under = [draw(prompt, (7,), lora)[0] for prompt in OTHERS]
    grids.append(
        Grid(
            "Other prompts, without the trigger",
            ("with the LoRA", "without"),
            ("",) * len(OTHERS),
            (tuple(Cell((one,)) for one in under), tuple(Cell((one,)) for one in plain)),
        )
    )
    other_seed = [draw(prompt, (8,))[0] for prompt in OTHERS]
    figures = {
        "recommended": best["reason"],
        **seen,
        "without the trigger: moved /255": distance(plain, under),
        "the same prompts with another seed /255": distance(plain, other_seed),
    }
    original = load_picture(picture).image.convert("RGB")
    grids.insert(0, Grid("The picture", ("",), ("",), ((Cell((original,)),),)))
    return figures, draw_sheet(f"{name}: one picture, one LoRA", best["reason"], grids, 96)


def distance(left: Pictures, right: Pictures) -> float:
    """Mean absolute difference of the pixels, of 255."""

    def values(pictures: Pictures) -> NDArray[np.float32]:
        return np.stack([np.asarray(one, np.float32) for one in pictures])

    return float(np.abs(values(left) - values(right)).mean())


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--names", default=",".join(LOOKED_FOR))
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--tagger", type=Path, default=TAGGER)
    parser.add_argument("--workspaces", type=Path, default=ROOT / "workspaces" / "proof")
    parser.add_argument("--docs", type=Path, default=ROOT / "docs")
    given = parser.parse_args()
    host = StandaloneHost(given.checkpoint)
    reader = Reader(given.tagger)
    given.docs.mkdir(parents=True, exist_ok=True)
    file = given.docs / "characters.json"
    found = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for name in given.names.split(","):
        figures, sheet = prove(name, host, reader, given.workspaces)
        sheet.save(given.docs / f"character-{name}.png")
        found[name] = figures
        file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        for key, value in figures.items():
            print(f"{name:9} {key:44} {value}", flush=True)


if __name__ == "__main__":
    main()
