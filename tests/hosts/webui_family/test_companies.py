"""Which pictures are drawn together: those that are the same in company as alone."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from PIL import Image

from lib_singlelora.host import ImageRequest
from tests.hosts.webui.stand_in import module


@pytest.fixture
def generate(webui: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    for name in ("modules.sd_samplers", "modules.sd_schedulers"):
        monkeypatch.setitem(sys.modules, name, module(name))
        monkeypatch.setattr(sys.modules["modules"], name[8:], sys.modules[name], raising=False)
    for name in [name for name in sys.modules if name.endswith("webui_family.generate")]:
        monkeypatch.delitem(sys.modules, name)
    from lib_singlelora.hosts.webui_family import generate

    return generate


@pytest.mark.parametrize("shares_mask_noise", [False, True])
def test_inpaintings_are_apart_where_their_noise_is_shared(
    generate: Any, shares_mask_noise: bool
) -> None:
    custom = generate.Custom(shares_mask_noise=shares_mask_noise)
    plain = ImageRequest("isabella", (5,), 64, 64)
    picture = Image.new("RGB", (64, 64))
    masked = ImageRequest("isabella", (5,), 64, 64, image=picture, mask=picture.convert("L"))
    companies = [
        {generate.company_of(request, number, custom) for number in range(3)}
        for request in (plain, masked)
    ]
    assert len(companies[0]) == 1
    assert len(companies[1]) == (3 if shares_mask_noise else 1)
