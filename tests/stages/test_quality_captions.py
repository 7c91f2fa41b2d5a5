"""Quality tags in captions, where they are asked for."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.jobs import Job
from lib_singlelora.stages.caption import caption
from lib_singlelora.stages.context import StageContext
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import small


def captioned(host: StandaloneHost, folder: Path, **values: object) -> tuple[list[str], str]:
    """The captions of a picture with two lines for the clothes, and the stage's notes."""
    settings = small(**values)
    workspace = Workspace(folder)
    crop = workspace.image_folder(settings) / "face.png"
    crop.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), "red").save(crop)
    result = caption(StageContext(settings, workspace, host, Job("caption")))
    return list(result.captions.values()), " ".join(result.notes)


def test_captions_end_with_them_when_asked_and_are_as_before_when_not(
    standalone_host: StandaloneHost, tmp_path: Path
) -> None:
    [plain], notes = captioned(standalone_host, tmp_path, quality__tags="pony")
    assert "score" not in plain and "quality" not in notes
    asked = {"quality__tags": "pony", "quality__in_captions": True}
    [with_tags], notes = captioned(standalone_host, tmp_path, **asked)
    assert with_tags.startswith(f"{plain}, score_9, score_8_up")
    assert "every caption ends with 'score_9" in notes
    [again], _ = captioned(standalone_host, tmp_path, quality__tags="pony")
    assert again == plain


@pytest.mark.parametrize("tags", ["auto", "none"])
def test_where_there_are_none_that_is_said(
    standalone_host: StandaloneHost, tmp_path: Path, tags: str
) -> None:
    asked = {"quality__tags": tags, "quality__in_captions": True}
    [text], notes = captioned(standalone_host, tmp_path, **asked)
    assert "masterpiece" not in text and "found no quality tags" in notes
