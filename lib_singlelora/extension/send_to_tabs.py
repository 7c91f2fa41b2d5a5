"""Results to the WebUI's own tabs: prompt, picture, mask and size filled in, the tab in front."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from modules import infotext_utils
from PIL import Image

from ..imaging.load import read_rgb
from ..service.service import Handover
from ..ui.page import Send


class Target(NamedTuple):
    """A tab of the WebUI that takes a result."""

    label: str
    elem_ids: tuple[str, ...]
    """Of the components that are filled in, in the order of `values`."""
    values: Callable[[Handover], list[Any]]
    script: str
    """JavaScript that brings the tab to the front; its functions are the WebUI's."""


class Components:
    """The WebUI's own components by their elem_id, collected while it builds its page."""

    def __init__(self) -> None:
        self._by_elem_id: dict[str, Any] = {}

    def after_component(self, component: Any, **options: Any) -> None:
        """Callback of the WebUI for each component that it builds."""
        elem_id = options.get("elem_id")
        if elem_id in ELEM_IDS:
            self._by_elem_id[elem_id] = component

    def sends(self) -> list[Send]:
        """A button for each tab; a WebUI without one of the components lacks that button only."""
        canvas = infotext_utils.paste_fields.get("img2img", {}).get("init_img")
        if canvas is not None:
            # What bears the id is markup in Forge, whose canvas keeps its picture elsewhere.
            self._by_elem_id[IMG2IMG_PICTURE] = canvas
        return [
            Send(
                target.label,
                f"singlelora_send_{target.label.split()[-1]}",
                [self._by_elem_id[elem_id] for elem_id in target.elem_ids],
                target.values,
                target.script,
            )
            for target in TARGETS
            if all(elem_id in self._by_elem_id for elem_id in target.elem_ids)
        ]


def _texts(result: Handover) -> list[Any]:
    return [result.prompt, result.negative_prompt, *result.size]


def _texts_and_picture(result: Handover) -> list[Any]:
    return [*_texts(result), _resized(result.picture, result)]


def _texts_picture_and_mask(result: Handover) -> list[Any]:
    _, *rest = _texts_and_picture(result)
    return [result.region_prompt, *rest, _resized(result.mask, result)]


def _resized(path: Path, result: Handover) -> Image.Image:
    return read_rgb(path).resize(result.size, Image.Resampling.LANCZOS)


IMG2IMG_PICTURE = "img2img_image"
TXT2IMG_TEXTS = ("txt2img_prompt", "txt2img_neg_prompt", "txt2img_width", "txt2img_height")
IMG2IMG_TEXTS = ("img2img_prompt", "img2img_neg_prompt", "img2img_width", "img2img_height")
TARGETS = (
    Target("Send to txt2img", TXT2IMG_TEXTS, _texts, "() => { switch_to_txt2img(); }"),
    Target(
        "Send to img2img",
        (*IMG2IMG_TEXTS, IMG2IMG_PICTURE),
        _texts_and_picture,
        "() => { switch_to_img2img_tab(0); }",
    ),
    Target(
        "Send to inpaint",
        (*IMG2IMG_TEXTS, "img_inpaint_base", "img_inpaint_mask"),
        _texts_picture_and_mask,
        "() => { switch_to_img2img_tab(4); }",  # its sub-tab "Inpaint upload"
    ),
)
ELEM_IDS = frozenset(elem_id for target in TARGETS for elem_id in target.elem_ids)
