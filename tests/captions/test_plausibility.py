"""Tags that a crop cannot show: by its parts, by the whole picture, by the known background."""

from __future__ import annotations

import pytest

from lib_singlelora.captions.plausibility import Sight, find_doubts
from lib_singlelora.captions.visible_parts import parts_of

WHOLE_BODY = dict.fromkeys(
    ("head", "face", "eyes", "mouth", "neck", "torso", "hips", "legs", "feet"), 1.0
)
FACE = {**dict.fromkeys(WHOLE_BODY, 0.0), "head": 0.7, "face": 1.0, "eyes": 1.0, "mouth": 1.0}
BOOTS = {**dict.fromkeys(WHOLE_BODY, 0.0), "legs": 0.4, "feet": 1.0}


def sight(
    scores: dict[str, float], shows: dict[str, float] | None = None, background: float = 0.5
) -> Sight:
    """What taggers say of a crop, 0.35 their threshold; without shares it is the whole picture."""
    parts = {**(shows or WHOLE_BODY), "background": background}
    tags = [tag for tag, score in scores.items() if score > 0.35]
    return Sight(tags, scores, (), parts, shows is None)


def doubted(background: tuple[str, ...] | None = None, **sights: Sight) -> dict[str, list[str]]:
    found = find_doubts(sights, background)
    return {name: [doubt.tag for doubt in doubts] for name, doubts in found.items()}


@pytest.mark.parametrize(
    ("said", "contrary"),
    [
        ("1girl", "2girls"),
        ("1girl", "multiple girls"),
        ("1girl", "no humans"),
        ("solo", "couple"),
        ("1girl", "1boy"),
        ("looking at viewer", "from behind"),
        ("looking at viewer", "looking away"),
        ("from above", "from below"),
        ("blue eyes", "closed eyes"),
        ("open mouth", "closed mouth"),
        ("smile", "frown"),
        ("simple background", "outdoors"),
        ("white background", "blue sky"),
        ("outdoors", "indoors"),
        ("outdoors", "white background"),
        ("standing", "sitting"),
    ],
)
def test_the_whole_picture_bounds_its_parts(said: str, contrary: str) -> None:
    found = doubted(
        whole=sight({said: 0.9, contrary: 0.1}), part=sight({contrary: 0.7}, WHOLE_BODY)
    )
    assert found == {"whole": [], "part": [contrary]}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("1girl", "solo"),
        ("2girls", "multiple girls"),
        ("white background", "simple background"),
        ("outdoors", "blue sky"),
        ("from side", "looking at viewer"),
        ("blue eyes", "looking at viewer"),
        ("smile", "open mouth"),
        ("standing", "looking at viewer"),
        ("1girl", "1boy"),
    ],
)
def test_what_goes_together_stays_together(one: str, other: str) -> None:
    both = {one: 0.9, other: 0.8}
    assert doubted(whole=sight(both), part=sight(both, WHOLE_BODY)) == {"whole": [], "part": []}


def test_of_several_persons_a_crop_may_show_one() -> None:
    part = sight({"1girl": 0.9, "solo": 0.8}, FACE)
    whole = sight({"2girls": 0.95, "multiple girls": 0.9})
    assert doubted(whole=whole, part=part)["part"] == []


def test_where_the_whole_picture_is_unsure_the_crops_that_can_show_it_decide() -> None:
    found = doubted(
        whole=sight({"outdoors": 0.4, "indoors": 0.45}),
        legs=sight({"indoors": 0.6}, BOOTS),
        portrait=sight({"outdoors": 0.9}, FACE),
    )
    assert found == {"whole": ["indoors"], "legs": ["indoors"], "portrait": []}


def test_of_a_small_face_all_crops_of_it_count() -> None:
    near = sight({"looking at viewer": 0.9}, FACE)
    found = doubted(
        whole=sight({"from side": 0.99}),
        face=near,
        portrait=near,
        boots=sight({"from behind": 0.99}, BOOTS),
    )
    assert found == {"whole": ["from side"], "face": [], "portrait": [], "boots": ["from behind"]}


def test_the_face_tells_of_eyes_what_the_whole_picture_shows_too_small() -> None:
    found = doubted(
        whole=sight({"closed eyes": 0.6, "1girl": 0.9}),
        face=sight({"green eyes": 0.95}, FACE),
        boots=sight({"closed eyes": 0.99}, BOOTS),
    )
    assert found == {"whole": ["closed eyes"], "face": [], "boots": ["closed eyes"]}


def test_a_crop_that_cannot_show_it_bears_no_witness() -> None:
    found = doubted(
        boots=sight({"outdoors": 0.99}, BOOTS, background=0.0), face=sight({"indoors": 0.6}, FACE)
    )
    assert found == {"boots": ["outdoors"], "face": []}


@pytest.mark.parametrize(
    ("tag", "in_the_face", "at_the_boots"),
    [
        ("hat", True, False),
        ("red hat", True, False),
        ("hair bow", True, False),
        ("glasses", True, False),
        ("smile", True, False),
        ("looking at viewer", True, False),
        ("blunt bangs", True, False),
        ("skirt", False, True),
        ("striped skirt", False, True),
        ("boots", False, True),
        ("cross-laced footwear", False, True),
        ("black thighhighs", False, True),
        ("standing", False, True),
        ("large breasts", False, False),
        ("red bow", True, True),
        ("black gloves", True, True),
        ("holding hat", True, True),
        ("hat removed", True, True),
        ("some unknown tag", True, True),
    ],
)
def test_a_tag_must_be_possible_in_that_view(
    tag: str, in_the_face: bool, at_the_boots: bool
) -> None:
    found = doubted(face=sight({tag: 0.9}, FACE), boots=sight({tag: 0.9}, BOOTS))
    assert (not found["face"], not found["boots"]) == (in_the_face, at_the_boots)


def test_without_measured_parts_the_framing_tells_what_a_crop_cannot_show() -> None:
    legs = Sight(["hat", "smile", "boots"], {}, ("lower body", "head out of frame"))
    face = Sight(["hat", "smile"], {}, ("close-up", "face focus"))
    assert doubted(legs=legs, face=face) == {"legs": ["hat", "smile"], "face": []}


def test_hair_that_the_whole_picture_shows_may_reach_into_any_crop() -> None:
    whole = sight({"black hair": 0.9})
    boots = sight({"black hair": 0.9, "brown hair": 0.8}, BOOTS)
    assert doubted(whole=whole, boots=boots)["boots"] == ["brown hair"]


def test_a_background_of_one_colour_is_no_place_and_has_that_colour() -> None:
    said = {"outdoors": 0.9, "grey background": 0.6, "white background": 0.4, "petals": 0.9}
    assert doubted(("white",), whole=sight(said)) == {"whole": ["outdoors", "grey background"]}
    assert doubted(("white", "grey"), whole=sight(said)) == {"whole": ["outdoors"]}
    assert doubted(None, whole=sight(said)) == {"whole": ["grey background", "white background"]}
    assert doubted(
        None,
        whole=sight({"simple background": 0.9, "blue background": 0.9, "pink background": 0.8}),
    ) == {"whole": []}


def test_a_crop_without_background_says_nothing_of_it() -> None:
    part = sight({"simple background": 0.9, "smile": 0.9}, FACE, background=0.01)
    assert doubted(part=part) == {"part": ["simple background"]}


def test_only_the_whole_picture_is_monochrome() -> None:
    found = doubted(whole=sight({"1girl": 0.9}), part=sight({"monochrome": 0.9}, BOOTS))
    assert found["part"] == ["monochrome"]


def test_each_doubt_says_why() -> None:
    found = find_doubts(
        {"whole": sight({"1girl": 0.98}), "boots": sight({"2girls": 0.5, "hat": 0.5}, BOOTS)}
    )
    assert [doubt.reason for doubt in found["boots"]] == [
        "the whole picture shows one person (0.98)",
        "this crop shows no head",
    ]


@pytest.mark.parametrize(
    ("tag", "part"),
    [("capelet", "torso"), ("baseball cap", "head"), ("knee boots", "feet"), ("cat ears", "head")],
)
def test_the_noun_at_the_end_tells_the_part(tag: str, part: str) -> None:
    assert part in parts_of(tag)
