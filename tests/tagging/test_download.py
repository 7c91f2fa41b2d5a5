"""Downloading a tagger, from a server that answers as the Hub does: a redirect that carries the
hash, then the bytes.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from lib_singlelora.errors import JobCancelled, TaggerError
from lib_singlelora.jobs import Job, Progress
from lib_singlelora.tagging import download
from lib_singlelora.tagging.download import FILES, NAMES, fetch_tagger

NAME = "wd-swinv2-tagger-v3"
MODEL = bytes(range(256)) * 40_000
TABLE = b"tag_id,name,category,count\n0,general,9,1\n"


class Hub(ThreadingHTTPServer):
    """files: bytes by name.

    asked: (method, path, range) of every request.  cut: bytes after which the model stops, once.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.files = dict(zip(FILES, (MODEL, TABLE), strict=True))
        self.asked: list[tuple[str, str, str]] = []
        self.cut = 0
        self.hashes = True
        self.ranges = True
        self.digest = hashlib.sha256(MODEL).hexdigest()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    server: Hub

    def log_message(self, *words: object) -> None:
        pass

    def do_HEAD(self) -> None:
        self.answer(False)

    def do_GET(self) -> None:
        self.answer(True)

    def answer(self, body: bool) -> None:
        hub = self.server
        wanted = self.headers.get("Range", "")
        hub.asked.append((self.command, self.path, wanted))
        name = self.path.rsplit("/", 1)[1]
        data = hub.files.get(name)
        if data is None or not (
            self.path.startswith(("/cdn/", f"/SmilingWolf/{NAME}/resolve/main/"))
        ):
            self.send_error(404)
        elif name == FILES[0] and not self.path.startswith("/cdn/"):
            self.send_response(302)
            self.send_header("Location", f"/cdn/{name}")
            if hub.hashes:
                self.send_header("X-Linked-ETag", f'"{hub.digest}"')
                self.send_header("X-Linked-Size", str(len(data)))
            self.send_header("Content-Length", "0")
            self.end_headers()
        else:
            start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and hub.ranges else 0
            self.send_response(206 if start else 200)
            # As git names a small file
            own = hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()
            self.send_header(
                "ETag", f'"{own}"' if name == FILES[1] else '"a multipart tag of the store"'
            )
            self.send_header("Content-Length", str(len(data) - start))
            self.end_headers()
            if body:
                end = len(data)
                if hub.cut and name == FILES[0]:
                    end = start + hub.cut
                    hub.cut = 0
                    self.close_connection = True
                self.wfile.write(data[start:end])


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    with Hub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def fetched(folder: Path) -> bool:
    return (
        sorted(path.name for path in folder.iterdir()) == sorted(FILES)
        and (folder / FILES[0]).read_bytes() == MODEL
    )


def test_both_files_arrive_whole_and_the_large_one_is_read_once(hub: Hub, tmp_path: Path) -> None:
    folder = fetch_tagger(NAME, tmp_path, Job())
    assert folder == tmp_path / NAME and fetched(folder)
    assert [(method, path) for method, path, _ in hub.asked if path.startswith("/cdn/")] == [
        ("HEAD", "/cdn/model.onnx"),
        ("GET", "/cdn/model.onnx"),
    ]


def test_what_is_there_is_not_asked_for_again(hub: Hub, tmp_path: Path) -> None:
    fetch_tagger(NAME, tmp_path, Job())
    hub.asked.clear()
    fetch_tagger(NAME, tmp_path, Job())
    assert hub.asked == []


def test_a_broken_download_goes_on_where_it_stopped(hub: Hub, tmp_path: Path) -> None:
    hub.cut = 3_000_000
    with pytest.raises(TaggerError, match="call again to resume"):
        fetch_tagger(NAME, tmp_path, Job())
    assert not (tmp_path / NAME / FILES[0]).exists()
    assert fetched(fetch_tagger(NAME, tmp_path, Job()))
    assert hub.asked[-1][2] == "bytes=3000000-"


def test_a_server_that_knows_no_ranges_begins_anew(hub: Hub, tmp_path: Path) -> None:
    hub.cut = 3_000_000
    hub.ranges = False
    with pytest.raises(TaggerError):
        fetch_tagger(NAME, tmp_path, Job())
    assert fetched(fetch_tagger(NAME, tmp_path, Job()))


def test_a_cancelled_download_keeps_what_came_and_goes_on(hub: Hub, tmp_path: Path) -> None:
    job = Job()

    def stop(progress: Progress) -> None:
        if progress.done >= 2 << 20:
            job.cancel()

    job.listen(stop)
    with pytest.raises(JobCancelled):
        fetch_tagger(NAME, tmp_path, job)
    assert (tmp_path / NAME / "model.onnx.part").stat().st_size == 2 << 20
    assert fetched(fetch_tagger(NAME, tmp_path, Job()))


def test_a_file_that_is_not_what_the_hub_announced_is_thrown_away(hub: Hub, tmp_path: Path) -> None:
    hub.digest = "0" * 64
    with pytest.raises(TaggerError, match=r"expected 000000000000….*call again"):
        fetch_tagger(NAME, tmp_path, Job())
    assert [path.name for path in (tmp_path / NAME).iterdir()] == [FILES[1]]


def test_without_a_hash_nothing_is_taken(hub: Hub, tmp_path: Path) -> None:
    hub.hashes = False
    with pytest.raises(TaggerError, match="found no hash"):
        fetch_tagger(NAME, tmp_path, Job())
    assert not (tmp_path / NAME / FILES[0]).exists()


def test_a_missing_file_and_no_network_are_one_line_each(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    del hub.files[FILES[1]]
    with pytest.raises(TaggerError, match=r"HTTP 404.*caption\.tagger=none") as missing:
        fetch_tagger(NAME, tmp_path, Job())
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(
        TaggerError, match=r"put model\.onnx and selected_tags\.csv into"
    ) as unreachable:
        fetch_tagger(NAME, tmp_path, Job())
    assert "\n" not in str(missing.value) + str(unreachable.value)


def test_the_names_are_those_of_the_hub() -> None:
    assert len(set(NAMES)) == 10 and all(
        name.startswith("wd-") and name[-2:] in ("v2", "v3") for name in NAMES
    )
    assert download.OWNER == "SmilingWolf"
