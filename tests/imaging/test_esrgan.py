"""Upscalers' model files: tiny ones with random weights, built here in the layouts that the field's
files have.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from lib_singlelora.errors import ImageModelError, JobCancelled, MissingPackageError
from lib_singlelora.imaging import esrgan
from lib_singlelora.imaging.esrgan import ModelUpscaler, import_spandrel, read_weights
from lib_singlelora.imaging.upscale import choose_upscaler, enlarge


def spandrel_or_skip() -> None:
    try:
        import_spandrel()
    except MissingPackageError as error:
        pytest.skip(str(error))


def conv(state: dict[str, torch.Tensor], name: str, into: int, out: int) -> None:
    state[f"{name}.weight"] = torch.randn(out, into, 3, 3) * 0.1
    state[f"{name}.bias"] = torch.zeros(out)


def srvgg(
    scale: int = 4, features: int = 8, depth: int = 2, channels: int = 3
) -> dict[str, torch.Tensor]:
    """Real-ESRGAN's compact network (SRVGGNetCompact); its last step adds the picture itself,
    enlarged.
    """
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = {}
    conv(state, "body.0", channels, features)
    state["body.1.weight"] = torch.full((features,), 0.2)
    for index in range(depth):
        conv(state, f"body.{2 + 2 * index}", features, features)
        state[f"body.{3 + 2 * index}.weight"] = torch.full((features,), 0.2)
    conv(state, f"body.{2 + 2 * depth}", features, channels * scale**2)
    return state


def rrdb(features: int = 4, growth: int = 32) -> dict[str, torch.Tensor]:
    """ESRGAN's RRDBNet ×4 with one block, under Real-ESRGAN's names."""
    torch.manual_seed(0)
    state: dict[str, torch.Tensor] = {}
    conv(state, "conv_first", 3, features)
    for part in (1, 2, 3):
        for index in range(1, 6):
            out = features if index == 5 else growth
            conv(state, f"body.0.rdb{part}.conv{index}", features + (index - 1) * growth, out)
    for name in ("conv_body", "conv_up1", "conv_up2", "conv_hr"):
        conv(state, name, features, features)
    conv(state, "conv_last", features, 3)
    return state


def picture(width: int, height: int) -> Image.Image:
    return Image.fromarray(
        np.random.default_rng(0).integers(0, 255, (height, width, 3), dtype=np.uint8)
    )


def saved(path: Path, state: dict[str, torch.Tensor]) -> Path:
    if path.suffix == ".safetensors":
        save_file(state, path)
    else:
        torch.save({"params_ema": state}, path)
    return path


@pytest.mark.parametrize("name", ["model.safetensors", "model.pth"])
@pytest.mark.parametrize("build", [srvgg, rrdb])
def test_a_model_file_enlarges_by_its_scale(tmp_path: Path, name: str, build: object) -> None:
    spandrel_or_skip()
    upscaler = ModelUpscaler(saved(tmp_path / name, build()), device="cpu")
    assert upscaler.scale == 4
    assert upscaler.upscale(picture(20, 14), 4).size == (80, 56)


def test_tiles_leave_no_seam(tmp_path: Path) -> None:
    spandrel_or_skip()
    path = saved(tmp_path / "model.safetensors", srvgg())
    whole, tiled = (
        ModelUpscaler(path, device="cpu", tile=tile).upscale(picture(90, 70), 4)
        for tile in (200, 32)
    )
    assert np.abs(np.asarray(whole, dtype=int) - np.asarray(tiled, dtype=int)).max() <= 1


def test_every_tile_is_told_and_the_job_can_be_stopped_between_them(tmp_path: Path) -> None:
    spandrel_or_skip()
    told: list[tuple[int, int]] = []

    def each(done: int, total: int) -> None:
        told.append((done, total))
        if done == 2:
            raise JobCancelled("stop")

    with pytest.raises(JobCancelled):
        ModelUpscaler(saved(tmp_path / "model.safetensors", srvgg()), each, "cpu", tile=32).upscale(
            picture(90, 70), 4
        )
    assert told == [(0, 9), (1, 9), (2, 9)]


def test_a_scale_that_the_model_has_not_is_reached_and_a_larger_one_by_two_passes(
    tmp_path: Path,
) -> None:
    spandrel_or_skip()
    upscaler = ModelUpscaler(saved(tmp_path / "x2.safetensors", srvgg(scale=2)), device="cpu")
    assert upscaler.upscale(picture(20, 14), 1.5).size == (30, 21)
    image, _, note = enlarge(picture(40, 20), None, 150, upscaler)
    assert image.size == (150, 75)
    assert "x2.safetensors" in note


def test_a_large_result_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spandrel_or_skip()
    monkeypatch.setattr(esrgan, "MOST_PIXELS", 60 * 40)
    upscaler = ModelUpscaler(saved(tmp_path / "model.safetensors", srvgg()), device="cpu")
    assert upscaler.upscale(picture(60, 40), 1.5).size == (90, 60)


class Payload:
    """Runs code when it is unpickled without care."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("false",)


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("lora", "no architecture that spandrel knows"),
        ("grey", "1 channels in"),
        ("text", "no weights that can be read"),
        ("pickle", "no weights that can be read"),
        ("empty", "found no tensors"),
        ("torn", "do not fit together"),
        ("missing", "no such file"),
    ],
)
def test_what_is_no_upscaler_is_one_clear_line(tmp_path: Path, kind: str, told: str) -> None:
    spandrel_or_skip()
    path = tmp_path / "model.pth"
    if kind == "text":
        path.write_bytes(b"this is no model")
    elif kind == "pickle":
        torch.save({"params": Payload()}, path)
    elif kind == "empty":
        torch.save({"params": {}}, path)
    elif kind != "missing":
        state = srvgg(channels=1 if kind == "grey" else 3)
        if kind == "torn":
            del state["body.4.weight"]
        saved(path, {"lora_up.weight": torch.zeros(3)} if kind == "lora" else state)
    with pytest.raises(ImageModelError, match=told) as caught:
        ModelUpscaler(path, device="cpu")
    assert "\n" not in str(caught.value)
    assert "expected" in str(caught.value)


def test_code_in_a_model_file_does_not_run(tmp_path: Path) -> None:
    marker = tmp_path / "ran"

    class Marks:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(marker),)

    torch.save({"params": Marks()}, tmp_path / "model.pth")
    with pytest.raises(ImageModelError):
        read_weights(tmp_path / "model.pth")
    assert not marker.exists()


def test_without_spandrel_the_error_says_what_to_type(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "spandrel", None)
    with pytest.raises(MissingPackageError, match="pip install --no-deps spandrel"):
        ModelUpscaler(saved(tmp_path / "model.safetensors", srvgg()), device="cpu")


class Named:
    def __init__(self, name: str) -> None:
        self.name = name

    def upscale(self, image: Image.Image, scale: float) -> Image.Image:
        return image


def test_an_upscaler_is_chosen_by_its_name_by_the_host_or_is_lanczos() -> None:
    own = [Named("4x-UltraSharp"), Named("SwinIR")]

    def choose(wish: str) -> object:
        return choose_upscaler(wish, own, lambda done, total: None)

    assert choose("") is own[0]
    assert choose("swinir") is own[1]
    assert choose("Lanczos") is None
    assert choose_upscaler("", [], lambda done, total: None) is None
    with pytest.raises(ImageModelError, match="did you mean 4x-UltraSharp"):
        choose("4x-Ultrasharp2")
