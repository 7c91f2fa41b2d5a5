"""Detail close-ups: on the badge of the photograph and the bow of a drawing, never on the face,
none where nothing stands out.
"""

from pathlib import Path

import pytest
from PIL import Image, ImageDraw

from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.crops.details import propose_details
from lib_singlelora.crops.views import View, overlap
from lib_singlelora.imaging.background import foreground_mask
from lib_singlelora.imaging.face_by_colour import find_face
from lib_singlelora.imaging.load import load_picture

ROOT = Path(__file__).parents[2]


def details(name: str, count: int = 2) -> tuple[list[View], tuple[int, int, int, int]]:
    picture = load_picture(ROOT / name)
    mask = foreground_mask(picture.image, picture.alpha).mask
    face = find_face(picture.image, mask)
    assert face
    return propose_details(mask, make_buckets(512), picture.image, face, count), face


@pytest.mark.parametrize(
    ("name", "middle"),
    [("tests/data/astronaut.png", (165, 385)), ("examples/heldout/luna.png", (396, 620))],
    ids=["badge", "bow"],
)
def test_the_first_is_where_most_is_drawn(name: str, middle: tuple[int, int]) -> None:
    found, face = details(name)
    left, top, right, bottom = found[0].box
    assert found[0].name == "detail_1" and found[0].tags == ("close-up",)
    assert left < middle[0] < right and top < middle[1] < bottom
    assert all(overlap(view.box, face) <= 0.1 for view in found)


def test_a_plain_figure_has_none_and_a_patch_is_found() -> None:
    picture = Image.new("RGB", (400, 800), "white")
    mask = Image.new("L", (400, 800))
    for image, colour in ((picture, "grey"), (mask, 255)):
        draw = ImageDraw.Draw(image)
        draw.ellipse((140, 20, 260, 150), fill=colour)
        draw.rectangle((100, 160, 300, 780), fill=colour)
    assert propose_details(mask, make_buckets(512), picture, (160, 60, 240, 140), 3) == []
    for row in range(500, 560, 6):
        ImageDraw.Draw(picture).line((170, row, 230, row), fill="red", width=3)
    found = propose_details(mask, make_buckets(512), picture, (160, 60, 240, 140), 1)
    assert len(found) == 1 and found[0].box[1] < 530 < found[0].box[3]
    assert propose_details(mask, make_buckets(512), picture, (160, 60, 240, 140), 0) == []
