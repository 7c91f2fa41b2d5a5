"""Settings of the crops."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting


@dataclass(frozen=True)
class CropSettings:
    """Crops."""

    views: tuple[str, ...] = setting(
        (), label="Views", help="Names of the views to crop; empty: all that fit the picture."
    )
    details: int = setting(
        2,
        label="Detail close-ups",
        low=0,
        high=8,
        help=(
            "Close-ups of the most detailed places (a bow, a badge); raise it for elaborate "
            "outfits."
        ),
    )
    boxes: tuple[str, ...] = setting(
        (),
        label="Boxes",
        help=(
            "Moves a view or adds a custom one: name:left:top:right:bottom in pixels of the "
            "prepared picture, separated by commas."
        ),
    )
    detector: str = setting(
        "",
        label="Detector",
        path="program",
        help=(
            "ONNX file of a YOLO face or head detector (as ultralytics exports it), for pictures "
            "whose views miss the head."
        ),
    )
