"""lib_singlelora/embedded/README.md, from the log and the last measurement: python -m
tools.world.readme [--state DIR].
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from lib_singlelora.embedded.paths import FOLDER, NAME

from .networks.store import Store, default_state
from .scenes.sample import sample_scene
from .scenes.tags import tags

GOALS = {
    "VAE PSNR dB": ("≥", 26),
    "VAE hair colour error /255": ("≤", 12),
    "VAE background colour error /255": ("≤", 12),
    "obeys framing": ("≥", 0.95),
    "obeys background": ("≥", 0.9),
    "obeys hair colour": ("≥", 0.85),
    "obeys hat": ("≥", 0.85),
    "obeys hair length": ("≥", 0.8),
    "obeys outfit colour": ("≥", 0.7),
    "obeys pose": ("≥", 0.7),
    "obeys expression": ("≥", 0.6),
    "tagger accuracy": ("≥", 0.97),
    "tagger F1": ("≥", 0.9),
}
STAGES = {
    "vae": "VAE",
    "text": "text encoder, before the U-Net",
    "unet": "U-Net with text encoder",
    "decoder": "VAE decoder alone",
    "tagger": "tagger",
}


def world_tags(count: int = 6000) -> list[str]:
    """The tags that the checkpoint's training pictures show."""
    return sorted({tag for seed in range(count) for tag in tags(sample_scene(seed))})


def figures(measures: Path) -> str:
    """A table of what was measured beside its goal."""
    if not measures.exists():
        return "Not measured yet: `python -m tools.world.measure` writes the figures and the sheet."
    lines = ["| measured | value | goal | |", "|---|---|---|---|"]
    for name, value in json.loads(measures.read_text(encoding="utf-8")).items():
        sign, goal = GOALS.get(name, ("", None))
        reached = (
            ""
            if goal is None
            else "reached"
            if (value >= goal) == (sign == "≥")
            else "**not reached**"
        )
        lines.append(
            f"| {name} | {value:.3g} | {f'{sign} {goal}' if goal is not None else ''} | {reached} |"
        )
    return (
        "\n".join(lines)
        + "\n\nBy `python -m tools.world.measure`: 200 prompts × 2 seeds, DDIM, 20 steps, CFG 5."
    )


def made(store: Store, path: Path) -> list[dict[str, Any]]:
    """What the shipped files went through, in order: the rows of made.json, and those of this state
    that are not there yet.
    """
    rows: list[dict[str, Any]] = (
        json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    )
    for stage in STAGES:
        state = store.load(stage)
        own = store.note() | {"stage": stage, "steps": state["step"] if state else 0}
        if state and not any(
            all(row[key] == own[key] for key in ("stage", "steps")) for row in rows
        ):
            rows.append(
                {
                    "pictures": "?",
                    "machine": "?",
                    **own,
                    "minutes": round(store.seconds(stage) / 60, 1),
                }
            )
    path.write_text(
        "[\n " + ",\n ".join(json.dumps(row) for row in rows) + "\n]\n", encoding="utf-8"
    )
    return rows


def text(store: Store, out: Path) -> str:
    """The whole README."""
    rows = [
        f"| {STAGES[row['stage']]} | {row['machine']} | {row['steps']:,} × {row['pictures']} |"
        f" {row['minutes']:g} min |"
        for row in made(store, out / "made.json")
    ]
    known = world_tags()
    sheet = "![Forty prompts](sheet.png)\n" if (out / "sheet.png").exists() else ""
    return f"""# The embedded checkpoint and tagger

`{NAME}.safetensors` is a small, real Stable Diffusion 1 (12/1/12 blocks, epsilon prediction, SD's
schedule, CLIP's vocabulary, a VAE with f = 8 and 4 channels), 17 million parameters, native size
128 × 128. It was trained from scratch on drawings made by the program in `tools/world/`; no picture
made by a person and no other model's weights went into it. `{NAME}.yaml` beside it tells
AUTOMATIC1111's WebUI its widths; `clip/` holds the tokenizer's files (OpenAI's CLIP, see its
licence) and the text encoder's config. `tagger/` follows the contract of SmilingWolf's WD taggers
at 128 × 128 (after `python -m tools.world.export`).

It is the default of the demo and a measuring instrument. It draws flat-shaded girls of one style at
128 pixels and nothing else: no style, no composition and no word beyond the tags below; small parts
(laces, eyes of full-body figures) are soft. Capelets with stripes, cuffs with stripes and the
characters in `examples/` were never in its training.

## How it was made

    python -m tools.world.train --stage all --minutes …      resumable; one thread beside other work
    python -m tools.world.export
    python -m tools.world.measure && python -m tools.world.readme

With fixed seeds; what a step shows is new drawings or other noise on them:

| stage | machine | steps × pictures | time |
|---|---|---|---|
{chr(10).join(rows)}

Where there is a GPU, `python -m tools.world.networks.train_gpu --base FILE` takes minutes and goes
on from an older file.

## What it obeys

{figures(out / "measures.json")}

{sheet}
## Its {len(known)} tags

{", ".join(f"`{t}`" for t in known)}
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=default_state())
    parser.add_argument("--out", type=Path, default=FOLDER)
    given = parser.parse_args()
    (given.out / "README.md").write_text(text(Store(given.state), given.out), encoding="utf-8")


if __name__ == "__main__":
    main()
