"""Caption: the words beside each crop."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

from ..captions.order import Order, arrange
from ..captions.pruning import Trait, find_traits, policy_of, prune
from ..captions.tag_categories import category_of
from ..errors import NotFoundError
from ..files.fileio import file_hash, fingerprint
from ..imaging.load import load_picture
from ..jobs import Job, Progress
from ..settings.captions import CaptionSettings
from ..settings.character import CharacterSettings
from ..tagging.ensemble import Taggers, chosen_folders, marks, own_taggers, tags_above
from ..workspace.crops import view_tags
from ..workspace.kohya_folders import caption_file, list_pictures, read_caption
from ..workspace.resume import begin, finish
from .context import StageContext


@dataclass(frozen=True)
class CaptionResult:
    """The captions that are there now.

    captions: text of each crop by its path.
    kept: the texts that the user edited, which were left alone.
    traits: the character's, as the crops show them.
    """

    captions: dict[Path, str]
    kept: tuple[Path, ...]
    traits: tuple[Trait, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The stage's part of the JSON object."""
        return {
            "captions": {str(path): text for path, text in self.captions.items()},
            "kept": [str(path) for path in self.kept],
            "traits": [{**asdict(trait), "shared": trait.shared} for trait in self.traits],
        }


@dataclass(frozen=True)
class _SeenTags:
    """The taggers' answers on all crops.

    by_crop: tags above the threshold by the stem of the crop's file.
    characters: names of known characters.
    """

    by_crop: dict[str, list[str]]
    characters: set[str]


def caption(context: StageContext) -> CaptionResult:
    """Write a text beside every crop; a text that the user edited is kept.

    It holds trigger, class, then the view's and the tagger's tags without those that belong to the
    character.

    Raises: NotFoundError, when there are no crops; TaggerError; SettingsError, for an unknown
        category.
    """
    workspace = context.workspace
    options = context.settings.caption
    character = context.settings.character
    folder = workspace.image_folder(context.settings)
    pictures = list_pictures(folder)
    if not pictures:
        raise NotFoundError(f"{folder}: found no pictures, expected crops; call 'crop' first")
    policy_of(options)  # a mistake is reported before a tagger is downloaded
    folders = chosen_folders(options, context.host, context.job)
    hosts_own = own_taggers(options, context.host)
    hashes = {path.name: file_hash(path) for path in pictures}
    mark = fingerprint(vars(options), vars(character), hashes, marks(folders, hosts_own))
    record, done = begin(workspace, "caption", mark, context.force)
    kept = []
    if not done:
        taggers = Taggers(folders, hosts_own) if folders or hosts_own else None
        seen = _tag(pictures, taggers, options, context.job)
        views = view_tags(workspace)
        texts, traits = _compose(options, character, pictures, views, seen)
        for path, text in texts.items():
            target = caption_file(path)
            if not workspace.write_unless_edited(record, target, text.encode(), context.force):
                kept.append(target)
            workspace.save_record(record)
        record.data.update(traits=[asdict(trait) for trait in traits], seen=seen.by_crop)
        finish(workspace, record, [caption_file(path) for path in pictures])
    return CaptionResult(
        {path: read_caption(path) for path in pictures},
        tuple(kept),
        tuple(Trait(**values) for values in record.data.get("traits", ())),
    )


def _tag(
    pictures: Sequence[Path], taggers: Taggers | None, options: CaptionSettings, job: Job
) -> _SeenTags:
    """The taggers' answers on the crops; empty without a tagger.  Raises: JobCancelled."""
    seen = _SeenTags({}, set())
    step = taggers.batch_size if taggers else len(pictures)
    for start in range(0, len(pictures), step):
        job.raise_if_cancelled()
        batch = pictures[start : start + step]
        if taggers:
            images = [load_picture(path).image for path in batch]
            for path, scores in zip(batch, taggers.tag(images), strict=True):
                seen.characters.update(scores.character)
                seen.by_crop[path.stem] = tags_above(scores, options)
        done = start + len(batch)
        message = f"{done} of {len(pictures)} pictures seen"
        job.report(Progress("caption", done, len(pictures), message))
    return seen


def _compose(
    options: CaptionSettings,
    character: CharacterSettings,
    pictures: Sequence[Path],
    views: dict[str, tuple[str, ...]],
    seen: _SeenTags,
) -> tuple[dict[Path, str], list[Trait]]:
    """The text of each crop, and the character's traits.

    views: tags of each view by the stem of its file.
    """
    policy = policy_of(options, seen.characters)
    traits = find_traits(seen.by_crop, views, policy)
    front = (character.trigger, character.class_token)
    texts = {}
    for path in pictures:
        view = views.get(path.stem, ())
        # Where the crop itself says what it shows, the tagger's guess of it is not asked.
        tags = [
            tag
            for tag in seen.by_crop.get(path.stem, [])
            if not (view and category_of(tag) == "framing")
        ]
        texts[path] = arrange(
            front,
            [*view, *prune(tags, traits, policy)],
            order=cast(Order, options.order),
            drop_implied=options.implied == "drop",
            underscores=options.underscores,
        )
    return texts, traits
