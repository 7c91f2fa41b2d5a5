"""Quality tags: words that a checkpoint was trained to understand as how good a picture is.

One JSON file each in `quality_tags/`:

    {"about": "for people", "source": "where the tags are from",
     "families": ["sdxl"], "prediction": "epsilon or v_prediction; left out for both",
     "names": ["patterns of checkpoints' names"],
     "positive": "tags, in order", "negative": "tags", "place": "start or end of the prompt"}
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from .family import Prediction

FOLDER = Path(__file__).parent / "quality_tags"
AUTO = "auto"
NONE = "none"


@dataclass(frozen=True)
class QualityTags:
    """Tags that go into every prompt which is drawn, and into no caption.

    name: of the preset; "" for none.
    positive, negative: tags, in order, between commas.
    place: of the positive ones in a prompt.
    why: how they were chosen.
    source: where they are from.
    """

    name: str = ""
    positive: str = ""
    negative: str = ""
    place: Literal["start", "end"] = "start"
    why: str = ""
    source: str = ""

    def __bool__(self) -> bool:
        return bool(self.positive or self.negative)

    def in_prompt(self, prompt: str) -> str:
        """A prompt with the positive tags that it does not have yet."""
        if self.place == "start":
            return _joined(self.positive, prompt, keep=prompt)
        return _joined(prompt, self.positive, keep=prompt)

    def in_negative(self, prompt: str) -> str:
        """A negative prompt with the negative tags in front that it does not have yet."""
        return _joined(self.negative, prompt, keep=prompt)


NO_TAGS = QualityTags()


def _joined(first: str, second: str, keep: str) -> str:
    """Both prompts; of the one that is not `keep` only the tags that `keep` does not have."""
    present = {_plain(tag) for tag in keep.split(",")}

    def missing(text: str) -> str:
        if text is keep:
            return text.strip().rstrip(",").rstrip()
        tags = (tag.strip() for tag in text.split(","))
        return ", ".join(tag for tag in tags if tag and _plain(tag) not in present)

    return ", ".join(part for part in (missing(first), missing(second)) if part)


def _plain(tag: str) -> str:
    """A tag without weight, brackets and underscores."""
    return re.sub(r":[\d.]+|[()\[\]]", "", tag).strip().casefold().replace("_", " ")


@dataclass(frozen=True)
class QualityPreset:
    """A file of quality tags; the fields are those of the file."""

    name: str
    about: str
    source: str
    families: tuple[str, ...]
    names: tuple[str, ...]
    positive: str
    negative: str
    place: Literal["start", "end"]
    prediction: Prediction | None = None

    def suits(self, checkpoint: str, family: str, prediction: Prediction) -> bool:
        """True if a checkpoint's name is one of the preset's."""
        return (
            family in self.families
            and self.prediction in (None, prediction)
            and any(re.search(pattern, checkpoint.casefold()) for pattern in self.names)
        )


@cache
def quality_presets() -> tuple[QualityPreset, ...]:
    """The presets, by name."""
    found = []
    for path in sorted(FOLDER.glob("*.json")):
        values = json.loads(path.read_text(encoding="utf-8"))
        values["families"] = tuple(values["families"])
        values["names"] = tuple(values["names"])
        found.append(QualityPreset(name=path.stem, **values))
    return tuple(found)


def quality_names() -> tuple[str, ...]:
    """What the setting may be."""
    return (AUTO, NONE, *(preset.name for preset in quality_presets()))


def choose_quality(
    chosen: str,
    positive: str,
    negative: str,
    checkpoint: str,
    family: str,
    prediction: Prediction = "epsilon",
) -> QualityTags:
    """The tags that a setting means for a checkpoint.

    chosen: auto, none, or a preset's name.
    positive, negative: the user's own, in place of the preset's; "" for those.
    checkpoint: its name, and its title where its metadata has one.
    """
    if chosen == NONE:
        return NO_TAGS
    preset = next((each for each in quality_presets() if each.name == chosen), None)
    why = "set by hand"
    if chosen == AUTO:
        # Of several the one that is named last: merges are called "pony … illustrious"
        suiting = [each for each in quality_presets() if each.suits(checkpoint, family, prediction)]
        preset = max(suiting, key=lambda each: _last_place(each, checkpoint), default=None)
        why = f"the checkpoint is called {checkpoint.strip()!r}"
    if preset is None:
        if not (positive or negative):
            return NO_TAGS
        return QualityTags("own", positive, negative, "start", "set by hand")
    return QualityTags(
        preset.name,
        positive or preset.positive,
        negative or preset.negative,
        preset.place,
        why,
        preset.source,
    )


def _last_place(preset: QualityPreset, checkpoint: str) -> int:
    """Where in a checkpoint's name the preset's own words begin for the last time."""
    found = (
        match.start()
        for pattern in preset.names
        for match in re.finditer(pattern, checkpoint.casefold())
    )
    return max(found, default=-1)
