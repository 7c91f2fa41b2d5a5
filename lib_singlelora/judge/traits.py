"""The traits of the character that a picture of a prompt should show."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from PIL import Image

from ..captions.prompt_language import tags_of
from ..captions.pruning import hidden
from ..captions.tag_categories import category_of
from ..imaging.load import load_picture
from ..metrics.copying import crop_part, sliding_windows
from ..metrics.retention import SEEN, TagProbabilities, common_traits
from ..settings.schema import Settings
from ..tagging.ensemble import Taggers
from ..workspace.crops import view_tags
from ..workspace.kohya_folders import list_pictures
from ..workspace.outfit import FRAMINGS
from ..workspace.workspace import Workspace
from .tagged_pictures import tag_pictures

MOST_PARTS = 3  # parts of a crop that stand for a framing which no crop has


class CharacterTraits:
    """The traits of one character, by prompt; its crops are tagged once."""

    def __init__(self, settings: Settings, workspace: Workspace, tagger: Taggers) -> None:
        self._tagger = tagger
        self._views = view_tags(workspace)
        self._crops = {
            path.stem: load_picture(path).image.convert("RGB")
            for path in list_pictures(workspace.image_folder(settings))
        }
        tagged = tag_pictures(tagger, list(self._crops.values()))
        self._crop_tags = dict(zip(self._crops, tagged, strict=True))
        self._of_framing: dict[str, tuple[str, ...]] = {}
        self._part_tags: list[TagProbabilities] | None = None

    def of(self, prompt: str) -> tuple[str, ...]:
        """The traits that a picture of this prompt should show.

        They are those of the crops with the prompt's framing.  Without such a crop they are those
        of the next closer one, and of parts of a crop that the tagger takes for this framing, as
        far as a crop shows them too; without these, those of all crops.

        What the prompt itself names is among them: such clothes are the character's only as far as
        the checkpoint alone does not draw them (`metrics.retention.trait_weights`).
        """
        prompt_tags = tags_of(prompt)
        framing = next((tag for tag in prompt_tags if category_of(tag) == "framing"), "")
        traits = common_traits(
            [
                tags
                for name, tags in self._crop_tags.items()
                if set(prompt_tags) & set(self._views.get(name, ()))
            ]
        )
        if not traits and framing:
            if framing not in self._of_framing:
                self._of_framing[framing] = self._from_others(framing)
            traits = self._of_framing[framing]
        return traits or common_traits(list(self._crop_tags.values()))

    def visible(self, prompt: str, asks: Sequence[str]) -> tuple[str, ...]:
        """Those of `of(prompt)` that its view leaves in sight; no clothes where it asks for others.

        asks: what of the prompt is to be new; clothes among it that no crop shows are others than
            the character's.  Those that captions name are the character's, seen or not.
        """
        out_of_sight = set(hidden(tags_of(prompt)))
        shown = {tag for tags in self._crop_tags.values() for tag, p in tags.items() if p >= SEEN}
        if any(category_of(tag) == "outfit" and tag not in shown for tag in asks):
            out_of_sight.add("outfit")
        return tuple(tag for tag in self.of(prompt) if category_of(tag) not in out_of_sight)

    def _from_others(self, framing: str) -> tuple[str, ...]:
        """The traits of a framing that no crop has, of other crops and their parts."""
        shown = {
            tag for tags in self._crop_tags.values() for tag, value in tags.items() if value >= SEEN
        }
        if self._part_tags is None:  # tagged once: there may be dozens
            self._part_tags = _tag_parts(self._tagger, self._crops.values())
        of_parts = common_traits(_fitting(self._part_tags, framing))
        of_closer = common_traits(_closer(self._crop_tags, self._views, framing))
        return tuple(dict.fromkeys([*of_closer, *(tag for tag in of_parts if tag in shown)]))


def _closer(
    crop_tags: Mapping[str, TagProbabilities], views: Mapping[str, Sequence[str]], framing: str
) -> list[TagProbabilities]:
    """Tags of the widest of the closer crops: all that these show lies in the framing too."""
    narrower = FRAMINGS[: FRAMINGS.index(framing)] if framing in FRAMINGS else ()
    for closer in reversed(narrower):
        if tags := [tags for name, tags in crop_tags.items() if closer in views.get(name, ())]:
            return tags
    return []


def _tag_parts(tagger: Taggers, crops: Iterable[Image.Image]) -> list[TagProbabilities]:
    """Tags of the parts of the tallest crop."""
    tallest = max(crops, key=lambda image: image.height / image.width, default=None)
    if tallest is None:
        return []
    # The character stands in the middle
    middle = [box for box in sliding_windows(*tallest.size) if abs(box[0] + box[2] - 1) < 0.02]
    return tag_pictures(tagger, [crop_part(tallest, box) for box in middle])


def _fitting(part_tags: Sequence[TagProbabilities], framing: str) -> list[TagProbabilities]:
    """Those parts that look most like the framing."""
    fitting = [tags for tags in part_tags if tags.get(framing, 0.0) >= SEEN]
    return sorted(fitting, key=lambda tags: -tags[framing])[:MOST_PARTS]
