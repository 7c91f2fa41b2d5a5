"""What blocks carry."""

import pytest

from lib_singlelora.naming.block_roles import COLOUR, COMPOSITION, OUTLINE, STYLE, WORDS, carries
from lib_singlelora.naming.blocks import LAYOUTS, SD1, SDXL, BlockLayout


def test_the_deeper_a_block_of_sd1_the_coarser_what_it_carries() -> None:
    found = [carries(label, SD1) for label in SD1.attention_labels]
    inwards = [COLOUR] * 2 + [STYLE] * 2 + [OUTLINE] * 2
    assert found == [*inwards, COMPOSITION, *[OUTLINE] * 3, *[STYLE] * 3, *[COLOUR] * 3]


def test_sdxl_follows_b_lora() -> None:
    assert [carries(label, SDXL) for label in ("IN08", "OUT00", "OUT01")] == [
        COMPOSITION,
        OUTLINE,
        STYLE,
    ]


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout.name)
def test_every_block_carries_something(layout: BlockLayout) -> None:
    assert {carries(label, layout) for label in layout.labels} == {
        COLOUR,
        STYLE,
        OUTLINE,
        COMPOSITION,
    }
    assert carries("BASE", layout) == WORDS
