"""The form of a caption."""

from __future__ import annotations

import pytest

from lib_singlelora.captions.order import arrange, implied, unique, without_implied

FRONT = ("isabella", "girl")
TAGS = ["white background", "smile", "hat", "1girl", "standing", "white dress", "dress"]


def test_trigger_and_class_come_first_then_the_categories() -> None:
    assert (
        arrange(FRONT, TAGS)
        == "isabella, girl, 1girl, standing, smile, white dress, dress, hat, white background"
    )


def test_the_tagger_s_certainty_or_letters_can_order_the_rest() -> None:
    assert arrange(FRONT, TAGS, order="certainty").startswith(
        "isabella, girl, white background, smile, hat"
    )
    assert arrange(FRONT, TAGS, order="alphabet").startswith("isabella, girl, 1girl, dress, hat")


def test_a_tag_stands_once_however_it_is_written() -> None:
    assert unique(["White_Dress", "smile", "white dress"]) == ["White_Dress", "smile"]
    assert arrange(FRONT, ["girl", "smile", "smile"]) == "isabella, girl, smile"


def test_underscores_are_for_tags_and_never_for_the_trigger() -> None:
    assert (
        arrange(("isabella of spain", "girl"), ["white dress", "^_^"], underscores=True)
        == "isabella of spain, girl, ^_^, white_dress"
    )


@pytest.mark.parametrize(
    ("tag", "less"),
    [
        ("white dress", {"dress"}),
        ("very long hair", {"long hair"}),
        ("striped capelet", {"capelet"}),
        ("white background", {"simple background"}),
        ("standing on one leg", {"standing"}),
        ("cat ears", {"animal ears"}),
        ("miniskirt", {"skirt"}),
    ],
)
def test_a_more_exact_tag_implies_the_less_exact_one(tag: str, less: set[str]) -> None:
    assert less <= implied(tag)


def test_a_hat_bow_implies_hat_and_bow() -> None:
    assert without_implied(["hat", "hat bow", "bow", "smile"]) == ["hat bow", "smile"]


@pytest.mark.parametrize(
    "tags",
    [
        ["no bra", "bra"],
        ["unworn hat", "hat"],
        ["fake animal ears", "animal ears"],
        ["holding hat", "hat"],
        ["open mouth", "smile"],
        ["closed eyes", "blue eyes"],
    ],
)
def test_what_only_looks_alike_stays(tags: list[str]) -> None:
    assert without_implied(tags) == tags


def test_implied_tags_go_on_demand_only() -> None:
    assert "dress, " in arrange(FRONT, TAGS)
    assert ", dress" not in arrange(FRONT, TAGS, drop_implied=True)
