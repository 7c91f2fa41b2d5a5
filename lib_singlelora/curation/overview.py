"""What prepare, crop, caption and regularize found and chose, as plain values for whoever shows it.

Nothing is written or renamed here, so that it can be asked while a job is at work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image, ImageColor, ImageDraw

from ..captions.atlas import NAME, plain
from ..captions.edits import tag_table
from ..captions.order import unique
from ..captions.pruning import Policy, Trait, policy_of
from ..captions.tokens import LIMIT
from ..crops.coverage import moved
from ..errors import NotFoundError, SettingsError, WorkspaceError
from ..files.fileio import read_json
from ..imaging.load import picture_size, read_rgb
from ..settings.schema import Settings
from ..sheets.lettering import font, length, write
from ..workspace.kohya_folders import ignored_files, list_pictures, read_caption
from ..workspace.repeats import left_out
from ..workspace.stage_record import check
from ..workspace.workspace import STAGES, Workspace
from .captions import count, undoable
from .mask import SHOWN
from .regularization import STAGE

COLOURS = ("#d62828", "#1d6fd1", "#1a936f", "#b5179e", "#e07a00", "#5f0fd1", "#007f8c", "#7f5539")


def artifacts_of(workspace: Workspace) -> list[dict[str, Any]]:
    """Each finding: its name for `prepare.clean_artifacts`, where, how large, what it may become,
    whether it was cleaned.
    """
    try:
        found = read_json(workspace.artifacts)
        check(
            found,
            {
                "artifacts": [
                    {"name": str, "kind": str, "sentence": str, "cleaned": bool, "*": None}
                ],
                "*": None,
            },
            "source/artifacts.json",
        )
    except (OSError, WorkspaceError):
        return []
    return [dict(artifact) for artifact in found["artifacts"]]


def crops_of(settings: Settings, workspace: Workspace) -> list[dict[str, Any]]:
    """Each crop: real pixels, bucket, how much enlarged, confidence, box, symmetry; of the user's
    own only name and file.
    """
    views = workspace.record("crop").data.get("views", {})
    return [
        {
            "name": path.stem,
            "file": path.relative_to(workspace.root).as_posix(),
            **views.get(path.stem, {}),
        }
        for path in _crops(settings, workspace)
    ]


def boxes_picture(settings: Settings, workspace: Workspace) -> Image.Image:
    """The prepared picture with the box and the name of each crop, its long side SHOWN pixels.

    A small one is enlarged: where a browser shows a picture smaller than its place, gradio tells
    clicks on it wrongly.
    Raises: WorkspaceError.
    """
    if not workspace.prepared.exists():
        raise NotFoundError(
            f"{workspace.root}: found no prepared picture, expected source/prepared.png; call"
            " 'prepare' first"
        )
    image = read_rgb(workspace.prepared)
    whole = image.width
    factor = SHOWN / max(image.size)
    image = image.resize(
        (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    )
    pen, scale, face = ImageDraw.Draw(image), image.width / whole, font(11)
    boxes = [(crop["name"], crop["box"]) for crop in crops_of(settings, workspace) if "box" in crop]
    for index, (name, box) in enumerate(boxes):
        left, top, right, bottom = (round(value * scale) for value in box)
        colour = COLOURS[index % len(COLOURS)]
        pen.rectangle(
            (left, top, max(left, right - 1), max(top, bottom - 1)), outline=colour, width=3
        )
        at = left + 6, min(image.height - 14, top + 5 + 13 * (index % 4))
        pen.rectangle((*at, at[0] + length(name, face), at[1] + 13), fill="white")
        write(image, at, name, ImageColor.getrgb(colour)[:3], face)
    return image


def box_added(
    settings: Settings, workspace: Workspace, name: str, box: tuple[int, int, int, int]
) -> dict[str, Any]:
    """The settings that move a crop to a box (pixels of the prepared picture), or add one of that
    name.

    Raises: SettingsError, WorkspaceError.
    """
    if not workspace.prepared.exists():
        raise NotFoundError(
            f"{workspace.root}: found no prepared picture, expected source/prepared.png; call"
            " 'prepare' first"
        )
    text = ":".join([name.strip(), *map(str, box)])
    # A mistake is told before anything is changed
    own = moved([], [text], picture_size(workspace.prepared))[0].name
    kept = [
        each
        for each in settings.crop.boxes
        if each.partition(":")[0].strip().replace(" ", "_") != own
    ]
    views = (
        (*settings.crop.views, own)
        if settings.crop.views and own not in settings.crop.views
        else settings.crop.views
    )
    return {"crop.boxes": (*kept, text), "crop.views": views}


def crop_left_out(settings: Settings, workspace: Workspace, name: str) -> dict[str, Any]:
    """The settings without a crop.

    Raises: SettingsError, when it is none of the proposed ones, or the last.
    """
    views = workspace.record("crop").data.get("views", {})
    left = [view for view in views if view != name]
    if name not in views or not left:
        raise SettingsError(
            f"crop: found '{name}', expected one of {', '.join(views) or 'the crops'}, and another"
            " one that stays; a picture of your own is deleted in its folder"
        )
    kept = tuple(
        box
        for box in settings.crop.boxes
        if box.partition(":")[0].strip().replace(" ", "_") != name
    )
    return {"crop.views": tuple(left), "crop.boxes": kept}


def captions_of(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """captions: text, tokens and what is beyond the limit, by crop.  tags: how often each.
    undoable, limit.

    unreadable: what is wrong with the texts that are none; training refuses them.
    """
    texts, unreadable = {}, []
    for path in _crops(settings, workspace):
        try:
            texts[path.stem] = read_caption(path)
        except WorkspaceError as error:
            texts[path.stem] = ""
            unreadable.append(str(error))
    return {
        "unreadable": unreadable,
        "captions": {name: {"text": text, **asdict(count(text))} for name, text in texts.items()},
        "tags": tag_table(texts.values()),
        "undoable": undoable(workspace),
        "limit": LIMIT,
    }


def traits_of(settings: Settings, workspace: Workspace) -> list[dict[str, Any]]:
    """What the crops tell of her: tag, category, seen in how many of how many crops, and whether
    captions leave it out now.
    """
    traits = _traits(workspace)
    policy, hers = _policy(settings, traits), _hers(traits)
    return [{**asdict(trait), "left_out": policy.prunes(trait.tag, hers)} for trait in traits]


def traits_chosen(
    settings: Settings, workspace: Workspace, left_out: Collection[str]
) -> dict[str, Any]:
    """The settings that leave out exactly these of her traits: what the policy says otherwise goes
    to `keep` and `drop`.
    """
    traits, wanted = _traits(workspace), set(map(plain, left_out))
    own = {trait.tag for trait in traits}
    keep = [tag for tag in settings.caption.keep if plain(tag) not in own]
    drop = [tag for tag in settings.caption.drop if plain(tag) not in own]
    bare = settings.with_values({"caption.keep": keep, "caption.drop": drop})
    policy, hers = _policy(bare, traits), _hers(traits)
    keep += [
        trait.tag for trait in traits if trait.tag not in wanted and policy.prunes(trait.tag, hers)
    ]
    drop += [
        trait.tag for trait in traits if trait.tag in wanted and not policy.prunes(trait.tag, hers)
    ]
    return {"caption.keep": tuple(unique(keep)), "caption.drop": tuple(unique(drop))}


def regularization_of(settings: Settings, workspace: Workspace) -> list[dict[str, Any]]:
    """Each picture of the set: file, whether it stays, why not, who decided, prompt and seed."""
    folders = {True: workspace.reg_folder(settings), False: workspace.root / "reg" / "rejected"}
    found = []
    for name, own in sorted(workspace.record(STAGE).data.get("decisions", {}).items()):
        # Where it lies counts: a person may have moved it since.
        kept = next(
            (
                kept
                for kept in (own["kept"], not own["kept"])
                if (folders[kept] / f"{name}.png").exists()
            ),
            None,
        )
        if kept is not None:
            file = (folders[kept] / f"{name}.png").relative_to(workspace.root).as_posix()
            found.append(
                {
                    "name": name,
                    "file": file,
                    "kept": kept,
                    "reasons": list(own["reasons"]),
                    "by": own["by"],
                    "prompt": own["prompt"],
                    "seed": own["seed"],
                }
            )
    return found


def dataset_of(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """All of it."""
    data: Mapping[str, Any] = workspace.record("crop").data
    return {
        "artifacts": artifacts_of(workspace),
        "crops": crops_of(settings, workspace),
        "symmetry": data.get("symmetry"),
        "repeats": data.get("repeats"),
        "traits": traits_of(settings, workspace),
        **captions_of(settings, workspace),
        "regularization": regularization_of(settings, workspace),
        "notes": {
            **{stage: list(workspace.record(stage).data.get("notes", ())) for stage in STAGES[:4]},
            "train": [*left_out(settings, workspace), *_ignored(settings, workspace)],
        },
    }


def _traits(workspace: Workspace) -> list[Trait]:
    return [Trait(**values) for values in workspace.record("caption").data.get("traits", ())]


def _hers(traits: Collection[Trait]) -> frozenset[str]:
    return frozenset(trait.tag for trait in traits if trait.shared)


def _policy(settings: Settings, traits: Collection[Trait]) -> Policy:
    return policy_of(settings.caption, [trait.tag for trait in traits if trait.category == NAME])


def _ignored(settings: Settings, workspace: Workspace) -> list[str]:
    return ignored_files(workspace.image_folder(settings)) if settings.character.trigger else []


def _crops(settings: Settings, workspace: Workspace) -> list[Path]:
    """The crops, in whatever folder of the character they lie."""
    return list_pictures(workspace.image_folder(settings)) if settings.character.trigger else []
