"""WD taggers: a folder with `model.onnx` and `selected_tags.csv`.

The contract: input NHWC float32, 0–255, BGR, on a white square; output one probability for each row
of the table.
Source: SmilingWolf's tagger repositories (v2 and v3) and their demonstration space.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..captions.text import spaced
from ..errors import MissingPackageError, TaggerError

log = logging.getLogger(__name__)

# Categories of the table.
GENERAL = "0"
CHARACTER = "4"
RATING = "9"
# Best first, without TensorRT, which compiles for minutes.  The CPU comes last: a CUDA build may
# not fit the CUDA of the machine.
PROVIDERS = (
    "CUDAExecutionProvider",
    "ROCMExecutionProvider",
    "DmlExecutionProvider",
    "CoreMLExecutionProvider",
    "CPUExecutionProvider",
)
Array = NDArray[np.float32]


@dataclass(frozen=True)
class TagScores:
    """The probability (0 to 1) of each tag, with spaces for underscores (kaomoji keep theirs)."""

    general: dict[str, float]
    character: dict[str, float]
    rating: dict[str, float]

    def above(self, general: float = 0.35, character: float = 0.85) -> list[str]:
        """The tags above the threshold of their kind, most certain first, without ratings."""
        kept = {tag: score for tag, score in self.general.items() if score > general}
        kept |= {tag: score for tag, score in self.character.items() if score > character}
        return sorted(kept, key=lambda tag: -kept[tag])


def mcut_threshold(scores: Sequence[float]) -> float:
    """The midpoint of the largest gap of the sorted probabilities.

    Source: Largeron, Moulin, Géry 2012, "MCut: A Thresholding Strategy for Multi-label
    Classification".
    """
    ordered = np.sort(np.asarray(scores, dtype=np.float64))[::-1]
    if len(ordered) < 2:
        return 0.5
    gap = int(np.argmax(ordered[:-1] - ordered[1:]))
    return float((ordered[gap] + ordered[gap + 1]) / 2)


class WdTagger:
    """A tagger from its folder.

    batch_size: pictures at once, if the model's input allows any number.
    Raises: TaggerError, if the folder does not follow the contract; MissingPackageError, without
        onnxruntime.
    """

    def __init__(self, folder: Path, batch_size: int = 4) -> None:
        self.folder = folder
        self._tags = read_tags(folder)
        self._session = _open_model(folder / "model.onnx")
        self._input, self.side, self._fixed = self._read_input()
        self.batch_size = self._fixed or batch_size
        width = self._session.get_outputs()[0].shape[-1]
        if isinstance(width, int):
            self._check_width(width)

    def tag(self, images: Sequence[Image.Image]) -> list[TagScores]:
        """The scores of each picture (of any mode).  Raises: TaggerError."""
        scores: list[TagScores] = []
        for start in range(0, len(images), self.batch_size):
            part = [to_input(image, self.side) for image in images[start : start + self.batch_size]]
            padding = [np.zeros_like(part[0])] * (self.batch_size - len(part) if self._fixed else 0)
            rows = self._run(np.stack(part + padding))[: len(part)]
            scores += [self._scores(row) for row in rows]
        return scores

    def _run(self, pixels: Array) -> Array:
        try:
            rows: Array = np.asarray(
                self._session.run(None, {self._input: pixels})[0], dtype=np.float32
            )
        except Exception as error:
            # The GPU's memory may be full of the checkpoint.
            if self._session.get_providers()[0] != PROVIDERS[-1]:
                log.warning(
                    "%s: the GPU failed (%s); continuing on the CPU",
                    self.folder.name,
                    _first_line(error),
                )
                self._session = _open_model(self.folder / "model.onnx", PROVIDERS[-1:])
                return self._run(pixels)
            raise TaggerError(
                f"{self.folder}: the model failed on a picture ({_first_line(error)}); "
                "get its files again"
            ) from error
        if rows.ndim != 2:
            raise TaggerError(
                f"{self.folder}: found an output of shape {rows.shape}, expected (pictures, tags); "
                "choose a WD tagger"
            )
        self._check_width(rows.shape[1])
        return rows

    def _scores(self, row: Array) -> TagScores:
        kinds: dict[str, dict[str, float]] = {GENERAL: {}, CHARACTER: {}, RATING: {}}
        for (name, category), score in zip(self._tags, row.tolist(), strict=True):
            kinds.get(category, {})[name] = score
        return TagScores(kinds[GENERAL], kinds[CHARACTER], kinds[RATING])

    def _read_input(self) -> tuple[str, int, int | None]:
        """Name, side and fixed batch size (None: any) of the input.

        Raises: TaggerError, for another input.
        """
        inputs = self._session.get_inputs()
        shape = list(inputs[0].shape)
        kind = inputs[0].type
        square = (
            len(shape) == 4 and shape[3] == 3 and shape[1] == shape[2] and isinstance(shape[1], int)
        )
        if len(inputs) != 1 or not square or kind != "tensor(float)":
            raise TaggerError(
                f"{self.folder / 'model.onnx'}: found an input {shape} of {kind}, expected "
                "[N, side, side, 3] of tensor(float); choose a WD tagger (v2 or v3)"
            )
        return inputs[0].name, shape[1], shape[0] if isinstance(shape[0], int) else None

    def _check_width(self, width: int) -> None:
        if width != len(self._tags):
            raise TaggerError(
                f"{self.folder}: found {len(self._tags)} tags in selected_tags.csv, expected the"
                f" model's {width}; take both files from the same tagger"
            )


def to_input(image: Image.Image, side: int) -> Array:
    """The picture over white, centred on a white square: (side, side, 3), BGR, 0–255."""
    side_of_all = max(image.size)
    place = (side_of_all - image.width) // 2, (side_of_all - image.height) // 2
    if image.mode in ("RGB", "L") and "transparency" not in image.info:
        # Nothing shows through, and a large crop takes less than half of the time so
        square = image.convert("RGB")
        if image.width != image.height:
            square = Image.new("RGB", (side_of_all, side_of_all), "white")
            square.paste(image, place)
    else:
        layers = Image.new("RGBA", (side_of_all, side_of_all), "white")
        layers.alpha_composite(image.convert("RGBA"), place)
        square = layers.convert("RGB")
    shrunk = square.resize((side, side), Image.Resampling.BICUBIC)
    return np.ascontiguousarray(np.asarray(shrunk, dtype=np.float32)[..., ::-1])


def read_tags(folder: Path) -> list[tuple[str, str]]:
    """(name, category) of each row of `selected_tags.csv`.  Raises: TaggerError."""
    path = folder / "selected_tags.csv"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = csv.DictReader(file)
            if not {"name", "category"} <= set(rows.fieldnames or ()):
                raise TaggerError(
                    f"{path}: found the columns {rows.fieldnames}, expected"
                    " tag_id,name,category,count; get the file again"
                )
            return [(spaced(row["name"] or ""), row["category"] or "") for row in rows]
    except FileNotFoundError:
        raise TaggerError(
            f"{folder}: found no selected_tags.csv, expected it beside model.onnx; "
            "get both files of a WD tagger"
        ) from None
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TaggerError(f"{path}: cannot be read ({error}); get the file again") from None


def _open_model(path: Path, names: Sequence[str] = PROVIDERS) -> Any:
    """A session on the best of these providers that works here.

    Raises: TaggerError, MissingPackageError.
    """
    if not path.is_file():
        raise TaggerError(
            f"{path.parent}: found no model.onnx, expected it beside selected_tags.csv; "
            "get both files of a WD tagger"
        )
    try:
        import onnxruntime
    except ImportError:
        raise MissingPackageError(
            "the tagger needs the package onnxruntime; install it, or set caption.tagger=none"
        ) from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    available = [name for name in names if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=available)
    except Exception as error:
        if len(available) > 1:
            log.warning(
                "%s: the GPU cannot be used (%s); continuing on the CPU",
                path.parent.name,
                _first_line(error),
            )
            return _open_model(path, available[-1:])
        raise TaggerError(
            f"{path}: found no ONNX model that can be opened ({_first_line(error)}); "
            "get the file again"
        ) from error


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:160]
