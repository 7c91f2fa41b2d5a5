"""The figure in a sheet's pictures, colours at their places, beside the source's.

A tagger counts traits that it has words for; colours and where they are need none.  On the embedded
checkpoint both together order the cells more like the truth than either does (docs/recipes.md).
"""

from __future__ import annotations

from collections.abc import Collection

from PIL import Image

from ..captions.tag_categories import category_of, plain
from ..imaging.load import read_rgb
from ..imaging.mask_reader import read_mask
from ..metrics.placewise import Fields, fields_of, likeness
from ..workspace.crops import view_box, view_tags
from ..workspace.workspace import Workspace

FRAMINGS = frozenset(("full body", "cowboy shot", "upper body", "portrait"))
POSES = frozenset(("pose", "hands", "gesture", "viewpoint", "gaze"))
# Before other backgrounds figures are often cut out wrongly.
PLAIN = frozenset(("simple background", "white background"))


class SourceFigure:
    """What the source shows of the character in the framing that a sheet's prompt asks for.

    named: tags of the prompt.  Without a framing that a crop has and a plain background, or with
        another pose than standing, there is nothing to compare.
    """

    def __init__(self, workspace: Workspace, named: Collection[str]) -> None:
        self._fields = _source_fields(workspace, {plain(tag) for tag in named})

    @property
    def is_asked_for(self) -> bool:
        """True where a picture of the prompt should look like the source."""
        return self._fields is not None

    def likeness(self, picture: Image.Image) -> float | None:
        """0 to 1, 1 = the source's colours at all places of the figure.

        None where there is nothing to compare, or the picture shows no figure.
        """
        drawn = fields_of(picture) if self._fields is not None else None
        return likeness(drawn, self._fields) if drawn is not None else None


def _source_fields(workspace: Workspace, named: set[str]) -> Fields | None:
    asked = FRAMINGS & named
    if len(asked) != 1 or not PLAIN & named or not _as_the_source(named):
        return None
    framing = next(iter(asked))
    for name, tags in view_tags(workspace).items():
        box = view_box(workspace, name)
        if framing in map(plain, tags) and box and workspace.mask.exists():
            mask = read_mask(workspace.mask).image.crop(box)
            return fields_of(read_rgb(workspace.prepared).crop(box), mask)
    return None


def _as_the_source(named: set[str]) -> bool:
    """True for a prompt that asks for no other pose or view than a standing figure's from ahead."""
    poses = {tag for tag in named if category_of(tag) in POSES}
    return poses <= {"standing", "looking at viewer"}
