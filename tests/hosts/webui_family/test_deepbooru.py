"""The WebUI's own tagger behind the port HostTagger."""

from __future__ import annotations

import sys

import pytest
from PIL import Image

from lib_singlelora.errors import TaggerError
from tests.hosts.webui.stand_in import StandIn


def test_probabilities_are_read_before_any_threshold_and_the_model_is_put_away(
    webui: StandIn,
) -> None:
    from lib_singlelora.hosts.webui_family.deepbooru import Deepbooru

    model = sys.modules["modules.deepbooru"].model
    [red, grey] = Deepbooru().tag([Image.new("RGBA", (40, 60), "red"), Image.new("L", (8, 8), 51)])
    assert red == {"red_theme": 1.0, "green_theme": 0.0, "rating:safe": 0.0}
    assert grey["green_theme"] == pytest.approx(0.2) and not model.running


def test_a_model_that_cannot_be_had_is_one_clear_line(webui: StandIn) -> None:
    from lib_singlelora.hosts.webui_family.deepbooru import Deepbooru

    sys.modules["modules.deepbooru"].model.missing = True
    with pytest.raises(TaggerError, match="no network"):
        Deepbooru().tag([Image.new("RGB", (8, 8))])
