"""HTTP routes for LoRA files: the sheet's plan, block presets, summary, bake, merge, resize."""

from __future__ import annotations

from typing import Any, Dict, List, Union

from fastapi import APIRouter
from fastapi.responses import FileResponse
from pydantic import BaseModel, StrictFloat, StrictInt, StrictStr

from ..service.lora_files import LoraFilesService
from ..service.service import Service

Number = Union[StrictFloat, StrictInt]


class Baking(BaseModel):
    """Block weights and a strength to bake.

    lora: a name of the workspace's, '' for the recommended one.
    preset: a name or values.
    """

    lora: StrictStr = ""
    preset: StrictStr = "ALL"
    strength: Number = 1.0


class Merging(BaseModel):
    """Epochs to merge.

    loras: their names.
    method: 'average', or 'ema' with a decay.
    """

    loras: List[StrictStr]
    method: StrictStr = "average"
    decay: Number = 0.7


class Resizing(BaseModel):
    """A LoRA to reduce.

    lora: as in Baking.
    rank: new rank of every module.
    """

    lora: StrictStr = ""
    rank: StrictInt


def add_routes(routes: APIRouter, service: Service) -> None:
    """Add the routes."""
    desk = LoraFilesService(service)
    at = "/workspaces/{name}"

    @routes.get(
        f"{at}/plan",
        summary="How many pictures the sheet lacks and how long they take; generates none",
    )
    def plan(name: str) -> Dict[str, Any]:
        return desk.plan(name)

    @routes.get(
        f"{at}/presets", summary="A picture of the block presets, and where a LoRA has weights"
    )
    def presets(name: str, lora: str = "") -> FileResponse:
        return FileResponse(desk.presets_picture(name, lora))

    @routes.get(f"{at}/loras", summary="The epochs and what was derived from them, by name")
    def loras(name: str) -> List[str]:
        return list(desk.files(name))

    @routes.get(f"{at}/blocks", summary="Block weights as bars: presets, the training's, norms")
    def blocks(name: str) -> Dict[str, Any]:
        return desk.blocks(name)

    @routes.get(f"{at}/summary", summary="Summary of a LoRA, with the norm of each block")
    def summary(name: str, lora: str = "") -> Dict[str, Any]:
        return desk.summary(name, lora)

    @routes.post(
        f"{at}/bake", summary="Multiply block weights and a strength into a copy", status_code=201
    )
    def bake(name: str, given: Baking) -> Dict[str, Any]:
        return desk.bake(name, given.lora, given.preset, given.strength)

    @routes.post(f"{at}/merge", summary="Merge epochs", status_code=201)
    def merge(name: str, given: Merging) -> Dict[str, Any]:
        return desk.merge(name, given.loras, given.method, given.decay)

    @routes.post(f"{at}/resize", summary="Reduce the rank by SVD; tells the error", status_code=201)
    def resize(name: str, given: Resizing) -> Dict[str, Any]:
        return desk.resize(name, given.lora, given.rank)
