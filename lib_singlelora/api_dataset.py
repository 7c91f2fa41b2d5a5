"""HTTP routes for the data set: what was found, and the same changes by hand as on the page."""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Dict, List  # noqa: UP035 - as in api.py

from fastapi import APIRouter
from PIL import Image, UnidentifiedImageError
from pydantic import BaseModel

from .errors import PictureError
from .service import Service, view_of
from .service_dataset import DatasetDesk


class NewMask(BaseModel):
    """A mask of the prepared picture's size, white is her: a file in base64."""

    picture: str


class TagEdit(BaseModel):
    """The same change in every caption.  replace: 'old=new' each.  undo: takes the last change back instead."""

    add: List[str] = []  # noqa: UP006
    remove: List[str] = []  # noqa: UP006
    replace: List[str] = []  # noqa: UP006
    undo: bool = False


class NewCaption(BaseModel):
    """The text of one crop's caption."""

    text: str


class Traits(BaseModel):
    """Which of her traits captions leave out; all others stay in them."""

    left_out: List[str]  # noqa: UP006


class Reviewed(BaseModel):
    """Numbers of regularization pictures to take back, and to put aside."""

    take_back: List[str] = []  # noqa: UP006
    reject: List[str] = []  # noqa: UP006


class Word(BaseModel):
    """A word to try as her trigger; empty: the workspace's own."""

    word: str = ""
    force: bool = False


def add_routes(routes: APIRouter, service: Service, errors: Callable[[], AbstractContextManager[None]],
               decoded: Callable[[str], bytes]) -> None:
    """Add them.  errors: turns ours into HTTP's.  decoded: the bytes of a base64 picture."""
    desk, at = DatasetDesk(service), "/workspaces/{name}"

    @routes.get(f"{at}/dataset", summary="Artifacts, crops, captions with tokens, tags, traits, regularization with reasons")
    def dataset(name: str) -> Dict[str, Any]:  # noqa: UP006
        with errors():
            return desk.all(name)

    @routes.put(f"{at}/mask", summary="Replace her mask; prepare keeps it from then on")
    def mask(name: str, given: NewMask) -> Dict[str, bool]:  # noqa: UP006
        with errors():
            desk.replace_mask(name, _opened(decoded(given.picture)))
            return {"replaced": True}

    @routes.post(f"{at}/tags", summary="Add, remove, replace tags in all captions, or undo")
    def tags(name: str, given: TagEdit) -> Dict[str, Any]:  # noqa: UP006
        with errors():
            return desk.undo(name) if given.undo else desk.edit_tags(name, given.add, given.remove, given.replace)

    @routes.put(f"{at}/captions/{{crop}}", summary="Write one caption; it counts as edited by hand")
    def caption(name: str, crop: str, given: NewCaption) -> Dict[str, Any]:  # noqa: UP006
        with errors():
            return desk.write_caption(name, crop, given.text)

    @routes.put(f"{at}/traits", summary="Choose which of her traits captions leave out; the stage caption then writes them so")
    def traits(name: str, given: Traits) -> Dict[str, Any]:  # noqa: UP006
        with errors():
            changed = desk.choose_traits(name, given.left_out).caption
            return {"caption.keep": list(changed.keep), "caption.drop": list(changed.drop)}

    @routes.post(f"{at}/review", summary="Take regularization pictures back, or put them aside")
    def review(name: str, given: Reviewed) -> List[Dict[str, Any]]:  # noqa: UP006
        with errors():
            return desk.review(name, given.take_back, given.reject)

    @routes.post(f"{at}/trigger", summary="Queue: is the trigger free? the job's result tells", status_code=202)
    def trigger(name: str, given: Word) -> Dict[str, Any]:  # noqa: UP006
        with errors():
            return view_of(desk.check_trigger(name, given.word, given.force))


def _opened(data: bytes) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except (UnidentifiedImageError, OSError):
        raise PictureError("mask: found bytes that are no picture, expected a PNG of the prepared picture's size") from None
    return image
