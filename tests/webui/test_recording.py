"""Nobody but the WebUI itself takes part in a pass of the real one's U-Net, and others are seen."""

from __future__ import annotations

import pytest

from tests.webui.process import WebUI

pytestmark = pytest.mark.timeout(600)


def test_the_webuis_own_pass_may_be_recorded_and_a_hook_is_named(webui: WebUI) -> None:
    if webui.kind != "webui":
        pytest.skip("Forge and reForge are never recorded")
    webui.picture("1girl", steps=1, width=64, height=64)  # its hijacks are in place
    assert webui.ask("/probe/recording") == ""
    assert "hook of" in webui.ask("/probe/recording?hooked=true")
