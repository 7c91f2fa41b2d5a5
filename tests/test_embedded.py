"""The embedded checkpoint and tagger: real formats, small, and they draw and see what they are
asked for.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("diffusers")

from lib_singlelora.embedded.paths import CHECKPOINT, FOLDER, TAGGER
from lib_singlelora.host import ImageRequest, LoraUse
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.tagging.wd import WdTagger
from lib_singlelora.workspace.workspace import Workspace

ROOT = Path(__file__).parent.parent
SHE = "isabella, girl, solo, upper body, looking at viewer, simple background"
COLOURS = {"red": (205, 40, 40), "blue": (60, 90, 215), "blonde": (245, 205, 90)}


@pytest.fixture(scope="module")
def host() -> StandaloneHost:
    return StandaloneHost(CHECKPOINT)


@pytest.fixture(scope="module")
def tagger() -> WdTagger:
    return WdTagger(TAGGER)


def draw(
    host: StandaloneHost, prompt: str, seeds: tuple[int, ...], lora: Path | None = None
) -> list[Image.Image]:
    loras = (LoraUse(lora),) if lora else ()
    return [
        made.image
        for made in host.generate(ImageRequest(prompt, seeds, 128, 128, loras=loras), Job("draw"))
    ]


def seen(tagger: WdTagger, pictures: list[Image.Image], tag: str) -> int:
    """In how many of the pictures the tagger sees the tag."""
    return sum(tag in scores.above(0.5, 0.5) for scores in tagger.tag(pictures))


def test_all_of_it_is_small_and_its_file_says_what_it_wants(host: StandaloneHost) -> None:
    assert (
        sum(
            path.stat().st_size
            for path in FOLDER.rglob("*")
            if path.suffix in (".safetensors", ".onnx", ".yaml")
        )
        < 40e6
    )
    assert (host.checkpoint.native_size, host.checkpoint.preset) == (128, "embedded")


@pytest.mark.parametrize(
    ("prompt", "tags"),
    [
        (
            "1girl, solo, upper body, red hair, long hair, white background",
            ("red hair", "long hair", "upper body"),
        ),
        (
            "1girl, solo, portrait, blue hair, twintails, smile",
            ("blue hair", "twintails", "portrait"),
        ),
        (
            "1girl, solo, full body, arms up, black dress, outdoors",
            ("arms up", "full body", "outdoors"),
        ),
    ],
)
def test_it_draws_what_it_is_asked_for(
    host: StandaloneHost, tagger: WdTagger, prompt: str, tags: tuple[str, ...]
) -> None:
    pictures = draw(host, prompt, (1, 2, 3, 4))
    for tag in tags:
        assert seen(tagger, pictures, tag) >= 3, tag


@pytest.mark.parametrize("colour", list(COLOURS))
def test_hair_has_its_colour_without_asking_the_tagger(host: StandaloneHost, colour: str) -> None:
    [picture] = draw(
        host, f"1girl, solo, portrait, {colour} hair, long hair, white background", (3,)
    )
    pixels = np.asarray(picture, np.float32).reshape(-1, 3)
    near = np.abs(pixels - COLOURS[colour]).mean(1) < 40
    assert near.mean() > 0.1


def test_the_tagger_reads_the_example(tagger: WdTagger) -> None:
    with Image.open(ROOT / "examples" / "isabella.png") as picture:
        [scores] = tagger.tag([picture.convert("RGB")])
    assert {
        "1girl",
        "solo",
        "white background",
        "full body",
        "hat",
        "long hair",
        "blonde hair",
    } <= set(scores.above(0.5, 0.5))


OTHERS = (
    "1girl, solo, upper body, red hair, blue dress, looking at viewer, simple background",
    "1girl, solo, full body, standing, black hair, white shirt, red skirt",
    "1girl, solo, cowboy shot, pink dress, outdoors",
)


def test_a_short_training_brings_her_hat_with_her_trigger_and_seldom_without(
    host: StandaloneHost, tagger: WdTagger, tmp_path: Path
) -> None:
    settings = Settings.from_dict(
        {
            "character": {"trigger": "isabella", "class_token": "girl"},
            "training": {"preset": "embedded", "epochs": 1, "repeats": 60},
        }
    )
    workspace = Workspace(tmp_path / "isabella")
    job = Job("train")
    for stage in ("prepare", "crop", "caption", "regularize", "train"):
        made = run_stage(
            stage,
            StageContext(settings, workspace, host, job),
            ROOT / "examples" / "isabella.png" if stage == "prepare" else None,
        )
    seeds = (1, 2, 3, 4)
    lora = Path(made["loras"][-1])
    assert seen(tagger, draw(host, SHE, seeds, lora), "hat") >= 3
    assert seen(tagger, draw(host, SHE, seeds), "hat") <= 1
    # 3 of 12 when the preset was made; without pictures of the class 9
    leaked = sum(seen(tagger, draw(host, other, seeds, lora), "hat") for other in OTHERS)
    assert leaked <= 5
