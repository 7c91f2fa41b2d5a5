"""Every reader is fed generated inputs, always the same few; `python -m tools.torture fuzz` tries
many more.
"""

import logging

import pytest

pytest.importorskip("diffusers")
pytest.importorskip("fastapi")
pytest.importorskip("hypothesis")

from tools.torture.fuzz import EVERY, feed
from tools.torture.readers import Reader

FEW = 12  # each; together some seconds


@pytest.fixture(autouse=True)
def quiet() -> None:
    """Warnings of each bad file would be thousands of lines."""
    logging.getLogger("dynamicprompts").setLevel(logging.CRITICAL)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("reader", EVERY, ids=lambda reader: reader.name)
def test_nothing_but_our_own_errors_comes_out_of_a_reader(reader: Reader) -> None:
    assert feed(reader, FEW) > 0
