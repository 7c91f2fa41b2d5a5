"""Caption: the words beside each crop."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

from ..captions.order import Order, arrange
from ..captions.plausibility import Doubt
from ..captions.pruning import CLOTHES, Policy, Trait, find_traits, outfit_trigger, policy_of, prune
from ..captions.tag_categories import category_of
from ..captions.trigger_text import has_trigger
from ..errors import NotFoundError
from ..families.quality import QualityTags
from ..files.fileio import file_hash, fingerprint
from ..imaging.load import load_picture
from ..jobs import Job, Progress
from ..settings.captions import CaptionSettings
from ..settings.character import CharacterSettings
from ..tagging.ensemble import Taggers, chosen_folders, marks, own_taggers, tags_above
from ..workspace.captions import doubts_in
from ..workspace.crops import view_parts, view_tags
from ..workspace.kohya_folders import caption_file, list_pictures, read_caption
from ..workspace.resume import begin, finish
from ..workspace.workspace import Workspace
from .caption_doubts import WHOLE, doubts_of, record_of, whole_picture
from .context import StageContext


@dataclass(frozen=True)
class CaptionResult:
    """The captions that are there now.

    captions: text of each crop by its path.
    kept: the texts that the user edited, which were left alone.
    traits: the character's, as the crops show them.
    doubts: tags that a crop cannot show, by the stem of its file, with the reasons.
    notes: what the user should know of them.
    """

    captions: dict[Path, str]
    kept: tuple[Path, ...]
    traits: tuple[Trait, ...] = ()
    doubts: Mapping[str, Sequence[Doubt]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """The stage's part of the JSON object."""
        return {
            "captions": {str(path): text for path, text in self.captions.items()},
            "kept": [str(path) for path in self.kept],
            "traits": [{**asdict(trait), "shared": trait.shared} for trait in self.traits],
            "doubts": {
                name: [asdict(doubt) for doubt in doubts] for name, doubts in self.doubts.items()
            },
            "caption_notes": list(self.notes),
        }


@dataclass(frozen=True)
class _SeenTags:
    """The taggers' answers on all crops.

    by_crop: tags above the threshold by the stem of the crop's file.
    characters: names of known characters.
    scores: the probability of every tag, by the stem of the crop's file.
    """

    by_crop: dict[str, list[str]] = field(default_factory=dict)
    characters: set[str] = field(default_factory=set)
    scores: dict[str, dict[str, float]] = field(default_factory=dict)


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
    policy = policy_of(options)  # a mistake is reported before a tagger is downloaded
    folders = chosen_folders(options, context.host, context.job)
    hosts_own = own_taggers(options, context.host)
    hashes = {path.name: file_hash(path) for path in pictures}
    parts = view_parts(workspace) if folders or hosts_own else {}
    quality = _quality_tags(context)
    further = () if quality is None else (quality.positive,)  # unasked, it is as it was without
    mark = fingerprint(
        vars(options), vars(character), hashes, marks(folders, hosts_own), parts, *further
    )
    record, done = begin(workspace, "caption", mark, context.force)
    kept = []
    if not done:
        taggers = Taggers(folders, hosts_own) if folders or hosts_own else None
        seen = _tag(pictures, taggers, options, context.job)
        doubts = {}
        if taggers and options.implausible == "drop":
            _tag_whole(workspace, taggers, options, seen)
            doubts = doubts_of(workspace, pictures, seen.by_crop, seen.scores)
        seen = _plausible(seen, pictures, doubts, policy)
        texts, traits = _compose(options, character, pictures, view_tags(workspace), seen)
        if quality:
            texts = {path: _each_line(text, quality.in_prompt) for path, text in texts.items()}
        for path, text in texts.items():
            target = caption_file(path)
            if not workspace.write_unless_edited(record, target, text.encode(), context.force):
                kept.append(target)
            workspace.save_record(record)
        record.data.update(
            traits=[asdict(trait) for trait in traits],
            seen=seen.by_crop,
            **record_of(doubts, policy),
        )
        record.data["notes"] += _unused_word(options, texts.values())
        if quality is not None:
            record.data["notes"].append(_quality_note(quality, context.host.checkpoint.name))
        finish(workspace, record, [caption_file(path) for path in pictures])
    return CaptionResult(
        {path: read_caption(path) for path in pictures},
        tuple(kept),
        tuple(Trait(**values) for values in record.data.get("traits", ())),
        doubts_in(record),
        tuple(record.data.get("notes", ())),
    )


def _tag(
    pictures: Sequence[Path], taggers: Taggers | None, options: CaptionSettings, job: Job
) -> _SeenTags:
    """The taggers' answers on the crops; empty without a tagger.  Raises: JobCancelled."""
    seen = _SeenTags()
    step = taggers.batch_size if taggers else len(pictures)
    for start in range(0, len(pictures), step):
        job.raise_if_cancelled()
        batch = pictures[start : start + step]
        if taggers:
            images = [load_picture(path).image for path in batch]
            for path, scores in zip(batch, taggers.tag(images), strict=True):
                seen.characters.update(scores.character)
                seen.by_crop[path.stem] = tags_above(scores, options)
                seen.scores[path.stem] = scores.general
        done = start + len(batch)
        message = f"{done} of {len(pictures)} pictures seen"
        job.report(Progress("caption", done, len(pictures), message))
    return seen


def _tag_whole(
    workspace: Workspace, taggers: Taggers, options: CaptionSettings, seen: _SeenTags
) -> None:
    """Add the taggers' answers on the whole picture, where it is there."""
    image = whole_picture(workspace)
    if image is not None:
        [scores] = taggers.tag([image])
        seen.by_crop[WHOLE] = tags_above(scores, options)
        seen.scores[WHOLE] = scores.general


def _plausible(
    seen: _SeenTags, pictures: Sequence[Path], doubts: Mapping[str, Sequence[Doubt]], policy: Policy
) -> _SeenTags:
    """The answers on the crops without the doubted tags; the user's `caption.keep` wins."""
    by_crop = {}
    for name in (path.stem for path in pictures):
        doubted = {doubt.tag for doubt in doubts.get(name, ())}
        if name in seen.by_crop:
            by_crop[name] = [
                tag for tag in seen.by_crop[name] if tag not in doubted or policy.keeps(tag)
            ]
    return replace(seen, by_crop=by_crop)


def _compose(
    options: CaptionSettings,
    character: CharacterSettings,
    pictures: Sequence[Path],
    views: dict[str, tuple[str, ...]],
    seen: _SeenTags,
) -> tuple[dict[Path, str], list[Trait]]:
    """The text of each crop, and the character's traits.

    With `caption.outfit=both` a text has two lines, which training shows by turns: with the clothes
    and without.

    views: tags of each view by the stem of its file.
    """
    policy = policy_of(options, seen.characters)
    traits = find_traits(seen.by_crop, views, policy)
    variants = [policy]
    if options.outfit == "both":
        variants.append(policy_of(replace(options, outfit="prune"), seen.characters))
    texts = {}
    for path in pictures:
        view = views.get(path.stem, ())
        # Where the crop itself says what it shows, the tagger's guess of it is not asked.
        tags = [
            tag
            for tag in seen.by_crop.get(path.stem, [])
            if not (view and category_of(tag) == "framing")
        ]
        lines = [
            arrange(
                _front(options, character, tags, kept),
                [*view, *kept],
                order=cast(Order, options.order),
                drop_implied=options.implied == "drop",
                underscores=options.underscores,
            )
            for kept in (prune(tags, traits, variant) for variant in variants)
        ]
        texts[path] = "\n".join(dict.fromkeys(lines))
    return texts, traits


def _quality_tags(context: StageContext) -> QualityTags | None:
    """The checkpoint's quality tags, for the end of captions; None where they are not asked for.

    At the end, where shuffling and keep_tokens leave the trigger in front.
    """
    if not context.settings.quality.in_captions:
        return None
    return replace(context.host.checkpoint.quality, place="end")


def _each_line(text: str, change: Callable[[str], str]) -> str:
    return "\n".join(map(change, text.split("\n")))


def _quality_note(quality: QualityTags, checkpoint: str) -> str:
    if not quality.positive:
        return (
            f"quality.in_captions: found no quality tags for {checkpoint}, so captions have none;"
            " choose quality.tags or write quality.positive"
        )
    return f"quality.in_captions: every caption ends with '{quality.positive}'"


def _unused_word(options: CaptionSettings, texts: Iterable[str]) -> list[str]:
    """A note where the outfit's trigger stands in no caption."""
    word = options.outfit_trigger
    if not word or any(has_trigger(text, word) for text in texts):
        return []
    why = (
        "captions name the clothes (caption.outfit=keep)"
        if options.outfit == "keep"
        else "no tagger saw clothes in a crop"
    )
    return [f"caption.outfit_trigger: no caption has '{word}', for {why}"]


def _front(
    options: CaptionSettings, character: CharacterSettings, tags: Sequence[str], kept: Sequence[str]
) -> tuple[str, ...]:
    """What a caption begins with: trigger, class, the outfit's trigger where clothes are pruned.

    tags: of the crop.
    kept: those that the caption names.
    """
    word = outfit_trigger(options)
    pruned = word and any(category_of(tag) in CLOTHES for tag in tags if tag not in kept)
    return (character.trigger, character.class_token, *((word,) if pruned else ()))
