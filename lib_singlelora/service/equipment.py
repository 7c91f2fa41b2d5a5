"""What this machine lacks for the best result, what is worse without it, and how it is had."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..errors import NotFoundError, SingleLoraError
from ..jobs import Job, Ticket
from .service import Service

TAGGER = "wd-vit-tagger-v3"
MATTING = "isnet-anime"
TAGGER_BYTES = 380_000_000  # about; the site tells the exact size when it is fetched
UPSCALERS = "models/ESRGAN"


@dataclass(frozen=True)
class Tool:
    """A model that a stage uses where it is there.

    kind: tagger, matting or upscaler.
    have: whether one is at hand.
    uses: its name, or what is used without one.
    offer: the name of what can be fetched; "" for nothing.
    size: bytes of that, about.
    folder: where files can be put by hand.
    files: which.
    """

    kind: str
    have: bool
    uses: str
    offer: str = ""
    size: int = 0
    folder: str = ""
    files: tuple[str, ...] = ()


def equipment(service: Service) -> list[dict[str, Any]]:
    """What is there and what is not, as plain values; nothing is downloaded."""
    return [asdict(tool) for tool in (_tagger(service), _matting(service), _upscaler(service))]


def fetch(service: Service, kind: str) -> Ticket[dict[str, Any]]:
    """Queue a download; one that was broken off goes on where it stopped.

    Raises: NotFoundError, for what cannot be fetched; TooManyError.
    """
    if kind not in ("tagger", "matting"):
        raise NotFoundError(f"{kind!r}: found nothing to fetch, expected tagger or matting")

    def work(job: Job) -> dict[str, Any]:
        from ..imaging.matting_download import fetch_matting_model
        from ..tagging.download import fetch_tagger

        if kind == "tagger":
            return {"file": str(fetch_tagger(TAGGER, _tagger_home(service), job, "fetch"))}
        return {"file": str(fetch_matting_model(MATTING, _matting_home(service), job))}

    return service.runner.submit(f"models: fetch {kind}", work)


def _tagger(service: Service) -> Tool:
    from ..tagging.discovery import can_run
    from ..tagging.download import FILES
    from ..tagging.ensemble import known_folders

    try:
        folders = known_folders(service.host)
    except SingleLoraError:
        folders = []  # there is no checkpoint yet
    if folders and can_run():
        return Tool("tagger", True, folders[0].name)
    home = str(_tagger_home(service) / TAGGER)
    return Tool("tagger", False, "plain captions", TAGGER, TAGGER_BYTES, home, FILES)


def _matting(service: Service) -> Tool:
    from ..imaging.matting_download import OFFERS

    home = _matting_home(service)
    file = home / f"{MATTING}.onnx"
    size = OFFERS[MATTING].size
    if file.is_file() and file.stat().st_size == size:
        return Tool("matting", True, MATTING)
    return Tool("matting", False, "GrabCut", MATTING, size, str(home), (file.name,))


def _upscaler(service: Service) -> Tool:
    hosts = list(service.host.upscalers())
    if hosts:
        return Tool("upscaler", True, hosts[0].name)
    return Tool("upscaler", False, "Lanczos", folder=UPSCALERS, files=("*.pth", "*.safetensors"))


def _tagger_home(service: Service) -> Path:
    from ..tagging.ensemble import home_of

    return home_of(service.host)


def _matting_home(service: Service) -> Path:
    from ..stages.prepare import matting_home

    return matting_home(service.host)
