"""What a start brings with it, counted in modules: seconds differ between machines."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("diffusers")

ROOT = Path(__file__).parents[3]
# What nothing that the program calls needs; each takes a tenth of a second to several
HEAVY = (
    "torch._dynamo",
    "torch.distributed.tensor",
    "sympy",
    "transformers",
    "peft",
    "accelerate",
    "scipy",
    "matplotlib",
    "optuna",
    "gradio",
    "fastapi",
    "onnxruntime",
    "pytorch_optimizer",
)


def loaded_by(code: str) -> list[str]:
    """The modules of a fresh Python that ran the code."""
    line = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", line], cwd=ROOT, capture_output=True, text=True, check=True
    )
    modules: list[str] = json.loads(done.stdout.splitlines()[-1])
    return modules


def heavy(modules: list[str]) -> list[str]:
    return [name for name in HEAVY if name in modules]


def test_the_networks_are_loaded_without_the_heavy_packages() -> None:
    modules = loaded_by(
        "from lib_singlelora.cli.checkpoint import load_host\n"
        "from lib_singlelora.embedded.paths import CHECKPOINT\n"
        "import lib_singlelora.stages.pipeline\n"
        "load_host(CHECKPOINT).networks\n"
    )
    assert heavy(modules) == []
    assert "diffusers.models.unets.unet_2d_condition" in modules
    assert len(modules) < 2300


def test_the_words_are_read_without_torch_and_numpy() -> None:
    modules = loaded_by("from lib_singlelora.cli.main import parser\nparser()")
    assert [name for name in ("diffusers", *HEAVY) if name in modules] == []


def test_what_was_left_out_can_be_imported_afterwards() -> None:
    modules = loaded_by(
        "import sys\n"
        "from lib_singlelora.hosts.standalone.light_import import import_diffusers_lightly\n"
        "import_diffusers_lightly()\n"
        "from diffusers.models.unets.unet_2d_condition import UNet2DConditionModel as light\n"
        "import diffusers.models.unets as whole\n"
        "assert whole.UNet2DConditionModel is light\n"
        "assert all(module is not None for module in sys.modules.values())\n"
        "import torch._dynamo\n"
        "assert torch._dynamo.__file__\n"
    )
    assert "torch._dynamo.eval_frame" in modules


def test_the_installed_packages_are_listed_when_diffusers_asks_and_not_before() -> None:
    loaded_by(
        "import importlib.metadata as metadata\n"
        "list_all, read = metadata.packages_distributions, []\n"
        "metadata.packages_distributions = lambda: read.append(1) or list_all()\n"
        "given = metadata.packages_distributions\n"
        "from lib_singlelora.hosts.standalone.light_import import import_diffusers_lightly\n"
        "import_diffusers_lightly()\n"
        "from diffusers.utils import import_utils\n"
        "assert not read and metadata.packages_distributions is given\n"
        "known = import_utils._is_package_available('PIL', get_dist_name=True)\n"
        "assert known == (True, metadata.version('pillow')), known\n"
    )


def test_another_diffusers_is_imported_whole(tmp_path: Path) -> None:
    package = tmp_path / "diffusers" / "models"
    package.mkdir(parents=True)
    (tmp_path / "diffusers" / "__init__.py").write_text("KIND = 'another'\n", encoding="utf-8")
    (package / "__init__.py").write_text("raise RuntimeError('no light import')\n", "utf-8")
    modules = loaded_by(
        f"import sys\nsys.path.insert(0, {str(tmp_path)!r})\n"
        "from lib_singlelora.hosts.standalone.light_import import import_diffusers_lightly\n"
        "import_diffusers_lightly()\n"
        "assert not [name for name in sys.modules if name.startswith('diffusers')]\n"
        "assert all(module is not None for module in sys.modules.values())\n"
        "import diffusers\nassert diffusers.KIND == 'another'\n"
    )
    assert "diffusers" in modules
