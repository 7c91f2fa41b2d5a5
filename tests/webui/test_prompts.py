"""The same prompt draws the same picture in the real WebUI and standalone."""

from __future__ import annotations

import base64
import io
import json
import shutil
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from lib_singlelora.embedded.paths import CHECKPOINT, CLIP
from lib_singlelora.host import ImageRequest
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from tests.webui.process import WebUI
from tests.webui.test_kinds import load

pytestmark = pytest.mark.timeout(600)
SIDE = 64  # pixels
STEPS = 8
SEED = 5
PLAIN = "1girl, solo, red hair, blue dress, upper body, simple background"
LONG = ", ".join(f"red hair, blue dress number {n}" for n in range(16))
PROMPTS = [
    PLAIN,
    "1girl, solo, (red hair:1.4), ((blue dress)), [upper body], simple background",
    "1girl, solo, (blue hair:1.3",
    r"1girl, solo, \(red hair\), blue dress \[x\], upper body",
    "1girl, solo, [red hair:green hair:0.5], blue dress, upper body",
    "1girl, solo, [blue hair:3], [blue dress::2], upper body",
    "1girl, solo, [red hair|blonde hair], upper body",
    "1girl, solo, red hair BREAK blue dress, upper body",
    "1girl, solo, red hair AND 1girl, solo, blue hair, blue dress :0.6",
    "1girl, solo # somebody\nred hair, upper body",
    f"1girl, solo, {LONG}, (upper body:1.2)",
]


@pytest.fixture(scope="module")
def embedded(webui: WebUI) -> Iterator[WebUI]:
    folder = webui.data / "models" / "Stable-diffusion"
    shutil.copy(CHECKPOINT, folder)
    config = CHECKPOINT.with_suffix(".yaml").read_text(encoding="utf-8")
    (folder / "singlelora.yaml").write_text(
        config.replace("version: clip", f"version: {json.dumps(str(CLIP))}"), encoding="utf-8"
    )
    webui.ask("/sdapi/v1/refresh-checkpoints", {})
    load(webui, "singlelora")
    yield webui
    load(webui, "small")
    for suffix in (".safetensors", ".yaml"):
        (folder / f"singlelora{suffix}").unlink()
    webui.ask("/sdapi/v1/refresh-checkpoints", {})


@pytest.fixture(scope="module")
def ours() -> StandaloneHost:
    return StandaloneHost(CHECKPOINT, "cpu")


def drawn_by_webui(webui: WebUI, prompt: str, negative: str = "") -> np.ndarray:
    text = webui.picture(
        prompt,
        negative_prompt=negative,
        seed=SEED,
        steps=STEPS,
        width=SIDE,
        height=SIDE,
        cfg_scale=7,
        sampler_name="Euler",
        scheduler="Automatic",
    )
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(text))).convert("RGB"), np.float32)


def drawn_standalone(host: StandaloneHost, prompt: str, negative: str = "") -> np.ndarray:
    request = ImageRequest(prompt, (SEED,), SIDE, SIDE, negative, "Euler", STEPS, 7)
    return np.asarray(host.generate(request, Job())[0].image, np.float32)


def difference(first: np.ndarray, second: np.ndarray) -> float:
    """Mean over the pixels, of 0 to 255."""
    return float(np.abs(first - second).mean())


@pytest.mark.parametrize("prompt", PROMPTS)
def test_a_prompt_draws_the_same_picture(
    embedded: WebUI, ours: StandaloneHost, prompt: str
) -> None:
    drawn = drawn_standalone(ours, prompt)
    assert difference(drawn, drawn_by_webui(embedded, prompt)) < 1
    if prompt != PLAIN:
        assert difference(drawn, drawn_standalone(ours, PLAIN)) > 3  # its syntax has an effect


def test_emphasis_counts_in_the_negative_prompt_too(embedded: WebUI, ours: StandaloneHost) -> None:
    negative = "(red hair:1.4), [blue dress]"
    drawn = drawn_standalone(ours, PLAIN, negative)
    assert difference(drawn, drawn_by_webui(embedded, PLAIN, negative)) < 1
    assert difference(drawn, drawn_standalone(ours, PLAIN, "red hair, blue dress")) > 0.5
