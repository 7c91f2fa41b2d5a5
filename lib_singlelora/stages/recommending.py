"""Which cell of the sheet to take, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from ..dataset.captions import split_tags
from ..dataset.folders import list_pictures
from ..evaluation.likeness import Look, colour_histogram, look
from ..evaluation.retention import Retention, gentlest, retention, smoothed, traits
from ..host import Host
from ..imaging.load import load_picture
from ..settings import Settings
from ..workspace import Workspace
from .crop import view_tags
from .taggers import Taggers, open_taggers


@dataclass(frozen=True)
class Recommendation:
    """Which file at which strength, and why."""

    epoch: int
    strength: float
    preset: str
    lora: Path
    reason: str


@dataclass(frozen=True)
class Place:
    """One cell before it is drawn; epoch 0 is the checkpoint without the LoRA."""

    epoch: int
    strength: float
    preset: str
    lora: Path | None


@dataclass(frozen=True)
class Judgement:
    """What pixels and the tagger say of a cell.  kept: None without a tagger, or when it knows nothing of her."""

    look: Look
    kept: Retention | None = None

    @property
    def note(self) -> str:
        """A few words for under the picture."""
        if self.kept is None:
            return f"{self.look.likeness:.0%} colours shared"
        return f"{self.kept.kept} of {len(self.kept.counts)} traits"


def judge(settings: Settings, workspace: Workspace, host: Host, drawn: Mapping[Place, Sequence[Path]],
          prompt: str) -> dict[Place, Judgement]:
    """Every cell's judgement: colours against the source's, and, with a tagger, which of her traits are seen."""
    looks = {place: _look(workspace, paths) for place, paths in drawn.items()}
    tagger = open_taggers(settings.caption, host)
    wanted = hers(settings, workspace, tagger, prompt) if tagger else ()
    if tagger is None or not wanted:
        return {place: Judgement(seen) for place, seen in looks.items()}
    return {place: Judgement(looks[place], retention(wanted, [_scores(tagger, path) for path in paths]))
            for place, paths in drawn.items()}


def hers(settings: Settings, workspace: Workspace, tagger: Taggers, prompt: str) -> tuple[str, ...]:
    """The traits that a picture of this prompt should show: those of the crops with the prompt's framing, else of all crops.

    What the prompt itself names is left out: the checkpoint draws it without her.
    """
    asked, views = set(split_tags(prompt)), view_tags(workspace)
    crops = list_pictures(workspace.image_folder(settings))
    fitting = [path for path in crops if asked & set(views.get(path.stem, ()))] or crops
    found = traits([_scores(tagger, path) for path in fitting])
    return tuple(tag for tag in found if tag not in asked)


def _scores(tagger: Taggers, path: Path) -> Mapping[str, float]:
    return tagger.tag([load_picture(path).image])[0].general


def _look(workspace: Workspace, paths: Sequence[Path]) -> Look:
    with Image.open(workspace.prepared) as picture, Image.open(workspace.mask) as mask:
        source = colour_histogram(picture, mask)
    seen = []
    for path in paths:
        with Image.open(path) as image:
            seen.append(look(image, source))
    return Look(round(sum(s.likeness for s in seen) / len(seen), 4), next((s.broken for s in seen if s.broken), ""))


def recommend(judged: Mapping[Place, Judgement]) -> Place | None:
    """The gentlest cell within a hundredth of the best one, of those whose pictures are whole.

    Best by traits kept where a tagger saw them, neighbours counted in; by colours shared where none did.  Whether prompts are
    obeyed and crops copied is not judged yet.
    """
    whole = [place for place, seen in judged.items() if place.epoch and not seen.look.broken]
    if not any(judged[place].kept for place in whole):
        key = {place: (-judged[place].look.likeness, abs(place.strength), place.epoch) for place in whole}
        return min(whole, key=lambda place: key[place]) if whole else None
    best: list[tuple[float, Place]] = []
    for preset in dict.fromkeys(place.preset for place in whole):
        own = [place for place in whole if place.preset == preset]
        rows, columns = sorted({p.epoch for p in own}), sorted({p.strength for p in own})
        spots = {(rows.index(p.epoch), columns.index(p.strength)): p for p in own}
        values = smoothed({spot: _score(judged[p]) for spot, p in spots.items()})
        if (spot := gentlest(values)) is not None:
            best.append((values[spot], spots[spot]))
    return max(best, key=lambda found: found[0])[1] if best else None


def _score(judgement: Judgement) -> float:
    return judgement.kept.score if judgement.kept else 0.0


def reason(place: Place, judged: Mapping[Place, Judgement]) -> str:
    """A sentence for the user."""
    own = judged[place]
    name = f"epoch {place.epoch} at {place.strength:g} with {place.preset}"
    base = next((seen for p, seen in judged.items() if not p.epoch), None)
    if own.kept is None:
        without = base.look.likeness if base else 0.0
        return (f"{name}: its colours are nearest to the picture's ({own.look.likeness:.0%} shared, {without:.0%} without the "
                "LoRA) among the pictures that are not broken")
    without = base.kept.kept if base and base.kept else 0
    return (f"{name}: the tagger sees {own.kept.kept} of her {len(own.kept.counts)} traits ({without} without the LoRA); gentler "
            "than all others that keep as much")


def recommendation_from(values: Any) -> Recommendation | None:
    """What a record holds."""
    return Recommendation(**{**values, "lora": Path(values["lora"])}) if values else None


def saved_recommendation(workspace: Workspace) -> Recommendation | None:
    """What the last plot recommended, if its file is still there."""
    found = recommendation_from(workspace.record("plot").data.get("recommendation"))
    return found if found and found.lora.exists() else None
