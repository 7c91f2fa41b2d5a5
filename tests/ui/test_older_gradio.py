"""The page's own pictures on the gradio that the WebUI pins."""

from __future__ import annotations

import base64
import io
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("gradio")

import gradio
from PIL import Image, ImageFile

from lib_singlelora.imaging.load import picture_size
from lib_singlelora.ui import compat

pytestmark = pytest.mark.skipif(compat.MODERN, reason="a current gradio hands files over")
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 64 64\n%%EndComments\nshowpage\n"


def sent(data: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(data).decode()


def png(size: tuple[int, int]) -> bytes:
    stream = io.BytesIO()
    Image.new("1", size).save(stream, "PNG")
    return stream.getvalue()


@pytest.mark.parametrize("data", [EPS, b"", b"GIF89a", png((10_001, 10_000))])
def test_nothing_is_opened_that_is_no_picture_of_a_size(
    data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    def start(*given: object, **more: object) -> None:
        raise AssertionError("it was opened")

    monkeypatch.setattr(subprocess, "Popen", start)
    monkeypatch.setattr(ImageFile.ImageFile, "load_prepare", start)
    with gradio.Blocks():
        picture = compat.picture("x", "x")
        painter = compat.painter("y", "y", 100)
    for ask in (
        lambda: picture.preprocess(sent(data)),
        lambda: painter.preprocess({"image": sent(data), "mask": sent(data)}),
    ):
        with pytest.raises(gradio.Error):
            ask()


def test_pictures_are_handed_over() -> None:
    with gradio.Blocks():
        picture = compat.picture("x", "x")
        painter = compat.painter("y", "y", 100)
    assert picture.get_block_name() == "image" and picture_size(
        Path(picture.preprocess(sent(png((8, 4)))))
    ) == (8, 4)
    assert painter.preprocess({"image": sent(png((8, 4))), "mask": sent(png((8, 4)))})[
        "mask"
    ].size == (8, 4)
    assert picture.preprocess(None) is None
