"""Results to the WebUI's own tabs: prompt, picture, mask and size filled in, and the tab brought to
the front.
"""

from __future__ import annotations

from typing import Any

from PIL import Image

from ..imaging.load import read_rgb
from ..service.service import Handover
from ..ui.page import Send

WANTED = (
    "txt2img_prompt",
    "txt2img_neg_prompt",
    "txt2img_width",
    "txt2img_height",
    "img2img_prompt",
    "img2img_neg_prompt",
    "img2img_width",
    "img2img_height",
    "img2img_image",
    "img_inpaint_base",
    "img_inpaint_mask",
)


class Components:
    """The WebUI's own components by their elem_id, caught while it builds its page."""

    def __init__(self) -> None:
        self.found: dict[str, Any] = {}

    def after_component(self, component: Any, **options: Any) -> None:
        """Callback of the WebUI for each component it makes."""
        elem_id = options.get("elem_id")
        if elem_id in WANTED:
            self.found[elem_id] = component

    def sends(self) -> list[Send]:
        """What could be caught; a WebUI without one of the components lacks that button only."""
        offered = [
            (
                "Send to txt2img",
                ("txt2img_prompt", "txt2img_neg_prompt", "txt2img_width", "txt2img_height"),
                _texts,
                "() => { switch_to_txt2img(); }",
            ),
            (
                "Send to img2img",
                (
                    "img2img_prompt",
                    "img2img_neg_prompt",
                    "img2img_width",
                    "img2img_height",
                    "img2img_image",
                ),
                _with_picture,
                "() => { switch_to_img2img_tab(0); }",
            ),
            (
                "Send to inpaint",
                (
                    "img2img_prompt",
                    "img2img_neg_prompt",
                    "img2img_width",
                    "img2img_height",
                    "img_inpaint_base",
                    "img_inpaint_mask",
                ),
                _with_mask,
                "() => { switch_to_img2img_tab(4); }",
            ),
        ]
        return [
            Send(
                label,
                f"singlelora_send_{label.split()[-1]}",
                [self.found[name] for name in names],
                values,
                script,
            )
            for label, names, values, script in offered
            if all(name in self.found for name in names)
        ]


def _texts(handed: Handover) -> list[Any]:
    return [handed.prompt, handed.negative_prompt, *handed.size]


def _with_picture(handed: Handover) -> list[Any]:
    return [*_texts(handed), _open(handed.picture, "RGB", handed)]


def _with_mask(handed: Handover) -> list[Any]:
    return [*_with_picture(handed), _open(handed.mask, "RGB", handed)]


def _open(path: Any, mode: str, handed: Handover) -> Image.Image:
    return read_rgb(path).convert(mode).resize(handed.size, Image.Resampling.LANCZOS)
