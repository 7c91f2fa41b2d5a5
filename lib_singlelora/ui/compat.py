"""Where gradio 3.41, which the WebUI pins, and a current gradio differ; nowhere else."""

from __future__ import annotations

import base64
import functools
from collections.abc import Callable, Sequence
from typing import Any

import gradio as gr
from PIL import Image, ImageChops

from ..errors import PictureError
from ..imaging.load import stored_size

MODERN = int(gr.__version__.split(".")[0]) >= 4
# The older painter creates its canvas when it gets its picture, with no size while it is hidden.
PAINTER_MUST_BE_SEEN = not MODERN


def script(code: str) -> dict[str, str]:
    """The keyword that runs JavaScript before an event's function."""
    return {"js" if MODERN else "_js": code}


def _checked_image() -> Any:
    """The older gradio's picture component, with a check of the bytes before gradio opens them.

    It would open any size and any of Pillow's formats, and EPS starts Ghostscript.  Defined in a
    function because a current gradio writes a file beside each class derived from its own.
    """

    class CheckedImage(gr.Image):  # type: ignore[misc]
        def get_block_name(self) -> str:
            return "image"

        def preprocess(self, x: Any) -> Any:
            for text in x.values() if isinstance(x, dict) else [x]:
                try:
                    if text:
                        stored_size(
                            base64.b64decode(str(text).rpartition(",")[2], validate=True),
                            "the picture",
                        )
                except (ValueError, PictureError) as error:
                    raise gr.Error(str(error)) from None
            return super().preprocess(x)

    return CheckedImage


_Image = gr.Image if MODERN else _checked_image()


def picture(label: str, elem_id: str, **options: Any) -> Any:
    """An upload of one picture, handed over as a path."""
    source: dict[str, Any] = (
        {"sources": ["upload", "clipboard"]} if MODERN else {"source": "upload"}
    )
    # The older one always converts, and would lose the transparency
    source["image_mode"] = None if MODERN else "RGBA"
    return _Image(label=label, type="filepath", elem_id=elem_id, **source, **options)


def painter(label: str, elem_id: str, height: int) -> Any:
    """A picture that can be painted on; `strokes` reads what was painted."""
    if MODERN:
        brush = gr.Brush(default_size=24, colors=["#ffffff"], color_mode="fixed")
        editor = gr.ImageEditor(
            label=label,
            type="pil",
            elem_id=elem_id,
            height=height,
            sources=(),
            transforms=(),
            layers=False,
            brush=brush,
        )
    else:
        editor = _Image(
            label=label,
            type="pil",
            elem_id=elem_id,
            height=height,
            source="upload",
            tool="sketch",
            image_mode="RGB",
            brush_color="#ffffff",
            brush_radius=24,
        )
    return unsaved(editor)


def strokes(value: Any) -> Image.Image | None:
    """The painted strokes as a mask (L, white is painted), or None without any."""
    if not isinstance(value, dict):
        return None
    if "layers" in value:
        masks = [layer.convert("RGBA").getchannel("A") for layer in value["layers"]]
    else:
        masks = [value["mask"].convert("L")] if value.get("mask") is not None else []
    painted = functools.reduce(ImageChops.lighter, masks) if masks else None
    return painted if painted is not None and painted.getbbox() else None


def unsaved(component: Any) -> Any:
    """The component, whose value the WebUI's ui-config.json shall not set."""
    component.do_not_save_to_config = True
    return component


def html(value: str, elem_id: str) -> Any:
    """A piece of HTML of our own."""
    return gr.HTML(value, elem_id=elem_id, **({"padding": False} if MODERN else {}))


def poll(
    seconds: float,
    elem_id: str,
    function: Callable[..., Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
) -> None:
    """Call a function every few seconds while the page is looked at.

    A current gradio has a timer; for the older one a hidden button is pressed by
    javascript/singlelora.js.
    """
    if MODERN:
        gr.Timer(seconds).tick(
            function, list(inputs), list(outputs), show_progress="hidden", queue=False
        )
    else:
        button = unsaved(gr.Button("poll", elem_id=elem_id, elem_classes=["singlelora-hidden"]))
        button.click(function, list(inputs), list(outputs), show_progress=False, queue=False)


def show_warning(text: str) -> None:
    """A box over the page of the user whose click is being handled; elsewhere Python's warning."""
    gr.Warning(text)


def quiet() -> dict[str, Any]:
    """Keywords of an event whose outputs must not flicker while it runs."""
    return {"show_progress": "hidden"} if MODERN else {"show_progress": False}
