"""Matting models by name: rembg's files, downloaded once, checked, resumed and cancelled."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
from dataclasses import dataclass
from pathlib import Path

from ..download import BLOCK, download
from ..errors import ImageModelError
from ..jobs import Job, Progress

SITE = "https://github.com/danielgatis/rembg/releases/download/v0.0.0"


@dataclass(frozen=True)
class Offer:
    """A file as its publisher describes it.

    size: bytes.
    md5: the sum that rembg checks it with.
    """

    size: int
    md5: str


# Sizes are the release's; sums are those in
# rembg/sessions/{u2net,u2netp,dis_general_use,dis_anime}.py.
OFFERS = {
    "u2net": Offer(175_997_641, "60024c5c889badc19c04ad937298a77b"),
    "u2netp": Offer(4_574_861, "8e83ca70e441ab06c318d82300c84806"),
    "isnet-general-use": Offer(178_648_008, "fc16ebd8b0c10d971d3513d564d01e29"),
    "isnet-anime": Offer(176_069_933, "6f184e756bb3bd901c8849220a83e38e"),
}
ALIASES = {"isnet-general": "isnet-general-use"}


def fetch_matting_model(
    name: str, home: Path, job: Job, offers: dict[str, Offer] | None = None
) -> Path:
    """The file of a model by its name.

    A file in `home`, or in rembg's own folder, is not downloaded again.  A broken download resumes
    at the next call.
    Raises: ImageModelError; JobCancelled, keeping what was downloaded.
    """
    known = OFFERS if offers is None else offers
    name = ALIASES.get(name, name)
    offer = known[name]
    target = home / f"{name}.onnx"
    # rembg keeps its models here, and checks them by the same sums.
    rembgs_home = Path(os.environ.get("U2NET_HOME", "~/.u2net")).expanduser()
    for path in (target, rembgs_home / f"{name}.onnx"):
        if path.is_file() and path.stat().st_size == offer.size:
            return path
    url = f"{os.environ.get('SINGLELORA_MATTING_SITE', SITE).rstrip('/')}/{name}.onnx"
    part = target.with_name(f"{target.name}.part")
    try:
        home.mkdir(parents=True, exist_ok=True)
        download(
            url,
            part,
            offer.size,
            job,
            lambda have: Progress(
                "prepare", 0, 100, f"downloading {name}: {have >> 20} of {offer.size >> 20} MB"
            ),
        )
        _check(url, part, offer)
        part.replace(target)
    except (OSError, http.client.HTTPException) as error:
        reason = (
            f"HTTP {error.code}"
            if isinstance(error, urllib.error.HTTPError)
            else str(getattr(error, "reason", error))
        )
        raise ImageModelError(
            f"{url}: cannot be downloaded ({' '.join(reason.split())}); call again to resume, put "
            f"{target.name} into {home} yourself, or empty prepare.matting_model"
        ) from None
    return target


def _check(url: str, part: Path, offer: Offer) -> None:
    """Delete the file if its bytes are not those that the publisher announced.

    Raises: ImageModelError, in that case.
    """
    digest = hashlib.md5(usedforsecurity=False)
    with part.open("rb") as file:
        while block := file.read(BLOCK):
            digest.update(block)
    if part.stat().st_size != offer.size or digest.hexdigest() != offer.md5:
        size = part.stat().st_size
        part.unlink()
        raise ImageModelError(
            f"{url}: found {size} bytes with the sum {digest.hexdigest()[:12]}…, expected"
            f" {offer.size} with {offer.md5[:12]}…; the file was damaged on the way and deleted:"
            " call again"
        )
