"""What the captions say of the character's clothes: what a prompt must name to bring them.

With `caption.outfit=keep` the LoRA's clothes live under their tags and not under the trigger.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..captions.pruning import CLOTHES
from ..captions.tag_categories import category_of, plain
from ..captions.text import split_tags
from ..settings.schema import Settings
from .crops import view_box, view_tags
from .kohya_folders import list_pictures, read_caption
from .workspace import Workspace

# From the closest framing to the widest; each shows all that those before it do
FRAMINGS = ("portrait", "upper body", "cowboy shot", "full body")
MOST_CLOTHES = 12  # tags of clothes in a prompt; more would leave no room for anything else


@dataclass(frozen=True)
class Outfit:
    """What the widest crop shows, in its caption's words.

    framing: one of FRAMINGS; '' where the crop has none of them.
    clothes: the tags of clothes that its caption names; none where captions leave them out.
    """

    framing: str
    clothes: tuple[str, ...]


def named_outfit(settings: Settings, workspace: Workspace) -> Outfit:
    """The outfit as the widest crop's caption names it.

    The widest crop is the one that shows most of the source; of crops that were not cut from it,
    the one whose caption names the widest framing.
    """
    pictures = list_pictures(workspace.image_folder(settings))
    captions = {path: tuple(map(plain, split_tags(read_caption(path)))) for path in pictures}
    views = view_tags(workspace)

    def width(path: Path) -> tuple[int, int]:
        left, top, right, bottom = view_box(workspace, path.stem) or (0, 0, 0, 0)
        framing = _framing((*views.get(path.stem, ()), *captions[path]))
        return (right - left) * (bottom - top), _rank(framing)

    widest = max(pictures, key=width, default=None)
    if widest is None:
        return Outfit("", ())
    tags = captions[widest]
    clothes = dict.fromkeys(tag for tag in tags if category_of(tag) in CLOTHES)
    framing = _framing((*views.get(widest.stem, ()), *tags))
    return Outfit(framing, tuple(clothes)[:MOST_CLOTHES])


def _framing(tags: Sequence[str]) -> str:
    """The first of the tags that is a framing, or ''."""
    return next((tag for tag in tags if tag in FRAMINGS), "")


def _rank(framing: str) -> int:
    return FRAMINGS.index(framing) if framing in FRAMINGS else -1
