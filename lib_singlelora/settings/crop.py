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
    most_enlarged: float = setting(
        3.0,
        label="Soft from",
        low=1,
        high=100,
        unit="times",
        help=(
            "A view that training enlarges more than this, counted from the pixels of your own "
            "picture, is soft; a larger picture gives sharper close-ups."
        ),
    )
    soft_views: str = setting(
        "mark",
        label="Soft views",
        choices=("mark", "drop"),
        help="mark says which views are soft; drop leaves them out, unless crop.boxes names them.",
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
