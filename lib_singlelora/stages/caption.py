"""Caption: the words beside each crop."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ..dataset.captions import join_tags
from ..dataset.folders import list_pictures, read_caption
from ..errors import WorkspaceError
from ..host import Host
from ..imaging.load import load_picture
from ..jobs import Job, Progress
from ..settings import CaptionSettings, Settings
from ..tagging.wd import WdTagger
from ..workspace import Workspace, file_hash, fingerprint
from .continuing import begin, finish
from .crop import view_tags


@dataclass(frozen=True)
class Captioned:
    """captions: text of each crop by its path.  kept: those a person wrote."""

    captions: dict[Path, str]
    kept: tuple[Path, ...]


def open_tagger(options: CaptionSettings) -> WdTagger | None:
    """The tagger that the settings name, or None.  Raises: TaggerError."""
    return WdTagger(Path(options.tagger)) if options.tagger else None


def tags_of(tagger: WdTagger, path: Path, options: CaptionSettings) -> list[str]:
    """Tags of a picture above the thresholds, most certain first, spaces for underscores (kaomoji keep theirs)."""
    scores = tagger.tag([load_picture(path).image])[0]
    return scores.above(options.general_threshold, options.character_threshold)


def caption(settings: Settings, workspace: Workspace, host: Host, job: Job, force: bool = False) -> Captioned:
    """Write `NAME.txt` beside every crop: trigger, class, view, then the tagger's tags; by hand stays by hand.

    Raises: WorkspaceError, when there are no crops; TaggerError.
    """
    folder = workspace.image_folder(settings)
    pictures = list_pictures(folder)
    if not pictures:
        raise WorkspaceError(f"{folder}: found no pictures, expected crops; call 'crop' first")
    hashes = {path.name: file_hash(path) for path in pictures}
    record, done = begin(workspace, "caption", fingerprint(vars(settings.caption), vars(settings.character), hashes), force)
    kept = []
    if not done:
        tagger = open_tagger(settings.caption)
        tags, character = view_tags(workspace), settings.character
        for index, path in enumerate(pictures):
            job.raise_if_cancelled()
            seen = tags_of(tagger, path, settings.caption) if tagger else []
            text = join_tags([character.trigger, character.class_token, *tags.get(path.stem, ()), *seen])
            target = path.with_suffix(".txt")
            if not workspace.write_unless_edited(record, target, text.encode(), force):
                kept.append(target)
            workspace.save_record(record)
            job.report(Progress("caption", index + 1, len(pictures), f"{path.stem}: {text}"))
        finish(workspace, record, [path.with_suffix(".txt") for path in pictures])
    texts = {path: read_caption(path) for path in pictures}
    return Captioned(texts, tuple(kept))
