"""A plain shape behind the figure, such as a circle or a wash of colour, on a page of another
colour.

To a flood from the picture's border the shape is part of the figure.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from .colour import Lab, distance, to_lab
from .components import label_regions
from .flat_background import FlatBackground, flood_from_border

WORKING_SIDE = 512
RIM = 0.35  # of the pixels just inside the outline that have the shape's colour, at least
PLAIN = 8.0  # ΔE within which they do
OTHER = 6.0  # ΔE from the page; what is nearer may be the character's white clothes
LARGE = 0.3  # of the figure: smaller things are the character's
PURE = 0.8  # of what would be taken away that has the shape's colour
AROUND = 0.6  # of the shape's rows that have it on both sides of the figure
WHOLE = 0.9  # of what is left that hangs together; robes leave face, hands and feet apart
Mask = NDArray[np.bool_]
LabColour = NDArray[np.float32]


class BackdropShape:
    """The colour along the inside of a flat background's outline, where there is one.

    A figure has several colours there, by its parts, but for robes and the like, which are told
    from a shape by what is left without them.
    """

    def __init__(self, image: Image.Image, flat: FlatBackground) -> None:
        scale = min(1.0, WORKING_SIDE / max(image.size))
        self.size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        self.full_size = image.size
        self.lab: Lab = to_lab(image.resize(self.size, Image.Resampling.BOX))
        self.mask: Mask = self._small(flat.mask)
        self.page: LabColour = to_lab(Image.new("RGB", (1, 1), flat.colour))[0, 0]
        self.colour = self._rim_colour()

    def figure(self) -> Image.Image | None:
        """The mask (L) without what a flood from the page through the shape's colour reaches; None
        where no shape is reached, as behind a drawn outline.
        """
        if self.colour is None or distance(self.colour, self.page) <= OTHER:
            return None
        reached = flood_from_border(~self.mask | self._is_shape() | self._is_edge())
        mask = Image.fromarray(np.where(self.mask & ~reached, 255, 0).astype(np.uint8))
        # One pixel of the shape stays in every mixture along the figure's edge
        mask = mask.filter(ImageFilter.MedianFilter(3))
        mask = mask.resize(self.full_size, Image.Resampling.BICUBIC)
        return mask if self._is_behind(mask) else None

    def _is_behind(self, figure: Image.Image) -> bool:
        """Whether the figure (L) leaves a plain shape: large, of one colour that is not the page's,
        on both sides of a figure that hangs together.
        """
        inner = self._small(figure) & self.mask
        rest = self.mask & ~inner
        if rest.sum() < LARGE * max(1, inner.sum()):
            return False
        alike = rest & self._is_shape()
        before = np.cumsum(alike, axis=1) > 0
        after = np.cumsum(alike[:, ::-1], axis=1)[:, ::-1] > 0
        around = (inner & before & after).any(axis=1).sum()
        labels, _ = label_regions(inner)
        largest = np.bincount(labels[inner]).max(initial=0)
        return bool(
            alike.sum() > PURE * rest.sum()
            and around > AROUND * alike.any(axis=1).sum()
            and largest > WHOLE * inner.sum()
        )

    def _small(self, mask: Image.Image) -> Mask:
        return np.asarray(mask.resize(self.size, Image.Resampling.BOX)) > 127

    def _is_shape(self) -> Mask:
        near: Mask = distance(self.lab, self._colour()) < PLAIN
        return near

    def _is_edge(self) -> Mask:
        """Mixtures of the page and the shape along the outline, where no line is drawn."""
        shape = self._colour()
        along = shape - self.page
        share = np.clip(((self.lab - self.page) @ along) / (along @ along), 0, 1)[..., None]
        mixed = distance(self.lab, (self.page + share * along).astype(np.float32)) < PLAIN
        strip: Mask = self._inside(3) & mixed
        return strip

    def _colour(self) -> LabColour:
        assert self.colour is not None
        return self.colour

    def _inside(self, reach: int) -> Mask:
        """The pixels of the mask up to `reach` from its outline."""
        framed = Image.fromarray(self.mask).convert("L")
        deeper = np.asarray(framed.filter(ImageFilter.BoxBlur(reach))) > 254
        inside: Mask = self.mask & ~deeper
        return inside

    def _rim_colour(self) -> LabColour | None:
        """The colour (L*a*b*) of most of the strip inside the mask's outline; None if it has
        several.

        The strip begins beyond the line that is drawn around figures.
        """
        outer = max(1, round(max(self.size) / 85))
        strip = self.lab[self._inside(2 * outer) & ~self._inside(outer)]
        if len(strip) < 16:
            return None
        # The commonest colour, to 8 L*a*b*, then the mean of what is alike
        cells, counts = np.unique(np.round(strip / PLAIN), axis=0, return_counts=True)
        alike = strip[distance(strip, cells[counts.argmax()] * np.float32(PLAIN)) < PLAIN]
        if len(alike) < RIM * len(strip):
            return None
        mean: LabColour = alike.mean(axis=0)
        return mean
