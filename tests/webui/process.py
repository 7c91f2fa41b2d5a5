"""A process of the installed WebUI with a data folder in a temporary place."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
FLAGS = (
    "--skip-torch-cuda-test",
    "--skip-python-version-check",
    "--skip-install",
    "--api",
    "--no-download-sd-model",
)
# Without a GPU
FLAGS_OF = {
    "webui": ("--no-half", "--use-cpu", "all", "--do-not-download-clip"),
    "forge": ("--always-cpu",),
    "reforge": ("--always-cpu",),
}
# How many times as long as usual to wait for anything, on a machine that is busy otherwise
PATIENCE = float(os.environ.get("SD_WEBUI_PATIENCE", "1"))
PROBE = Path(__file__).parent / "probe"


def kind_of(folder: Path) -> str:
    """Which program lies in a folder: webui, forge or reforge."""
    if not (folder / "modules_forge").is_dir():
        return "webui"
    return "reforge" if (folder / "ldm_patched").is_dir() else "forge"


class Refused(Exception):
    """An HTTP error.  status: its number."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(f"{status}: {text}")
        self.status = status
        self.text = text


class WebUI:
    """Starts, stops and asks one WebUI.

    folder: of the program.
    data: its folder of models, extensions and outputs.
    flags: more than FLAGS.
    """

    def __init__(self, folder: Path, python: str, data: Path, flags: tuple[str, ...] = ()) -> None:
        self.folder = folder
        self.python = python
        self.data = data
        self.kind = kind_of(folder)
        # Forge serves its own scripts from its data folder alone, which is another one here.
        served = ("--gradio-allowed-path", str(folder)) if self.kind == "forge" else ()
        self.flags = (*served, *flags)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self.headers: dict[str, str] = {}  # of every request
        self.infotext = ""  # of the last picture
        self.log = data / "webui.log"

    def extend(self, *extensions: Path) -> None:
        """Link extensions in."""
        (self.data / "extensions").mkdir(parents=True, exist_ok=True)
        for extension in extensions:
            (self.data / "extensions" / extension.name).symlink_to(
                extension, target_is_directory=True
            )

    def start(self, timeout: float = 600) -> None:
        """Start it and wait until it answers."""
        environment = {
            **os.environ,
            "HF_HUB_OFFLINE": "1",
            "GIT_PYTHON_REFRESH": "quiet",
            "PYTHONUNBUFFERED": "1",
            "OMP_NUM_THREADS": "1",
            "SD_WEBUI_RESTARTING": "1",
        }
        self._starts = (
            self.log.read_text(errors="replace").count("Startup time") if self.log.exists() else 0
        )
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [
                    self.python,
                    "launch.py",
                    *FLAGS,
                    *FLAGS_OF[self.kind],
                    *self.flags,
                    "--port",
                    str(self.port),
                    "--data-dir",
                    str(self.data),
                ],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        # A request in the middle of its start makes it fail ("Cannot add middleware"), so its log
        # is watched.
        try:
            self.wait_for(self._started, timeout, "the WebUI to start")
            self.wait_for(self.ready, 60, "the WebUI to answer")
        except BaseException:
            self.kill()  # no fixture does it yet
            raise

    def _started(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the WebUI ended:\n{self.tail()}")
        return (
            self.log.read_text(encoding="utf-8", errors="replace").count("Startup time")
            > self._starts
        )

    def ready(self) -> bool:
        """True if it answers."""
        assert self.process is not None
        if self.process.poll() is not None:
            raise AssertionError(f"the WebUI ended:\n{self.tail()}")
        try:
            self.ask("/probe/page")
        except (OSError, Refused):
            return False
        return True

    def kill(self) -> None:
        """Kill it, as a power cut would."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()

    def tail(self, lines: int = 40) -> str:
        """The end of its log."""
        return "\n".join(
            self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
        )

    def ask(
        self,
        path: str,
        body: object = None,
        method: str | None = None,
        timeout: float = 300,
        headers: dict[str, str] | None = None,
    ) -> Any:
        """JSON from a route.

        Raises:
            Refused: the answer is an error.
        """
        data = None if body is None else json.dumps(body).encode()
        url = self.url + urllib.parse.quote(path, safe="/%?=&")
        request = urllib.request.Request(
            url,
            data,
            {"Content-Type": "application/json", **self.headers, **(headers or {})},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            raise Refused(error.code, error.read().decode(errors="replace")[:2000]) from None

    @staticmethod
    def wait_for(condition: Callable[[], Any], timeout: float, what: str) -> Any:
        """Wait until the condition gives something true, and return that."""
        deadline = time.monotonic() + timeout * PATIENCE
        while time.monotonic() < deadline:
            if value := condition():
                return value
            time.sleep(0.25)
        raise AssertionError(f"waited {timeout:.0f} s for {what}")

    # The product's routes
    # --------------------------------------------------------------------------------------------

    def submit(self, name: str, stage: str = "run", **settings: object) -> int:
        """Queue a job; its number."""
        answer = self.ask(
            f"/singlelora/v1/workspaces/{name}/jobs",
            {
                "stage": stage,
                "settings": {key.replace("__", "."): value for key, value in settings.items()},
            },
        )
        return int(answer["id"])

    def job(self, number: int) -> Any:
        """A job's view."""
        return self.ask(f"/singlelora/v1/jobs/{number}")

    def ended(self, number: int, timeout: float = 400) -> Any:
        """A job's view once it ended."""
        return self.wait_for(
            lambda: (view := self.job(number))["state"] not in ("waiting", "running") and view,
            timeout,
            f"job {number}: {self.job(number)}",
        )

    def prepared(self, name: str) -> str:
        """The workspace, ready to train."""
        for stage in ("prepare", "crop", "caption"):
            assert self.ended(self.submit(name, stage))["state"] == "done"
        return name

    def training_step(self, number: int, step: int, timeout: float = 240) -> Any:
        """A job's view once its training is at a step."""

        def reached() -> Any:
            view = self.job(number)
            assert view["state"] in ("waiting", "running"), view
            return view["stage"] == "train" and view["done"] >= step and view

        return self.wait_for(reached, timeout, f"step {step} of job {number}")

    def picture(self, prompt: str = "isabella, girl", **options: object) -> str:
        """txt2img by the WebUI's own API, base64."""
        answer = self.ask(
            "/sdapi/v1/txt2img",
            {"prompt": prompt, "seed": 5, "steps": 4, "width": 64, "height": 64, **options},
        )
        self.infotext = str(json.loads(answer["info"])["infotexts"][0])
        return str(answer["images"][0])


def python_of_webui() -> str:
    """SD_WEBUI_PYTHON, or the interpreter in the WebUI's own venv."""
    if chosen := os.environ.get("SD_WEBUI_PYTHON"):
        return chosen
    name = "Scripts/python.exe" if os.name == "nt" else "bin/python"
    python = Path(os.environ["SD_WEBUI_DIR"]) / "venv" / name
    return str(python) if python.exists() else sys.executable


def visit(webui: WebUI, page: Any) -> None:
    page.goto(webui.url)
    page.locator("#tabs > .tab-nav button", has_text="Single LoRA").click()
    page.locator("#sl-workspace").wait_for(state="visible")
