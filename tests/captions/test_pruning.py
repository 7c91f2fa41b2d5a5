"""Which tags a caption leaves out."""

from __future__ import annotations

import pytest

from lib_singlelora.captions.pruning import find_traits, hidden, policy_of, prune
from lib_singlelora.captions.tag_categories import ORDER
from lib_singlelora.errors import SettingsError
from lib_singlelora.settings.captions import CaptionSettings

HERS = ["blonde hair", "long hair", "blunt bangs", "blue eyes", "large breasts", "dark skin"]
KEPT = [
    "1girl",
    "solo",
    "white dress",
    "teal scarf",
    "hat",
    "standing",
    "hand on own hip",
    "peace sign",
    "smile",
    "open mouth",
    "looking at viewer",
    "from above",
    "white background",
    "outdoors",
    "some unknown tag",
]
VIEWS = {
    "full_body": ["full body"],
    "face": ["close-up", "face focus"],
    "legs": ["lower body", "head out of frame"],
}


def pruned(
    seen: dict[str, list[str]], options: CaptionSettings, names: tuple[str, ...] = ()
) -> dict[str, list[str]]:
    policy = policy_of(options, names)
    traits = find_traits(seen, VIEWS, policy)
    return {name: prune(tags, traits, policy) for name, tags in seen.items()}


def test_traits_go_and_everything_else_stays() -> None:
    assert pruned({"full_body": [*HERS, *KEPT]}, CaptionSettings())["full_body"] == KEPT


def test_a_trait_goes_even_where_only_one_crop_shows_it() -> None:
    seen = {"full_body": ["smile", "blonde hair"], "face": ["blonde hair"], "legs": ["green hair"]}
    assert pruned(seen, CaptionSettings()) == {"full_body": ["smile"], "face": [], "legs": []}


def test_hair_style_goes_where_crops_of_one_picture_disagree_for_only_the_tagger_does() -> None:
    seen = {"full_body": ["twintails"], "face": ["ponytail"], "legs": ["standing"]}
    assert pruned(seen, CaptionSettings()) == {"full_body": [], "face": [], "legs": ["standing"]}


def test_hair_style_goes_when_most_pictures_that_could_show_it_agree() -> None:
    seen = {
        "full_body": ["twintails"],
        "face": ["twintails", "ponytail"],
        "mine": ["twintails"],
        "legs": ["standing"],
    }
    assert pruned(seen, CaptionSettings()) == {
        "full_body": [],
        "face": ["ponytail"],
        "mine": [],
        "legs": ["standing"],
    }


def test_a_single_crop_beside_a_picture_of_the_user_s_own_is_not_alone() -> None:
    seen = {"full_body": ["twintails"], "mine": ["ponytail"], "legs": ["standing"]}
    assert pruned(seen, CaptionSettings()) == seen
    # A picture of its own has no view, whether or not the tagger sees a framing
    assert pruned({"mine": ["portrait", "ponytail"]}, CaptionSettings()) == {"mine": ["portrait"]}


def test_a_crop_that_cannot_show_a_trait_has_no_vote() -> None:
    seen = {
        "full_body": ["blue eyes", "large breasts"],
        "face": ["blue eyes"],
        "legs": ["brown eyes"],
    }
    traits = {
        trait.tag: (trait.seen, trait.visible, trait.shared)
        for trait in find_traits(seen, VIEWS, policy_of(CaptionSettings()))
    }
    assert traits == {
        "blue eyes": (2, 2, True),
        "large breasts": (1, 1, True),
        "brown eyes": (0, 2, False),
    }
    assert "eye colour" in hidden(["lower body"]) and "eye colour" not in hidden(["portrait"])


def test_a_picture_without_a_view_is_judged_by_the_tagger_s_framing() -> None:
    seen = {"mine": ["head out of frame", "skirt"], "yours": ["portrait", "red hair"]}
    [trait] = find_traits(seen, {}, policy_of(CaptionSettings()))
    assert (trait.tag, trait.seen, trait.visible) == ("red hair", 1, 1)


def test_closed_eyes_and_a_turned_back_hide_the_eyes() -> None:
    seen = {"full_body": ["blue eyes"], "a": ["closed eyes"], "b": ["from behind"]}
    [trait] = find_traits(
        seen, {"a": ["portrait"], "b": ["portrait"], **VIEWS}, policy_of(CaptionSettings())
    )
    assert (trait.seen, trait.visible) == (1, 1)


def test_her_outfit_is_hers_when_the_setting_says_so() -> None:
    left = pruned({"full_body": KEPT}, CaptionSettings(outfit="prune"))["full_body"]
    assert left == [tag for tag in KEPT if tag not in ("white dress", "teal scarf", "hat")]


def test_a_user_s_own_words_win() -> None:
    options = CaptionSettings(keep=("blonde_hair", "bangs"), drop=("smile", "background"))
    left = pruned({"full_body": [*HERS, *KEPT]}, options)["full_body"]
    assert {"blonde hair", "blunt bangs"} <= set(left)
    assert not {"smile", "white background", "outdoors", "long hair"} & set(left)


def test_a_known_character_s_name_gives_way_to_the_trigger() -> None:
    seen = {"full_body": ["isabella (story)", "smile"]}
    assert pruned(seen, CaptionSettings(), ("isabella (story)",)) == {"full_body": ["smile"]}
    assert pruned(seen, CaptionSettings(prune=()), ("isabella (story)",)) == seen


def test_an_unknown_category_names_the_nearest() -> None:
    with pytest.raises(SettingsError, match="did you mean 'hair colour'"):
        policy_of(CaptionSettings(prune=("hair color",)))


def test_the_settings_defaults_are_categories() -> None:
    assert {*CaptionSettings().prune, *CaptionSettings().prune_shared} <= set(ORDER)
