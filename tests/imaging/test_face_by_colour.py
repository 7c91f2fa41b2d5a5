"""The face, on the drawings whose truth is known to the eye."""

from pathlib import Path

import pytest
from PIL import Image

from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.crops.views import propose_views
from lib_singlelora.imaging.background import foreground_mask
from lib_singlelora.imaging.face_by_colour import find_face
from lib_singlelora.imaging.load import load_picture

ROOT = Path(__file__).parent.parent.parent
# Eyes and mouth, read off the pictures: (left eye, right eye, mouth), pixels.
TRUTH = {
    "examples/isabella.png": ((337, 345), (457, 345), (397, 420)),
    "examples/heldout/luna.png": ((337, 345), (457, 345), (397, 420)),
    "examples/heldout/mika.png": ((337, 345), (457, 345), (397, 415)),
    "examples/heldout/pearl.png": ((337, 345), (457, 345), (397, 420)),
    "examples/heldout/wren.png": ((337, 345), (457, 345), (397, 415)),
    "tests/data/astronaut.png": ((205, 113), (240, 113), (224, 145)),
}


def inside(point: tuple[int, int], box: tuple[int, int, int, int]) -> bool:
    return box[0] < point[0] < box[2] and box[1] < point[1] < box[3]


@pytest.mark.parametrize("name", TRUTH)
def test_the_face_view_holds_the_face_and_the_other_views_what_they_say(name: str) -> None:
    picture = load_picture(ROOT / name)
    mask = foreground_mask(picture.image, picture.alpha).mask
    views = {view.name: view.box for view in propose_views(mask, make_buckets(512), picture.image)}
    left, right, mouth = TRUTH[name]
    assert all(inside(point, views["face"]) for point in TRUTH[name])
    assert all(inside(point, views["portrait"]) for point in TRUTH[name] if "portrait" in views)
    assert views["face"][2] - views["face"][0] < 4 * (right[0] - left[0])
    assert views["bangs_close-up"][3] < mouth[1]
    for other in ("head_out_of_frame", "lower_body"):
        assert other not in views or views[other][1] > (left[1] + mouth[1]) / 2


def test_where_there_is_no_skin_no_face_is_seen() -> None:
    assert (
        find_face(Image.new("RGB", (200, 300), (90, 120, 200)), Image.new("L", (200, 300), 255))
        is None
    )
    assert find_face(Image.new("RGB", (200, 300)), Image.new("L", (200, 300))) is None


def test_a_wholly_skin_coloured_picture_is_no_face() -> None:
    assert (
        find_face(Image.new("RGB", (200, 300), (255, 225, 205)), Image.new("L", (200, 300), 255))
        is None
    )
