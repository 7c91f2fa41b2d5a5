"""The tab when a package is missing: it says which one, and how to get it."""

from __future__ import annotations

import html
from typing import Any

from modules import script_callbacks

from ..bootstrap.webui_requirements import wanted


def register_missing(error: ImportError) -> None:
    """Register a tab with the reason in place of the product."""
    package = error.name or str(error)
    notice_html = (
        "<h3>Single LoRA cannot start</h3><p>Found no"
        f" <code>{html.escape(package)}</code>, expected it installed. {_remedy(package)}</p>"
    )

    def tabs() -> list[tuple[Any, str, str]]:
        from ..ui.notice import notice

        return [(notice(notice_html), "Single LoRA", "singlelora")]

    script_callbacks.on_ui_tabs(tabs)


def _remedy(package: str) -> str:
    """Advice for the user, as HTML."""
    if package == "networks":
        return (
            "Switch on the WebUI's built-in Lora extension (Extensions tab) and restart the WebUI."
        )
    command = next((need.command for need in wanted() if need.module == package), None)
    if command:
        return f"Run <code>{html.escape(command)}</code> and restart the WebUI."
    return "Start the WebUI once with a network and without --skip-install to install it."
