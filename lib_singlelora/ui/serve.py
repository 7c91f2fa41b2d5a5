"""The page without a WebUI: gradio and the HTTP API on one local port."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import gradio as gr
import uvicorn
from fastapi import FastAPI

from .. import api
from ..host import Host
from ..service import Service
from .page import Extras, build

ADDRESS = "127.0.0.1"
STYLE = Path(__file__).parent.parent.parent / "style.css"


def application(service: Service) -> FastAPI:
    """The page at /, the API under /singlelora/v1/, its description at /docs."""
    app = FastAPI(title="Single-Image LoRA")
    api.mount(app, service)
    with gr.Blocks(title="Single-Image LoRA", analytics_enabled=False) as page:
        gr.Markdown("# Single-Image LoRA\nFrom one picture of a character to a LoRA that draws her.")
        build(service, Extras(preset=service.host.checkpoint.preset))
    css = STYLE.read_text(encoding="utf-8") if STYLE.exists() else ""
    mounted: FastAPI = gr.mount_gradio_app(app, page, path="/", css=css, allowed_paths=[str(service.root)])
    return mounted


def serve(host: Host, workspaces: Path, port: int) -> None:
    """Serve until Ctrl-C.  Raises: OSError, when the port is taken."""
    os.environ.setdefault("GRADIO_ANALYTICS_ENABLED", "False")
    root = Path(os.path.abspath(workspaces.expanduser()))
    root.mkdir(parents=True, exist_ok=True)
    with socket.socket() as probe:  # uvicorn itself would only log it and go
        probe.bind((ADDRESS, port))
    app = application(Service(host, lambda: root))
    sys.stderr.write(f"Single-Image LoRA: http://{ADDRESS}:{port}\n")
    uvicorn.run(app, host=ADDRESS, port=port, log_level="warning")
