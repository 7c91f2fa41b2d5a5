"""HTTP routes of the inpainting bench: a picture from elsewhere, a painted mask, a prompt."""

from __future__ import annotations

from typing import Any, Dict

from fastapi import APIRouter
from pydantic import BaseModel, StrictBool, StrictStr

from ..service.bench import Bench
from ..service.service import view_of
from ..web.guard import decoded_picture, takes_picture


class Asked(BaseModel):
    """What to redraw.

    picture: a file in base64; empty for the prepared picture.
    mask: the same, white is redrawn; empty for the head, or what `inpaint.parts` names.
    """

    picture: StrictStr = ""
    mask: StrictStr = ""
    force: StrictBool = False


def add_routes(routes: APIRouter, bench: Bench) -> None:
    """Add the routes."""
    at = "/workspaces/{name}"

    @routes.post(f"{at}/inpaint", summary="Queue inpainting of a picture of yours", status_code=202)
    @takes_picture
    def inpaint(name: str, given: Asked) -> Dict[str, Any]:
        return view_of(bench.inpaint(name, *_pictures(given), given.force))

    @routes.post(f"{at}/exam", summary="Queue the exam of the LoRA in use", status_code=202)
    def exam(name: str) -> Dict[str, Any]:
        return view_of(bench.exam(name))

    @routes.post(f"{at}/suggest", summary="The prompt with which it would be drawn without one")
    @takes_picture
    def suggest(name: str, given: Asked) -> Dict[str, str]:
        return {"prompt": bench.suggest(name, *_pictures(given))}


def _pictures(given: Asked) -> tuple[bytes, bytes]:
    return (
        decoded_picture(given.picture) if given.picture else b"",
        decoded_picture(given.mask) if given.mask else b"",
    )
