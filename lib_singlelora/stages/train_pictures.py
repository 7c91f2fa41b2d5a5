"""The pictures of a training, and what is odd about them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from pathlib import Path

from ..captions.pruning import outfit_trigger
from ..captions.text import split_tags
from ..captions.trigger_text import has_trigger
from ..crops.buckets import Size, nearest_bucket
from ..crops.views import FRAMINGS
from ..errors import PictureError, SettingsError, TrainingError
from ..files.fileio import file_hash
from ..imaging.load import load_picture, picture_size
from ..settings.schema import Settings
from ..settings.timesteps import range_of, view_ranges
from ..training.epoch_plan import MaskPart, Picture, class_samples
from ..workspace.crops import view_box, view_pixels, view_symmetry, view_tags
from ..workspace.kohya_folders import ignored_files, list_pictures, read_caption, training_folders
from ..workspace.workspace import Workspace

FULL_BODY = "full body"  # the tag of a crop that shows the whole figure
WITH_THE_HEAD = frozenset(("portrait", "upper body", "cowboy shot"))
DETAIL = frozenset(("close-up", "face focus", "head out of frame"))  # of crops that show a part
LONGEST = 225  # tokens: the most that training.max_token_length allows


def collect_pictures(
    settings: Settings, workspace: Workspace, buckets: list[Size]
) -> list[Picture]:
    """Every picture of the dataset with its caption and bucket.

    Raises: TrainingError, when there are no crops; SettingsError, for timesteps of a view that no
        crop is.
    """
    folder = workspace.image_folder(settings)
    crops = list_pictures(folder)
    reg = list_pictures(workspace.reg_folder(settings))
    if not crops:
        raise TrainingError(
            f"{folder}: found no pictures, expected crops; call 'crop' and 'caption' first"
        )
    if not shows_the_class(settings):
        reg = []
    shown = _repeats(settings, workspace, crops)
    pictures = [_crop_picture(path, settings, workspace, buckets, shown[path]) for path in crops]
    for source in generated_sources(workspace):
        for part in training_folders(source.root / "image"):
            pictures += [
                _crop_picture(path, settings, source, buckets, part.repeats)
                for path in part.pictures()
            ]
    _check_views(settings, workspace, pictures)
    return [*pictures, *(_class_picture(path, settings, buckets) for path in reg)]


def shows_the_class(settings: Settings) -> bool:
    """True if training uses pictures of the class."""
    wanted = settings.regularization.count or settings.regularization.as_used
    return bool(wanted) and not settings.class_unshown()


def character_samples(settings: Settings, workspace: Workspace) -> int:
    """How many samples of the character the whole training shows."""
    in_an_epoch = len(list_pictures(workspace.image_folder(settings))) * settings.training.repeats
    for source in generated_sources(workspace):
        in_an_epoch += sum(
            len(part.pictures()) * part.repeats for part in training_folders(source.root / "image")
        )
    return in_an_epoch * settings.training.epochs


def pictures_used(settings: Settings, workspace: Workspace) -> int:
    """How many pictures of the class the training can use."""
    training = settings.training
    samples = character_samples(settings, workspace)
    if not samples:
        return 0
    return class_samples(samples // training.epochs, training.class_share) * training.epochs


def generated_sources(workspace: Workspace) -> list[Workspace]:
    """The workspaces of the pictures that a LoRA drew and that were added to the data set."""
    folders = [path.parent for path in (workspace.root / "generated").glob("*/settings.json")]
    return [Workspace(path, create=False) for path in sorted(folders) if not path.is_symlink()]


def _repeats(settings: Settings, workspace: Workspace, crops: Sequence[Path]) -> dict[Path, int]:
    """How often an epoch shows each crop: as often in all as without any shares."""
    options = settings.training
    tags = {path: set(_tags(path.stem, read_caption(path), workspace)) for path in crops}
    whole = [path for path in crops if FULL_BODY in tags[path]]
    parts = [path for path in crops if FULL_BODY not in tags[path]]
    details = [path for path in parts if tags[path] & DETAIL and not tags[path] & WITH_THE_HEAD]
    framed = [path for path in parts if path not in details]
    total = options.repeats * len(crops)
    of_whole = options.repeats * len(whole)
    if whole and parts:  # never fewer than the others
        wanted = min(round(total * options.full_body_share), total - len(parts))
        of_whole = max(of_whole, wanted)
    groups = [(whole, of_whole), (parts, total - of_whole)]
    if options.detail_share and details and framed:
        alike = (total - of_whole) * len(details) // len(parts)
        of_details = min(alike, max(len(details), round(total * options.detail_share)))
        groups[1:] = [(details, of_details), (framed, total - of_whole - of_details)]
    shown: dict[Path, int] = {}
    for group, samples in groups:
        if group:
            each, more = divmod(samples, len(group))
            shown |= {path: each + (number < more) for number, path in enumerate(group)}
    return shown


def _crop_picture(
    path: Path, settings: Settings, workspace: Workspace, buckets: list[Size], repeats: int
) -> Picture:
    character = settings.character
    caption = read_caption(path) or f"{character.trigger}, {character.class_token}"
    sides = view_symmetry(workspace, path.stem)
    size, bucket = _size_and_bucket(path, buckets)
    return Picture(
        path,
        caption,
        bucket,
        repeats,
        False,
        character.trigger,
        _mask(path, workspace) if settings.training.needs_masks else None,
        bool(sides and sides.flip),
        range_of(
            _tags(path.stem, caption, workspace), view_ranges(settings.training.view_timesteps)
        ),
        character.class_token,
        settings.caption.outfit == "both",
        outfit_trigger(settings.caption),
        size,
        view_pixels(workspace, path.stem),
    )


def _tags(name: str, caption: str, workspace: Workspace) -> tuple[str, ...]:
    """The tags that say what a crop shows: its view's, or its caption's where it was not cut."""
    views = view_tags(workspace)
    return views[name] if name in views else tuple(split_tags(_first_line(caption)))


def _check_views(settings: Settings, workspace: Workspace, pictures: list[Picture]) -> None:
    """Refuse timesteps for a view that the program cannot cut and no picture shows.

    Raises: SettingsError, naming the nearest view.
    """
    known = {tag for framing in FRAMINGS for tag in framing.tags}
    shown = {
        tag.casefold()
        for picture in pictures
        for tag in _tags(picture.path.stem, picture.caption, workspace)
    }
    for entry in view_ranges(settings.training.view_timesteps):
        if entry.tag not in known | shown:
            near = difflib.get_close_matches(entry.tag, known, n=1, cutoff=0.0)
            raise SettingsError(
                f"training.view_timesteps: found '{entry.tag}', which is no crop's tag; did you"
                f" mean '{near[0]}'? There are: {', '.join(sorted(known))}"
            )


def _class_picture(path: Path, settings: Settings, buckets: list[Size]) -> Picture:
    size, bucket = _size_and_bucket(path, buckets)
    caption = read_caption(path) or settings.character.class_token
    return Picture(path, caption, bucket, 1, True, file_size=size)


def _size_and_bucket(path: Path, buckets: list[Size]) -> tuple[Size, Size]:
    try:
        size = picture_size(path)
        return size, nearest_bucket(size, buckets)
    except PictureError as error:
        raise TrainingError(f"{path.parent.name}/{error}, or take it out of the folder") from error


def _mask(path: Path, workspace: Workspace) -> MaskPart | None:
    """A view's part of the picture's mask; None for the user's own pictures, trained whole."""
    box = view_box(workspace, path.stem)
    return MaskPart(workspace.mask, box) if box and workspace.mask.exists() else None


def identity(pictures: list[Picture], workspace: Workspace) -> list[object]:
    """The values that a resumed training must find unchanged."""
    masks = {picture.mask.path for picture in pictures if picture.mask}
    ranges = [picture.timesteps for picture in pictures]
    turns = [(picture.takes_turns, picture.outfit_trigger) for picture in pictures]
    turns = [turn for turn in turns if any(turn)]
    shown = [
        (workspace.relative(p.path), file_hash(p.path), p.caption, p.bucket, p.repeats, p.symmetric)
        for p in pictures
    ]
    return [
        shown,
        *([sorted(file_hash(mask) for mask in masks)] if masks else []),
        *([ranges] if any(ranges) else []),
        *([turns] if any(turns) else []),
    ]


def unused_files(settings: Settings, workspace: Workspace) -> list[str]:
    """Notes on files beside the pictures that are not trained on, and on how pictures were read."""
    folders = [workspace.image_folder(settings)]
    if shows_the_class(settings):
        folders.append(workspace.reg_folder(settings))
    notes = [note for folder in folders for note in ignored_files(folder)]
    for folder in folders:
        # Stages write plain PNGs; other kinds are the user's, and are read to know their notes.
        others = [path for path in list_pictures(folder) if path.suffix.lower() != ".png"]
        notes += [note for path in others for note in load_picture(path).notes]
    return notes


def oddities(
    pictures: Sequence[Picture], trigger: str, longest: int, count_tokens: Callable[[str], int]
) -> list[str]:
    """Notes on what the user should check before the training.

    longest: CLIP tokens of a caption that are trained.
    count_tokens: of the host's model.
    """
    notes = []
    first_with_hash: dict[str, Path] = {}
    for picture in pictures:
        if tokens := _too_long(_trained_lines(picture), longest, count_tokens):
            remedy = (
                "shorten it"
                if longest >= LONGEST
                else "shorten it or raise training.max_token_length"
            )
            notes.append(
                f"{picture.path.name}: its caption has {tokens} tokens, and {longest} are trained:"
                f" its last tags are left out; {remedy}"
            )
        if picture.regularization:
            continue
        first = first_with_hash.setdefault(file_hash(picture.path), picture.path)
        if first != picture.path:
            notes.append(
                f"{picture.path.name} is the same picture as {first.name}: it counts twice"
            )
        if not read_caption(picture.path):
            notes.append(f"{picture.path.name} has an empty caption: '{picture.caption}' is used")
        elif not all(has_trigger(line, trigger) for line in _trained_lines(picture)):
            notes.append(
                f"{picture.path.name}: its caption lacks the trigger '{trigger}': it teaches the"
                " class, not the character"
            )
        if (lines := len(picture.caption.splitlines())) > len(_trained_lines(picture)):
            notes.append(
                f"{picture.path.name}: its caption has {lines} lines, and the first is trained"
            )
    return notes


def _first_line(caption: str) -> str:
    return caption.splitlines()[0] if caption else ""


def _trained_lines(picture: Picture) -> list[str]:
    """The lines of a picture's caption that are trained: the first, or all that take turns."""
    lines = picture.caption.splitlines() or [""]
    return lines if picture.takes_turns else lines[:1]


def _too_long(lines: list[str], longest: int, count_tokens: Callable[[str], int]) -> int:
    """The most tokens of a line if it has more than are trained, else 0."""
    # A token has at least one byte, so a short line needs no counting.
    counts = [count_tokens(line) for line in lines if len(line) > longest]
    return max((tokens for tokens in counts if tokens > longest), default=0)
