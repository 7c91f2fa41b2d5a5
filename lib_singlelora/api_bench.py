"""HTTP routes for the test bench: what a sheet costs, the presets as bars, a LoRA's summary, files made of LoRAs."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Dict, List  # noqa: UP035 - as in api.py

from fastapi import APIRouter
from fastapi.responses import FileResponse
from pydantic import BaseModel

from .service import Service
from .service_bench import BenchDesk


class Baking(BaseModel):
    """lora: a name of the workspace's, '' the recommended one.  preset: a name or values."""

    lora: str = ""
    preset: str = "ALL"
    strength: float = 1.0


class Merging(BaseModel):
    """loras: names of epochs.  method: 'average', or 'ema' with a decay."""

    loras: List[str]  # noqa: UP006
    method: str = "average"
    decay: float = 0.7


class Resizing(BaseModel):
    """lora: as in Baking.  rank: of every module."""

    lora: str = ""
    rank: int


def add_routes(routes: APIRouter, service: Service, errors: Callable[[], AbstractContextManager[None]]) -> None:
    """Add them.  errors: turns ours into HTTP's."""
    desk, at = BenchDesk(service), "/workspaces/{name}"

    @routes.get(f"{at}/plan", summary="How many pictures the sheet lacks and how long they take; draws none")
    def plan(name: str) -> Dict[str, Any]:  # noqa: UP006
        with errors():
            return desk.plan(name)

    @routes.get(f"{at}/presets", summary="A picture of the block presets, and where a LoRA has weights")
    def presets(name: str, lora: str = "") -> FileResponse:
        with errors():
            return FileResponse(desk.presets_picture(name, lora))

    @routes.get(f"{at}/summary", summary="What a LoRA is, with the norm of each block")
    def summary(name: str, lora: str = "") -> Dict[str, Any]:  # noqa: UP006
        with errors():
            return desk.summary(name, lora)

    @routes.post(f"{at}/bake", summary="Multiply block weights and a strength into a copy", status_code=201)
    def bake(name: str, given: Baking) -> Dict[str, Any]:  # noqa: UP006
        with errors():
            return desk.bake(name, given.lora, given.preset, given.strength)

    @routes.post(f"{at}/merge", summary="Merge epochs", status_code=201)
    def merge(name: str, given: Merging) -> Dict[str, Any]:  # noqa: UP006
        with errors():
            return desk.merge(name, given.loras, given.method, given.decay)

    @routes.post(f"{at}/resize", summary="Cut to a smaller rank by SVD, with the error", status_code=201)
    def resize(name: str, given: Resizing) -> Dict[str, Any]:  # noqa: UP006
        with errors():
            return desk.resize(name, given.lora, given.rank)
