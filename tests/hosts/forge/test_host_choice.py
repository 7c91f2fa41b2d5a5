"""What the log and the tab call the program that runs us."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest

from tests.hosts.forge.stand_in import ForgeStandIn
from tests.hosts.webui.stand_in import module


def test_a_program_is_named_with_its_own_version_or_without(
    forge: ForgeStandIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lib_singlelora.extension.host_choice import program_name

    host: Any = SimpleNamespace(title="reForge")
    assert program_name(host) == "reForge"
    tagged = module("modules.launch_utils", git_tag=lambda: "f1.0.0")
    monkeypatch.setitem(sys.modules, "modules.launch_utils", tagged)
    monkeypatch.setattr(sys.modules["modules"], "launch_utils", tagged, raising=False)
    assert program_name(host) == "reForge f1.0.0"
