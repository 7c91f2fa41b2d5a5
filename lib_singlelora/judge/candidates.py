"""Candidates of the judged loopback: is it the character, is it new, and is it whole?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from ..captions.pruning import hidden
from ..captions.tag_categories import category_of
from ..host import TrainingModel
from ..metrics.copying import Copies
from ..metrics.damage import CloserLook, Surface, measure_surface, subject_missing, surface_damage
from ..metrics.loopback_prompts import Wish
from ..metrics.rejection import KeptPictures, colours_shared, describe_subject
from ..metrics.retention import SEEN, TagProbabilities, measure_retention
from ..settings.loopback import LoopbackSettings
from ..settings.schema import Settings
from ..tagging.ensemble import Taggers
from ..workspace.crops import known_mask
from ..workspace.kohya_folders import list_pictures
from ..workspace.workspace import Workspace
from .tagged_pictures import read_pictures, tag_heads, tag_pictures
from .traits import CharacterTraits

# What tells characters apart, and of which one figure has one: another one seen is another figure
TELLING = ("hair colour", "eye colour")
DUPLICATE = 0.95  # likeness of two candidates from which on one of them is enough


@dataclass(frozen=True)
class Verdict:
    """What is found in a candidate.

    reasons: why it is rejected, one sentence each; none for one that passes.
    seen: the asked tags that it shows; without a tagger those that were asked.
    tags: all that the tagger sees, with probabilities; empty without one.
    scores: retention (0 to 1, missing without a tagger), colours, copying, damage.
    """

    reasons: tuple[str, ...]
    seen: tuple[str, ...]
    tags: TagProbabilities
    scores: Mapping[str, float]

    @property
    def value(self) -> float:
        """What candidates are ordered by: the character's traits and colours, less damage."""
        likeness = [self.scores[name] for name in ("retention", "colours") if name in self.scores]
        return sum(likeness) / len(likeness) - self.scores["damage"]


class CandidateJudge:
    """Judges candidates by the crops and the checkpoint's own pictures.

    model: for its VAE, which finds copies; None compares colours and hashes alone.
    side: of the checkpoint's own pictures, pixels.
    """

    def __init__(
        self,
        settings: Settings,
        workspace: Workspace,
        tagger: Taggers | None,
        model: TrainingModel | None,
        side: int,
    ) -> None:
        self._settings = settings
        self._workspace = workspace
        self._tagger = tagger
        files = list_pictures(workspace.image_folder(settings))
        crops = read_pictures(files)
        self._copies = Copies(
            {path.stem: image for path, image in zip(files, crops, strict=True)}, model, side // 2
        )
        masks = [known_mask(workspace, path) for path in files]
        self._subject = describe_subject([], crops, masks)
        surfaces = [_surface(image, side) for image in crops]
        self._surfaces = [surface for surface in surfaces if not surface.invalid]
        self._side = side
        self._traits: CharacterTraits | None = None

    def judge(
        self, image: Image.Image, wish: Wish, base: Image.Image, options: LoopbackSettings
    ) -> Verdict:
        """What is found in a candidate.

        base: what the checkpoint alone draws of the same framing and view.
        """
        tagged = tag_pictures(self._tagger, [image])
        tags = tagged[0] if tagged else {}
        seen = tuple(tag for tag in wish.asks if not tagged or tags.get(tag, 0.0) >= SEEN)
        scores = {"colours": colours_shared(image, self._subject)}
        traits = self._expected(wish) if tagged else ()
        if traits:
            scores["retention"] = measure_retention(traits, tagged).score
        others = _others(traits, tags)
        match = self._copies.find([image])[0]
        scores["copying"] = match.similarity
        scores["damage"], damage = self._damage(image, tagged, base)
        scores = {name: round(value, 4) for name, value in scores.items()}
        reasons = []
        if scores["damage"] > options.damage:
            reasons.append(f"damaged: {damage}")
        if scores.get("retention", 1.0) < options.retention:
            reasons.append(
                f"not the character: retention {scores['retention']:.2f}, expected"
                f" {options.retention:g}"
            )
        if scores["colours"] < options.colours:
            reasons.append(
                f"other colours: {scores['colours']:.0%} are the character's, expected"
                f" {options.colours:.0%}"
            )
        if others:
            reasons.append(f"not the character: {', '.join(others)}")
        if wish.ask not in seen:
            reasons.append(f"not as asked: no {wish.ask}")
        if scores["copying"] > options.copying:
            reasons.append(f"a copy of {match.crop}: {scores['copying']:.0%} alike")
        return Verdict(tuple(reasons), seen, tags, scores)

    def _expected(self, wish: Wish) -> tuple[str, ...]:
        """The traits that a picture of this framing and view can show."""
        assert self._tagger
        if self._traits is None:
            self._traits = CharacterTraits(self._settings, self._workspace, self._tagger)
        out_of_sight = hidden((wish.framing, *wish.asks))
        return tuple(
            tag for tag in self._traits.of(wish.framing) if category_of(tag) not in out_of_sight
        )

    def _damage(
        self, image: Image.Image, tagged: Sequence[TagProbabilities], base: Image.Image
    ) -> tuple[float, str]:
        found = surface_damage(
            _surface(image, self._side), [*self._surfaces, _surface(base, self._side)]
        )
        if tagged:
            base_tags = tag_pictures(self._tagger, [base])
            [head, base_head] = tag_heads(self._tagger, [image, base])
            closer = CloserLook(head, [base_head])
            found = max(found, subject_missing(tagged[0], base_tags, closer))
        return found


def _others(traits: Sequence[str], tags: TagProbabilities) -> list[str]:
    """Hair and eye colours that are seen in place of the character's."""
    found = []
    for category in TELLING:
        own = [tag for tag in traits if category_of(tag) == category]
        if own and not any(tags.get(tag, 0.0) >= SEEN for tag in own):
            found += [
                tag
                for tag, value in tags.items()
                if value >= SEEN and category_of(tag) == category and tag not in own
            ]
    return found


def choose_kept(
    verdicts: Mapping[int, tuple[Wish, Verdict]], images: Mapping[int, Image.Image], most: int
) -> tuple[list[int], dict[int, str]]:
    """(numbers of the candidates that are kept, why others that pass are not).

    The best of each thing that is asked comes first, then the second best of each; one that is
    nearly the same picture as a kept one is left out.
    """
    passing = [number for number, (_, verdict) in verdicts.items() if not verdict.reasons]
    passing.sort(key=lambda number: (-verdicts[number][1].value, number))
    turns: dict[str, int] = {}
    order = []
    for number in passing:
        ask = verdicts[number][0].ask
        turns[ask] = turns.get(ask, 0) + 1
        order.append((turns[ask], -verdicts[number][1].value, number))
    kept: list[int] = []
    others: dict[int, str] = {}
    known = KeptPictures()
    for _, _, number in sorted(order):
        name, likeness = known.nearest(images[number])
        if likeness >= DUPLICATE:
            others[number] = f"nearly the same as candidate {name}"
        elif len(kept) >= most:
            others[number] = "passes, but enough are kept"
        else:
            kept.append(number)
            known.add(str(number), images[number])
    return sorted(kept), others


def _surface(image: Image.Image, side: int) -> Surface:
    """The surface at the size at which pictures are compared."""
    small = image.convert("RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    return measure_surface(small)
