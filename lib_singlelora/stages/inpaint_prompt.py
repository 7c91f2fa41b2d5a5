"""The prompt for a part of a picture: what the crops show there."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from ..captions.prompt_language import prompt_of
from ..captions.pruning import CLOTHES, hidden, outfit_trigger
from ..captions.tag_categories import category_of, plain
from ..captions.text import split_tags
from ..crops.views import overlap
from ..imaging.boxes import PixelBox
from ..imaging.mask_reader import read_mask
from ..settings.schema import Settings
from ..workspace.captions import seen_tags
from ..workspace.crops import view_box, view_tags
from ..workspace.kohya_folders import list_pictures, read_caption
from ..workspace.workspace import Workspace

COVERS = 0.6  # share of the masked part that a crop must show to say what is worn there
AWAY = frozenset(("from behind", "from side", "facing away", "profile", "looking away"))
ALIKE = 0.35  # intersection over union from which on a crop's framing is taken for the drawn part


def region_prompt(
    settings: Settings, workspace: Workspace, mask: Path | None = None, box: PixelBox | None = None
) -> str:
    """The default prompt: trigger, class, framing, and what is worn in the masked part.

    mask: of the prepared picture; None for another picture, or for all of it: then the clothes that
        most crops agree on.
    box: the part of the prepared picture that is drawn; None for another picture, whose framing is
        not known.
    """
    character = settings.character
    hole = read_mask(mask).image.getbbox() if mask else None
    return part_prompt(character.trigger, character.class_token, settings, workspace, hole, box)


def part_prompt(
    trigger: str,
    class_token: str,
    settings: Settings,
    workspace: Workspace,
    hole: PixelBox | None,
    box: PixelBox | None,
) -> str:
    """As `region_prompt`.  trigger: '' for a prompt that names the class alone."""
    seen = _tags_by_crop(settings, workspace)
    views = view_tags(workspace)
    clothes = _worn_in(workspace, hole, seen) if hole else _worn(seen, views)
    framing = _framing(workspace, box) if box else ()
    gaze = () if "gaze" in hidden(framing) else ("looking at viewer",)
    return prompt_of((*_subject(trigger, class_token, settings), "solo", *framing, *clothes, *gaze))


def pose_prompt(
    trigger: str, class_token: str, settings: Settings, workspace: Workspace, pose: str
) -> str:
    """A whole figure in a pose, before a plain background, with the clothes of most crops; it looks
    at the viewer unless the pose says otherwise, so that it is not drawn from behind.

    trigger: '' for a prompt that names the class alone, and no clothes.
    """
    clothes = _worn(_tags_by_crop(settings, workspace), view_tags(workspace)) if trigger else []
    subject = _subject(trigger, class_token, settings)
    gaze = () if turned_away(pose) else ("looking at viewer",)
    return prompt_of((*subject, "solo", "full body", pose, *gaze, *clothes, "simple background"))


def turned_away(pose: str) -> bool:
    """True where a pose shows no face, or a profile."""
    return bool(AWAY & {tag.strip() for tag in pose.lower().split(",")})


def _subject(trigger: str, class_token: str, settings: Settings) -> tuple[str, ...]:
    """The words that call the character, the outfit's trigger among them; or the class alone."""
    words = (trigger, class_token, outfit_trigger(settings.caption)) if trigger else (class_token,)
    return tuple(word for word in words if word)


def _framing(workspace: Workspace, box: PixelBox) -> tuple[str, ...]:
    """The tags of the crop that shows most nearly the same part; none where no crop comes near."""
    views = view_tags(workspace)
    overlaps = {name: overlap(box, view) for name in views if (view := view_box(workspace, name))}
    nearest = max(overlaps, key=lambda name: overlaps[name], default="")
    return views[nearest] if overlaps.get(nearest, 0) >= ALIKE else ()


def _tags_by_crop(settings: Settings, workspace: Workspace) -> dict[str, list[str]]:
    """The tags of each crop's caption by the stem of its file; without one, what taggers saw.

    Of a caption of two lines the first counts, which names the clothes.  A caption leaves to the
    trigger what the trigger has learned: naming that beside it would ask for what the checkpoint
    makes of the word.
    """
    tags = {name: list(map(plain, seen)) for name, seen in seen_tags(workspace).items()}
    for folder in workspace.own_folders(settings):
        for picture in list_pictures(folder):
            caption = read_caption(picture)
            if caption and view_box(workspace, picture.stem):
                tags[picture.stem] = list(map(plain, split_tags(caption.splitlines()[0])))
    return tags


def _clothes(tags: Iterable[str]) -> list[str]:
    return [tag for tag in tags if category_of(tag) in CLOTHES]


def _worn_in(workspace: Workspace, hole: PixelBox, seen: dict[str, list[str]]) -> list[str]:
    """The clothes in the smallest crop that shows the masked part."""
    boxes = {name: box for name in seen if (box := view_box(workspace, name))}
    showing = [name for name, box in boxes.items() if shared(hole, box) >= COVERS]
    if not showing:
        return _worn(seen, view_tags(workspace))
    return _clothes(seen[min(showing, key=lambda name: _area(boxes[name]))])


def _worn(seen: dict[str, list[str]], views: dict[str, tuple[str, ...]]) -> list[str]:
    """The clothes in most of the crops that show the head, or in most of all crops."""
    with_head = [
        name for name in seen if not hidden(views.get(name, ())) & {"hair colour", "hair length"}
    ]
    crops = with_head or list(seen)
    counts = Counter(tag for name in crops for tag in _clothes(seen[name]))
    return [tag for tag, count in counts.items() if 2 * count > len(crops)]


def _area(box: PixelBox) -> int:
    return max(0, box[2] - box[0]) * max(0, box[3] - box[1])


def shared(part: PixelBox, box: PixelBox) -> float:
    """Share of a part that lies in a box."""
    inner = (max(part[0], box[0]), max(part[1], box[1]), min(part[2], box[2]), min(part[3], box[3]))
    return _area(inner) / max(1, _area(part))
