"""Caption: the words beside each crop."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import cast

from ..captions.atlas import category_of
from ..captions.order import Order, arrange
from ..captions.pruning import Trait, find_traits, policy_of, prune
from ..errors import NotFoundError
from ..files.fileio import file_hash, fingerprint
from ..host import Host
from ..imaging.load import load_picture
from ..jobs import Job, Progress
from ..settings.schema import Settings
from ..tagging.ensemble import Taggers, chosen_folders, marks, own_taggers, tags_above
from ..workspace.crops import view_tags
from ..workspace.kohya_folders import caption_file, list_pictures, read_caption
from ..workspace.resume import begin, finish
from ..workspace.workspace import Workspace


@dataclass(frozen=True)
class CaptionResult:
    """captions: text of each crop by its path.

    kept: those a person wrote.
    traits: what the crops tell of her.
    """

    captions: dict[Path, str]
    kept: tuple[Path, ...]
    traits: tuple[Trait, ...] = ()


def caption(
    settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool = False
) -> CaptionResult:
    """Write `NAME.txt` beside every crop: trigger, class, then view and the tagger's tags without
    hers; by hand stays by hand.

    Raises: WorkspaceError, when there are no crops; TaggerError; SettingsError, for a category that
    there is not.
    """
    folder, options = workspace.image_folder(settings), settings.caption
    pictures = list_pictures(folder)
    if not pictures:
        raise NotFoundError(f"{folder}: found no pictures, expected crops; call 'crop' first")
    policy_of(options)  # a mistake is told before a tagger is downloaded
    folders, own = chosen_folders(options, host, job), own_taggers(options, host)
    hashes = {path.name: file_hash(path) for path in pictures}
    mark = fingerprint(vars(options), vars(settings.character), hashes, marks(folders, own))
    record, done = begin(workspace, "caption", mark, force)
    kept = []
    if not done:
        texts, traits, seen = _compose(
            settings, workspace, pictures, Taggers(folders, own) if folders or own else None, job
        )
        for path, text in texts.items():
            target = caption_file(path)
            if not workspace.write_unless_edited(record, target, text.encode(), force):
                kept.append(target)
            workspace.save_record(record)
        record.data.update(traits=[asdict(trait) for trait in traits], seen=seen)
        finish(workspace, record, [caption_file(path) for path in pictures])
    traits_found = tuple(Trait(**values) for values in record.data.get("traits", ()))
    return CaptionResult({path: read_caption(path) for path in pictures}, tuple(kept), traits_found)


def _compose(
    settings: Settings,
    workspace: Workspace,
    pictures: list[Path],
    taggers: Taggers | None,
    job: Job,
) -> tuple[dict[Path, str], list[Trait], dict[str, list[str]]]:
    """(text of each crop, what the crops tell of her, the taggers' tags of each crop)."""
    options, views, seen, names = (
        settings.caption,
        view_tags(workspace),
        dict[str, list[str]](),
        set[str](),
    )
    step = taggers.batch_size if taggers else len(pictures)
    for start in range(0, len(pictures), step):
        job.raise_if_cancelled()
        part = pictures[start : start + step]
        for path, scores in zip(
            part,
            taggers.tag([load_picture(path).image for path in part]) if taggers else (),
            strict=False,
        ):
            names |= set(scores.character)
            seen[path.stem] = tags_above(scores, options)
        job.report(
            Progress(
                "caption",
                start + len(part),
                len(pictures),
                f"{start + len(part)} of {len(pictures)} pictures seen",
            )
        )
    policy = policy_of(options, names)
    traits = find_traits(seen, views, policy)
    front = (settings.character.trigger, settings.character.class_token)
    texts = {}
    for path in pictures:
        view = views.get(path.stem, ())
        # Where the crop itself says what it shows, the tagger's guess of it is not asked.
        own = [
            tag for tag in seen.get(path.stem, []) if not (view and category_of(tag) == "framing")
        ]
        tags = [*view, *prune(own, traits, policy)]
        texts[path] = arrange(
            front,
            tags,
            order=cast(Order, options.order),
            drop_implied=options.implied == "drop",
            underscores=options.underscores,
        )
    return texts, traits, seen
