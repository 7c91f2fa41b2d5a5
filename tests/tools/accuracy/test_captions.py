"""The captions' benchmark on a few characters: nothing of hers is said, nothing else is lost."""

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("onnxruntime")
pytest.importorskip("skia")

from tools.accuracy.captions import TRAITS, bench


def test_captions_say_all_but_her_traits() -> None:
    count = bench(4, 3000)
    assert count.wrong == []
    assert count.captions > 12 and count.traits > 10 and count.others > 60


def test_traits_are_the_renderers_words() -> None:
    assert {
        "blonde hair",
        "long hair",
        "blunt bangs",
        "blue eyes",
    } <= TRAITS and "white hat" not in TRAITS
