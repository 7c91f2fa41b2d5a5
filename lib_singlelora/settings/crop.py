"""Settings of the crops."""

from __future__ import annotations

from dataclasses import dataclass

from .declare import setting


@dataclass(frozen=True)
class CropSettings:
    """The named views cut from the picture."""

    views: tuple[str, ...] = setting(
        (), label="Views", help="Names of the views to cut; empty means all that fit."
    )
    details: int = setting(
        2,
        label="Detail close-ups",
        low=0,
        high=8,
        help=(
            "Close-ups of the places where most is drawn (a bow, a badge); more for elaborate"
            " clothes."
        ),
    )
    boxes: tuple[str, ...] = setting(
        (),
        label="Boxes",
        help=(
            "Moves a view, or adds one of your own: name:left:top:right:bottom "
            "in pixels of the prepared picture, commas between them."
        ),
    )
    detector: str = setting(
        "",
        label="Detector",
        path="program",
        help=(
            "ONNX file of the YOLO kind for faces or heads (ultralytics' export), "
            "when the views miss them."
        ),
    )
