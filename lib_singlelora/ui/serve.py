"""The page without a WebUI: gradio and the HTTP API on one local port."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI

from ..api import routes
from ..host import Host
from ..imaging.load import forget_other_formats
from ..service.service import Service
from ..web.door import Door, Hosts
from ..web.guard import MAX_PICTURE
from ..web.rules import LOCAL
from .page import Extras, build

ADDRESS = "127.0.0.1"
# Copies that gradio makes of pictures it shows or is given: every hour those of more than a day ago
# go (seconds).
CACHE = (3600, 24 * 3600)
STYLE = Path(__file__).parent.parent.parent / "style.css"


def application(service: Service, hosts: Hosts | None = None) -> FastAPI:
    """The page at /, the API under /singlelora/v1/, its description at /docs.

    hosts: the names under which it is asked; default this machine's local ones.
    """
    known = hosts or Hosts()
    forget_other_formats()  # gradio opens what is painted on without asking for the format
    app = FastAPI(title="Single-Image LoRA")
    app.add_middleware(Door, service=service, hosts=known)
    routes.mount(app, service, trusted=known.trusts)
    with gr.Blocks(title="Single-Image LoRA", analytics_enabled=False, delete_cache=CACHE) as page:
        gr.Markdown(
            "# Single-Image LoRA\nFrom one picture of a character to a LoRA that draws her."
        )
        build(service, Extras(preset=service.host.checkpoint.preset))
    css = STYLE.read_text(encoding="utf-8") if STYLE.exists() else ""
    mounted: FastAPI = gr.mount_gradio_app(
        app, page, path="/", css=css, allowed_paths=[str(service.root)], max_file_size=MAX_PICTURE
    )
    # Only `launch` sets it, and without it gradio checks no path that a request names.
    page.has_launched = True
    return mounted


def serve(
    host: Host, workspaces: Path, port: int, listen: str = ADDRESS, public: Sequence[str] = ()
) -> None:
    """Serve until Ctrl-C.

    listen: the address.
    public: further host names, such as a reverse proxy's.
    Raises: OSError, when the port is taken or the address is none of this machine's; SettingsError.
    """
    hosts = Hosts.of(listen, public)
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    root = Path(os.path.abspath(workspaces.expanduser()))
    root.mkdir(parents=True, exist_ok=True)
    family, _, _, _, place = socket.getaddrinfo(
        listen or None, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family) as probe:  # uvicorn itself would only log it and go
        probe.bind(place)
    app = application(Service(host, lambda: root), hosts)
    shown = f"[{listen}]" if ":" in listen else listen
    sys.stderr.write(f"Single-Image LoRA: http://{shown}:{port}\n")
    if listen not in LOCAL:
        sys.stderr.write(
            "Whoever reaches this address can use the page, which has no login; beyond a network of"
            " your own put a reverse proxy with one before it.\n"
        )
    uvicorn.run(app, host=listen, port=port, log_level="warning")
