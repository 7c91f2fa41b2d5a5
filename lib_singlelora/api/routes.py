"""The HTTP API under /singlelora/v1/, the same in the WebUI and standalone.

Bodies are plain JSON; pydantic 1, which the WebUI pins, and pydantic 2 read the same few models.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Dict, List, Optional, get_args

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel, StrictBool, StrictInt, StrictStr

from ..errors import ConflictError, NotFoundError
from ..service.bench import Bench
from ..service.service import RUN, WORDS, Service, view_of
from ..settings.schema import Settings, declarations, group_of
from ..web.guard import Guard, decoded_picture, takes_picture
from ..web.path_fence import check_settings
from ..web.rules import PREFIX, SHEETS, file_headers, is_picture, sheet_policy
from . import bench as bench_routes
from . import checkpoint, dataset, events, lora_files, page, sweeps


class NewWorkspace(BaseModel):
    """A character to start.

    picture: the file in base64; it may have the head of a data URL.
    """

    picture: StrictStr
    trigger: StrictStr
    class_token: StrictStr = "girl"
    name: StrictStr = ""
    settings: Any = {}  # pydantic 1 would take a list for a Dict


class NewJob(BaseModel):
    """What to run: 'run' for everything, or one stage.

    settings: dotted names, changed before it runs.
    until: the stage after which 'run' ends.
    """

    stage: StrictStr = RUN
    force: StrictBool = False
    until: StrictStr = ""
    settings: Any = {}  # pydantic 1 would take a list for a Dict


class Kept(BaseModel):
    """Pictures to keep: files of the workspace, relative.

    picture: one from elsewhere, a file in base64.
    """

    pictures: List[StrictStr] = []
    picture: StrictStr = ""


class NewVersion(BaseModel):
    """A picture to train on too.

    repeats: of its crops, 0 for half of the others'.
    start: 'zero' or 'last'.
    """

    picture: StrictStr
    repeats: StrictInt = 0
    start: StrictStr = "zero"


class JudgedVersion(BaseModel):
    """What to draw and judge for the next version.

    settings: dotted names, changed before it runs, such as loopback.count.
    start: 'zero' or 'last'.
    """

    settings: Any = {}  # pydantic 1 would take a list for a Dict
    start: StrictStr = "zero"


def router(service: Service, guard: Guard) -> APIRouter:
    """The routes, behind the guard."""
    bench = Bench(service)
    routes = APIRouter(prefix=PREFIX, tags=["Single LoRA"], route_class=guard.route())

    @routes.get("/stages", summary="The words a job may run")
    def stages() -> List[str]:
        return list(WORDS)

    @routes.get("/settings", summary="Every setting: name, default, range, help")
    def settings() -> List[Dict[str, Any]]:
        return [
            {
                "name": d.name,
                "label": d.label,
                "help": d.help,
                "default": d.default,
                "low": d.low,
                "high": d.high,
                "choices": d.choices,
                "unit": d.unit,
                "path": d.path,
                "kind": kind_of(d.kind),
                "open": bool(d.pattern),
                "group": group_of(d.name),
            }
            for d in declarations()
        ]

    @routes.get("/workspaces", summary="Names of the workspaces, the last changed first")
    def workspaces() -> List[str]:
        return service.names()

    @routes.post("/workspaces", summary="Start a character from a picture", status_code=201)
    @takes_picture
    def start(given: NewWorkspace) -> Dict[str, Any]:
        check_settings(service, given.settings, service.root / "new")
        Settings.from_dict(
            given.settings
        )  # an unknown preset too is refused before a folder is made
        if given.settings.get("character.trigger", given.trigger) != given.trigger:
            raise ConflictError(
                f"character.trigger: found {given.settings['character.trigger']!r} in the settings,"
                f" expected the trigger, {given.trigger!r}; leave it out of them"
            )
        with tempfile.TemporaryDirectory(prefix="singlelora-") as folder:
            path = Path(folder) / "picture.png"
            path.write_bytes(decoded_picture(given.picture))
            class_token = given.settings.get("character.class_token", given.class_token)
            name = service.start(path, given.trigger, class_token, given.name, given.settings)
            return {"workspace": name}

    @routes.get("/workspaces/{name}", summary="What a workspace holds so far")
    def workspace(name: str) -> Dict[str, Any]:
        return {**service.results(name), "settings": service.settings(name).to_dict()}

    @routes.patch("/workspaces/{name}", summary="Change settings by their dotted names")
    def change(name: str, values: Dict[str, Any]) -> Dict[str, Any]:
        check_settings(service, values, service.workspace(name).root)
        return service.change(name, values).to_dict()

    @routes.get("/workspaces/{name}/quality", summary="Its quality tags, and the presets of them")
    def quality(name: str) -> Dict[str, Any]:
        return service.quality_tags(name)

    @routes.get("/workspaces/{name}/budget", summary="The memory that its training would need")
    def budget(name: str) -> Dict[str, Any]:
        return service.memory_budget(name)

    @routes.get("/workspaces/{name}/files", summary="Every file of a workspace")
    def files(name: str) -> List[str]:
        return service.files(name)

    @routes.get("/workspaces/{name}/files/{path:path}", summary="One file of a workspace")
    def file(name: str, path: str) -> FileResponse:
        return _sent(service, name, service.file(name, path))

    @routes.post(
        "/workspaces/{name}/jobs", summary="Queue everything or one stage", status_code=202
    )
    def submit(name: str, given: NewJob) -> Dict[str, Any]:
        check_settings(service, given.settings, service.workspace(name).root)
        ticket = service.submit(
            name, given.stage, given.force, values=given.settings, until=given.until
        )
        return view_of(ticket)

    @routes.post(
        "/workspaces/{name}/accepted",
        summary="Keep generated pictures with their parameters",
        status_code=201,
    )
    @takes_picture
    def accept(name: str, given: Kept) -> Dict[str, Any]:
        own = service.accept(name, given.pictures)
        brought = [bench.keep(name, decoded_picture(given.picture))] if given.picture else []
        return {"accepted": [*own, *brought]}

    @routes.post(
        "/workspaces/{name}/versions",
        summary="Queue adding a picture to the next version of the dataset",
        status_code=202,
    )
    def loopback(name: str, given: NewVersion) -> Dict[str, Any]:
        return view_of(service.loopback(name, given.picture, given.repeats, given.start))

    @routes.post(
        "/workspaces/{name}/versions/judged",
        summary="Queue drawing and judging candidates, and training the next version on the kept",
        status_code=202,
    )
    def judged_loopback(name: str, given: JudgedVersion) -> Dict[str, Any]:
        check_settings(service, given.settings, service.workspace(name).root)
        return view_of(service.judged_loopback(name, given.settings, given.start))

    @routes.get("/jobs", summary="The last jobs, oldest first")
    def jobs() -> List[Dict[str, Any]]:
        return [view_of(ticket) for ticket in service.runner.tickets]

    @routes.get("/jobs/{number}", summary="One job")
    def job(number: int) -> Dict[str, Any]:
        for ticket in service.runner.tickets:
            if ticket.number == number:
                return {**view_of(ticket), "result": ticket.job.result}
        raise NotFoundError(
            f"job {number}: found no such job; the last {len(service.runner.tickets)} are kept"
        )

    @routes.post("/jobs/{number}/cancel", summary="Ask a job to stop; finished work is kept")
    def cancel(number: int) -> Dict[str, bool]:
        return {"cancelled": service.cancel(number)}

    checkpoint.add_routes(routes, service)
    bench_routes.add_routes(routes, bench)
    dataset.add_routes(routes, service)
    events.add_routes(routes, service, guard.trusted)
    page.add_routes(routes, service)
    lora_files.add_routes(routes, service)
    sweeps.add_routes(routes, service)
    return routes


def kind_of(kind: Any) -> str:
    """A setting's type in a word: int, float, bool, str, or one of these in the plural."""
    inner = get_args(kind)
    return f"{inner[0].__name__}s" if inner else str(kind.__name__)


def _sent(service: Service, name: str, path: Path) -> FileResponse:
    """A file: pictures and the sheet to look at, anything else to save."""
    root = service.workspace(name).root.resolve()
    for place, live in SHEETS.items():
        if path == root.joinpath(*place):
            return FileResponse(path, headers={"Content-Security-Policy": sheet_policy(live)})
    return FileResponse(
        path, headers=file_headers(path.name), filename=None if is_picture(path.name) else path.name
    )


def mount(
    app: FastAPI,
    service: Service,
    users: Mapping[str, str] | None = None,
    session: Callable[[Request], Optional[str]] | None = None,
    trusted: Callable[[str], bool] = lambda origin: False,
    page_key: str = "",
) -> None:
    """Add the routes to an app, once.  users, session, trusted, page_key: as in Guard."""
    if getattr(app.state, "singlelora", False):
        return
    app.state.singlelora = True
    app.include_router(router(service, Guard(dict(users or {}), session, trusted, page_key)))
