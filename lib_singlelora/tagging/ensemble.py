"""The taggers that the settings choose, used as one."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from PIL import Image

from ..captions.tag_categories import plain
from ..captions.text import spaced
from ..embedded.paths import TAGGER
from ..errors import TaggerError
from ..files.fileio import file_hash
from ..host import Host, HostTagger
from ..jobs import Job
from ..settings.captions import CaptionSettings, TaggerSettings
from .discovery import HOME, cached_by_the_hub, can_run, find_taggers, is_tagger, known_name, named
from .download import FILES, NAMES, fetch_tagger
from .wd import CHARACTER, TagScores, WdTagger, mcut_threshold, read_tags

log = logging.getLogger(__name__)

NONE = "none"  # the value of caption.tagger for no tagger
RATING = "rating:"  # the prefix of a host's rating tags
# As in SmilingWolf's demonstration space: the largest gap may lie among very unlikely tags.
LOWEST_MCUT = 0.15


class Taggers:
    """Several taggers as one: of each tag the highest of their probabilities.

    folders: where they lie, for the records.
    own: taggers of the host.
    """

    def __init__(self, folders: Sequence[Path], own: Sequence[HostTagger] = ()) -> None:
        self.folders = tuple(folders)
        self.own = tuple(own)
        self._taggers = [WdTagger(folder) for folder in folders]

    @property
    def batch_size(self) -> int:
        """The number of pictures that are worth tagging at once."""
        return max((tagger.batch_size for tagger in self._taggers), default=1)

    def tag(self, images: Sequence[Image.Image]) -> list[TagScores]:
        """The scores of each picture."""
        by_tagger = [tagger.tag(images) for tagger in self._taggers]
        by_tagger += [[of_host(scores) for scores in tagger.tag(images)] for tagger in self.own]
        return [merged(scores) for scores in zip(*by_tagger, strict=True)]


def of_host(scores: Mapping[str, float]) -> TagScores:
    """The scores of a host's tagger, which marks ratings by a prefix and characters not at all."""
    general = {spaced(tag): score for tag, score in scores.items() if not tag.startswith(RATING)}
    return TagScores(
        general,
        {},
        {
            tag.removeprefix(RATING): score
            for tag, score in scores.items()
            if tag.startswith(RATING)
        },
    )


def merged(scores: Sequence[TagScores]) -> TagScores:
    """The highest probability of each tag."""

    def highest(parts: Sequence[dict[str, float]]) -> dict[str, float]:
        maxima: dict[str, float] = {}
        for part in parts:
            for tag, score in part.items():
                maxima[tag] = max(score, maxima.get(tag, 0.0))
        return maxima

    return TagScores(
        highest([s.general for s in scores]),
        highest([s.character for s in scores]),
        highest([s.rating for s in scores]),
    )


def known_folders(host: Host) -> list[Path]:
    """The folders of complete taggers.

    The embedded one comes first if the checkpoint is the embedded one, then the host's, then those
    downloaded.
    """
    # The embedded tagger knows the embedded world and nothing else.
    embedded = [TAGGER] if host.checkpoint.preset == "embedded" else []
    return find_taggers(embedded) + find_taggers([*host.paths.taggers, home_of(host)])


def home_of(host: Host) -> Path:
    """The folder of downloaded taggers."""
    return host.paths.downloads or HOME


def chosen_folders(options: CaptionSettings, host: Host, job: Job | None = None) -> list[Path]:
    """The folders of the taggers that the settings name, else of the first one found.

    There are none for 'none'.  A tagger that is nowhere on this machine is downloaded.
    Raises: TaggerError, JobCancelled.
    """
    if NONE in options.tagger:
        return []
    folders = known_folders(host)
    if options.tagger:
        hosts = {tagger.name for tagger in own_taggers(options, host)}
        return list(
            dict.fromkeys(
                _folder(name, folders, host, job or Job())
                for name in options.tagger
                if name not in hosts
            )
        )
    if folders and not can_run():
        log.warning(
            "%s: found a tagger but no onnxruntime; captions stay plain until it is installed",
            folders[0],
        )
        return []
    return folders[:1]


def own_taggers(options: CaptionSettings, host: Host) -> list[HostTagger]:
    """The host's own taggers that the settings name."""
    if NONE in options.tagger:
        return []
    return [tagger for tagger in host.taggers() if tagger.name in options.tagger]


def open_taggers(options: CaptionSettings, host: Host, job: Job | None = None) -> Taggers | None:
    """The chosen taggers, ready; None where there are none.

    Raises: TaggerError, MissingPackageError, JobCancelled.
    """
    folders = chosen_folders(options, host, job)
    own = own_taggers(options, host)
    return Taggers(folders, own) if folders or own else None


def _folder(name: str, folders: Sequence[Path], host: Host, job: Job) -> Path:
    """The folder of a tagger, downloaded if need be.  Raises: TaggerError, JobCancelled."""
    if Path(name).is_dir():
        return Path(name)  # opening it tells what is wrong in it
    known = known_name(name)
    folder = named(known or name, [*folders, *(cached_by_the_hub(known) if known else ())])
    if folder is not None:
        return folder
    if known:
        return fetch_tagger(known, home_of(host), job)
    names = [*(folder.name for folder in folders), *(tagger.name for tagger in host.taggers())]
    raise TaggerError(
        f"caption.tagger: found no folder '{name}', expected one with {' and '.join(FILES)}"
        f" (there are: {', '.join(names) or 'none'}), none, or a name to download:"
        f" {', '.join(NAMES)}"
    )


def marks(folders: Sequence[Path], own: Sequence[HostTagger] = ()) -> list[str]:
    """What identifies the taggers in fingerprints.

    Of a model that is the hash of its table and its own size, so that a large file is not read.
    """
    marks_of_folders = [
        f"{file_hash(folder / FILES[1])}/{(folder / FILES[0]).stat().st_size}"
        for folder in folders
        if is_tagger(folder)
    ]
    return marks_of_folders + [tagger.name for tagger in own]


def looking(options: CaptionSettings) -> dict[str, Any]:
    """The settings of tagging, without those of what captions keep of the tags."""
    return {item.name: getattr(options, item.name) for item in fields(TaggerSettings)}


def tags_above(scores: TagScores, options: CaptionSettings) -> list[str]:
    """The tags above the thresholds, most certain first; the rating last, if it is wanted."""
    general = options.general_threshold
    character = options.character_threshold
    if options.thresholds == "MCut":
        general = max(LOWEST_MCUT, mcut_threshold(list(scores.general.values())))
        if scores.character:
            character = max(LOWEST_MCUT, mcut_threshold(list(scores.character.values())))
    tags = scores.above(general, character)
    if options.rating and scores.rating:
        tags.append(f"rating:{max(scores.rating, key=lambda name: scores.rating[name])}")
    return tags


def names_of(folders: Sequence[Path]) -> dict[str, set[str]]:
    """{"names", "tags"}: the characters and the other tags that these taggers know.

    They are written as in the list of categories.
    """
    rows = [row for folder in folders for row in read_tags(folder)]
    return {
        "names": {plain(name) for name, category in rows if category == CHARACTER},
        "tags": {plain(name) for name, category in rows if category != CHARACTER},
    }
