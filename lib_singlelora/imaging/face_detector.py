"""The face, head or person by a YOLO detector of the user's, or by OpenCV's cascade.

Detectors are ONNX files as ultralytics exports them, with class names in the metadata.  Outputs:
    v8 and later: one plane of 4 + classes rows;
    v5: 5 + classes columns;
    with non-maximum suppression inside: rows of box, score, class.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..errors import ImageModelError
from .boxes import PixelBox, box_size
from .onnx_model import first_line, open_model

Array = NDArray[np.float32]
KINDS = ("face", "head", "person")
USUAL_SIDE = 640  # for a model that takes any side
GREY = 114  # of the border around a picture in the model's square
LEAST = 0.35  # score of a detection


@dataclass(frozen=True)
class Found:
    """A detection.

    kind: one of KINDS.
    box: in the picture.
    score: 0 to 1.
    """

    kind: str
    box: PixelBox
    score: float


class Detector:
    """A detector from its file.

    Raises: ImageModelError, for a file that is missing, broken, of another shape, or that knows
        none of KINDS; MissingPackageError, without onnxruntime.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._session = open_model(path, "a detector", "crop.detector")
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape)
        if (
            len(inputs) != 1
            or len(shape) != 4
            or (shape[1] not in (3, None) and not isinstance(shape[1], str))
        ):
            raise ImageModelError(
                f"{path.name}: found {len(inputs)} inputs, the first {shape}, expected one [1, 3,"
                " side, side]; choose a detector as ultralytics exports them"
            )
        self._input = inputs[0].name
        self.side = shape[2] if isinstance(shape[2], int) else USUAL_SIDE
        self.names = self._read_names()
        self._kinds = {
            number: kind
            for number, name in self.names.items()
            for kind in KINDS
            if kind in name.lower()
        }
        if not self._kinds:
            classes = ", ".join(list(self.names.values())[:6]) or "no class names"
            raise ImageModelError(
                f"{path.name}: found a detector of {classes}, expected one of {', '.join(KINDS)};"
                " choose another"
            )

    def detect(self, image: Image.Image) -> list[Found]:
        """The surest detection of each kind, the surest first.

        Raises: ImageModelError.
        """
        factor = self.side / max(image.size)
        size = max(1, round(image.width * factor)), max(1, round(image.height * factor))
        left = (self.side - size[0]) // 2
        top = (self.side - size[1]) // 2
        square = np.full((self.side, self.side, 3), GREY, dtype=np.float32)
        small = image.convert("RGB").resize(size, Image.Resampling.BILINEAR)
        square[top : top + size[1], left : left + size[0]] = np.asarray(small)
        try:
            pixels = np.ascontiguousarray(square.transpose(2, 0, 1)[None] / 255)
            out = np.asarray(self._session.run(None, {self._input: pixels})[0], dtype=np.float32)
        except Exception as error:
            raise ImageModelError(
                f"{self.path.name}: the model failed on the picture ({first_line(error)}); get the"
                " file again"
            ) from error
        boxes, scores = self._read(out)
        detections = []
        for kind in KINDS:
            classes = [number for number, name in self._kinds.items() if name == kind]
            if not classes or not len(scores):
                continue
            best = scores[:, classes].max(axis=1)
            row = int(best.argmax())
            if best[row] < LEAST:
                continue
            sides = (boxes[row] - np.array([left, top, left, top])) / factor
            limit = (image.width, image.height) * 2
            box = tuple(
                int(np.clip(round(float(value)), 0, most))
                for value, most in zip(sides, limit, strict=True)
            )
            if box[2] > box[0] and box[3] > box[1]:
                detections.append(
                    Found(kind, (box[0], box[1], box[2], box[3]), round(float(best[row]), 3))
                )
        return sorted(detections, key=lambda detection: -detection.score)

    def _read(self, out: Array) -> tuple[Array, Array]:
        """(boxes, scores) of any of the three outputs.

        boxes: corners in the square's pixels, (N, 4).
        scores: (N, classes).
        Raises: ImageModelError, for another output.
        """
        count = max(self.names) + 1
        if (
            out.ndim == 3
            and out.shape[2] == 6
            and out.shape[1] <= 1000
            and not (count == 1 and out.shape[1] > 300)
        ):
            rows = out[0]
            scores = np.zeros((len(rows), count), dtype=np.float32)
            inside = (rows[:, 5] >= 0) & (rows[:, 5] < count)
            scores[np.flatnonzero(inside), rows[inside, 5].astype(int)] = rows[inside, 4]
            return rows[:, :4], scores
        if out.ndim == 3 and out.shape[1] == 4 + count:
            rows = out[0].T
            return _corners(rows[:, :4]), rows[:, 4:]
        if out.ndim == 3 and out.shape[2] == 5 + count:
            rows = out[0]
            return _corners(rows[:, :4]), rows[:, 4:5] * rows[:, 5:]
        raise ImageModelError(
            f"{self.path.name}: found an output of shape {list(out.shape)}, expected [1,"
            f" {4 + count}, N], [1, N, {5 + count}] or [1, N, 6]; choose a detector as ultralytics"
            " exports them"
        )

    def _read_names(self) -> dict[int, str]:
        """The class names by number, from the model's metadata."""
        text = self._session.get_modelmeta().custom_metadata_map.get("names", "")
        try:
            names: Any = ast.literal_eval(text) if text else {}
        except (ValueError, SyntaxError):
            return {}
        if isinstance(names, (list, tuple)):
            names = dict(enumerate(names))
        if not isinstance(names, dict):
            return {}
        return {int(number): str(name) for number, name in names.items()}


def _corners(boxes: Array) -> Array:
    """Boxes by their corners, from boxes by middle and size, (N, 4)."""
    half = boxes[:, 2:] / 2
    return np.concatenate([boxes[:, :2] - half, boxes[:, :2] + half], axis=1)


def face_of(found: list[Found]) -> PixelBox | None:
    """The face's box: as it was detected, or where it lies in a head."""
    by_kind = {detection.kind: detection.box for detection in found}
    if "face" in by_kind:
        return by_kind["face"]
    if "head" not in by_kind:
        return None
    # Hair is around the face, more of it above than below.
    left, top, right, bottom = by_kind["head"]
    wide, high = box_size(by_kind["head"])
    return (
        round(left + 0.18 * wide),
        round(top + 0.35 * high),
        round(right - 0.18 * wide),
        round(bottom - 0.03 * high),
    )


def photographed_face(image: Image.Image) -> PixelBox | None:
    """A frontal face in a photograph, by OpenCV's cascade; None without one or without OpenCV."""
    try:
        import cv2
    except ImportError:
        return None
    folder = getattr(getattr(cv2, "data", None), "haarcascades", "")
    file = Path(folder) / "haarcascade_frontalface_default.xml"
    if not file.is_file():
        return None
    factor = min(1.0, 640 / max(image.size))
    small = image.convert("L").resize(
        (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    )
    least = max(24, round(0.06 * max(small.size)))
    faces = cv2.CascadeClassifier(str(file)).detectMultiScale(
        np.asarray(small), 1.1, 6, minSize=(least, least)
    )
    if not len(faces):
        return None
    left, top, wide, high = (
        float(value) / factor for value in max(faces, key=lambda face: int(face[2]) * int(face[3]))
    )
    # The cascade's square goes from the middle of the hairline to below the chin, and beyond the
    # cheeks.
    return (
        round(left + 0.14 * wide),
        round(top + 0.18 * high),
        round(left + 0.86 * wide),
        round(top + 0.97 * high),
    )
