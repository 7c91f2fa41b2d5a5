"""The article's prompt sets, from captions and traits."""

import pytest

from lib_singlelora.captions.prompt_sets import build_prompts
from lib_singlelora.captions.text import split_tags
from lib_singlelora.settings.plot import PROMPT_SETS

CAPTIONS = [
    "isa, girl, full body, sitting, grey background",
    "isa, girl, portrait, grey background",
    "isa, girl, lower body",
]
TRAITS = {
    "blonde hair": (3, 3),
    "white hat": (2, 3),
    "green bow": (2, 3),
    "long skirt": (1, 3),
    "eyepatch": (1, 9),
}


def prompts(name: str) -> list[list[str]]:
    return [split_tags(prompt) for prompt in build_prompts(name, "isa", "girl", CAPTIONS, TRAITS)]


@pytest.mark.parametrize("name", PROMPT_SETS)
def test_each_prompt_calls_her_once_and_differs_from_the_others(name: str) -> None:
    found = prompts(name)
    assert 4 <= len(found) <= 10 and len({tuple(own) for own in found}) == len(found)
    assert all(own[:2] == ["isa", "girl"] and len(set(own)) == len(own) for own in found)


def test_the_general_outfit_names_her_clothes_and_asks_once_without() -> None:
    found = prompts("general")
    assert all({"white hat", "green bow", "long skirt"} <= set(own) for own in found[:-1])
    assert not {"white hat", "long skirt"} & set(found[-1])
    assert not any("eyepatch" in own for own in found)  # one crop of nine: the tagger's slip


def test_the_custom_outfit_takes_off_what_is_not_essential() -> None:
    bare, *others = prompts("custom_outfit")
    assert {"blonde hair", "long skirt"} <= set(bare) and not {"white hat", "green bow"} & set(bare)
    assert (
        all("blonde hair" in own and "long skirt" not in own for own in others) and len(others) > 3
    )


def test_her_own_pose_and_background_come_first() -> None:
    assert (
        "sitting" in prompts("poses")[0] and sum("sitting" in own for own in prompts("poses")) == 1
    )
    assert "grey background" in prompts("backgrounds")[0]
    assert all("grey background" in own for own in prompts("viewpoints"))


@pytest.mark.parametrize("name", PROMPT_SETS)
def test_a_workspace_without_captions_has_prompts_too(name: str) -> None:
    assert len(build_prompts(name, "isa", "girl", [], {})) >= 4
