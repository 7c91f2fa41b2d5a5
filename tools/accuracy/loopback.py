"""What a judged loopback is worth: python -m tools.accuracy.loopback --out FOLDER
[--characters NAME …] [--seeds N …] [--minutes N] [--json].

Each character of the embedded world is trained from its one picture (version 1).  Version 2 is
trained on further pictures too, three ways: as many candidates as the judge keeps, but chosen
blindly ("unjudged"); those that it keeps ("judged"); and the renderer's own drawings of what the
kept ones were asked to show ("true", the ceiling).  All train 400 steps of batch 4, the further
pictures with half of the crops' repeats.  What lies in FOLDER is not done again.  About half an
hour a character.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image

from lib_singlelora.captions.prompt_language import prompt_of
from lib_singlelora.crops.buckets import training_resolution
from lib_singlelora.files.fileio import file_hash, fingerprint, read_json, write_bytes, write_json
from lib_singlelora.host import Host, ImageRequest, LoraUse
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.imaging.load import read_rgb
from lib_singlelora.imaging.png import png_bytes
from lib_singlelora.jobs import Job
from lib_singlelora.judge.candidates import CandidateJudge
from lib_singlelora.judge.tagged_pictures import tag_pictures
from lib_singlelora.library.epochs import epoch_files
from lib_singlelora.metrics.copying import Copies, copying_score
from lib_singlelora.metrics.loopback_prompts import Wish
from lib_singlelora.metrics.probe_prompts import count_obeyed
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.loopback_set import DrawnPicture, add_set
from lib_singlelora.stages.loopback_verdicts import (
    JudgedCandidate,
    candidate_caption,
    draw_and_judge,
)
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.tagging.ensemble import Taggers, open_taggers
from lib_singlelora.workspace.kohya_folders import list_pictures
from lib_singlelora.workspace.workspace import Workspace
from tools.world.scenes.scene import render
from tools.world.scenes.spec import Scene

from .judge.training import ROOT, Run
from .judge.truth import CHARACTERS, likeness_to

CONDITIONS = ("alone", "unjudged", "judged", "true")
STRENGTHS = (1.0, 0.7)
SAMPLES = 160  # of an epoch: ten epochs are 400 steps of batch 4
CANDIDATES = 40
KEEP = 10
VIEWS = {"from side": "side", "from behind": "behind"}
FACES: dict[str, dict[str, Any]] = {
    "closed eyes": {"closed": True},
    "open mouth": {"mouth": "open"},
    "frown": {"mouth": "frown"},
    "smile": {"mouth": "smile"},
}


@dataclass(frozen=True)
class Probe:
    """A prompt whose drawing is known.  asks: what the tagger is to see.  seeds: how many."""

    group: str
    wish: Wish
    seeds: int

    @property
    def asks(self) -> tuple[str, ...]:
        return self.wish.asks if self.group == "other" else ()


def _probe(kind: str, ask: str, framing: str, background: str = "") -> Probe:
    return Probe("other", Wish("txt2img", kind, ask, framing, background), 2)


PROBES = (
    Probe("front", Wish("txt2img", "pose", "standing", "full body"), 4),
    Probe("front", Wish("txt2img", "pose", "standing", "upper body"), 2),
    _probe("pose", "arms up", "full body"),
    _probe("pose", "sitting", "full body"),
    _probe("pose", "waving", "cowboy shot"),
    _probe("view", "from side", "full body"),
    _probe("view", "from side", "upper body"),
    _probe("view", "from behind", "full body"),
    _probe("expression", "open mouth", "portrait"),
    _probe("background", "outdoors", "cowboy shot", "outdoors"),
)


def scene_of(name: str, wish: Wish, mark: int = 1) -> Scene:
    """The renderer's scene of a wish."""
    who = CHARACTERS[name]
    place = wish.background.removesuffix(" background") or "white"
    return Scene(
        (replace(who, face=replace(who.face, **FACES.get(wish.ask, {}))),),
        wish.ask if wish.kind == "pose" else "standing",
        VIEWS.get(wish.ask, "front"),
        wish.framing,
        place,
        False,
        mark,
    )


def first_version(name: str, seed: int, host: Host, out: Path, job: Job) -> Workspace:
    """The character's workspace, trained from its one picture."""
    settings = settings_of(name, seed)
    shared = Workspace(out / f"crops-{name}")
    picture = Run(name, "usual").picture
    for stage in ("prepare", "crop"):
        run_stage(stage, StageContext(settings, shared, host, job), picture)
    crops = len(list_pictures(shared.image_folder(settings)))
    settings = settings.with_values({"training.repeats": max(1, round(SAMPLES / crops))})
    workspace = Workspace(out / f"{name}-{seed}")
    workspace.save_settings(settings, host.checkpoint.path)
    for stage in ("prepare", "crop", "caption", "train"):
        run_stage(stage, StageContext(settings, workspace, host, job), picture)
    return workspace


def settings_of(name: str, seed: int) -> Settings:
    """The recipe: the embedded preset, gentler and without prior prediction."""
    return Settings.from_dict(
        {
            "character.trigger": name,
            "character.class_token": "girl",
            "prepare.long_side": 1152,
            "training.preset": "embedded",
            "training.unet_lr": 0.002,
            "training.regularization": "none",
            "training.seed": seed,
            "regularization.count": 0,
            "loopback.count": CANDIDATES,
            "loopback.keep": KEEP,
            "loopback.strength": 1.0,
            "loopback.seed": 1000 * seed,
        }
    )


def further_pictures(
    condition: str,
    name: str,
    seed: int,
    judged: Sequence[JudgedCandidate],
    workspace: Workspace,
    host: Host,
    job: Job,
) -> list[DrawnPicture]:
    """What version 2 is trained on besides the crops."""
    kept = [each for each in judged if each.kept]
    if condition == "judged":
        chosen = kept
    elif condition == "unjudged":
        chosen = random.Random(seed).sample(list(judged), len(kept))
    else:
        return _true_drawings(name, kept, workspace, host, job)
    return [
        DrawnPicture(each.path, each.caption, {"asked": list(each.wish.asks)}) for each in chosen
    ]


def _true_drawings(
    name: str, kept: Sequence[JudgedCandidate], workspace: Workspace, host: Host, job: Job
) -> list[DrawnPicture]:
    """The renderer's drawings of what the kept candidates were asked, captioned as these are."""
    settings = settings_of(name, 1)
    tagger = open_taggers(settings.caption, host, job)
    judge = CandidateJudge(settings, workspace, tagger, None, training_resolution(settings, host))
    drawings = []
    for number, each in enumerate(kept):
        pixels = render(scene_of(name, each.wish, number + 1), 512).pixels
        image = Image.fromarray(pixels)
        path = workspace.root / "true" / f"{number:02d}.png"
        write_bytes(path, png_bytes(image))
        verdict = judge.judge(image, each.wish, image, settings.loopback)
        caption = candidate_caption(settings, workspace, each.wish, verdict)
        drawings.append(DrawnPicture(path, caption, {"asked": list(each.wish.asks)}))
    return drawings


def second_version(
    condition: str,
    name: str,
    seed: int,
    judged: Sequence[JudgedCandidate],
    workspace: Workspace,
    host: Host,
    job: Job,
) -> Workspace:
    """Version 2 of a condition, trained."""
    root = workspace.root.with_name(f"{workspace.root.name}-{condition}")
    version = Workspace(root)
    settings = workspace.load_settings()
    crops = len(list_pictures(workspace.image_folder(settings)))
    kept = sum(each.kept for each in judged)
    repeats = max(2, round(SAMPLES / (crops + kept / 2)))
    if not version.record("train").complete:
        context = StageContext(settings, workspace, host, job)
        pictures = further_pictures(condition, name, seed, judged, workspace, host, job)
        if not (root / "lineage.json").exists():
            add_set(context, pictures, root, max(1, repeats // 2))
        version.change_settings(lambda saved: saved.with_values({"training.repeats": repeats}))
    run_stage("train", StageContext(version.load_settings(), version, host, job))
    return version


class Measurer:
    """Draws every probe with a LoRA and measures it."""

    def __init__(self, name: str, workspace: Workspace, host: Host, job: Job) -> None:
        self.name = name
        self.workspace = workspace
        self.host = host
        self.job = job
        settings = settings_of(name, 1)
        self.negative = settings.plot.negative_prompt
        self.tagger: Taggers | None = open_taggers(settings.caption, host, job)
        files = list_pictures(workspace.image_folder(workspace.load_settings()))
        self.copies = Copies({path.stem: read_rgb(path) for path in files})
        self.base = {probe: self._drawn(probe, None, 0.0) for probe in PROBES}

    def measure(self, lora: Path, strength: float) -> dict[str, float]:
        """front, other: likeness to the truth; flexibility, copying: as the judge has them."""
        likeness: dict[str, list[float]] = {"front": [], "other": []}
        obeyed = possible = 0.0
        similarities: list[float] = []
        base: list[float] = []
        for probe in PROBES:
            images = self._drawn(probe, lora, strength)
            scene = scene_of(self.name, probe.wish)
            likeness[probe.group] += [likeness_to(image, scene) for image in images]
            if probe.asks:
                counts = count_obeyed(
                    probe.asks,
                    tag_pictures(self.tagger, images),
                    tag_pictures(self.tagger, self.base[probe]),
                )
                obeyed += counts[0]
                possible += counts[1]
            similarities += [match.similarity for match in self.copies.find(images)]
            base += [match.similarity for match in self.copies.find(self.base[probe])]
        return {
            "front": round(statistics.mean(likeness["front"]), 4),
            "other": round(statistics.mean(likeness["other"]), 4),
            "flexibility": round(obeyed / possible, 4) if possible else 0.0,
            "copying": round(copying_score(similarities, statistics.mean(base)), 4),
        }

    def _drawn(self, probe: Probe, lora: Path | None, strength: float) -> list[Image.Image]:
        wish = probe.wish
        place = wish.background or "white background"
        gaze = () if wish.kind == "view" else ("looking at viewer",)
        front = (self.name, "girl") if lora else ("girl",)
        prompt = prompt_of(
            dict.fromkeys((*front, "1girl", "solo", wish.framing, wish.ask, *gaze, place))
        )
        mark = fingerprint(file_hash(lora) if lora else "", strength, prompt)[:16]
        folder = self.workspace.root / "measured"
        images = []
        for seed in range(1, probe.seeds + 1):
            path = folder / f"{mark}-{seed}.png"
            if not path.exists():
                size = self.host.checkpoint.native_size
                uses = (LoraUse(lora, strength, strength),) if lora else ()
                request = ImageRequest(prompt, (seed,), size, size, self.negative, loras=uses)
                drawn = self.host.generate(request, self.job)[0]
                write_bytes(path, png_bytes(drawn.image, drawn.parameters))
            images.append(read_rgb(path))
        return images


def measured(name: str, seed: int, host: Host, out: Path, deadline: float) -> list[dict[str, Any]]:
    """One row for each condition and strength, as far as the time allows."""
    job = Job(f"{name} {seed}")
    first = first_version(name, seed, host, out, job)
    judged = list(
        draw_and_judge(
            StageContext(first.load_settings().with_values(_loopback(seed)), first, host, job)
        )[0]
    )
    rows: list[dict[str, Any]] = []
    measurer = Measurer(name, first, host, job)
    for condition in ("alone", "judged", "true", "unjudged"):
        if time.monotonic() > deadline:
            print("out of minutes; call again to go on", file=sys.stderr)
            break
        version = first
        if condition != "alone":
            version = second_version(condition, name, seed, judged, first, host, job)
        settings = version.load_settings()
        files = epoch_files(version, settings)
        for strength in STRENGTHS:
            found = measurer.measure(files[max(files)], strength)
            row = {"character": name, "seed": seed, "condition": condition, "strength": strength}
            rows.append({**row, "kept": sum(each.kept for each in judged), **found})
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    return rows


def _loopback(seed: int) -> dict[str, Any]:
    own = settings_of("isabella", seed)
    return {
        f"loopback.{key}": getattr(own.loopback, key)
        for key in ("count", "keep", "strength", "seed")
    }


def summary(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Means and standard deviations over characters and seeds that have every condition."""
    done: dict[tuple[str, int], set[str]] = {}
    for row in rows:
        done.setdefault((row["character"], row["seed"]), set()).add(row["condition"])
    whole = {key for key, conditions in done.items() if conditions == set(CONDITIONS)}
    table = []
    for condition in CONDITIONS:
        for strength in STRENGTHS:
            own = [
                row
                for row in rows
                if (row["character"], row["seed"]) in whole
                and (row["condition"], row["strength"]) == (condition, strength)
            ]
            if own:
                table.append(
                    {
                        "condition": condition,
                        "strength": strength,
                        "n": len(own),
                        **{
                            name: {
                                "mean": round(statistics.mean(row[name] for row in own), 3),
                                "spread": round(statistics.pstdev(row[name] for row in own), 3),
                            }
                            for name in ("front", "other", "flexibility", "copying")
                        },
                    }
                )
    return table


def told(table: Sequence[dict[str, Any]]) -> str:
    """The same for a reader."""
    names = ("front", "other", "flexibility", "copying")
    lines = [f"{'':10} {'at':>4} {'n':>3}  " + "  ".join(f"{name:>14}" for name in names)]
    for row in table:
        values = (f"{row[name]['mean']:7.3f} ±{row[name]['spread']:.3f}" for name in names)
        lines.append(
            f"{row['condition']:10} {row['strength']:4} {row['n']:3}  "
            + "  ".join(f"{value:>14}" for value in values)
        )
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="where workspaces and figures lie")
    parser.add_argument("--characters", nargs="+", default=list(CHARACTERS), metavar="NAME")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1], metavar="N")
    parser.add_argument(
        "--minutes", type=float, default=240, help="no further training is begun after so many"
    )
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    given = parser.parse_args()
    deadline = time.monotonic() + given.minutes * 60
    host = StandaloneHost(ROOT / "lib_singlelora" / "embedded" / "singlelora.safetensors")
    record = given.out / "loopback.json"
    rows = read_json(record)["rows"] if record.exists() else []
    for seed in given.seeds:
        for name in given.characters:
            if time.monotonic() > deadline:
                break
            fresh = measured(name, seed, host, given.out, deadline)
            done = {(row["character"], row["seed"], row["condition"]) for row in fresh}
            rows = [
                row for row in rows if (row["character"], row["seed"], row["condition"]) not in done
            ] + fresh
            write_json(record, {"summary": summary(rows), "rows": rows})
    table = summary(rows)
    print(json.dumps({"summary": table, "rows": rows}) if given.json else told(table))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
