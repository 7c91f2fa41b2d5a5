"""The WD contract against a real ONNX model, small enough to be built here: mean colour × weights,
sigmoid.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.errors import TaggerError
from lib_singlelora.tagging.wd import PROVIDERS, WdTagger, mcut_threshold, to_input

onnx = pytest.importorskip("onnx", reason="builds its model with onnx")
onnxruntime = pytest.importorskip("onnxruntime")

TAGS = [
    ("general", 9),
    ("sensitive", 9),
    ("blue_hair", 0),
    ("green_eyes", 0),
    ("red_hat", 0),
    ("^_^", 0),
    ("isabella_(story)", 4),
]
BLUE = 2
GREEN = 3
RED = 4


def write_tagger(
    folder: Path,
    *,
    side: int = 32,
    batch: int | str = 1,
    tags: list[tuple[str, int]] = TAGS,
    outputs: int | None = None,
    channels_first: bool = False,
) -> Path:
    """A tagger whose tags 2, 3, 4 answer to the first, second and third channel; 5 and 6 are always
    0.5.
    """
    folder.mkdir(exist_ok=True)
    count = outputs or len(tags)
    weights = np.zeros((3, count), np.float32)
    for channel, tag in enumerate((BLUE, GREEN, RED)):
        weights[channel, tag] = 0.1
    # Channel mean 127.5 gives 0.5.
    bias = np.where(np.arange(count) >= 5, 0.0, -12.75).astype(np.float32)
    helper = onnx.helper
    kinds = onnx.TensorProto
    shape = [batch, 3, side, side] if channels_first else [batch, side, side, 3]
    nodes = [
        helper.make_node(
            "ReduceMean",
            ["input_1"],
            ["mean"],
            axes=[2, 3] if channels_first else [1, 2],
            keepdims=0,
        ),
        helper.make_node("MatMul", ["mean", "weights"], ["product"]),
        helper.make_node("Add", ["product", "bias"], ["logits"]),
        helper.make_node("Sigmoid", ["logits"], ["predictions"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tagger",
        [helper.make_tensor_value_info("input_1", kinds.FLOAT, shape)],
        [helper.make_tensor_value_info("predictions", kinds.FLOAT, [batch, count])],
        [
            onnx.numpy_helper.from_array(weights, "weights"),
            onnx.numpy_helper.from_array(bias, "bias"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.save(model, str(folder / "model.onnx"))
    rows = "".join(
        f"{number},{name},{category},{100}\n" for number, (name, category) in enumerate(tags)
    )
    (folder / "selected_tags.csv").write_text(
        "tag_id,name,category,count\n" + rows, encoding="utf-8"
    )
    return folder


def colour(name: str, size: tuple[int, int] = (40, 40)) -> Image.Image:
    return Image.new("RGB", size, name)


@pytest.mark.parametrize(
    ("name", "tag"), [("blue", "blue hair"), ("lime", "green eyes"), ("red", "red hat")]
)
def test_channels_arrive_as_bgr(tmp_path: Path, name: str, tag: str) -> None:
    scores = WdTagger(write_tagger(tmp_path)).tag([colour(name)])[0]
    colours = {key: scores.general[key] for key in ("blue hair", "green eyes", "red hat")}
    assert max(colours, key=lambda key: colours[key]) == tag
    assert colours[tag] > 0.99
    assert sorted(colours.values())[1] < 0.01


def test_values_arrive_as_0_to_255(tmp_path: Path) -> None:
    scores = WdTagger(write_tagger(tmp_path)).tag([Image.new("RGB", (40, 40), (128, 128, 128))])[0]
    assert scores.general["blue hair"] == pytest.approx(1 / (1 + np.exp(-0.05)), abs=1e-3)


def test_the_picture_lies_in_the_middle_of_a_white_square() -> None:
    pixels = to_input(Image.new("RGB", (64, 32), "black"), 64)
    assert pixels.shape == (64, 64, 3)
    assert pixels.dtype == np.float32
    assert (pixels[:14] == 255).all()
    assert (pixels[-14:] == 255).all()
    assert (pixels[18:46] == 0).all()


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_lies_over_white(mode: str) -> None:
    image = Image.new("RGBA", (32, 32), (0, 0, 0, 0)).convert(mode)
    if mode == "P":
        image.info["transparency"] = image.getpixel((0, 0))
    assert (to_input(image, 32) == 255).all()


def test_the_size_is_read_from_the_model(tmp_path: Path) -> None:
    assert WdTagger(write_tagger(tmp_path, side=48)).side == 48


@pytest.mark.parametrize("batch", [1, 3, "N"])
def test_many_pictures_give_the_same_scores_as_one_whatever_the_model_s_batch(
    tmp_path: Path, batch: int | str
) -> None:
    tagger = WdTagger(write_tagger(tmp_path, batch=batch), batch_size=2)
    pictures = [colour(name) for name in ("red", "lime", "blue", "white", "black")]
    together = tagger.tag(pictures)
    for picture, scores in zip(pictures, together, strict=True):
        assert scores.general == pytest.approx(tagger.tag([picture])[0].general, abs=1e-6)


def test_a_gpu_that_cannot_be_used_leaves_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_tagger(tmp_path)
    expected = WdTagger(folder).tag([colour("red")])
    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["TensorrtExecutionProvider", *PROVIDERS]
    )
    assert WdTagger(folder).tag([colour("red")]) == expected


def test_a_gpu_that_fails_at_work_leaves_the_cpu(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class FullGpu:
        def get_providers(self) -> list[str]:
            return ["CUDAExecutionProvider", "CPUExecutionProvider"]

        def run(self, *words: object) -> None:
            raise RuntimeError("out of memory")

    tagger = WdTagger(write_tagger(tmp_path))
    expected = tagger.tag([colour("red")])
    monkeypatch.setattr(tagger, "_session", FullGpu())
    assert tagger.tag([colour("red")]) == expected


def test_categories_thresholds_and_kaomoji(tmp_path: Path) -> None:
    scores = WdTagger(write_tagger(tmp_path)).tag([colour("red")])[0]
    assert list(scores.rating) == ["general", "sensitive"]
    assert list(scores.character) == ["isabella (story)"]
    assert scores.above() == ["red hat", "^_^"]
    assert scores.above(0.6, 0.4) == ["red hat", "isabella (story)"]


def test_mcut_is_the_middle_of_the_largest_gap() -> None:
    assert mcut_threshold([0.1, 0.9, 0.2, 0.8]) == pytest.approx(0.5)
    assert mcut_threshold([0.7]) == 0.5


def test_a_folder_without_its_files_is_told(tmp_path: Path) -> None:
    with pytest.raises(TaggerError, match=r"no selected_tags\.csv"):
        WdTagger(tmp_path)
    write_tagger(tmp_path)
    (tmp_path / "model.onnx").unlink()
    with pytest.raises(TaggerError, match=r"no model\.onnx"):
        WdTagger(tmp_path)


def test_a_table_of_another_length_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        TaggerError, match=r"found 7 tags in selected_tags\.csv, expected the model's 9"
    ):
        WdTagger(write_tagger(tmp_path, outputs=9))


def test_a_model_of_another_shape_is_told(tmp_path: Path) -> None:
    with pytest.raises(TaggerError, match=r"expected \[N, side, side, 3\]"):
        WdTagger(write_tagger(tmp_path, channels_first=True))


@pytest.mark.parametrize(
    "contents", [b"", b"no model at all", b"version https://git-lfs.example/spec/v1\n"]
)
def test_what_is_no_model_is_one_line(tmp_path: Path, contents: bytes) -> None:
    write_tagger(tmp_path)
    (tmp_path / "model.onnx").write_bytes(contents)
    with pytest.raises(TaggerError, match="no ONNX model") as caught:
        WdTagger(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("contents", [b"", b"a;b\n1;2\n", b"\xff\xfe\x00", b"tag_id,name\n1,a\n"])
def test_what_is_no_table_is_one_line(tmp_path: Path, contents: bytes) -> None:
    write_tagger(tmp_path)
    (tmp_path / "selected_tags.csv").write_bytes(contents)
    with pytest.raises(TaggerError, match=r"selected_tags\.csv") as caught:
        WdTagger(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mode", ["RGB", "L", "P", "LA", "RGBA"])
@pytest.mark.parametrize("size", [(64, 64), (90, 31), (20, 77)])
def test_every_mode_is_laid_over_white(mode: str, size: tuple[int, int]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)
    image = Image.fromarray(noise, "RGBA").convert("RGB" if mode == "P" else mode).convert(mode)
    images = [image]
    if mode in ("RGB", "L"):
        images.append(image.copy())
        images[-1].info["transparency"] = (1, 2, 3) if mode == "RGB" else 9
    for each in images:
        square = Image.new("RGBA", (max(size),) * 2, "white")
        square.alpha_composite(
            each.convert("RGBA"), ((max(size) - size[0]) // 2, (max(size) - size[1]) // 2)
        )
        expected = square.convert("RGB").resize((32, 32), Image.Resampling.BICUBIC)
        assert np.array_equal(to_input(each, 32), np.asarray(expected, np.float32)[..., ::-1])
