"""A server of its own, and clients that ask it by HTTP."""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

from .job import CLASS, ENVIRONMENT, PICTURE, QUICK, ROOT, TRIGGER

PREFIX = "/singlelora/v1"


@dataclass
class Answers:
    """What came back.

    statuses: how often each.
    broken: answers of 500 and more, and connections that broke.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)


class Client:
    """Asks one server; safe to use from one thread."""

    def __init__(self, port: int, answers: Answers) -> None:
        self.port = port
        self.answers = answers

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(status, value); status 0 when the connection broke."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        try:
            data = None if body is None else json.dumps(body).encode()
            connection.request(
                method,
                PREFIX + quote(path),
                data,
                {"Content-Type": "application/json"} if data else {},
            )
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            self.answers.broken.append(f"{method} {path}: {error!r}")
            return 0, None
        finally:
            connection.close()
        self.answers.statuses[answer.status] += 1
        if answer.status >= 500 and answer.status != 507:  # 507: the disk is full
            self.answers.broken.append(f"{method} {path}: {answer.status} {text[:200]!r}")
        with contextlib.suppress(ValueError):
            return answer.status, json.loads(text)
        return answer.status, None

    def start(self, name: str, **settings: Any) -> int:
        """A new workspace with quick settings; the status."""
        picture = base64.b64encode(PICTURE.read_bytes()).decode()
        values = {
            **{key: value for key, value in QUICK.items() if key != "caption.tagger"},
            **settings,
        }
        return self.ask(
            "POST",
            "/workspaces",
            {
                "picture": picture,
                "trigger": TRIGGER,
                "class_token": CLASS,
                "name": name,
                "settings": values,
            },
        )[0]

    def job(self, number: int) -> dict[str, Any]:
        """The view of a job, {} when it is not told any more."""
        status, view = self.ask("GET", f"/jobs/{number}")
        return view if status == 200 else {}


def temporary_folder(output: Path) -> Path:
    """Where a server puts what the system's folder for temporary files holds else; of its own, so
    that it can be counted.
    """
    return output.with_name("temporary")


@contextmanager
def server(
    workspaces: Path, checkpoint: Path, output: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """(process, port) of `singlelora.py ui`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [
        sys.executable,
        "-m",
        "lib_singlelora",
        "ui",
        "--port",
        str(port),
        "--workspaces",
        str(workspaces),
        "--checkpoint",
        str(checkpoint),
    ]
    temporary = temporary_folder(output)
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    with output.open("ab") as file:
        process = subprocess.Popen(
            words,
            cwd=ROOT,
            stdout=file,
            stderr=file,
            env={**os.environ, **ENVIRONMENT, "TMPDIR": str(temporary)},
        )
    try:
        _wait(process, port)
        yield process, port
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(20)
        if process.poll() is None:
            process.kill()
            process.wait()


def _wait(process: subprocess.Popen[bytes], port: int) -> None:
    while process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.2)
    raise SystemExit(f"the server ended with {process.returncode}")
