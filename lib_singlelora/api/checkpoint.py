"""Routes of the checkpoint in use: what the host takes it for, and how that is mended."""

from __future__ import annotations

from typing import Any, Dict

from fastapi import APIRouter

from ..service.service import Service


def add_routes(routes: APIRouter, service: Service) -> None:
    """Add them to the others."""

    @routes.get("/checkpoint", summary="What keeps the checkpoint in use from being used")
    def checkpoint() -> Dict[str, Any]:
        problem = service.host.checkpoint_problem
        return {
            "name": service.host.asked_preset.checkpoint,
            "problem": problem.text if problem else "",
            "remedy": problem.remedy if problem else "",
        }

    @routes.post("/checkpoint/mend", summary="Do the remedy of the checkpoint's problem")
    def mend() -> Dict[str, str]:
        return {"message": service.host.mend_checkpoint()}
