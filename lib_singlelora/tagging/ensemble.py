"""Which taggers look at pictures, and what they say together."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from PIL import Image

from ..captions.atlas import plain
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

NONE, RATING = "none", "rating:"
# As in SmilingWolf's demonstration space: the largest gap may lie among what is hardly there
LOWEST_MCUT = 0.15


class Taggers:
    """Several taggers as one: of each tag the highest of their probabilities.

    folders: where they lie, for the records.
    own: taggers of the host.
    """

    def __init__(self, folders: Sequence[Path], own: Sequence[HostTagger] = ()) -> None:
        self.folders, self.own = tuple(folders), tuple(own)
        self._taggers = [WdTagger(folder) for folder in folders]

    @property
    def batch_size(self) -> int:
        """How many pictures at once are worth while."""
        return max((tagger.batch_size for tagger in self._taggers), default=1)

    def tag(self, images: Sequence[Image.Image]) -> list[TagScores]:
        """What is to be seen in each picture."""
        seen = [tagger.tag(images) for tagger in self._taggers]
        seen += [[of_host(scores) for scores in tagger.tag(images)] for tagger in self.own]
        return [merged(each) for each in zip(*seen, strict=True)]


def of_host(scores: Mapping[str, float]) -> TagScores:
    """A host's tagger tells ratings by a prefix, and characters not at all."""
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
    """Of each tag the highest probability."""

    def highest(parts: Sequence[dict[str, float]]) -> dict[str, float]:
        found: dict[str, float] = {}
        for part in parts:
            for tag, score in part.items():
                found[tag] = max(score, found.get(tag, 0.0))
        return found

    return TagScores(
        highest([s.general for s in scores]),
        highest([s.character for s in scores]),
        highest([s.rating for s in scores]),
    )


def known_folders(host: Host) -> list[Path]:
    """Folders with a whole tagger: that of the host's checkpoint first, then the host's own, then
    those downloaded.
    """
    # It knows the embedded world and nothing else
    own = [TAGGER] if host.checkpoint.preset == "embedded" else []
    return find_taggers([*own]) + find_taggers([*host.paths.taggers, home_of(host)])


def home_of(host: Host) -> Path:
    """Where downloaded taggers go."""
    return host.paths.downloads or HOME


def chosen_folders(options: CaptionSettings, host: Host, job: Job | None = None) -> list[Path]:
    """The taggers that the settings name, else the first one found; none without any, or for
    'none'.

    A name that is nowhere on this machine is downloaded.  Raises: TaggerError, JobCancelled.
    Raises: TaggerError, JobCancelled.
    """
    if NONE in options.tagger:
        return []
    there = known_folders(host)
    if options.tagger:
        own = {tagger.name for tagger in own_taggers(options, host)}
        return list(
            dict.fromkeys(
                _folder(name, there, host, job or Job())
                for name in options.tagger
                if name not in own
            )
        )
    if there and not can_run():
        log.warning(
            "%s: found a tagger and no onnxruntime; captions stay plain until it is installed",
            there[0],
        )
        return []
    return there[:1]


def own_taggers(options: CaptionSettings, host: Host) -> list[HostTagger]:
    """The host's own taggers that the settings name."""
    return (
        []
        if NONE in options.tagger
        else [tagger for tagger in host.taggers() if tagger.name in options.tagger]
    )


def open_taggers(options: CaptionSettings, host: Host, job: Job | None = None) -> Taggers | None:
    """The chosen taggers, ready; None where there are none.

    Raises: TaggerError, MissingPackageError, JobCancelled.
    """
    folders, own = chosen_folders(options, host, job), own_taggers(options, host)
    return Taggers(folders, own) if folders or own else None


def _folder(name: str, there: Sequence[Path], host: Host, job: Job) -> Path:
    if Path(name).is_dir():
        return Path(name)  # what is wrong in it is told when it is opened
    wanted = known_name(name)
    found = named(wanted or name, [*there, *(cached_by_the_hub(wanted) if wanted else ())])
    if found is None and wanted:
        found = fetch_tagger(wanted, home_of(host), job)
    if found is None:
        known = (
            ", ".join(
                [*(folder.name for folder in there), *(tagger.name for tagger in host.taggers())]
            )
            or "none"
        )
        raise TaggerError(
            f"caption.tagger: found no folder '{name}', expected one with {' and '.join(FILES)}"
            f" (there are: {known}), none, or a name to download: {', '.join(NAMES)}"
        )
    return found


def marks(folders: Sequence[Path], own: Sequence[HostTagger] = ()) -> list[str]:
    """What changes when another tagger looks, for fingerprints; a large model is not read for it."""
    there = [folder for folder in folders if is_tagger(folder)]
    hosts = [tagger.name for tagger in own]
    return [
        f"{file_hash(folder / FILES[1])}/{(folder / FILES[0]).stat().st_size}" for folder in there
    ] + hosts


def looking(options: CaptionSettings) -> dict[str, Any]:
    """The settings that decide what is seen, without those that decide what is written of it."""
    return {item.name: getattr(options, item.name) for item in fields(TaggerSettings)}


def tags_above(scores: TagScores, options: CaptionSettings) -> list[str]:
    """Tags that count as seen, most certain first; the rating last, when it is asked for."""
    general, character = options.general_threshold, options.character_threshold
    if options.thresholds == "MCut":
        general = max(LOWEST_MCUT, mcut_threshold(list(scores.general.values())))
        character = (
            max(LOWEST_MCUT, mcut_threshold(list(scores.character.values())))
            if scores.character
            else character
        )
    found = scores.above(general, character)
    if options.rating and scores.rating:
        found.append(f"rating:{max(scores.rating, key=lambda name: scores.rating[name])}")
    return found


def names_of(folders: Sequence[Path]) -> dict[str, set[str]]:
    """{"names", "tags"}: the known characters and the other tags that these taggers know, as the
    atlas writes tags.
    """
    rows = [row for folder in folders for row in read_tags(folder)]
    return {
        "names": {plain(name) for name, category in rows if category == CHARACTER},
        "tags": {plain(name) for name, category in rows if category != CHARACTER},
    }
