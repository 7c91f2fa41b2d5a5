"""Matting models: real ONNX files, small enough to be built here, in the shapes of the field's
models.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from lib_singlelora.errors import ImageModelError, PictureError, SettingsError
from lib_singlelora.imaging.background import foreground_mask
from lib_singlelora.imaging.mask_refinement import refine
from lib_singlelora.imaging.matting import ANIME_SEG, BIREFNET, ISNET, U2NET, MattingModel, to_input

onnx = pytest.importorskip("onnx", reason="builds its models with onnx")
pytest.importorskip("onnxruntime")


def write_model(
    path: Path,
    side: int | str = 32,
    *,
    channels: int = 3,
    name: str = "input.1",
    gain: float = 1.0,
    bias: float = 0.0,
    sigmoid: bool = True,
    planes: int = 1,
) -> Path:
    """A model that answers with the first channel (red), gained and shifted, through a sigmoid or
    bare.
    """
    helper = onnx.helper
    kinds = onnx.TensorProto
    weights = np.zeros((planes, channels, 1, 1), np.float32)
    weights[:, 0] = gain
    nodes = [
        helper.make_node("Conv", [name, "weights", "bias"], ["raw"]),
        helper.make_node("Sigmoid" if sigmoid else "Identity", ["raw"], ["out"]),
    ]
    graph = helper.make_graph(
        nodes,
        "matting",
        [helper.make_tensor_value_info(name, kinds.FLOAT, [1, channels, side, side])],
        [helper.make_tensor_value_info("out", kinds.FLOAT, [1, planes, side, side])],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(np.full(planes, bias, np.float32), "bias"),
        ],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
        str(path),
    )
    return path


def red_box(size: tuple[int, int] = (120, 90)) -> tuple[Image.Image, np.ndarray]:
    """A red box on blue, and where it is."""
    image = Image.new("RGB", size, (0, 0, 255))
    ImageDraw.Draw(image).rectangle((30, 20, 79, 69), fill=(255, 0, 0))
    return image, np.asarray(image)[..., 0] > 127


@pytest.mark.parametrize(
    ("name", "file", "side", "family"),
    [
        ("input.1", "u2net", 320, U2NET),
        ("input_image", "isnet-general-use", 1024, ISNET),
        ("img", "isnetis", 1024, ANIME_SEG),
        ("input_image", "BiRefNet-general-epoch_244", 1024, BIREFNET),
    ],
)
def test_the_family_is_told_from_the_file(
    tmp_path: Path, name: str, file: str, side: int, family: object
) -> None:
    assert MattingModel(write_model(tmp_path / f"{file}.onnx", side, name=name)).family == family


def test_pictures_arrive_normalised_as_their_family_wants_it() -> None:
    white = Image.new("RGB", (50, 50), "white")
    means = {
        family: to_input(white, 8, family)[0][0, :, 4, 4] for family in (U2NET, ISNET, ANIME_SEG)
    }
    assert np.allclose(
        means[U2NET], (np.ones(3) - (0.485, 0.456, 0.406)) / (0.229, 0.224, 0.225), atol=1e-5
    )
    assert np.allclose(means[ISNET], np.ones(3) - (0.485, 0.456, 0.406), atol=1e-5)
    assert np.allclose(means[ANIME_SEG], 1)


def test_anime_seg_gets_the_whole_picture_on_a_black_square() -> None:
    given, box = to_input(Image.new("RGB", (100, 50), "white"), 64, ANIME_SEG)
    assert box == (0, 16, 64, 48)
    assert given[0, :, :16].max() == 0 and given[0, :, 20].min() == 1


@pytest.mark.parametrize(
    ("name", "sigmoid"), [("input.1", True), ("input.1", False), ("img", True)]
)
def test_the_mask_lies_where_the_model_sees_the_character(
    tmp_path: Path, name: str, sigmoid: bool
) -> None:
    image, truth = red_box()
    model = MattingModel(
        write_model(tmp_path / "u2net.onnx", 32, name=name, gain=10, bias=-5, sigmoid=sigmoid)
    )
    found = foreground_mask(image, None, "auto", model)
    assert (found.method, found.reliable) == ("matting model", True)
    assert found.mask.size == image.size
    # The model saw the picture at a quarter of its size; drawn along the picture's own edges its
    # mask is exact.
    assert np.abs(np.asarray(found.mask) / 255 - truth).mean() < 0.01


def test_a_model_that_takes_any_size_gets_the_usual_one(tmp_path: Path) -> None:
    assert MattingModel(write_model(tmp_path / "isnet.onnx", "side")).side == 1024


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"channels": 4}, r"the first \[1, 4, 32, 32\]"),
        ({"text": True}, "no ONNX model"),
        ({"missing": True}, "no such file"),
    ],
)
def test_a_file_of_another_kind_is_one_clear_line(
    tmp_path: Path, change: dict[str, object], told: str
) -> None:
    path = tmp_path / "model.onnx"
    if "text" in change:
        path.write_text("no model")
    elif "missing" not in change:
        write_model(path, **change)
    with pytest.raises(ImageModelError, match=told) as caught:
        MattingModel(path)
    assert "\n" not in str(caught.value) and "expected" in str(caught.value)


def test_an_upscaler_s_onnx_is_refused_by_its_output(tmp_path: Path) -> None:
    path = tmp_path / "up.onnx"
    helper = onnx.helper
    kinds = onnx.TensorProto
    graph = helper.make_graph(
        [helper.make_node("Concat", ["x", "x"], ["y"], axis=3)],
        "up",
        [helper.make_tensor_value_info("x", kinds.FLOAT, [1, 3, 32, 32])],
        [helper.make_tensor_value_info("y", kinds.FLOAT, [1, 3, 32, 64])],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8),
        str(path),
    )
    with pytest.raises(ImageModelError, match=r"an output of shape \[1, 3, 32, 64\]"):
        MattingModel(path).mask(red_box()[0])


def test_a_model_that_sees_nobody_says_so(tmp_path: Path) -> None:
    with pytest.raises(PictureError, match="no character"):
        MattingModel(write_model(tmp_path / "m.onnx", gain=0, bias=-9)).mask(red_box()[0])


def test_a_method_that_was_asked_for_and_does_not_work_is_told() -> None:
    noise = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    for method in ("transparency", "flat"):
        with pytest.raises(PictureError, match=f"prepare.mask={method}"):
            foreground_mask(noise, None, method)
    with pytest.raises(SettingsError, match=r"prepare\.matting_model"):
        foreground_mask(noise, None, "model")


def test_none_takes_everything_for_the_character() -> None:
    found = foreground_mask(red_box()[0], None, "none")
    assert found.mask.getextrema() == (255, 255) and not found.reliable


def test_refining_draws_a_coarse_edge_along_the_picture_s() -> None:
    image, truth = red_box((480, 360))
    coarse = (
        Image.fromarray(truth.astype(np.uint8) * 255)
        .resize((24, 18), Image.Resampling.BOX)
        .resize(image.size)
    )
    error, before = (
        np.abs(np.asarray(mask) / 255 - truth).mean()
        for mask in (refine(coarse, image, 20), coarse)
    )
    assert error < 0.6 * before
    assert refine(coarse, image, 1) is coarse
