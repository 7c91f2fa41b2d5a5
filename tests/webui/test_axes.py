"""Our axes in the WebUI's own X/Y/Z script, and block weights beside LBW."""

from __future__ import annotations

import base64
import io
import os
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.lora.bake import bake
from lib_singlelora.lora.files import read_lora, save_lora
from lib_singlelora.naming.block_weights import parse_block_weights
from lib_singlelora.naming.blocks import SD1
from tests.webui.conftest import new_workspace
from tests.webui.process import Refused, WebUI

pytestmark = pytest.mark.timeout(1200)
OURS = ["[Single LoRA] Epoch", "[Single LoRA] Strength", "[Single LoRA] Block preset"]


@pytest.fixture(scope="module", autouse=True)
def trained(webui: WebUI) -> None:
    name = new_workspace(webui, "axes", regularization__count=0)
    for stage in ("prepare", "crop", "caption", "train"):
        job = webui.ended(webui.submit(name, stage))
        assert job["state"] == "done", job


def axis(webui: WebUI, label: str, img2img: bool = False) -> int:
    """Place of an axis in the script's list, as its page numbers them."""
    shown: list[str] = webui.ask("/probe/page")[f"{'img' if img2img else 'txt'}2img axes"]
    return shown.index(label)


def grid(
    webui: WebUI,
    prompt: str,
    x: tuple[str, str],
    y: tuple[str, str] = ("Nothing", ""),
    **options: Any,
) -> list[str]:
    """The cells of an X/Y plot, row by row."""
    img2img = "init_images" in options
    numbers = [axis(webui, name, img2img) for name in (x[0], y[0], "Nothing")]
    arguments = [
        numbers[0],
        x[1],
        [],
        numbers[1],
        y[1],
        [],
        numbers[2],
        "",
        [],
        False,  # a legend
        *([False, False, 0] if webui.kind == "reforge" else []),  # labels, no sheet, cells of one
        True,  # the cells too
        *[False] * 5,
        0,
        True,  # values are written, not chosen
    ]
    route = "/sdapi/v1/img2img" if img2img else "/sdapi/v1/txt2img"
    answer = webui.ask(
        route,
        {
            "prompt": prompt,
            "seed": 5,
            "steps": 4,
            "width": 64,
            "height": 64,
            "script_name": "x/y/z plot",
            "script_args": arguments,
            **options,
        },
    )
    return list(answer["images"])


def cells(images: list[str], count: int) -> list[np.ndarray[Any, Any]]:
    """The last `count` pictures of 64 × 64."""
    opened = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB"))
        for image in images
    ]
    return [image for image in opened if image.shape == (64, 64, 3)][-count:]


def pixels(image: str) -> np.ndarray[Any, Any]:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(image))).convert("RGB"))


def test_the_axes_are_there_once(webui: WebUI) -> None:
    labels = webui.ask("/probe/page")["axes"]
    assert [labels.count(label) for label in OURS] == [1, 1, 1]
    # The WebUI's own "Sampler" is there once for each tab
    assert len(labels) == len(set(labels)) + 1


def test_epoch_and_strength_give_what_the_tags_give(webui: WebUI) -> None:
    drawn = cells(
        grid(webui, "isabella, girl", (OURS[0], "axes-000001,axes"), (OURS[1], "0.5,1")), 4
    )
    expected = [
        pixels(webui.picture(f"isabella, girl <lora:{name}:{strength}>"))
        for strength in ("0.5", "1")
        for name in ("axes-000001", "axes")
    ]
    assert len(drawn) == 4
    for ours, theirs in zip(drawn, expected, strict=True):
        assert np.array_equal(ours, theirs)


def test_strength_alone_changes_the_tag_in_the_prompt(webui: WebUI) -> None:
    drawn = cells(grid(webui, "isabella, girl <lora:axes:0.3>", (OURS[1], "0,1")), 2)
    assert np.array_equal(drawn[0], pixels(webui.picture("isabella, girl <lora:axes:0>")))
    assert np.array_equal(drawn[1], pixels(webui.picture("isabella, girl <lora:axes:1>")))


def test_presets_bake_into_files_that_differ(webui: WebUI) -> None:
    drawn = cells(grid(webui, "isabella, girl <lora:axes:1>", (OURS[2], "ALL,OUTD,NONE")), 3)
    assert np.array_equal(drawn[0], pixels(webui.picture("isabella, girl <lora:axes:1>")))
    assert not np.array_equal(drawn[0], drawn[1])
    assert np.abs(drawn[2].astype(int) - pixels(webui.picture("isabella, girl"))).max() <= 1


def test_the_axes_work_in_img2img(webui: WebUI) -> None:
    source = webui.picture()
    drawn = cells(
        grid(webui, "isabella, girl", (OURS[0], "axes-000001,axes"), init_images=[source]), 2
    )
    assert len(drawn) == 2 and not np.array_equal(drawn[0], drawn[1])


def test_a_name_that_is_not_there_is_refused(webui: WebUI) -> None:
    with pytest.raises(Refused, match="500"):
        grid(webui, "isabella", (OURS[0], "nobody"))
    # Some programs write their log after the answer.
    webui.wait_for(lambda: "found no 'nobody'" in webui.tail(80), 10, "the reason in the log")


def test_presets_in_a_file_of_lbws_kind_are_known_without_a_setting(webui: WebUI) -> None:
    folder = webui.data / "extensions" / "fork-of-lbw" / "scripts"
    folder.mkdir(parents=True)
    values = ",".join(f"{value:g}" for value in parse_block_weights("OUTD", SD1).values())
    (folder / "lbwpresets.txt").write_text(
        f"MYOUTD:{values}\n# a remark\nSHORT:1,0\n", encoding="utf-8"
    )
    drawn = cells(grid(webui, "isabella, girl <lora:axes:1>", (OURS[2], "ALL,OUTD,MYOUTD")), 3)
    assert np.array_equal(drawn[1], drawn[2]) and not np.array_equal(drawn[0], drawn[2])


def test_png_info_reads_a_cell_of_a_sheet(webui: WebUI) -> None:
    job = webui.ended(webui.submit("axes", "plot", plot__epochs="1"))
    assert job["state"] == "done", job
    picture = next(webui.data.glob("outputs/**/axes/plots/cells/**/*.png"))
    read = webui.ask(
        "/sdapi/v1/png-info", {"image": base64.b64encode(picture.read_bytes()).decode()}
    )
    parameters = read["parameters"]
    assert parameters["Steps"] == "3", read
    assert int(parameters["Seed"]) >= 0 and "isabella" in parameters["Prompt"], read


needs_lbw = pytest.mark.skipif(
    not os.environ.get("SD_WEBUI_LBW"), reason="needs LBW beside: set SD_WEBUI_LBW to a checkout"
)


@needs_lbw
def test_our_preset_equals_lbws(webui: WebUI) -> None:
    ours = cells(grid(webui, "isabella, girl <lora:axes:0.8>", (OURS[2], "OUTD,MIDD")), 2)
    theirs = [
        pixels(webui.picture(f"isabella, girl <lora:axes:0.8:0.8:lbw={name}>"))
        for name in ("OUTD", "MIDD")
    ]
    plain = pixels(webui.picture("isabella, girl <lora:axes:0.8>"))
    for mine, other in zip(ours, theirs, strict=True):
        assert not np.array_equal(other, plain)
        assert np.abs(mine.astype(int) - other.astype(int)).max() <= 2


@needs_lbw
@pytest.mark.parametrize("preset", ["OUTD", "IND", "OUTALL"])
def test_a_baked_file_equals_lbw(webui: WebUI, preset: str) -> None:
    folder = webui.data / "models" / "Lora"
    lora = read_lora(folder / "singlelora" / "axes" / "axes.safetensors")
    save_lora(
        folder / f"baked {preset}.safetensors",
        bake(lora, parse_block_weights(preset, lora.layout), 0.8),
    )
    webui.ask("/sdapi/v1/refresh-loras", {})
    mine = pixels(webui.picture(f"isabella, girl <lora:baked {preset}:1>")).astype(int)
    other = pixels(webui.picture(f"isabella, girl <lora:axes:0.8:0.8:lbw={preset}>"))
    assert np.abs(mine - other).max() <= 2
    assert np.abs(mine - pixels(webui.picture("isabella, girl <lora:axes:0.8>"))).max() > 2


@needs_lbw
def test_lbws_own_axes_work_beside_ours(webui: WebUI) -> None:
    """Its X/Y/Z plot is a part of its own script.

    Blocks down, their values across, `lbw=XYZ` in the prompt.
    """
    arguments = [
        "OUTD:1,0,0,0,0,0,0,0,1,1,1,1,0,0,0,0,0",
        True,
        1,
        "values",
        "0,1",
        "Block ID",
        "IN04-OUT05,OUT03",
        "none",
        "",
        "0.5,1",
        "IN04",
        1,
        "black",
        "20",
        False,
        "",
        False,
        False,
    ]
    answer = webui.ask(
        "/sdapi/v1/txt2img",
        {
            "prompt": "isabella, girl <lora:axes:1:1:lbw=XYZ>",
            "seed": 5,
            "steps": 4,
            "width": 64,
            "height": 64,
            "script_name": "LoRA Block Weight",
            "script_args": arguments,
        },
    )
    sheet = pixels(answer["images"][0])
    # Two rows and columns of 64 and what is written beside them
    assert sheet.shape[0] > 128 and sheet.shape[1] > 128
    assert contains(sheet, pixels(webui.picture("isabella, girl <lora:axes:1>")))
    assert not contains(sheet, pixels(webui.picture("isabella, girl")))


def contains(sheet: np.ndarray[Any, Any], picture: np.ndarray[Any, Any]) -> bool:
    """True if a picture stands somewhere on a sheet; tolerance: 2 of 255."""
    height, width = picture.shape[:2]
    return any(
        np.abs(sheet[y : y + height, x : x + width].astype(int) - picture).max() <= 2
        for y in range(sheet.shape[0] - height + 1)
        for x in range(sheet.shape[1] - width + 1)
        if np.abs(sheet[y, x].astype(int) - picture[0, 0]).max() <= 2
    )
