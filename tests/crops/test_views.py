"""Views of figures whose proportions are known, because the test draws them."""

from __future__ import annotations

import math

import pytest
from PIL import Image, ImageDraw

from lib_singlelora.crops.buckets import make_buckets
from lib_singlelora.crops.views import View, measure, overlap, propose_views

BUCKETS = make_buckets(512)


def figure(
    size: tuple[int, int],
    head: float,
    top: float,
    heads: float,
    *,
    long_hair: bool = False,
    arms: bool = False,
) -> Image.Image:
    """The outline of a standing figure: ellipse, neck, body, legs."""
    mask = Image.new("L", size, 0)
    draw = ImageDraw.Draw(mask)
    x = size[0] / 2
    foot = top + head * heads
    shoulder = top + 1.15 * head
    hip = top + 0.6 * (foot - top)
    draw.ellipse((x - 0.42 * head, top, x + 0.42 * head, top + head), fill=255)
    draw.rectangle((x - 0.15 * head, top + 0.9 * head, x + 0.15 * head, shoulder + 2), fill=255)
    draw.rectangle((x - 0.7 * head, shoulder, x + 0.7 * head, hip), fill=255)
    for side in (-0.3, 0.3):
        draw.rectangle(
            (x + (side - 0.18) * head, hip - 2, x + (side + 0.18) * head, foot), fill=255
        )
    if long_hair:
        draw.rounded_rectangle(
            (x - 0.55 * head, top, x + 0.55 * head, top + 3 * head), 0.4 * head, fill=255
        )
    if arms:
        draw.rectangle((x - 2 * head, shoulder, x + 2 * head, shoulder + 0.3 * head), fill=255)
    return mask


def named(views: list[View]) -> dict[str, View]:
    return {view.name: view for view in views}


STANDING = figure((900, 1500), 200, 60, 6.5)
BUST = figure((800, 800), 300, 60, 6.5)


@pytest.mark.parametrize("heads", [2.7, 5.0, 6.5, 7.5])
def test_the_neck_tells_the_head_of_any_proportion(heads: float) -> None:
    assert measure(figure((900, 1600), 190, 60, heads)).head == pytest.approx(190, rel=0.15)


def test_shoulders_tell_the_head_where_hair_hides_the_neck() -> None:
    assert measure(
        figure((900, 1500), 200, 60, 6.5, long_hair=True, arms=True)
    ).head == pytest.approx(230, rel=0.15)


def test_a_standing_figure_allows_every_view() -> None:
    assert [view.name for view in propose_views(STANDING, BUCKETS)] == [
        "full_body",
        "cowboy_shot",
        "upper_body",
        "lower_body",
        "head_out_of_frame",
        "portrait",
        "face",
        "bangs_close-up",
    ]


def test_views_contain_what_their_names_say() -> None:
    views = named(propose_views(STANDING, BUCKETS))
    top = 60
    chin = 260
    feet = 60 + 1300
    assert views["full_body"].box[1] <= top
    assert views["full_body"].box[3] >= feet
    for name in ("cowboy_shot", "upper_body", "portrait"):
        assert views[name].box[1] <= top
        assert chin < views[name].box[3] < feet
    assert views["upper_body"].box[3] < views["cowboy_shot"].box[3]
    assert views["lower_body"].box[1] > chin
    assert views["lower_body"].box[3] >= feet
    assert top + 100 < views["head_out_of_frame"].box[1]
    left, upper, right, lower = views["face"].box
    assert left < 450 - 0.33 * 200
    assert right > 450 + 0.33 * 200
    assert upper < 160 < 240 < lower
    assert views["bangs_close-up"].box[3] < chin


@pytest.mark.parametrize("resolution", [128, 512])
def test_boxes_lie_in_the_picture_and_have_a_bucket_s_aspect_ratio(resolution: int) -> None:
    buckets = make_buckets(resolution)
    for mask in (STANDING, BUST):
        for view in propose_views(mask, buckets):
            left, top, right, bottom = view.box
            assert 0 <= left < right <= mask.width
            assert 0 <= top < bottom <= mask.height
            loss = min(
                abs(math.log((right - left) / (bottom - top) / (width / height)))
                for width, height in buckets
            )
            assert loss < 0.03, view


def test_a_portrait_cut_by_the_lower_edge_proposes_nothing_that_is_not_there() -> None:
    views = named(propose_views(BUST, BUCKETS))
    assert {"portrait", "face", "bangs_close-up"} <= set(views)
    assert not {"full_body", "lower_body", "cowboy_shot"} & set(views)


def test_no_two_views_show_the_same() -> None:
    for mask in (STANDING, BUST):
        views = propose_views(mask, BUCKETS)
        for index, view in enumerate(views):
            assert all(overlap(view.box, other.box) < 0.9 for other in views[:index])


@pytest.mark.parametrize(
    "mask",
    [
        Image.new("L", (300, 200), 0),
        Image.new("L", (300, 200), 255),
        Image.new("L", (33, 2000), 255),
        Image.new("L", (3000, 40), 255),
    ],
)
def test_odd_masks_still_give_a_view(mask: Image.Image) -> None:
    views = propose_views(mask, BUCKETS)
    assert views
    for view in views:
        assert view.box[2] <= mask.width
        assert view.box[3] <= mask.height


def test_every_view_has_a_caption_tag() -> None:
    assert all(view.tags for view in propose_views(STANDING, BUCKETS))


def test_with_few_narrow_buckets_an_upper_body_grows_sideways_rather_than_down_to_the_thighs() -> (
    None
):
    mask = Image.new("L", (1411, 2048), 0)
    drawing = ImageDraw.Draw(mask)
    drawing.ellipse((407, 57, 1013, 808), fill=255)  # a head as high as two thirds of the body
    drawing.rectangle((286, 900, 1125, 1959), fill=255)
    drawing.rectangle((600, 790, 820, 910), fill=255)
    views = {
        view.name: view.box
        for view in propose_views(mask, make_buckets(128), face=(480, 480, 928, 808))
    }
    upper = views["upper_body"]
    cowboy = views["cowboy_shot"]
    assert upper[3] < cowboy[3] - 200 and upper[2] - upper[0] == pytest.approx(
        upper[3] - upper[1], abs=2
    )


def test_where_all_is_trained_square_a_figure_too_tall_for_the_picture_is_not_proposed_whole() -> (
    None
):
    mask = figure((500, 1400), 200, 20, 6.5)
    views = {view.name: view.box for view in propose_views(mask, [(512, 512)])}
    assert not {"full_body", "cowboy_shot"} & views.keys() and {"portrait", "face"} <= views.keys()
    assert {"full_body", "cowboy_shot"} <= {view.name for view in propose_views(mask, BUCKETS)}
