"""The command line's word for the page."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

from ..embedded.paths import CHECKPOINT
from ..errors import SingleLoraError
from . import checkpoint
from .options import add_checkpoint
from .output import DONE, fail
from .stages import ROOT


def add_parsers(words: Any) -> None:
    """Add the word to argparse's subparsers."""
    page = words.add_parser("ui", help="the page, on 127.0.0.1")
    page.add_argument("--port", type=int, default=7870, help="where it listens (default 7870)")
    page.add_argument(
        "--listen",
        metavar="ADDRESS",
        default="127.0.0.1",
        help=(
            "address of this machine, or 0.0.0.0 for all of them (default 127.0.0.1); "
            "there is no login"
        ),
    )
    page.add_argument(
        "--allow-host",
        metavar="NAME",
        action="append",
        default=[],
        help="further host name that requests may name, such as a reverse proxy's",
    )
    page.add_argument(
        "--workspaces",
        type=Path,
        metavar="DIR",
        default=ROOT / "workspaces",
        help="folder of the characters",
    )
    add_checkpoint(page)
    page.set_defaults(command=serve_page)


def serve_page(options: argparse.Namespace) -> int:
    """Serve the page until it is interrupted; returns the exit status."""
    # Importing PyTorch and gradio takes up to a minute, in which a silent program looks broken.
    sys.stderr.write("Single-Image LoRA: starting, the address follows …\n")
    try:
        from ..ui.serve import serve
    except ImportError as error:
        return fail(
            f"found no {error.name}, expected the page's packages; install them with pip "
            "install 'single-image-lora[standalone,ui]', or call singlelora.py, which does"
        )
    try:
        path = Path(os.path.abspath((options.checkpoint or CHECKPOINT).expanduser()))
        serve(
            checkpoint.load_host(path),
            options.workspaces,
            options.port,
            options.listen,
            options.allow_host,
        )
    except SingleLoraError as error:
        return fail(str(error))
    except (OSError, OverflowError) as error:
        why = getattr(error, "strerror", None) or error
        return fail(f"{options.listen}, port {options.port}: {why}; choose another with --port")
    return DONE
