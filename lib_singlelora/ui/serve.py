"""The page without a WebUI: gradio and the HTTP API on one local port."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI

from ..api import routes
from ..embedded.paths import PAGE
from ..host import Host
from ..imaging.load import forget_other_formats
from ..service.service import Service
from ..web.door import Door, Hosts
from ..web.guard import MAX_PICTURE
from ..web.rules import LOCAL
from .page import build

ADDRESS = "127.0.0.1"
# Gradio copies the pictures that it shows or receives; every hour, copies older than a day are
# deleted (seconds).
CACHE = (3600, 24 * 3600)
GRACE = 2  # seconds that the end waits for pages that listen to events
STYLE = PAGE / "style.css"
SCRIPT = PAGE / "javascript" / "singlelora.js"


def application(service: Service, hosts: Hosts | None = None) -> FastAPI:
    """The page at /, the API under /singlelora/v1/, its description at /docs.

    hosts: the host names it answers to; this machine's local ones by default.
    """
    known = hosts or Hosts()
    forget_other_formats()  # gradio opens the painted picture without restricting its format
    app = FastAPI(title="Single-Image LoRA")
    app.add_middleware(Door, service=service, hosts=known)
    routes.mount(app, service, trusted=known.trusts)
    with gr.Blocks(title="Single-Image LoRA", analytics_enabled=False, delete_cache=CACHE) as page:
        build(service)
    css = STYLE.read_text(encoding="utf-8") if STYLE.exists() else ""
    mounted: FastAPI = gr.mount_gradio_app(
        app,
        page,
        path="/",
        css=css,
        head=f"<script>{SCRIPT.read_text(encoding='utf-8')}</script>",
        max_file_size=MAX_PICTURE,
    )
    # Only `launch` sets it; without it gradio does not check the paths that requests name.
    page.has_launched = True
    return mounted


def serve(
    host: Host, workspaces: Path, port: int, listen: str = ADDRESS, public: Sequence[str] = ()
) -> None:
    """Serve until Ctrl-C.

    listen: the address to bind.
    public: further host names, such as a reverse proxy's.
    Raises: OSError, when the port is taken or the address is not this machine's; SettingsError.
    """
    hosts = Hosts.of(listen, public)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    root = Path(os.path.abspath(workspaces.expanduser()))
    root.mkdir(parents=True, exist_ok=True)
    family, _, _, _, place = socket.getaddrinfo(
        listen or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family) as probe:  # uvicorn would only log it and exit
        if os.name != "nt":  # as uvicorn does: connections of a server that just ended linger
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(place)
    app = application(Service(host, lambda: root), hosts)
    shown = f"[{listen}]" if ":" in listen else listen
    sys.stderr.write(f"Single-Image LoRA: http://{shown}:{port}\n")
    if listen not in LOCAL:
        sys.stderr.write(
            "Everyone who can reach this address can use the page, which has no login; outside a"
            " network of your own put a reverse proxy with a login in front of it.\n"
        )
    config = uvicorn.Config(
        app, host=listen, port=port, log_level="warning", timeout_graceful_shutdown=GRACE
    )
    server = uvicorn.Server(config)
    app.state.is_ending = lambda: server.should_exit
    logging.getLogger("uvicorn.error").addFilter(_BrokenOff(server))
    with contextlib.suppress(KeyboardInterrupt):  # raised again once the server has ended
        server.run()
    if not server.started:
        raise SystemExit(3)  # uvicorn has said why


class _BrokenOff(logging.Filter):
    """Leaves out what uvicorn says, with its traceback, of requests that the end breaks off.

    Ours end by themselves; gradio's page keeps one open that does not.
    """

    def __init__(self, server: uvicorn.Server) -> None:
        super().__init__()
        self.server = server

    def filter(self, record: logging.LogRecord) -> bool:
        broken_off = record.exc_info and isinstance(record.exc_info[1], asyncio.CancelledError)
        told = "timeout graceful shutdown exceeded" in record.msg
        return not (self.server.should_exit and (broken_off or told))
