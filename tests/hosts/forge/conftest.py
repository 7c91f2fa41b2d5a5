"""Stand-ins for Forge and reForge, installed for one test, and our host in them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from tests.hosts.forge.reforge_stand_in import ReForgeStandIn
from tests.hosts.forge.stand_in import ForgeStandIn
from tests.hosts.webui.conftest import webui
from tests.hosts.webui.stand_in import StandIn

__all__ = ["forge", "host", "reforge", "reforge_host", "webui"]


@pytest.fixture
def forge(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, webui: StandIn) -> ForgeStandIn:
    return ForgeStandIn(monkeypatch, tmp_path, webui)


@pytest.fixture
def host(forge: ForgeStandIn) -> Any:
    from lib_singlelora.hosts.forge.forge_backend import ForgeBackend
    from lib_singlelora.hosts.forge.host import ForgeHost

    return ForgeHost(ForgeBackend())


@pytest.fixture
def reforge(monkeypatch: pytest.MonkeyPatch, webui: StandIn) -> ReForgeStandIn:
    return ReForgeStandIn(monkeypatch, webui)


@pytest.fixture
def reforge_host(reforge: ReForgeStandIn) -> Any:
    from lib_singlelora.hosts.forge.host import ForgeHost
    from lib_singlelora.hosts.forge.ldm_patched_backend import LdmPatchedBackend

    return ForgeHost(LdmPatchedBackend())
