"""The stand-in, installed for one test."""

from pathlib import Path

import pytest

from tests.hosts.webui.stand_in import StandIn


@pytest.fixture
def webui(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> StandIn:
    return StandIn(monkeypatch, tmp_path)
