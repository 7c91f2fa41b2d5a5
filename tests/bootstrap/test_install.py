"""install.py in an environment of its own, with wheels from a folder: it adds what is missing and
changes nothing else.
"""

import errno
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from lib_singlelora.bootstrap import webui_requirements

ROOT = Path(__file__).parents[2]
CODE = (
    "install.py",
    "lib_singlelora/__init__.py",
    "lib_singlelora/bootstrap/__init__.py",
    "lib_singlelora/bootstrap/webui_requirements.py",
)
# A torch of the WebUI's version, as far as install.py reads it: a module with version.py.
TORCH = {
    "torch/__init__.py": "raise RuntimeError('install.py imported torch')\n",
    "torch/version.py": "__version__ = '2.1.2+cpu'\ncuda = None\n",
}


def wheel(
    folder: Path,
    name: str,
    version: str,
    needs: tuple[str, ...] = (),
    files: dict[str, str] | None = None,
) -> Path:
    """Write a wheel that says it needs these."""
    files = files or {f"{name}/__init__.py": f"__version__ = {version!r}\n"}
    info = f"{name}-{version}.dist-info"
    files = {
        **files,
        f"{info}/METADATA": (
            "\n".join(
                [
                    f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}",
                    *(f"Requires-Dist: {need}" for need in needs),
                ]
            )
            + "\n"
        ),
        f"{info}/WHEEL": (
            "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        ),
    }
    files[f"{info}/RECORD"] = "".join(f"{path},,\n" for path in [*files, f"{info}/RECORD"])
    path = folder / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for inside, text in files.items():
            archive.writestr(inside, text)
    return path


class Place:
    """An environment that is the WebUI's for us, a folder of wheels, and our files in a folder with
    a space in its name.
    """

    def __init__(self, folder: Path) -> None:
        self.wheels = folder / "the wheels"
        self.ours = folder / "Stable Diffusion" / "extensions" / "single lora"
        self.wheels.mkdir()
        for name in CODE:
            (self.ours / name).parent.mkdir(parents=True, exist_ok=True)
            (self.ours / name).write_bytes((ROOT / name).read_bytes())
        subprocess.run([sys.executable, "-m", "venv", folder / "web ui"], check=True)
        self.python = (
            folder / "web ui" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")
        )
        self.pip(
            "install",
            "--no-deps",
            wheel(self.wheels, "torch", "2.1.2+cpu", files=TORCH),
            wheel(self.wheels, "numpy", "1.26.2"),
            wheel(self.wheels, "einops", "0.4.1"),
        )
        wheel(self.wheels, "numpy", "2.4.0")

    def environment(self) -> dict[str, str]:
        """No index, the wheels alone."""
        return {
            **os.environ,
            "PIP_NO_INDEX": "1",
            "PIP_FIND_LINKS": self.wheels.as_uri(),
            "PYTHONPATH": "",
        }

    def pip(self, *words: object) -> str:
        return subprocess.run(
            [self.python, "-m", "pip", "--disable-pip-version-check", *map(str, words)],
            check=True,
            capture_output=True,
            text=True,
            env=self.environment(),
        ).stdout

    def versions(self) -> dict[str, str]:
        return {
            one["name"]: one["version"] for one in json.loads(self.pip("list", "--format", "json"))
        }

    def install(self, *options: str) -> str:
        """Run install.py as the WebUI does; what it said."""
        done = subprocess.run(
            [self.python, *options, self.ours / "install.py"],
            capture_output=True,
            text=True,
            check=False,
            env=self.environment(),
        )
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr


OPTIMIZERS = {
    "prodigyopt": "1.1.2",
    "dadaptation": "3.2",
    "lion_pytorch": "0.2.5",
    "schedulefree": "1.4.1",
    "prodigy_plus_schedule_free": "2.0.1",
    "pytorch_optimizer": "4.1.0",
}
MODULES = {"prodigy_plus_schedule_free": "prodigyplus"}  # where the package has another name


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    for name, version in OPTIMIZERS.items():
        # What they ask for must not matter: they are added without
        wheel(made.wheels, name, version, ("torch>=9",))
    return made


def test_it_adds_what_is_missing_changes_no_version_and_is_silent_from_then_on(
    place: Place,
) -> None:
    wheel(place.wheels, "lycoris_lora", "4.0.0", ("torch", "einops"))
    wheel(place.wheels, "lycoris_lora", "4.1.0", ("torch>=2.4", "einops"))
    wheel(place.wheels, "dynamicprompts", "0.31.0")
    wheel(place.wheels, "onnxruntime", "1.19.2", ("numpy>=1.21",))
    wheel(place.wheels, "onnxruntime", "1.27.0", ("numpy>=2",))
    before = place.versions()
    assert "installing" in place.install()
    after = place.versions()
    assert {name: after[name] for name in before} == before
    assert {name.replace("_", "-"): after[name] for name in set(after) - set(before)} == {
        "lycoris-lora": "4.0.0",
        "dynamicprompts": "0.31.0",
        "onnxruntime": "1.19.2",
        **{name.replace("_", "-"): version for name, version in OPTIMIZERS.items()},
    }
    assert place.install() == ""


def test_with_nothing_to_do_it_starts_no_pip_and_loads_nothing_large(place: Place) -> None:
    for name in ("lycoris_lora", "dynamicprompts", "onnxruntime_gpu", *OPTIMIZERS):
        place.pip("install", "--no-deps", wheel(place.wheels, name, "1.0.0"))
    code = place.ours / "lib_singlelora" / "bootstrap" / "webui_requirements.py"
    code.write_text(
        code.read_text(encoding="utf-8")
        + "\n\ndef _never(*words, **named):\n    raise AssertionError(words)\n\n\n"
        "subprocess.run = subprocess.Popen = _never\n",
        encoding="utf-8",
    )
    said = place.install("-X", "importtime")
    loaded = {line.rpartition("|")[2].strip() for line in said.splitlines()}
    assert all(line.startswith("import time:") for line in said.splitlines())
    assert not {"torch", "numpy", "pip", "pkg_resources", "setuptools"} & loaded


def test_what_would_change_a_pinned_version_is_left_out_and_told(place: Place) -> None:
    # Runs on the WebUI's einops all the same
    wheel(place.wheels, "lycoris_lora", "4.0.0", ("torch", "einops>=0.7"))
    wheel(place.wheels, "dynamicprompts", "0.31.0", ("numpy>=2",))
    wheel(place.wheels, "onnxruntime", "1.19.2", ("numpy",))
    before = place.versions()
    said = place.install()
    after = place.versions()
    assert {name: after[name] for name in before} == before
    assert "dynamicprompts" not in after and "onnxruntime" in after
    assert "dynamicprompts is missing" in said and "pip install dynamicprompts" in said


def test_without_a_network_it_says_what_is_missing_and_does_not_try_again_at_every_start(
    place: Place,
) -> None:
    for path in place.wheels.glob("*.whl"):
        path.unlink()
    before = place.versions()
    first = place.install()
    second = place.install()
    for name in (
        "lycoris",
        "dynamicprompts",
        "onnxruntime",
        *(MODULES.get(name, name) for name in OPTIMIZERS),
    ):
        assert f"{name} is missing" in first and f"{name} is missing" in second
    assert "installing" in first and "installing" not in second
    assert place.versions() == before


def test_a_full_disk_leaves_the_remembered_failure_that_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    stamp = tmp_path / ".install-failed.json"
    webui_requirements._remember(stamp, "first")
    before = stamp.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    webui_requirements._remember(stamp, "second")
    assert stamp.read_bytes() == before and list(tmp_path.iterdir()) == [stamp]
