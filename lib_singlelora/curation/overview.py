"""The data set of a workspace as plain values: artifacts, crops, traits, captions, regularization.

Nothing is written or renamed here, so that it can be asked for while a job is at work.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ..captions.edits import tag_table
from ..captions.order import unique
from ..captions.pruning import Policy, Trait, policy_of
from ..captions.tag_categories import NAME, plain
from ..captions.tokens import LIMIT
from ..crops.coverage import moved
from ..errors import NotFoundError, SettingsError, WorkspaceError
from ..files.fileio import read_json
from ..imaging.load import picture_size
from ..settings.schema import Settings
from ..workspace.captions import doubts_in
from ..workspace.kohya_folders import ignored_files, list_pictures, read_caption
from ..workspace.repeats import left_out
from ..workspace.stage_record import check
from ..workspace.substeps import substeps_of
from ..workspace.workspace import STAGES, Workspace
from .captions import count, undoable
from .regularization import STAGE

# The shape of source/artifacts.json, as `check` reads shapes
ARTIFACT = {"name": str, "kind": str, "sentence": str, "cleaned": bool, "*": None}
ARTIFACTS = {"artifacts": [ARTIFACT], "*": None}


def artifacts_of(workspace: Workspace) -> list[dict[str, Any]]:
    """The artifacts found in the picture, by the names that `prepare.clean_artifacts` takes.

    Empty where they were not looked for, or where the list is damaged.
    """
    try:
        values = read_json(workspace.artifacts)
        check(values, ARTIFACTS, "source/artifacts.json")
    except (OSError, WorkspaceError):
        return []
    return [dict(artifact) for artifact in values["artifacts"]]


def crops_of(settings: Settings, workspace: Workspace) -> list[dict[str, Any]]:
    """Each crop: name, file, real pixels, bucket, enlargement, confidence, box and symmetry.

    Pictures that the user added have only name and file.
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


def _refuse_unprepared(workspace: Workspace) -> None:
    """Raises: NotFoundError, when nothing is prepared."""
    if not workspace.prepared.exists():
        raise NotFoundError(
            f"{workspace.root}: found no prepared picture, expected source/prepared.png; call"
            " 'prepare' first"
        )


def add_box(
    settings: Settings, workspace: Workspace, name: str, box: tuple[int, int, int, int]
) -> dict[str, Any]:
    """The settings that move a crop to a box, or add a crop of that name.

    box: left, top, right, bottom, pixels of the prepared picture.
    Raises: SettingsError, for a bad box; NotFoundError, when nothing is prepared.
    """
    _refuse_unprepared(workspace)
    text = ":".join([name.strip(), *map(str, box)])
    # Read as `crop` will read it: a mistake is reported before anything is changed.
    view = moved([], [text], picture_size(workspace.prepared))[0].name
    views = settings.crop.views
    if views and view not in views:
        views = (*views, view)
    return {"crop.boxes": (*_boxes_without(settings, view), text), "crop.views": views}


def _boxes_without(settings: Settings, view: str) -> tuple[str, ...]:
    """`crop.boxes` without those of a view."""
    return tuple(
        box
        for box in settings.crop.boxes
        if box.partition(":")[0].strip().replace(" ", "_") != view
    )


def leave_out_crop(settings: Settings, workspace: Workspace, name: str) -> dict[str, Any]:
    """The settings that cut all crops but one.

    Raises: SettingsError, when it is none of those that are cut, or the last.
    """
    views = workspace.record("crop").data.get("views", {})
    placed = [box.partition(":")[0].strip().replace(" ", "_") for box in settings.crop.boxes]
    known = list(dict.fromkeys([*(settings.crop.views or views), *placed]))
    remaining = tuple(view for view in known if view != name)
    if name not in known or not remaining:
        raise SettingsError(
            f"crop: found '{name}', expected one of {', '.join(known) or 'the crops'}, and another"
            " one that stays; a picture of your own is deleted in its folder"
        )
    # A box that was drawn by hand and taken away again leaves the proposed views as they were
    is_proposed = name in views or bool(settings.crop.views)
    return {
        "crop.views": remaining if is_proposed else settings.crop.views,
        "crop.boxes": _boxes_without(settings, name),
    }


def captions_of(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """The captions and what is counted in them.

    captions: text, tokens and the part beyond the limit, by crop.
    tags: how many captions have each.
    undoable: how many changes can be taken back.
    limit: tokens that are trained without `training.max_token_length`.
    unreadable: errors of the texts that cannot be read; training refuses them.
    """
    texts = {}
    unreadable = []
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
    """The character's traits: tag, category, in how many of how many crops each is seen.

    Then the tags that some crops cannot show, whatever the tagger says.

    left_out: whether captions leave it out.
    reason: why a tag is doubted, and in which crops; '' for a trait.
    """
    traits = _traits(workspace)
    policy = _policy(settings, traits)
    shared = _shared_tags(traits)
    known = {trait.tag for trait in traits}
    return [
        *(
            {**asdict(trait), "left_out": policy.prunes(trait.tag, shared), "reason": ""}
            for trait in traits
        ),
        *(
            {
                "tag": tag,
                "category": policy.category(tag),
                "seen": len(reasons),
                "visible": 0,
                "left_out": not policy.keeps(tag),
                "reason": _in_words(reasons),
            }
            for tag, reasons in _doubted(workspace).items()
            if tag not in known and not policy.prunes(tag, shared)
        ),
    ]


def _doubted(workspace: Workspace) -> dict[str, dict[str, str]]:
    """Of each doubted tag the crops that cannot show it, and why."""
    doubted: dict[str, dict[str, str]] = {}
    for crop, doubts in doubts_in(workspace.record("caption")).items():
        for doubt in doubts:
            doubted.setdefault(plain(doubt.tag), {})[crop] = doubt.reason
    return dict(sorted(doubted.items()))


def _in_words(reasons: Mapping[str, str]) -> str:
    """Reasons by crop as one text, each said once."""
    crops: dict[str, list[str]] = {}
    for crop, reason in reasons.items():
        crops.setdefault(reason, []).append(crop)
    return "; ".join(f"{', '.join(names)}: {reason}" for reason, names in crops.items())


def choose_traits(
    settings: Settings, workspace: Workspace, left_out: Collection[str]
) -> dict[str, Any]:
    """The settings with which captions leave out exactly these of the character's traits.

    Only where the policy says otherwise, a tag goes to `caption.keep` or `caption.drop`.  Of the
    doubted tags those that are not left out stay wherever the tagger sees them.
    """
    traits = _traits(workspace)
    wanted = set(map(plain, left_out))
    doubted = _doubted(workspace)
    tags = {trait.tag for trait in traits} | set(doubted)
    keep = [tag for tag in settings.caption.keep if plain(tag) not in tags]
    drop = [tag for tag in settings.caption.drop if plain(tag) not in tags]
    bare = settings.with_values({"caption.keep": keep, "caption.drop": drop})
    policy = _policy(bare, traits)
    shared = _shared_tags(traits)
    for trait in traits:
        is_pruned = policy.prunes(trait.tag, shared)
        if is_pruned and trait.tag not in wanted:
            keep.append(trait.tag)
        elif not is_pruned and trait.tag in wanted:
            drop.append(trait.tag)
    keep += [tag for tag in doubted if tag not in wanted and not policy.keeps(tag)]
    return {"caption.keep": tuple(unique(keep)), "caption.drop": tuple(unique(drop))}


def regularization_of(settings: Settings, workspace: Workspace) -> list[dict[str, Any]]:
    """Each picture of the set: file, whether it stays, why not, who decided, prompt and seed."""
    folders = {True: workspace.reg_folder(settings), False: workspace.root / "reg" / "rejected"}
    pictures = []
    for name, decision in sorted(workspace.record(STAGE).data.get("decisions", {}).items()):
        # Where it lies counts: the user may have moved it since.
        for kept in (decision["kept"], not decision["kept"]):
            path = folders[kept] / f"{name}.png"
            if path.exists():
                picture = {
                    "name": name,
                    "file": path.relative_to(workspace.root).as_posix(),
                    "kept": kept,
                    "reasons": list(decision["reasons"]),
                    "by": decision["by"],
                    "prompt": decision["prompt"],
                    "seed": decision["seed"],
                }
                pictures.append(picture)
                break
    return pictures


def dataset_of(settings: Settings, workspace: Workspace) -> dict[str, Any]:
    """The whole data set; the keys are part of the HTTP API."""
    data: Mapping[str, Any] = workspace.record("crop").data
    return {
        "artifacts": artifacts_of(workspace),
        "substeps": substeps_of(workspace),
        "crops": crops_of(settings, workspace),
        "symmetry": data.get("symmetry"),
        "repeats": data.get("repeats"),
        "traits": traits_of(settings, workspace),
        **captions_of(settings, workspace),
        "regularization": regularization_of(settings, workspace),
        "notes": {
            **{stage: list(workspace.record(stage).data.get("notes", ())) for stage in STAGES[:4]},
            STAGE: [
                *workspace.record(STAGE).data.get("notes", ()),
                *filter(None, [settings.class_unshown()]),
            ],
            "train": [*left_out(settings, workspace), *_ignored(settings, workspace)],
        },
    }


def _traits(workspace: Workspace) -> list[Trait]:
    return [Trait(**values) for values in workspace.record("caption").data.get("traits", ())]


def _shared_tags(traits: Collection[Trait]) -> frozenset[str]:
    """The traits that the crops have in common."""
    return frozenset(trait.tag for trait in traits if trait.shared)


def _policy(settings: Settings, traits: Collection[Trait]) -> Policy:
    return policy_of(settings.caption, [trait.tag for trait in traits if trait.category == NAME])


def _ignored(settings: Settings, workspace: Workspace) -> list[str]:
    return ignored_files(workspace.image_folder(settings)) if settings.character.trigger else []


def _crops(settings: Settings, workspace: Workspace) -> list[Path]:
    """The crops, in whatever folder of the character they lie."""
    return list_pictures(workspace.image_folder(settings)) if settings.character.trigger else []
