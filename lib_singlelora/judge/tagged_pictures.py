"""Pictures in memory, and what a tagger sees in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from ..imaging.load import read_rgb
from ..metrics.copying import crop_part
from ..metrics.damage import HEAD
from ..metrics.retention import TagProbabilities
from ..tagging.ensemble import Taggers


def tag_pictures(tagger: Taggers | None, images: Sequence[Image.Image]) -> list[TagProbabilities]:
    """The probabilities of the general tags of each picture; nothing without a tagger."""
    return [scores.general for scores in tagger.tag(images)] if tagger else []


def tag_heads(tagger: Taggers | None, images: Sequence[Image.Image]) -> list[TagProbabilities]:
    """The same of where a standing figure's head is."""
    return tag_pictures(tagger, [crop_part(image, HEAD) for image in images])


def read_pictures(paths: Iterable[Path]) -> list[Image.Image]:
    """The pictures, in memory."""
    return [read_rgb(path) for path in paths]
