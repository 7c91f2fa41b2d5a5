"""Whether crops show what their names say: python -m tools.accuracy.crops [--characters 50]
[--first 1000] [--json].

Characters come from tools/world's renderer, in every pose, view and background, drawn as full body,
cowboy shot or upper body at 1024 to 2048 pixels.  The mask is found as `prepare` finds it; each
proposed view is judged by RULES against where the parts really are.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from PIL import Image

from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.crops.views import View, propose_views
from lib_singlelora.imaging.background import foreground_mask
from tools.world.scenes.geometry import HIP, Box, Window, parts
from tools.world.scenes.sample import sample_scene
from tools.world.scenes.scene import render
from tools.world.scenes.spec import Scene

GOAL = 0.9
# Of the source pictures, in turn
FRAMINGS = ("full body", "full body", "full body", "cowboy shot", "upper body")
SIZES = (
    (1024, 1536),
    (1536, 1536),
    (1024, 1024),
    (1152, 1728),
    (1536, 2048),
    (2048, 2048),
    (1536, 1024),
)
BUCKETS = make_buckets(512)


@dataclass(frozen=True)
class Rule:
    """What a view must show.

    shows: the least share of each part's box that lies in the crop.
    hides: parts of which next to nothing may (a tenth).
    starts, ends: where its upper and lower edge may lie, between two places of the body.
    fills: the part that the crop is about and the least share of the crop that it must be.
    """

    shows: Mapping[str, float]
    hides: tuple[str, ...] = ()
    starts: tuple[str, str] | None = None
    ends: tuple[str, str] | None = None
    fills: tuple[str, float] | None = None


RULES: dict[str, Rule] = {
    "full_body": Rule(
        {"head": 0.95, "hat": 0.8, "torso": 0.95, "hands": 0.9, "legs": 0.95, "feet": 0.9}
    ),
    "cowboy_shot": Rule({"head": 0.95, "hat": 0.8, "torso": 0.95}, ("feet",), ends=("hip", "knee")),
    "upper_body": Rule(
        {"head": 0.95, "hat": 0.8, "torso": 0.45}, ("feet",), ends=("chest", "thigh")
    ),
    "lower_body": Rule({"legs": 0.9, "feet": 0.9}, ("head",), starts=("chest", "thigh")),
    "head_out_of_frame": Rule(
        {"torso": 0.6}, ("face", "eyes"), starts=("mouth", "waist"), ends=("hip", "sole")
    ),
    "portrait": Rule({"head": 0.95, "hat": 0.8}, ("legs",), ends=("chin", "waist")),
    "face": Rule({"face": 0.9, "eyes": 0.95}, ends=("chin", "chest"), fills=("face", 0.35)),
    "bangs_close-up": Rule({"bangs": 0.8}, ends=("brow", "mouth"), fills=("bangs", 0.3)),
}
# Rows of the body, in its own units (see geometry.py).  A sitting one's thighs are foreshortened.
PLACES = {
    "brow": -0.1,
    "mouth": 0.4,
    "chin": 0.48,
    "chest": 0.95,
    "waist": 1.2,
    "hip": HIP - 0.04,
    "thigh": 1.7,
    "knee": 2.1,
    "sole": 2.7,
}
SITTING_KNEE = 1.85
AS_SEEN = ("hat", "hands")  # parts that a picture may cut; of these what it holds counts
PLAY = 0.02  # of the body's units


@dataclass(frozen=True)
class Example:
    """A picture with its truth.

    parts: boxes in pixels, not clipped.
    window: from the body's units to pixels.
    """

    name: str
    image: Image.Image
    scene: Scene
    window: Window
    parts: Mapping[str, Box]

    def row(self, place: str) -> float:
        """Pixel row of a place on the body."""
        unit = SITTING_KNEE if place == "knee" and self.scene.pose == "sitting" else PLACES[place]
        return (unit - self.window.top) * self.window.scale


@dataclass
class Count:
    """proposed, right: views of a name.

    allowed: pictures that allow it.
    missed: allowed, and not proposed.
    """

    proposed: int = 0
    right: int = 0
    allowed: int = 0
    missed: int = 0

    def add(self, other: Count) -> None:
        self.proposed += other.proposed
        self.right += other.right
        self.allowed += other.allowed
        self.missed += other.missed

    def as_dict(self) -> dict[str, float]:
        return {
            "proposed": self.proposed,
            "right": self.right,
            "share": round(self.right / max(1, self.proposed), 4),
            "allowed": self.allowed,
            "missed": self.missed,
        }


@dataclass
class Judged:
    """What became of one picture.  wrong: sentences."""

    counts: dict[str, Count] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    missed: list[str] = field(default_factory=list)


def examples(count: int, first: int, scale: float = 1.0) -> Iterator[Example]:
    """Single figures of the renderer from a seed on.  scale: of the sizes, for a quick look."""
    made = 0
    seed = first
    while made < count:
        scene = sample_scene(seed, world=False, framing=FRAMINGS[made % len(FRAMINGS)])
        seed += 1
        if len(scene.characters) != 1:
            continue
        width, height = (round(side * scale) for side in SIZES[made % len(SIZES)])
        drawing = render(scene, width, height)
        found = {}
        for part, (left, top, right, bottom) in parts(
            scene.characters[0], scene.pose, scene.view
        ).items():
            sides = (-right, -left) if scene.mirrored else (left, right)
            box = drawing.window.to_pixels((sides[0], top, sides[1], bottom))
            if part in AS_SEEN:
                box = (
                    max(0.0, box[0]),
                    max(0.0, box[1]),
                    min(float(width), box[2]),
                    min(float(height), box[3]),
                )
            if box[2] > box[0] and box[3] > box[1]:
                found[part] = box
        name = f"{seed - 1} {scene.framing}, {scene.pose}, {scene.view}, {scene.background}"
        yield Example(name, Image.fromarray(drawing.pixels), scene, drawing.window, found)
        made += 1


def share_inside(part: Box, box: Box) -> float:
    """Share of a part that lies in a box."""
    wide = min(part[2], box[2]) - max(part[0], box[0])
    high = min(part[3], box[3]) - max(part[1], box[1])
    return max(0.0, wide) * max(0.0, high) / ((part[2] - part[0]) * (part[3] - part[1]))


def faults(name: str, box: Box, example: Example) -> list[str]:
    """What is wrong with a view; empty when it shows what its name says."""
    rule = RULES[name]
    found = []
    for part, least in rule.shows.items():
        if part not in example.parts:
            found += [f"there is no {part}"] if part in ("face", "eyes", "bangs") else []
        elif (share := share_inside(example.parts[part], box)) < least:
            found.append(f"{part} {share:.0%} of {least:.0%}")
    found += [
        f"shows {part}"
        for part in rule.hides
        if part in example.parts and share_inside(example.parts[part], box) > 0.1
    ]
    play = PLAY * example.window.scale
    for edge, places in ((box[1], rule.starts), (box[3], rule.ends)):
        if places and not example.row(places[0]) - play <= edge <= example.row(places[1]) + play:
            unit = example.window.top + edge / example.window.scale
            side = "starts" if places is rule.starts else "ends"
            found.append(f"{side} at {unit:.2f}, not between {places[0]} and {places[1]}")
    if rule.fills and rule.fills[0] in example.parts:
        part = example.parts[rule.fills[0]]
        area = (part[2] - part[0]) * (part[3] - part[1]) * share_inside(part, box)
        share = area / ((box[2] - box[0]) * (box[3] - box[1]))
        found += [f"only {share:.0%} is {rule.fills[0]}"] if share < rule.fills[1] else []
    return found


def allowed(name: str, example: Example) -> bool:
    """Whether the picture holds what the view needs."""
    rule = RULES[name]
    picture = (0.0, 0.0, float(example.image.width), float(example.image.height))
    if any(part not in example.parts for part in rule.shows if part in ("face", "eyes", "bangs")):
        return False
    if any(
        share_inside(example.parts[part], picture) < least
        for part, least in rule.shows.items()
        if part in example.parts
    ):
        return False
    return rule.ends is None or example.row(rule.ends[0]) <= example.image.height


def judge(example: Example) -> Judged:
    """All views of one picture."""
    mask = foreground_mask(example.image).mask
    views = propose_views(mask, BUCKETS, example.image)
    out = Judged()
    for name in RULES:
        count = out.counts[name] = Count(allowed=int(allowed(name, example)))
        own = [view for view in views if view.name == name]
        for view in own:
            wrong = faults(name, view.box, example)
            count.proposed += 1
            count.right += not wrong
            if wrong:
                out.wrong.append(f"{name} ({view.confidence:g}): {', '.join(wrong)}")
        if count.allowed and not own and not _shown_otherwise(name, views, example):
            count.missed = 1
            out.missed.append(name)
    return out


def _shown_otherwise(name: str, views: list[View], example: Example) -> bool:
    """Whether a view of another name shows what this one would."""
    return any(not faults(name, view.box, example) for view in views)


def bench(count: int, first: int, scale: float = 1.0, report: bool = True) -> dict[str, Count]:
    """Counts by the view's name, and 'all'."""
    totals = {name: Count() for name in (*RULES, "all")}
    for example in examples(count, first, scale):
        judged = judge(example)
        for name, own in judged.counts.items():
            totals[name].add(own)
            totals["all"].add(own)
        if report and (judged.wrong or judged.missed):
            print(
                f"{example.name}:"
                f" {'; '.join([*judged.wrong, *(f'missed {name}' for name in judged.missed)])}",
                file=sys.stderr,
                flush=True,
            )
    return totals


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--characters", type=int, default=50)
    parser.add_argument(
        "--first", type=int, default=1000, help="seed of the first; the views were tuned on others"
    )
    parser.add_argument("--scale", type=float, default=1.0, help="of the pictures' sides")
    parser.add_argument(
        "--json", action="store_true", help="print one JSON object and nothing else on stdout"
    )
    options = parser.parse_args()
    started = time.monotonic()
    totals = bench(options.characters, options.first, options.scale)
    reached = totals["all"].right >= GOAL * totals["all"].proposed
    if options.json:
        print(
            json.dumps(
                {**{name: count.as_dict() for name, count in totals.items()}, "reached": reached}
            )
        )
    else:
        print(f"{'':<18} proposed  right   share  allowed  missed")
        for name, count in totals.items():
            share = count.right / max(1, count.proposed)
            print(
                f"{name:<18} {count.proposed:8} {count.right:6} {share:7.1%} {count.allowed:8}"
                f" {count.missed:7}"
            )
        print(
            f"{options.characters} characters, {time.monotonic() - started:.0f} s; goal (90 %): "
            f"{'reached' if reached else 'missed'}"
        )
    return 0 if reached else 1


if __name__ == "__main__":
    raise SystemExit(main())
