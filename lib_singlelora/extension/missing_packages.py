"""The tab when something that we need is missing: it says what, and how to get it."""

from __future__ import annotations

import html
from typing import Any

from modules import script_callbacks

from ..bootstrap.webui_requirements import wanted


def register_missing(error: ImportError) -> None:
    """A tab with the reason instead of the product."""
    what = error.name or str(error)
    if what == "networks":
        how = (
            "Switch on the WebUI's built-in Lora extension (Extensions tab) and restart the WebUI."
        )
    else:
        command = next((need.command for need in wanted() if need.module == what), None)
        how = (
            f"Run <code>{html.escape(command)}</code> and restart the WebUI."
            if command
            else (
                "Start the WebUI once with a network and without --skip-install, so that it is"
                " installed."
            )
        )

    def tab() -> list[tuple[Any, str, str]]:
        from ..ui.notice import notice

        return [
            (
                notice(
                    "<h3>Single LoRA cannot start</h3><p>Found no"
                    f" <code>{html.escape(what)}</code>, expected it installed. {how}</p>"
                ),
                "Single LoRA",
                "singlelora",
            )
        ]

    script_callbacks.on_ui_tabs(tab)
