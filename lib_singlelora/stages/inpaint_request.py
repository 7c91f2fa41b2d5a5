"""What a host is asked for to redraw a canvas."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from PIL import Image

from ..crops.buckets import training_resolution
from ..host import Control, ControlUnit, Fill, Host, ImageRequest, LoraUse
from ..imaging.load import read_rgb
from ..settings.inpaint import InpaintSettings
from ..settings.schema import Settings
from .inpaint_canvas import Canvas

REFERENCE_SIDE = 1024  # pixels; ControlNet reduces a reference to the size that is drawn
CONTROLS: dict[str, tuple[Control, ...]] = {
    "off": (),
    "inpaint": ("inpaint",),
    "reference": ("reference",),
    "both": ("inpaint", "reference"),
}


def request_for(
    canvas: Canvas,
    prompt: str,
    options: InpaintSettings,
    clip_skip: int,
    loras: tuple[LoraUse, ...],
    controls: tuple[ControlUnit, ...] = (),
) -> ImageRequest:
    """The request that redraws a canvas, without its seeds."""
    return ImageRequest(
        prompt,
        (),
        canvas.image.width,
        canvas.image.height,
        options.negative_prompt,
        options.sampler,
        options.steps,
        options.cfg_scale,
        clip_skip,
        loras,
        canvas.image,
        canvas.hole,
        options.denoise,
        cast(Fill, options.fill),
        hard_edge=True,
        controls=controls,
    )


def control_units(
    host: Host, options: InpaintSettings, reference: Path
) -> tuple[tuple[ControlUnit, ...], tuple[str, ...]]:
    """(the units that `inpaint.controlnet` asks for and the host has, a note of those it has not).

    reference: a picture of the character, if it exists.
    Raises: PictureError.
    """
    wanted = CONTROLS[options.controlnet]
    if not wanted:
        return (), ()
    able = host.controls()
    units = []
    for kind in wanted:
        if kind not in able or (kind == "reference" and not reference.exists()):
            continue
        image = None
        if kind == "reference":
            image = read_rgb(reference)
            image.thumbnail((REFERENCE_SIDE, REFERENCE_SIDE), Image.Resampling.LANCZOS)
        units.append(ControlUnit(kind, options.controlnet_weight, image))
    lacking = [kind for kind in wanted if kind not in {unit.kind for unit in units}]
    note = (
        f"inpaint.controlnet: drawn without {' and '.join(lacking)}; this needs the WebUI's"
        " extension sd-webui-controlnet, and inpaint a model of its for inpainting"
    )
    return tuple(units), (note,) if lacking else ()


def drawn_at(settings: Settings, host: Host) -> tuple[int, bool]:
    """(the side of the square whose area is drawn, pixels; whether squares are drawn best)."""
    return training_resolution(settings, host), not settings.training.buckets
