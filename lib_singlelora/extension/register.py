"""What scripts/singlelora.py registers with the WebUI.

One Service lives as long as the process: "Reload UI" builds the page anew, and a job that runs goes
on.
"""

from __future__ import annotations

import re
from typing import Any

from modules import script_callbacks, sd_models, shared

from ..api import routes
from ..bootstrap.webui_requirements import wanted
from ..hosts.webui.generate import interrupt_when_cancelled
from ..hosts.webui.host import WebUIHost
from ..service.service import Service
from ..settings.schema import preset_of
from ..ui.compat import show_warning
from ..ui.page import Action, Extras, tab
from .embedded_checkpoint import add_embedded
from .options import add_options, workspace_root
from .send_to_tabs import Components
from .xyz_axes import add_axes

LEAVE = 3  # seconds that "Reload UI" waits for pages to go

_service: Service | None = None


def service() -> Service:
    """The one service of this process."""
    global _service
    if _service is None:
        _service = Service(WebUIHost(show_warning), workspace_root)
    return _service


def register() -> None:
    """Hook into the WebUI; it forgets an extension's callbacks before it loads its scripts again."""
    running = service()
    host = running.host
    assert isinstance(host, WebUIHost)
    components = Components()

    def app_started(demo: Any, app: Any) -> None:
        routes.mount(app, running, credentials(), gradio_users(app), trusts)
        do_not_wait_forever(demo)

    script_callbacks.on_before_ui(lambda: add_axes(host.library))
    script_callbacks.on_after_component(components.after_component)
    script_callbacks.on_ui_settings(add_options)
    actions = [
        Action(
            "Add the small embedded checkpoint to the WebUI's", "singlelora_embedded", add_embedded
        )
    ]
    script_callbacks.on_ui_tabs(
        lambda: [
            (
                tab(running, Extras(components.sends(), actions, lacking(), preset())),
                "Single LoRA",
                "singlelora",
            )
        ]
    )
    script_callbacks.on_app_started(app_started)
    script_callbacks.on_cfg_denoiser(lambda params: interrupt_when_cancelled(host.queue.job))


def do_not_wait_forever(demo: Any) -> None:
    """Let "Reload UI" end, whatever pages were closed before.

    gradio 3 never ends the handler of a page that was closed between joining the queue and being
    asked for its inputs, and the server that is to stop waits for all handlers: the WebUI alone
    hangs there for good.  uvicorn has a limit, which gradio leaves unset.
    """
    config = getattr(getattr(demo, "server", None), "config", None)
    if getattr(config, "timeout_graceful_shutdown", 0) is None:
        config.timeout_graceful_shutdown = LEAVE


def preset() -> str:
    """The preset of the checkpoint that is chosen; nothing is loaded for it."""
    info = sd_models.get_closet_checkpoint_match(shared.opts.sd_model_checkpoint or "")
    return preset_of(info.metadata if info else None)


def lacking() -> dict[str, str]:
    """Package that install.py could not add -> the command that adds it."""
    return {need.module: need.command for need in wanted()}


def credentials() -> dict[str, str]:
    """--api-auth: user -> password."""
    pairs = (
        pair.split(":", 1) for pair in (shared.cmd_opts.api_auth or "").split(",") if ":" in pair
    )
    return {user.strip(): password.strip() for user, password in pairs}


def trusts(origin: str) -> bool:
    """Whether the WebUI was told by name to let pages of this origin use its API; `*` names nobody."""
    named = [each.strip() for each in (shared.cmd_opts.cors_allow_origins or "").split(",")]
    pattern = shared.cmd_opts.cors_allow_origins_regex
    return origin in named or bool(pattern and re.fullmatch(pattern, origin))


def gradio_users(app: Any) -> Any:
    """gradio's own login: a function from a request to the user's name, or None where there is no
    login.
    """
    if not getattr(app, "auth", None):
        return None

    def user(request: Any) -> str | None:
        token = request.cookies.get(
            f"access-token-{app.cookie_id}" if hasattr(app, "cookie_id") else "access-token"
        ) or request.cookies.get("access-token-unsecure")
        return app.tokens.get(token)  # type: ignore[no-any-return]

    return user
