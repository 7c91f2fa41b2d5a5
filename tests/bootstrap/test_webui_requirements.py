"""The core runs on the WebUI's packages alone: no diffusers, no current gradio, Python 3.10."""

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
BLOCKED = (
    "diffusers",
    "transformers",
    "accelerate",
    "gradio",
    "peft",
    "onnxruntime",
    "cv2",
    "lycoris",
)
CODE = f"""
import importlib, pkgutil, sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {BLOCKED!r}:
            raise ModuleNotFoundError(f"{{name}} is not there", name=name)

sys.meta_path.insert(0, Blocker())
import lib_singlelora
packages = pkgutil.walk_packages(lib_singlelora.__path__, "lib_singlelora.", lambda name: None)
names = [module.name for module in packages]
rooms = (
    "hosts.standalone",
    "hosts.webui",
    "hosts.forge",
    "sweeps.journal",  # the extra
    "extension",
    "ui.",
)
rooms = tuple("lib_singlelora." + room for room in rooms)
wanted = [n for n in names if not n.startswith(rooms) and not n.endswith("__main__")]
for name in wanted:
    importlib.import_module(name)
print(len(wanted))
"""


def test_every_room_but_the_hosts_and_the_page_imports_without_its_packages() -> None:
    result = subprocess.run(
        [sys.executable, "-c", CODE], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    assert int(result.stdout) > 40


def test_every_file_is_python_3_10() -> None:
    for path in (
        *ROOT.glob("*.py"),
        *ROOT.glob("lib_singlelora/**/*.py"),
        *ROOT.glob("tests/**/*.py"),
    ):
        ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=(3, 10))
