"""The figure's colours at their places: when they are compared, and how much they count."""

import pytest
from PIL import Image, ImageDraw

from lib_singlelora.files.fileio import write_bytes
from lib_singlelora.imaging.png import png_bytes
from lib_singlelora.judge.figure import SourceFigure
from lib_singlelora.judge.scale import Scale
from lib_singlelora.workspace.stage_record import StageRecord
from lib_singlelora.workspace.workspace import Workspace

PROMPT = ["eileen", "girl", "solo", "full body", "standing", "simple background"]
ONE = {"retention": 1.0}


def figure(*colours: str) -> Image.Image:
    """Bands of colours from head to feet on white."""
    picture = Image.new("RGB", (128, 128), "white")
    pen = ImageDraw.Draw(picture)
    step = 110 // len(colours)
    for number, colour in enumerate(colours):
        pen.rectangle((48, 8 + number * step, 80, 8 + (number + 1) * step), fill=colour)
    return picture


@pytest.fixture
def workspace(tmp_path) -> Workspace:  # type: ignore[no-untyped-def]
    made = Workspace(tmp_path / "eileen")
    source = figure("red", "blue", "green", "black")
    mask = Image.new("L", source.size)
    mask.paste(255, (48, 8, 81, 117))
    write_bytes(made.prepared, png_bytes(source))
    write_bytes(made.mask, png_bytes(mask))
    record = StageRecord("crop", "cut")
    record.data["views"] = {"full_body": {"tags": ["full body"], "box": [0, 0, 128, 128]}}
    made.save_record(record)
    return made


def test_colours_at_their_places_are_1_and_elsewhere_less(workspace: Workspace) -> None:
    source = SourceFigure(workspace, PROMPT)
    same = source.likeness(figure("red", "blue", "green", "black"))
    turned = source.likeness(figure("black", "green", "blue", "red"))
    assert same is not None and turned is not None
    assert same > 0.9 and turned < 0.3


@pytest.mark.parametrize(
    "prompt",
    [
        ["eileen", "girl", "full body", "standing", "outdoors"],
        ["eileen", "girl", "full body", "sitting", "simple background"],
        ["eileen", "girl", "full body", "from behind", "simple background"],
        ["eileen", "girl", "upper body", "simple background"],  # no crop shows that
        ["eileen", "girl", "simple background"],
    ],
)
def test_what_the_source_does_not_show_is_not_compared(
    workspace: Workspace, prompt: list[str]
) -> None:
    assert SourceFigure(workspace, prompt).likeness(figure("red", "blue")) is None


def test_likeness_counts_beside_the_traits_by_its_gain_over_the_checkpoints_own() -> None:
    scale = Scale(ONE, 0.2, 0.3, 0.0, 1.0)
    assert scale.retention_of(0.2, 0.3) == pytest.approx(0.2)
    assert scale.retention_of(1.0, 1.0) == pytest.approx(1.0)
    assert scale.retention_of(0.2, 1.0) > scale.retention_of(1.0, 0.3) > 0.2
    assert scale.retention_of(0.6, None) == 0.6
    assert Scale(ONE, 0.2, None, 0.0, 1.0).retention_of(0.6, 0.9) == 0.6
