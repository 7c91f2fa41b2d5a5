"""WD taggers by name: the Hub's files, with checks, resuming and cancelling.

No hashes stand here.  The Hub sends one with each file (`X-Linked-ETag`: the SHA-256 of a large
file; else `ETag`: git's id of a small one), and what arrives must have it.
Source: huggingface_hub, file_download.py, get_hf_file_metadata.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import re
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any

from ..download import BLOCK, TIMEOUT, download
from ..errors import TaggerError
from ..jobs import Job, Progress

OWNER = "SmilingWolf"
NAMES = (
    "wd-v1-4-vit-tagger-v2",
    "wd-v1-4-convnext-tagger-v2",
    "wd-v1-4-convnextv2-tagger-v2",
    "wd-v1-4-swinv2-tagger-v2",
    "wd-v1-4-moat-tagger-v2",
    "wd-vit-tagger-v3",
    "wd-swinv2-tagger-v3",
    "wd-convnext-tagger-v3",
    "wd-vit-large-tagger-v3",
    "wd-eva02-large-tagger-v3",
)
FILES = ("model.onnx", "selected_tags.csv")


@dataclass(frozen=True)
class _Offer:
    """A file as the Hub describes it.

    digest: SHA-256, or git's SHA-1 of a small file; '' if unknown.
    size: bytes; 0 if unknown.
    """

    url: str
    digest: str
    size: int


def fetch_tagger(name: str, home: Path, job: Job, stage: str = "caption") -> Path:
    """The folder `home/name` with both files of a tagger.

    A file that is there is not downloaded again.  A broken download resumes at the next call.
    Raises: TaggerError; JobCancelled, keeping what was downloaded.
    """
    folder = home / name
    for file in reversed(FILES):  # the small table first, so that errors show before the large file
        if not (folder / file).exists():
            offer = _ask(f"{_site()}/{OWNER}/{name}/resolve/main/{file}", folder)
            _fetch(offer, folder / file, job, stage)
    return folder


def _site() -> str:
    return os.environ.get("HF_ENDPOINT", "https://huggingface.co").rstrip("/")


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects and keeps the headers of every answer.

    The first answer has the hash, not the last.
    """

    def __init__(self) -> None:
        self.headers: list[Message] = []

    def redirect_request(
        self,
        request: urllib.request.Request,
        answer: IO[bytes],
        code: int,
        message: str,
        headers: Any,
        url: str,
    ) -> urllib.request.Request | None:
        self.headers.append(headers)
        redirected = super().redirect_request(request, answer, code, message, headers, url)
        if redirected is not None:
            # urllib would turn HEAD into GET and load the whole file.
            redirected.method = request.get_method()
        return redirected


def _ask(url: str, folder: Path) -> _Offer:
    """The Hub's description of a file.  Raises: TaggerError, if the Hub does not answer."""
    redirects = _Redirects()
    try:
        request = urllib.request.Request(
            url, method="HEAD", headers={"User-Agent": "single-image-lora"}
        )
        with urllib.request.build_opener(redirects).open(request, timeout=TIMEOUT) as answer:
            headers = [*redirects.headers, answer.headers]
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(url, folder, error) from None
    linked = next((part for part in headers if part.get("X-Linked-ETag")), None)
    tag = linked.get("X-Linked-ETag") if linked else headers[-1].get("ETag")
    size = linked.get("X-Linked-Size") if linked else headers[-1].get("Content-Length")
    digest = re.sub(r'^W/|"', "", tag or "").lower()
    if not re.fullmatch(r"[0-9a-f]{40}|[0-9a-f]{64}", digest):
        digest = ""
    return _Offer(url, digest, int(size or 0))


def _fetch(offer: _Offer, target: Path, job: Job, stage: str) -> None:
    part = target.with_name(f"{target.name}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        name = f"{target.parent.name}/{target.name}"
        download(
            offer.url,
            part,
            offer.size,
            job,
            lambda have: Progress(
                stage,
                have,
                offer.size,
                f"downloading {name}: {have >> 20} of {offer.size >> 20} MB",
            ),
        )
        _check(offer, part)
        part.replace(target)
    except (OSError, http.client.HTTPException) as error:
        raise _unreachable(offer.url, target.parent, error) from None


def _check(offer: _Offer, part: Path) -> None:
    """Delete the file if its bytes are not those that the Hub announced.

    Raises: TaggerError, in that case and without a hash to check them with.
    """
    if not offer.digest:
        raise TaggerError(
            f"{offer.url}: found no hash in the answer, expected one to check the file with; get"
            f" the file by hand, into {part.parent}"
        )
    size = part.stat().st_size
    digest = (
        hashlib.sha256()
        if len(offer.digest) == 64
        else hashlib.sha1(f"blob {size}\0".encode(), usedforsecurity=False)
    )
    with part.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if digest.hexdigest() != offer.digest:
        part.unlink()
        raise TaggerError(
            f"{offer.url}: found a file of hash {digest.hexdigest()[:12]}…, expected"
            f" {offer.digest[:12]}…; it was damaged on the way and deleted: call again"
        )


def _unreachable(url: str, folder: Path, error: Exception) -> TaggerError:
    reason = str(getattr(error, "reason", error))
    if isinstance(error, urllib.error.HTTPError):
        error.close()
        reason = f"HTTP {error.code}"
    return TaggerError(
        f"{url}: cannot be downloaded ({' '.join(reason.split())}); call again to resume, put"
        f" {' and '.join(FILES)} into {folder} yourself, or set caption.tagger=none"
    )
