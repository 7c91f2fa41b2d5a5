"""The HTTP API under /singlelora/v1/, the same in the WebUI and standalone.

Bodies are plain JSON; pydantic 1, which the WebUI pins, and pydantic 2 read the same few models.
"""

from __future__ import annotations

import base64
import binascii
import secrets
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Dict, List, Optional  # noqa: UP035 - FastAPI 0.94 with pydantic 1 reads these on Python 3.10 too

from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import FileResponse
from pydantic import BaseModel

from . import api_bench, api_dataset
from .declaring import split_list
from .errors import SettingsError, SingleLoraError, WorkspaceError
from .service import RUN, WORDS, Service, view_of
from .settings import declarations

PREFIX = "/singlelora/v1"
MAX_PICTURE = 64 * 1024 * 1024  # bytes
# Settings that may name files, and those of them whose relative paths start at the workspace.
FILES = ("prepare.upscaler", "prepare.matting_model", "crop.detector", "caption.tagger", "regularization.wildcards",
         "training.start_from", "plot.compare", "plot.checkpoints", "plot.preset_folders", "inpaint.lora")
BESIDE = ("training.start_from", "plot.compare")


class NewWorkspace(BaseModel):
    """A character to start.  picture: the file in base64, a data URL's head is allowed.  suffix: of the file."""

    picture: str
    trigger: str
    class_token: str = "girl"
    name: str = ""
    settings: Dict[str, Any] = {}  # noqa: UP006


class NewJob(BaseModel):
    """What to run: 'run' for everything, or one stage.  settings: dotted names, changed before it runs."""

    stage: str = RUN
    force: bool = False
    settings: Dict[str, Any] = {}  # noqa: UP006


class Kept(BaseModel):
    """Pictures to keep: files of the workspace, relative."""

    pictures: List[str]  # noqa: UP006


class NewVersion(BaseModel):
    """A picture to train on too.  repeats: of its crops, 0 for half of the others'.  start: 'zero' or 'last'."""

    picture: str
    repeats: int = 0
    start: str = "zero"


def router(service: Service, guard: Callable[[Request], None]) -> APIRouter:
    """The routes; guard raises HTTPException for a request that is not allowed."""
    routes = APIRouter(prefix=PREFIX, tags=["Single LoRA"], dependencies=[Depends(guard)])

    @routes.get("/stages", summary="The words a job may run")
    def stages() -> List[str]:  # noqa: UP006
        return list(WORDS)

    @routes.get("/settings", summary="Every setting: name, default, range, help")
    def settings() -> List[Dict[str, Any]]:  # noqa: UP006
        return [{"name": d.name, "label": d.label, "help": d.help, "default": d.default, "low": d.low, "high": d.high,
                 "choices": d.choices, "unit": d.unit} for d in declarations()]

    @routes.get("/workspaces", summary="Names of the workspaces, the last changed first")
    def workspaces() -> List[str]:  # noqa: UP006
        return service.names()

    @routes.post("/workspaces", summary="Start a character from a picture", status_code=201)
    def start(given: NewWorkspace) -> Dict[str, Any]:  # noqa: UP006
        with _errors(), tempfile.TemporaryDirectory(prefix="singlelora-") as folder:
            path = Path(folder) / "picture.png"
            path.write_bytes(_picture(given.picture))
            _fence(service, given.settings)
            name = service.start(path, given.trigger, given.class_token, given.name)
            if given.settings:
                service.change(name, given.settings)
            return {"workspace": name}

    @routes.get("/workspaces/{name}", summary="What a workspace holds so far")
    def workspace(name: str) -> Dict[str, Any]:  # noqa: UP006
        with _errors():
            return {**service.results(name), "settings": service.settings(name).to_dict()}

    @routes.patch("/workspaces/{name}", summary="Change settings by their dotted names")
    def change(name: str, values: Dict[str, Any]) -> Dict[str, Any]:  # noqa: UP006
        with _errors():
            _fence(service, values, name)
            return service.change(name, values).to_dict()

    @routes.get("/workspaces/{name}/files", summary="Every file of a workspace")
    def files(name: str) -> List[str]:  # noqa: UP006
        with _errors():
            return service.files(name)

    @routes.get("/workspaces/{name}/files/{path:path}", summary="One file of a workspace")
    def file(name: str, path: str) -> FileResponse:
        with _errors(missing=404):
            return FileResponse(service.file(name, path))

    @routes.post("/workspaces/{name}/jobs", summary="Queue everything or one stage", status_code=202)
    def submit(name: str, given: NewJob) -> Dict[str, Any]:  # noqa: UP006
        with _errors():
            if given.settings:
                _fence(service, given.settings, name)
                service.change(name, given.settings)
            return view_of(service.submit(name, given.stage, given.force))

    @routes.post("/workspaces/{name}/accepted", summary="Keep drawn pictures with all that made them", status_code=201)
    def accept(name: str, given: Kept) -> Dict[str, Any]:  # noqa: UP006
        with _errors():
            return {"accepted": service.accept(name, given.pictures)}

    @routes.post("/workspaces/{name}/versions", summary="Queue: a picture into the next version of the dataset", status_code=202)
    def loopback(name: str, given: NewVersion) -> Dict[str, Any]:  # noqa: UP006
        with _errors():
            return view_of(service.loopback(name, given.picture, given.repeats, given.start))

    @routes.get("/jobs", summary="The last jobs, oldest first")
    def jobs() -> List[Dict[str, Any]]:  # noqa: UP006
        return [view_of(ticket) for ticket in service.runner.tickets]

    @routes.get("/jobs/{number}", summary="One job")
    def job(number: int) -> Dict[str, Any]:  # noqa: UP006
        for ticket in service.runner.tickets:
            if ticket.number == number:
                return {**view_of(ticket), "result": ticket.job.result}
        raise HTTPException(404, f"job {number}: found none of this number; the last {len(service.runner.tickets)} are kept")

    @routes.post("/jobs/{number}/cancel", summary="Ask a job to stop; what it made is kept")
    def cancel(number: int) -> Dict[str, bool]:  # noqa: UP006
        return {"cancelled": service.cancel(number)}

    api_dataset.add_routes(routes, service, _errors, _picture)
    api_bench.add_routes(routes, service, _errors)
    return routes


def mount(app: FastAPI, service: Service, users: Mapping[str, str] | None = None,
          session: Callable[[Request], Optional[str]] | None = None) -> None:  # noqa: UP045
    """Add the routes to an app, once.

    users: name -> password for HTTP Basic.  session: the name of the user whose page sent the request, where pages have a
    login.  Without either everyone may ask, as on the page itself.
    """
    if getattr(app.state, "singlelora", False):
        return
    app.state.singlelora = True
    known = dict(users or {})

    def guard(request: Request) -> None:
        if not known and session is None:
            return
        if session is not None and session(request) is not None:
            return
        if known and _basic(request, known):
            return
        raise HTTPException(401, "found no valid user, expected HTTP Basic as in --api-auth, or a login of the page",
                            {"WWW-Authenticate": "Basic"})

    app.include_router(router(service, guard))


def _basic(request: Request, known: Mapping[str, str]) -> bool:
    kind, _, value = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return False
    try:
        name, _, password = base64.b64decode(value).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return False
    expected = known.get(name)
    return expected is not None and secrets.compare_digest(password.encode(), expected.encode())


def _picture(text: str) -> bytes:
    """The bytes of a base64 picture.  Raises: HTTPException."""
    body = text.partition(",")[2] if text.startswith("data:") else text
    if len(body) > MAX_PICTURE * 4 // 3:
        raise HTTPException(413, f"picture: found more than {MAX_PICTURE // 2**20} MiB, expected less")
    try:
        return base64.b64decode(body, validate=True)
    except binascii.Error:
        raise HTTPException(422, "picture: found no base64, expected the file's bytes in base64") from None


def _fence(service: Service, values: Mapping[str, Any], name: str = "") -> None:
    """Refuse settings that would have a file read that lies outside the workspaces and the host's own folders.

    Whoever sits at the machine may name any file on the page or the command line; a program that asks by HTTP may be anywhere.
    Raises: SettingsError.
    """
    paths = service.host.paths
    within = [service.root, *(path for path in (paths.loras, paths.downloads, *paths.taggers, *paths.wildcards) if path)]
    roots = [folder.resolve() for folder in within]
    for setting in FILES:
        given = values.get(setting, ())
        for text in split_list(given) if isinstance(given, str) else map(str.strip, map(str, given)):
            path = Path(text).expanduser()
            place = (service.root / name / path if setting in BESIDE else path).resolve()
            names_a_file = path.name != text or place.exists()
            if text and names_a_file and not any(place.is_relative_to(root) for root in roots):
                raise SettingsError(f"{setting}: found {text!r}, which lies outside the workspaces and the host's folders, "
                                    "expected one inside, as HTTP reaches no further; set it on the page or the command line")


class _errors:  # noqa: N801 - reads as a word in `with`
    """Our errors as HTTP answers: 404 for a workspace or file that is not there, 422 for everything else."""

    def __init__(self, missing: int = 404) -> None:
        self.missing = missing

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: BaseException | None, trace: Any) -> None:
        if isinstance(error, WorkspaceError) and "found no" in str(error):
            raise HTTPException(self.missing, str(error)) from error
        if isinstance(error, SingleLoraError):
            raise HTTPException(422, str(error)) from error
