"""A resumable download."""

from __future__ import annotations

import http.client
import urllib.request
from collections.abc import Callable
from pathlib import Path

from .jobs import Job, Progress

BLOCK = 1 << 20
TIMEOUT = 30  # seconds without a byte


def download(
    url: str, part: Path, size: int, job: Job, progress: Callable[[int], Progress]
) -> None:
    """Download the rest of a file into `part`, which may hold its beginning; the caller checks it.

    size: of the whole file in bytes; 0 if unknown.
    progress: from the bytes so far to a report.
    Raises: OSError, http.client.HTTPException; JobCancelled, keeping what was downloaded.
    """
    have = part.stat().st_size if part.exists() else 0
    if size and have > size:
        part.unlink()
        have = 0
    if size and have == size:
        return
    headers = {"User-Agent": "single-image-lora"}
    if have:
        headers["Range"] = f"bytes={have}-"
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as answer:
        have = have if answer.status == 206 else 0
        with part.open("ab" if have else "wb") as file:
            while block := answer.read(BLOCK):
                job.raise_if_cancelled()
                file.write(block)
                have += len(block)
                if size and have > size:
                    break  # another file than was announced; the caller's check finds that
                job.report(progress(have))
    if size and have < size:
        raise http.client.IncompleteRead(b"", size - have)
