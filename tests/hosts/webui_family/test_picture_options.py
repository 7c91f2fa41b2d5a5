"""Options that are set for one picture."""

from __future__ import annotations

from typing import Any


def test_an_option_without_a_value_has_none_after_a_picture(webui: Any) -> None:
    from lib_singlelora.hosts.webui_family.picture_options import options_kept

    data = webui.shared.opts.data
    before = dict(data)
    with options_kept(["sd_model_checkpoint", "sd_noise_schedule"]):
        data["sd_noise_schedule"] = "Zero Terminal SNR"
    assert data == before
