"""The face that tells a photograph, by OpenCV's cascade."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.imaging import grabcut

cv2: Any = pytest.importorskip("cv2")
EXAMPLES = Path(__file__).parents[2] / "examples"
PHOTOGRAPH = Path(__file__).parents[1] / "data" / "astronaut.png"


def pictures() -> list[Any]:
    """BGR, of several sizes."""
    files = [PHOTOGRAPH, *sorted(EXAMPLES.glob("*/*.png"))[:6], PHOTOGRAPH]
    shown = [Image.open(path).convert("RGB") for path in files]
    for image, side in zip(shown, (512, 128, 200, 300, 150, 128, 256, 300), strict=True):
        image.thumbnail((side, side))
    return [np.ascontiguousarray(np.asarray(image)[..., ::-1]) for image in shown]


def test_a_cascade_that_looked_before_finds_what_a_new_one_finds() -> None:
    given = pictures()
    again = [grabcut._largest_face(cv2, pixels) for pixels in (*given, *given)]
    alone = []
    for pixels in given:
        grabcut._kept.__dict__.clear()
        alone.append(grabcut._largest_face(cv2, pixels))
    assert again == [*alone, *alone]
    assert alone[0] is not None and alone[-1] not in (None, alone[0])


def test_each_thread_has_a_cascade_of_its_own() -> None:
    found = [grabcut._frontal_faces(cv2)]
    thread = threading.Thread(target=lambda: found.append(grabcut._frontal_faces(cv2)))
    thread.start()
    thread.join()
    assert grabcut._frontal_faces(cv2) is found[0]
    assert found[1] is not found[0]
