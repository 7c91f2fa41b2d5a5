"""Detectors in the three forms that ultralytics exports, on small models with a known answer; the
cascade on the photograph.
"""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import onnx
from onnx import TensorProto, helper, numpy_helper

from lib_singlelora.errors import ImageModelError
from lib_singlelora.imaging.face_detector import Detector, Found, face_of, photographed_face

SIDE = 64
PHOTOGRAPH = Path(__file__).parents[1] / "data" / "astronaut.png"
# Boxes as middle and size in the square's pixels, then the scores of "face" and "person".
SEEN = np.array(
    [[32, 20, 16, 12, 0.9, 0.1], [32, 32, 40, 60, 0.05, 0.8], [10, 10, 4, 4, 0.2, 0.1]],
    dtype=np.float32,
)


def write(
    path: Path, answer: np.ndarray, names: str = "{0: 'face', 1: 'person'}", channels: int = 3
) -> Path:
    """A model that answers every picture alike."""
    shape = [1, channels, SIDE, SIDE]
    zero = numpy_helper.from_array(np.zeros(1, dtype=np.float32), "zero")
    known = numpy_helper.from_array(answer.astype(np.float32), "known")
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "zero"], ["nothing"]),
        helper.make_node("Add", ["known", "nothing"], ["output0"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("output0", TensorProto.FLOAT, list(answer.shape))],
        [zero, known],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, {"names": names})
    onnx.save(model, str(path))
    return path


def corners(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([rows[:, :2] - rows[:, 2:4] / 2, rows[:, :2] + rows[:, 2:4] / 2], axis=1)


V8 = SEEN.T[None]
V5 = np.concatenate([SEEN[:, :4], np.ones((3, 1), np.float32), SEEN[:, 4:]], axis=1)[None]
WHOLE = np.concatenate(
    [corners(SEEN), SEEN[:, 4:].max(axis=1, keepdims=True), SEEN[:, 4:].argmax(axis=1)[:, None]],
    axis=1,
)[None]


@pytest.mark.parametrize("answer", [V8, V5, WHOLE], ids=["v8", "v5", "suppressed"])
def test_every_form_is_read_and_brought_back_to_the_picture(
    answer: np.ndarray, tmp_path: Path
) -> None:
    # A letterbox of 16 above and below
    found = Detector(write(tmp_path / "d.onnx", answer)).detect(Image.new("RGB", (128, 64)))
    assert found == [Found("face", (48, 0, 80, 20), 0.9), Found("person", (24, 0, 104, 64), 0.8)]


def test_a_face_lies_in_the_lower_middle_of_a_head() -> None:
    head = Found("head", (100, 100, 200, 220), 0.9)
    assert face_of([head]) == (118, 142, 182, 216)
    assert face_of([head, Found("face", (1, 2, 3, 4), 0.5)]) == (1, 2, 3, 4)
    assert face_of([Found("person", (0, 0, 9, 9), 0.9)]) is None


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            {"answer": V8, "names": "{0: 'car'}"},
            "found a detector of car, expected one of face, head, person",
        ),
        ({"answer": V8, "names": ""}, "found a detector of no class names"),
        ({"answer": np.zeros((1, 9, 9))}, r"found an output of shape \[1, 9, 9\]"),
        (
            {"answer": V8, "channels": 4},
            r"the first \[1, 4, 64, 64\], expected one \[1, 3, side, side\]",
        ),
    ],
)
def test_another_model_is_one_clear_line(
    made: dict[str, object], told: str, tmp_path: Path
) -> None:
    with pytest.raises(ImageModelError, match=told):
        Detector(write(tmp_path / "d.onnx", **made)).detect(Image.new("RGB", (64, 64)))


def test_a_file_that_is_none_is_told(tmp_path: Path) -> None:
    (tmp_path / "d.onnx").write_text("text")
    with pytest.raises(ImageModelError, match="no ONNX model that can be opened"):
        Detector(tmp_path / "d.onnx")
    with pytest.raises(
        ImageModelError, match=r"expected a detector \(.onnx\); check crop.detector"
    ):
        Detector(tmp_path / "none.onnx")


def test_the_cascade_sees_the_face_of_the_photograph_and_none_in_a_plain_picture() -> None:
    pytest.importorskip("cv2")
    with Image.open(PHOTOGRAPH) as image:
        box = photographed_face(image)
    assert box is not None
    left, top, right, bottom = box
    # Eyes and mouth
    assert left < 205 and right > 240 and top < 113 and bottom > 145 and right - left < 120
    assert photographed_face(Image.new("RGB", (300, 300), "white")) is None
