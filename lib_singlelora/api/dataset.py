"""HTTP routes for the dataset: its state, and the same manual changes as on the page."""

from __future__ import annotations

from typing import Any, Dict, List

from fastapi import APIRouter
from pydantic import BaseModel, StrictBool, StrictInt, StrictStr

from ..errors import SettingsError
from ..service.dataset import DatasetService
from ..service.service import Service, view_of
from ..web.guard import decoded_picture, takes_picture


class NewBox(BaseModel):
    """Where a crop lies: left, top, right, bottom, pixels of the prepared picture."""

    box: List[StrictInt]


class NewName(BaseModel):
    """Another name for a crop."""

    name: StrictStr


class NewMask(BaseModel):
    """A mask of the prepared picture's size, the character in white: a file in base64."""

    picture: StrictStr


class TagEdit(BaseModel):
    """The same change in every caption.

    replace: 'old=new' each.
    undo: undoes the last change instead.
    """

    add: List[StrictStr] = []
    remove: List[StrictStr] = []
    replace: List[StrictStr] = []
    undo: StrictBool = False


class NewCaption(BaseModel):
    """The text of one crop's caption."""

    text: StrictStr


class Traits(BaseModel):
    """Traits of the character that captions leave out; all others stay in them."""

    left_out: List[StrictStr]


class Reviewed(BaseModel):
    """Numbers of regularization pictures to take back, and to reject."""

    take_back: List[StrictStr] = []
    reject: List[StrictStr] = []


class Word(BaseModel):
    """A word to try as the trigger; empty: the workspace's own."""

    word: StrictStr = ""
    force: StrictBool = False


def add_routes(routes: APIRouter, service: Service) -> None:
    """Add the routes."""
    desk = DatasetService(service)
    at = "/workspaces/{name}"

    @routes.get(
        f"{at}/dataset",
        summary="Artifacts, crops, captions with tokens, tags, traits, regularization with reasons",
    )
    def dataset(name: str) -> Dict[str, Any]:
        return desk.all(name)

    @routes.get(f"{at}/buckets", summary="What a crop is worth: buckets, the picture's size, scale")
    def shapes(name: str) -> Dict[str, Any]:
        return desk.shapes(name)

    @routes.put(f"{at}/crops/{{crop}}", summary="Put a crop into a box, or add one; 'crop' cuts it")
    def place(name: str, crop: str, given: NewBox) -> Dict[str, Any]:
        if len(given.box) != 4:
            raise SettingsError(
                f"box: found {len(given.box)} numbers, expected left, top, right, bottom"
            )
        left, top, right, bottom = given.box
        changed = desk.place(name, crop, (left, top, right, bottom)).crop
        return {"crop.boxes": list(changed.boxes), "crop.views": list(changed.views)}

    @routes.delete(f"{at}/crops/{{crop}}", summary="Leave a crop out; 'crop' then cuts the others")
    def leave_out(name: str, crop: str) -> Dict[str, Any]:
        changed = desk.leave_out(name, crop).crop
        return {"crop.boxes": list(changed.boxes), "crop.views": list(changed.views)}

    @routes.post(f"{at}/crops/{{crop}}/rename", summary="Name a crop anew, with its caption")
    def rename(name: str, crop: str, given: NewName) -> Dict[str, Any]:
        called, settings = desk.rename_crop(name, crop, given.name)
        changed = settings.crop
        return {
            "name": called,
            "crop.boxes": list(changed.boxes),
            "crop.views": list(changed.views),
        }

    @routes.get(f"{at}/tags", summary="Tags to choose from, categories, what captions left out")
    def known_tags(name: str) -> Dict[str, Any]:
        return desk.known_tags(name)

    @routes.get(f"{at}/prompts", summary="Prompts of the regularization set, as they will be drawn")
    def prompts(name: str, first: int = 0, template: str = "") -> Dict[str, Any]:
        return {"prompts": desk.prompts(name, max(0, min(first, 100_000)), template=template)}

    @routes.put(f"{at}/mask", summary="Replace the mask; prepare keeps it from then on")
    @takes_picture
    def mask(name: str, given: NewMask) -> Dict[str, bool]:
        desk.upload_mask(name, decoded_picture(given.picture))
        return {"replaced": True}

    @routes.post(f"{at}/tags", summary="Add, remove, replace tags in all captions, or undo")
    def tags(name: str, given: TagEdit) -> Dict[str, Any]:
        return (
            desk.undo(name)
            if given.undo
            else desk.edit_tags(name, given.add, given.remove, given.replace)
        )

    @routes.put(f"{at}/captions/{{crop}}", summary="Write one caption; it counts as a manual edit")
    def caption(name: str, crop: str, given: NewCaption) -> Dict[str, Any]:
        return desk.write_caption(name, crop, given.text)

    @routes.put(
        f"{at}/traits",
        summary=("Choose the traits that captions leave out; the stage caption then rewrites them"),
    )
    def traits(name: str, given: Traits) -> Dict[str, Any]:
        changed = desk.choose_traits(name, given.left_out).caption
        return {"caption.keep": list(changed.keep), "caption.drop": list(changed.drop)}

    @routes.post(f"{at}/review", summary="Take regularization pictures back, or reject them")
    def review(name: str, given: Reviewed) -> List[Dict[str, Any]]:
        return desk.review(name, given.take_back, given.reject)

    @routes.post(
        f"{at}/regularization/{{picture}}/redraw",
        summary="Queue one regularization picture anew: its prompt, another seed",
        status_code=202,
    )
    def redraw(name: str, picture: str) -> Dict[str, Any]:
        return view_of(desk.redraw(name, picture))

    @routes.post(
        f"{at}/trigger", summary="Queue a check whether the trigger is free", status_code=202
    )
    def trigger(name: str, given: Word) -> Dict[str, Any]:
        return view_of(desk.check_trigger(name, given.word, given.force))
