"""HTTP routes for the page: its files, a workspace at a glance, thumbnails, deleting, pausing."""

from __future__ import annotations

import gzip
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, List

from fastapi import APIRouter, Request, Response

from ..embedded.paths import PAGE
from ..errors import NotFoundError
from ..service import trash
from ..service.equipment import equipment, fetch
from ..service.forecast import forecast
from ..service.glance import glance
from ..service.live_sheet import live_sheet
from ..service.presets import training_presets
from ..service.service import Service
from ..service.steps import steps_of
from ..service.thumbnail import thumbnail
from ..service.training_log import training_log
from ..service.watch import page_view

APP = PAGE / "javascript" / "app"
KINDS = {".mjs": "text/javascript", ".css": "text/css"}


def app_files(folder: Path = APP) -> dict[str, Path]:
    """The page's files that may be asked for, by their path below the folder."""
    return {
        path.relative_to(folder).as_posix(): path
        for path in sorted(folder.rglob("*"))
        if path.suffix in KINDS
    }


@lru_cache(maxsize=256)
def _packed(path: Path, changed: int) -> bytes:
    """A file as gzip."""
    return gzip.compress(path.read_bytes(), mtime=0)


def add_routes(routes: APIRouter, service: Service) -> None:
    """Add the routes."""
    files = app_files()
    at = "/workspaces/{name}"

    @routes.get("/app/{path:path}", summary="A file of the page itself")
    def app_file(path: str, request: Request) -> Response:
        if path not in files:
            raise NotFoundError(
                f"{path!r}: found no such file of the page, expected one of its own"
            )
        status = files[path].stat()
        # Asked for anew each time, so that an update does not mix old files with new ones; one
        # that did not change is answered without a body.
        mark = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
        headers = {"Cache-Control": "no-cache", "ETag": mark, "Vary": "Accept-Encoding"}
        if request.headers.get("if-none-match") == mark:
            return Response(status_code=304, headers=headers)
        kind = KINDS[files[path].suffix]
        if "gzip" in request.headers.get("accept-encoding", ""):
            packed = _packed(files[path], status.st_mtime_ns)
            return Response(
                packed, media_type=kind, headers={**headers, "Content-Encoding": "gzip"}
            )
        return Response(files[path].read_bytes(), media_type=kind, headers=headers)

    @routes.get(f"{at}/glance", summary="Steps, results, settings: all that the page shows first")
    def at_a_glance(name: str) -> Dict[str, Any]:
        return glance(service, name)

    @routes.get(f"{at}/steps", summary="The six steps: state, what they need, why they are stale")
    def steps(name: str) -> Dict[str, Any]:
        return {"steps": [asdict(step) for step in steps_of(service, name)]}

    @routes.get(f"{at}/forecast", summary="What 'run' would do now: pictures, steps, seconds")
    def will_do(name: str) -> Dict[str, Any]:
        return forecast(service, name)

    @routes.get(f"{at}/training", summary="Loss, rate and validation of the training, its samples")
    def training(name: str) -> Dict[str, Any]:
        return training_log(service, name)

    @routes.get(f"{at}/sheet/live", summary="The sheet while it is drawn: tables, cells, pictures")
    def drawn_now(name: str) -> Dict[str, Any]:
        return live_sheet(service, name)

    @routes.get(f"{at}/thumbnail", summary="A picture of the workspace, small, as JPEG")
    def small(name: str, file: str = "", side: int = 96) -> Response:
        data = thumbnail(service, name, file, side)
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": "default-src 'none'"}
        return Response(data, media_type="image/jpeg", headers=headers)

    @routes.get("/host", summary="The program around the page: its title, ControlNet's units")
    def program() -> Dict[str, Any]:
        return {"title": service.host.title, "controls": list(service.host.controls())}

    @routes.get("/presets", summary="Training presets: what each is for, its values and why")
    def presets() -> List[Dict[str, Any]]:
        return training_presets()

    @routes.get("/equipment", summary="Tagger, matting model, upscaler: what is there, what is not")
    def tools() -> List[Dict[str, Any]]:
        return equipment(service)

    @routes.post("/equipment/{kind}", summary="Queue the download of one", status_code=202)
    def get_tool(kind: str) -> Dict[str, Any]:
        return page_view(fetch(service, kind))

    @routes.delete(at, summary="Put a workspace aside; restore brings it back for a week")
    def delete(name: str) -> Dict[str, bool]:
        trash.delete(service, name)
        return {"deleted": True}

    @routes.post(f"{at}/restore", summary="Bring a deleted workspace back")
    def restore(name: str) -> Dict[str, bool]:
        trash.restore(service, name)
        return {"restored": True}

    @routes.post("/jobs/{number}/pause", summary="Ask a job to stop so that it can be resumed")
    def pause(number: int) -> Dict[str, bool]:
        return {"pausing": service.pause(number)}

    @routes.post("/jobs/{number}/resume", summary="Queue a paused job again", status_code=202)
    def resume(number: int) -> Dict[str, Any]:
        return page_view(service.resume(number))
