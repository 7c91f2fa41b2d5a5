"""Matting models by name, from a server on this machine: downloaded once, checked, resumed."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lib_singlelora.errors import ImageModelError, JobCancelled
from lib_singlelora.imaging.matting_download import ALIASES, OFFERS, Offer, fetch_matting_model
from lib_singlelora.jobs import Job

MODEL = bytes(range(256)) * 20_000
OFFER = {"u2netp": Offer(len(MODEL), hashlib.md5(MODEL).hexdigest())}


class Site(ThreadingHTTPServer):
    """data: what it sends.

    cut: bytes after which an answer stops, 0 for none.  asked: the range of every request.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.data = MODEL
        self.cut = 0
        self.asked: list[str] = []


class Answer(BaseHTTPRequestHandler):
    server: Site

    def log_message(self, *words: object) -> None:
        pass

    def do_GET(self) -> None:
        site = self.server
        wanted = self.headers.get("Range", "")
        site.asked.append(wanted)
        if self.path != "/u2netp.onnx":
            self.send_error(404)
            return
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted else 0
        data = site.data[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[: site.cut] if site.cut else data)


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Site]:
    server = Site()
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    monkeypatch.setenv("SINGLELORA_MATTING_SITE", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("U2NET_HOME", str(tmp_path / "nowhere"))
    yield server
    server.shutdown()
    server.server_close()


def test_a_model_is_downloaded_once(site: Site, tmp_path: Path) -> None:
    first = fetch_matting_model("u2netp", tmp_path / "home", Job(), OFFER)
    assert first.read_bytes() == MODEL and first.name == "u2netp.onnx"
    assert fetch_matting_model("u2netp", tmp_path / "home", Job(), OFFER) == first
    assert len(site.asked) == 1


def test_what_is_broken_off_goes_on_where_it_stopped(site: Site, tmp_path: Path) -> None:
    site.cut = 1_000_000
    with pytest.raises(ImageModelError, match="call again to resume"):
        fetch_matting_model("u2netp", tmp_path, Job(), OFFER)
    site.cut = 0
    assert fetch_matting_model("u2netp", tmp_path, Job(), OFFER).read_bytes() == MODEL
    assert site.asked == ["", "bytes=1000000-"]


@pytest.mark.parametrize("data", [MODEL[::-1], MODEL[:-5] + b"wrong", MODEL + b"more"])
def test_other_bytes_than_announced_are_thrown_away(
    site: Site, tmp_path: Path, data: bytes
) -> None:
    site.data = data
    with pytest.raises(ImageModelError, match="deleted"):
        fetch_matting_model("u2netp", tmp_path, Job(), OFFER)
    assert list(tmp_path.iterdir()) == []


def test_a_site_without_it_is_told_in_one_line(site: Site, tmp_path: Path) -> None:
    with pytest.raises(
        ImageModelError,
        match=r"isnet-anime\.onnx: cannot be downloaded \(HTTP 404\).*put isnet-anime\.onnx into",
    ):
        fetch_matting_model("isnet-anime", tmp_path, Job())


def test_a_cancelled_download_keeps_what_came(site: Site, tmp_path: Path) -> None:
    job = Job()
    job.cancel()
    with pytest.raises(JobCancelled):
        fetch_matting_model("u2netp", tmp_path, job, OFFER)
    assert fetch_matting_model("u2netp", tmp_path, Job(), OFFER).read_bytes() == MODEL


def test_rembg_s_own_copy_is_taken(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("U2NET_HOME", str(tmp_path))
    (tmp_path / "u2netp.onnx").write_bytes(MODEL)
    assert (
        fetch_matting_model("u2netp", tmp_path / "home", Job(), OFFER) == tmp_path / "u2netp.onnx"
    )
    assert site.asked == []


def test_every_name_has_a_sum_and_a_size() -> None:
    assert {"u2net", "u2netp", "isnet-general-use", "isnet-anime"} == set(OFFERS)
    assert set(ALIASES.values()) <= set(OFFERS) and all(
        len(offer.md5) == 32 and offer.size > 10**6 for offer in OFFERS.values()
    )
