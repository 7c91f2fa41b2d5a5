"""Where gradio 3.41, which the WebUI pins, and a current gradio differ; nowhere else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr

MODERN = int(gr.__version__.split(".")[0]) >= 4


def script(code: str) -> dict[str, str]:
    """The keyword that runs JavaScript before an event's function."""
    return {"js" if MODERN else "_js": code}


def picture(label: str, elem_id: str, **options: Any) -> Any:
    """An upload of one picture, handed over as a path."""
    source: dict[str, Any] = {"sources": ["upload", "clipboard"]} if MODERN else {"source": "upload"}
    source["image_mode"] = None if MODERN else "RGBA"  # the older one always converts, and would lose the transparency
    return gr.Image(label=label, type="filepath", elem_id=elem_id, **source, **options)


def html(value: str, elem_id: str) -> Any:
    """A piece of HTML of our own making."""
    return gr.HTML(value, elem_id=elem_id, **({"padding": False} if MODERN else {}))


def poll(seconds: float, elem_id: str, function: Callable[..., Any], inputs: Sequence[Any], outputs: Sequence[Any]) -> None:
    """Call a function every few seconds while the page is looked at.

    A current gradio has a timer; for the older one a hidden button is pressed by javascript/singlelora.js.
    """
    if MODERN:
        gr.Timer(seconds).tick(function, list(inputs), list(outputs), show_progress="hidden", queue=False)
    else:
        button = gr.Button("poll", elem_id=elem_id, elem_classes=["singlelora-hidden"])
        button.do_not_save_to_config = True
        button.click(function, list(inputs), list(outputs), show_progress=False, queue=False)


def warn(text: str) -> None:
    """A box over the page of the user whose click is being answered; elsewhere Python's own warning."""
    gr.Warning(text)


def quiet() -> dict[str, Any]:
    """Keywords of an event whose outputs must not flicker while it runs."""
    return {"show_progress": "hidden"} if MODERN else {"show_progress": False}
