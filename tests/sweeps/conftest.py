"""A workspace to sweep on, and a real PostgreSQL where the machine has one."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from lib_singlelora.hosts.standalone.host import StandaloneHost
from lib_singlelora.stages.context import StageContext
from lib_singlelora.stages.pipeline import run_stage
from lib_singlelora.workspace.workspace import Workspace
from tests.stages.conftest import PHOTOGRAPH, small

VIEWS = ["portrait", "face"]


@pytest.fixture(scope="session")
def _cropped(tmp_path_factory: pytest.TempPathFactory, standalone_host: StandaloneHost) -> Path:
    workspace = Workspace(tmp_path_factory.mktemp("cropped") / "eileen")
    picture = workspace.root.parent / "small.png"
    with Image.open(PHOTOGRAPH) as image:
        image.resize((192, 192)).save(picture)
    settings = small(crop__views=VIEWS)
    workspace.save_settings(settings, standalone_host.checkpoint.path)
    for stage in ("prepare", "crop", "caption"):
        context = StageContext(settings, workspace, standalone_host)
        run_stage(stage, context, picture if stage == "prepare" else None)
    return workspace.root


@pytest.fixture
def cropped(_cropped: Path, tmp_path: Path) -> Workspace:
    """A workspace with two crops and captions, for one test, in a folder called eileen."""
    shutil.copytree(_cropped, tmp_path / "eileen")
    return Workspace(tmp_path / "eileen")


@pytest.fixture
def own_presets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder in the place of the user's own presets."""
    folder = tmp_path / "presets"
    monkeypatch.setattr("lib_singlelora.settings.preset_files.OWN_PRESETS", folder)
    return folder


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """The URL of an empty database in a PostgreSQL that this session starts."""
    pytest.importorskip("psycopg", reason="PostgreSQL needs psycopg")
    binaries = _binaries()
    if binaries is None:
        pytest.skip("no PostgreSQL on this machine: neither initdb in PATH nor in /usr/lib")
    # Not among pytest's folders, which none but their owner may enter
    folder = Path(tempfile.mkdtemp(prefix="singlelora-postgresql-"))
    data = folder / "data"
    as_user = _unprivileged(folder)

    def call(*words: str) -> None:
        done = subprocess.run(
            [*as_user, *words], capture_output=True, text=True, check=False, cwd=folder
        )
        assert done.returncode == 0, done.stderr + done.stdout

    call(str(binaries / "initdb"), "-D", str(data), "-U", "sweeper", "-A", "trust", "-N")
    options = f"-c listen_addresses='' -k {folder} -c fsync=off"
    control = [str(binaries / "pg_ctl"), "-D", str(data), "-w"]
    call(*control, "-l", str(folder / "log"), "-o", options, "start")
    try:
        yield f"postgresql://sweeper@/postgres?host={folder}"
    finally:
        call(*control, "-m", "immediate", "stop")
        shutil.rmtree(folder, ignore_errors=True)


def _binaries() -> Path | None:
    """The folder of PostgreSQL's programs; Debian keeps them out of PATH."""
    found = shutil.which("initdb")
    folders = [Path(found).resolve().parent] if found else []
    folders += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in folders if (folder / "pg_ctl").exists()), None)


def _unprivileged(folder: Path) -> list[str]:
    """What stands before a command to run it as a user that PostgreSQL accepts: not as root."""
    if os.getuid() != 0:
        return []
    if shutil.which("setpriv") is None:
        pytest.skip("PostgreSQL refuses root, and this machine has no setpriv")
    nobody = 65534
    os.chown(folder, nobody, nobody)
    return ["setpriv", f"--reuid={nobody}", f"--regid={nobody}", "--clear-groups", "--"]
