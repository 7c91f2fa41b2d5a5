"""What the judged loopback asks for."""

from __future__ import annotations

from itertools import islice

from lib_singlelora.metrics.loopback_prompts import ASKS, KINDS, wishes


def test_the_sources_take_turns_and_ask_for_what_they_can_change() -> None:
    wanted = list(islice(wishes(("inpaint", "txt2img"), []), 40))
    assert [wish.source for wish in wanted[:4]] == ["inpaint", "txt2img", "inpaint", "txt2img"]
    assert all(wish.kind in KINDS[wish.source] for wish in wanted)
    assert {wish.kind for wish in wanted} == set(ASKS)


def test_what_the_crops_show_is_not_asked_again() -> None:
    wanted = list(islice(wishes(("txt2img",), [["isabella", "sitting", "outdoors"]]), 60))
    assert not {"sitting", "outdoors"} & {tag for wish in wanted for tag in wish.asks}


def test_only_what_the_tagger_knows_is_asked() -> None:
    wanted = list(islice(wishes(("txt2img", "inpaint"), [], {"from side", "indoors"}), 12))
    assert {tag for wish in wanted for tag in wish.asks} == {"from side", "indoors"}
    assert not list(wishes(("img2img",), [], {"hat"}))


def test_a_part_that_is_redrawn_leaves_the_place_as_it_is() -> None:
    wanted = list(islice(wishes(("inpaint",), []), 30))
    assert all(wish.background in ("", wish.ask) for wish in wanted)
    assert all(wish.framing == "full body" for wish in wanted if wish.ask == "sitting")
