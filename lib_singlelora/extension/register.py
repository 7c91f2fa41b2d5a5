"""Registration with the WebUI, called by scripts/singlelora.py.

One Service lives as long as the process: "Reload UI" builds the page anew, and a job that is
running goes on.
"""

from __future__ import annotations

import re
import secrets
from typing import Any

from modules import script_callbacks, shared

from ..api import routes
from ..bootstrap.webui_requirements import wanted
from ..hosts.webui_family.generate import interrupt_when_cancelled
from ..hosts.webui_family.host import FamilyHost
from ..service.service import Service
from ..ui.compat import show_warning, users_of
from ..ui.page import Action, Extras, tab
from .embedded_checkpoint import add_embedded, recognize_embedded
from .host_choice import choose_host
from .options import add_options, workspace_root
from .send_to_tabs import Components
from .xyz_axes import add_axes

RELOAD_TIMEOUT = 3  # seconds that "Reload UI" waits for open requests
PAGE_KEY = secrets.token_urlsafe(24)  # of this process: lets its page use the API

_service: Service | None = None


def service() -> Service:
    """The one service of this process."""
    global _service
    if _service is None:
        _service = Service(choose_host(show_warning), workspace_root)
    return _service


def register() -> None:
    """Hook into the WebUI.

    The WebUI forgets an extension's callbacks before it loads its scripts again.
    """
    running = service()
    host = running.host
    assert isinstance(host, FamilyHost)
    recognize_embedded(host)
    components = Components()

    def app_started(demo: Any, app: Any) -> None:
        login = users_of(app)
        routes.mount(app, running, credentials(), login, is_trusted_origin, PAGE_KEY)
        limit_graceful_shutdown(demo)

    def tabs() -> list[tuple[Any, str, str]]:
        add_checkpoint = Action(
            "Add the small embedded checkpoint to the WebUI's", "singlelora_embedded", add_embedded
        )
        sends = components.sends()
        extras = Extras(sends, [add_checkpoint], missing_packages(), PAGE_KEY)
        return [(tab(running, extras), "Single LoRA", "singlelora")]

    script_callbacks.on_before_ui(lambda: add_axes(host.library))
    script_callbacks.on_after_component(components.after_component)
    script_callbacks.on_ui_settings(add_options)
    script_callbacks.on_ui_tabs(tabs)
    script_callbacks.on_app_started(app_started)
    script_callbacks.on_cfg_denoiser(lambda params: interrupt_when_cancelled(host.queue.job))


def limit_graceful_shutdown(demo: Any) -> None:
    """Let "Reload UI" end, whatever pages were closed before.

    gradio 3 never ends the handler of a page that was closed between joining the queue and being
    asked for its inputs, and the server that is to stop waits for all handlers: the WebUI alone
    hangs there for good. uvicorn has a time limit, which gradio leaves unset.
    """
    config: Any = getattr(getattr(demo, "server", None), "config", None)
    if getattr(config, "timeout_graceful_shutdown", 0) is None:
        config.timeout_graceful_shutdown = RELOAD_TIMEOUT


def missing_packages() -> dict[str, str]:
    """Package that install.py could not install -> the command that does."""
    return {need.module: need.command for need in wanted()}


def credentials() -> dict[str, str]:
    """--api-auth: user -> password."""
    pairs = (
        pair.split(":", 1) for pair in (shared.cmd_opts.api_auth or "").split(",") if ":" in pair
    )
    return {user.strip(): password.strip() for user, password in pairs}


def is_trusted_origin(origin: str) -> bool:
    """True if the WebUI's flags name this origin as one whose pages may use its API.

    `*` names nobody.
    """
    origins = (shared.cmd_opts.cors_allow_origins or "").split(",")
    if origin in [allowed.strip() for allowed in origins]:
        return True
    pattern = shared.cmd_opts.cors_allow_origins_regex
    return bool(pattern and re.fullmatch(pattern, origin))
