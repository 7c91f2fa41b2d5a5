"""Quality tags reach what is drawn and what it is known by, and nothing else."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

from PIL import Image

from lib_singlelora.families.registry import FAMILIES
from lib_singlelora.host import CheckpointInfo, Host, ImageRequest
from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.settings.schema import Settings
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.quality_host import with_quality_tags
from lib_singlelora.stages.regularize import regularize
from lib_singlelora.workspace.kohya_folders import read_caption
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small

SDXL = next(family for family in FAMILIES if family.takes_sizes)


class Drawer:
    """Keeps what it is asked for."""

    name = "drawer"

    def __init__(self, checkpoint: CheckpointInfo) -> None:
        self.checkpoint = checkpoint
        self.asked: list[ImageRequest] = []

    def generate(self, request: ImageRequest, job: Job) -> list[Any]:
        self.asked.append(request)
        return []


def drawn(name: str, **values: Any) -> tuple[ImageRequest, CheckpointInfo]:
    info = CheckpointInfo(name, Path(name), sha256="abc", family=SDXL)
    inner = Drawer(info)
    settings = Settings.from_dict(values)
    host = with_quality_tags(cast(Host, inner), settings.quality)
    assert with_quality_tags(host, settings.quality).name == "drawer"
    host.generate(ImageRequest("1girl", (1,), 64, 64, "text"), Job())
    return inner.asked[0], host.checkpoint


def test_a_known_checkpoint_is_drawn_with_its_tags() -> None:
    request, checkpoint = drawn("ponyDiffusionV6XL")
    assert request.prompt.startswith("score_9, ") and request.prompt.endswith(", 1girl")
    assert request.negative_prompt == "text"
    assert checkpoint.drawing_mark != checkpoint.sha256 == "abc"


def test_the_tags_are_those_of_what_the_settings_say_it_predicts() -> None:
    info = CheckpointInfo("noobai", Path("noobai"), sha256="abc", family=SDXL)
    asked = []
    for values in ({}, {"training.prediction": "v_prediction"}):
        inner = Drawer(info)
        settings = Settings.from_dict(values)
        context = StageContext(settings, Workspace(Path("nowhere")), cast(Host, inner))
        context.host.generate(ImageRequest("1girl", (1,), 64, 64), Job())
        asked.append(inner.asked[0])
    assert [each.prediction for each in asked] == [None, "v_prediction"]
    assert "very awa" not in asked[0].prompt and asked[1].prompt.startswith("very awa")


def test_other_tags_make_another_picture() -> None:
    first, second = (
        drawn("ponyDiffusionV6XL", **values)[1].drawing_mark
        for values in ({}, {"quality.positive": "score_9"})
    )
    assert first != second


def test_a_drawn_picture_has_the_tags_and_no_caption_has(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    values = {"quality__tags": "pony", "regularization__count": 1, "regularization__filter": False}
    settings = small(**values, regularization__steps=1, training__regularization="pictures")
    workspace = Workspace(tmp_path / "eileen")
    job = Job("regularize")
    job.events = workspace.events
    result = regularize(StageContext(settings, workspace, standalone_host, job))
    [picture] = result.pictures
    with Image.open(picture) as image:
        assert "score_9, score_8_up" in image.info["parameters"]
    assert "score" not in read_caption(picture)
    [event] = [each for each in workspace.events.read() if each["event"] == "quality"]
    assert event["name"] == "pony" and event["why"] == "set by hand"


def test_an_unknown_checkpoint_is_drawn_and_known_as_before() -> None:
    request, checkpoint = drawn("something")
    assert request == ImageRequest("1girl", (1,), 64, 64, "text")
    assert checkpoint.drawing_mark == "abc"
    assert checkpoint == replace(checkpoint, quality=checkpoint.quality)
