"""The product under the WebUI's flags: logins, a sub-path, other folders, little memory, fp8."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import CHROMIUM, needs_chromium
from tests.small_checkpoint import build_small_checkpoint
from tests.webui.conftest import link_of, new_workspace
from tests.webui.process import PROBE, Refused, WebUI, kind_of, python_of_webui
from tests.webui.test_browser import open_step, open_workspace
from tests.webui.test_whole_job import state_of, untouched

pytestmark = pytest.mark.timeout(1200)
QUICK = {
    "regularization__count": 1,
    "training__epochs": 1,
    "training__sample_every": 1,
    "plot__presets": "ALL",
}


def started(
    data: Path,
    *flags: str,
    options: dict[str, Any] | None = None,
    settings_file: str = "config.json",
) -> WebUI:
    """A WebUI with these flags and options and the small checkpoint."""
    checkpoints = data / "models" / "Stable-diffusion"
    checkpoints.mkdir(parents=True, exist_ok=True)
    build_small_checkpoint(checkpoints)
    (data / settings_file).write_text(json.dumps(options or {}))
    webui = WebUI(Path(os.environ["SD_WEBUI_DIR"]), python_of_webui(), data, flags)
    (data / "link").mkdir()
    webui.extend(link_of(data / "link"), PROBE)
    webui.start()
    return webui


def basic(user: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """With logins, a sub-path, --medvram, and its settings and our workspaces elsewhere."""
    data = tmp_path_factory.mktemp("guarded")
    options = {
        "singlelora_workspaces": str(data / "else where"),
        "token_merging_ratio": 0.5,
        "hypertile_enable_unet": True,
        # reForge would fetch a decoder for its previews
        "show_progress_type": "Approx cheap",
    }
    running = started(
        data,
        "--listen",
        "--subpath",
        "sd",
        "--ui-settings-file",
        str(data / "own.json"),
        "--gradio-auth",
        "anna:secret",
        "--api-auth",
        "bob:word",
        "--medvram",
        options=options,
        settings_file="own.json",
    )
    running.headers = basic("bob", "word")
    yield running
    running.kill()


@pytest.mark.parametrize(
    ("headers", "status"),
    [({"Authorization": ""}, 401), (basic("bob", "wrong"), 401), (basic("anna", "secret"), 401)],
)
def test_the_api_asks_who_is_there(guarded: WebUI, headers: dict[str, str], status: int) -> None:
    for path in ("/singlelora/v1/workspaces", "/singlelora/v1/jobs", "/singlelora/v1/settings"):
        with pytest.raises(Refused) as refused:
            guarded.ask(path, headers=headers)
        assert refused.value.status == status
    assert guarded.ask("/singlelora/v1/workspaces") is not None


def test_the_pages_login_opens_the_api_too(guarded: WebUI) -> None:
    opener = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
    opener.open(f"{guarded.url}/login", b"username=anna&password=secret").read()
    assert isinstance(
        json.loads(opener.open(f"{guarded.url}/singlelora/v1/workspaces").read()), list
    )


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Origin": "https://evil.example"}, 403),
        ({"Origin": "null"}, 403),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": "text/plain", "Authorization": ""}, 401),
        ({"Authorization": "Basic \xe9"}, 401),
    ],
)
def test_no_page_of_another_site_writes(
    guarded: WebUI, headers: dict[str, str], status: int
) -> None:
    for path in ("/singlelora/v1/workspaces", "/singlelora/v1/jobs/1/cancel"):
        with pytest.raises(Refused) as refused:
            guarded.ask(path, {"picture": "", "trigger": "planted"}, headers=headers)
        assert refused.value.status == status
    assert "planted" not in guarded.ask("/singlelora/v1/workspaces")


def test_the_whole_job_with_medvram_token_merging_and_hypertile(guarded: WebUI) -> None:
    """Forge and reForge take the flags, and have their own ways of the latter two."""
    picture = guarded.picture(width=128, height=128)
    before = state_of(guarded)
    is_webui = guarded.kind == "webui"
    if is_webui:
        patches = guarded.ask("/probe/patches")
        assert patches["lowvram"] and any(patches["tiles"])
    job = guarded.ended(guarded.submit(new_workspace(guarded, "isabella", **QUICK)))
    assert job["state"] == "done", job["error"]
    assert guarded.picture(width=128, height=128) == picture
    assert guarded.picture("isabella <lora:isabella:1>", width=128, height=128) != picture
    if is_webui:
        assert (
            "Token merging ratio: 0.5" in guarded.infotext
            and "Hypertile U-Net: True" in guarded.infotext
        )
    assert guarded.picture(width=128, height=128) == picture
    untouched(before, guarded.ask("/probe/state"))
    if is_webui:
        assert guarded.ask("/probe/patches") == patches


def test_settings_move_the_workspaces(guarded: WebUI) -> None:
    new_workspace(guarded, "moved")
    assert (guarded.data / "else where" / "moved" / "settings.json").is_file()
    guarded.ask("/sdapi/v1/options", {"singlelora_workspaces": str(guarded.data / "third")})
    assert guarded.ask("/singlelora/v1/workspaces") == []
    guarded.ask("/sdapi/v1/options", {"singlelora_workspaces": str(guarded.data / "else where")})
    assert "moved" in guarded.ask("/singlelora/v1/workspaces")


class Proxy:
    """Serves a WebUI under /sd/, as --subpath expects of whatever stands before it."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}/sd/"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(("127.0.0.1", self._target))
            for source, target in ((client, server), (server, client)):
                threading.Thread(
                    target=self._carry, args=(source, target, source is client), daemon=True
                ).start()

    @staticmethod
    def _carry(source: socket.socket, target: socket.socket, asks: bool) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(data.replace(b" /sd/", b" /", 1) if asks else data)
        except OSError:
            pass
        finally:
            source.close()
            target.close()


@needs_chromium
def test_the_tab_works_behind_the_login_under_the_sub_path(guarded: WebUI) -> None:
    from playwright.sync_api import sync_playwright

    url = Proxy(guarded.port).url
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.set_default_timeout(60_000)
        page.goto(url)
        page.locator("input, textarea").first.fill("anna")
        page.locator("input[type=password]").fill("secret")
        page.get_by_role("button", name="Login").click()
        page.locator("#tabs > .tab-nav button", has_text="Single LoRA").click()
        open_workspace(page, "isabella")
        open_step(page, "test")
        page.locator("#sl-take").wait_for()
        page.frame_locator("#sl-sheet").locator("img").first.wait_for()
        page.locator("#sl-inpainted img").first.wait_for()
        browser.close()


@pytest.fixture(scope="module")
def lean(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebUI]:
    """With --lowvram, weights in fp8, another VAE and a slow attention."""
    if kind_of(Path(os.environ["SD_WEBUI_DIR"])) != "webui":
        pytest.skip("test_states has what Forge and reForge have of these")
    data = tmp_path_factory.mktemp("lean")
    other = build_small_checkpoint(data / "other", seed=2)
    vae(other, data / "models" / "VAE" / "own.safetensors")
    running = started(
        data,
        "--lowvram",
        options={
            "fp8_storage": "Enable",
            "sd_vae": "own.safetensors",
            "cross_attention_optimization": "sub-quadratic",
        },
    )
    yield running
    running.kill()


def vae(checkpoint: Path, target: Path) -> None:
    """A file of a checkpoint's VAE alone."""
    import safetensors.torch

    target.parent.mkdir(parents=True)
    prefix = "first_stage_model."
    tensors = {
        key.removeprefix(prefix): tensor
        for key, tensor in safetensors.torch.load_file(checkpoint).items()
        if key.startswith(prefix)
    }
    safetensors.torch.save_file(tensors, target)


def test_training_with_lowvram_fp8_and_another_vae(lean: WebUI) -> None:
    """The WebUI itself cannot draw in fp8 on a CPU ("Got unsupported ScalarType BFloat16")."""
    before = lean.ask("/probe/state")
    patches = lean.ask("/probe/patches")
    assert patches["lowvram"] and patches["fp8"]
    assert "torch.float8_e4m3fn" in patches["dtypes"]
    assert "own" in patches["vae"]
    assert all("sub_quad" in function for function in before["attention"])
    name = lean.prepared(new_workspace(lean, "isabella", **QUICK))
    job = lean.ended(lean.submit(name, "train"))
    assert job["state"] == "done", job["error"]
    untouched(before, lean.ask("/probe/state"))
    assert lean.ask("/probe/patches") == patches


def test_the_whole_job_with_lowvram_and_another_vae(lean: WebUI) -> None:
    lean.ask("/sdapi/v1/options", {"fp8_storage": "Disable"})
    before = lean.ask("/probe/state")
    picture = lean.picture()
    patches = lean.ask("/probe/patches")
    assert patches["lowvram"] and not patches["fp8"] and "own" in patches["vae"]
    job = lean.ended(lean.submit(new_workspace(lean, "isabella too", **QUICK)))
    assert job["state"] == "done", job["error"]
    assert lean.picture() == picture
    assert lean.picture("isabella <lora:isabella_too:1>") != picture
    lean.picture()
    untouched(before, lean.ask("/probe/state"))
    assert lean.ask("/probe/patches") == patches
