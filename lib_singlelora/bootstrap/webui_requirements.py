"""What the WebUI's Python lacks for us, and how to add it without changing a version that the WebUI
pinned.

Standard library only, and nothing large is imported: install.py runs at every start of the WebUI.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

RETRY = 24 * 3600  # seconds after which a failed install is tried again
TIMEOUT = 600  # seconds for pip
ONNX = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-openvino",
    "onnxruntime-silicon",
    "onnxruntime-training",
)

OPTIMIZERS = {
    "prodigyopt": "prodigyopt",
    "dadaptation": "dadaptation",
    "lion-pytorch": "lion_pytorch",
    "schedulefree": "schedulefree",
    "prodigy-plus-schedule-free": "prodigyplus",
    "pytorch-optimizer": "pytorch_optimizer",
}


@dataclass(frozen=True)
class Requirement:
    """A package to add.

    pip: what pip is asked for.
    module: what is imported.
    extra: further arguments for pip.
    """

    module: str
    pip: str
    extra: tuple[str, ...] = ()

    @property
    def command(self) -> str:
        """What a user types to get it."""
        return subprocess.list2cmdline(
            [sys.executable, "-m", "pip", "install", *self.extra, self.pip]
        )


def version_of(name: str) -> str | None:
    """Version of an installed distribution."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def torch_facts() -> tuple[tuple[int, int], str | None]:
    """(version, CUDA version or None) of the installed torch, read without importing it; (99, 0)
    when there is none.
    """
    spec = importlib.util.find_spec("torch")
    if spec is None or not spec.submodule_search_locations:
        return (99, 0), None
    try:
        text = (Path(spec.submodule_search_locations[0]) / "version.py").read_text(encoding="utf-8")
    except OSError:
        return (99, 0), None
    version = re.search(r"__version__\s*=\s*['\"](\d+)\.(\d+)", text)
    cuda = re.search(r"^cuda(?:\s*:[^=]*)?\s*=\s*['\"]([\d.]+)['\"]", text, re.MULTILINE)
    return ((int(version[1]), int(version[2])) if version else (99, 0)), cuda[1] if cuda else None


def gpu_is_there() -> bool:
    """Whether an NVIDIA driver is installed; a CUDA build of torch runs without one, on the CPU."""
    import ctypes.util

    name = "nvcuda" if sys.platform == "win32" else "cuda"
    return ctypes.util.find_library(name) is not None


def wanted() -> list[Requirement]:
    """Everything that we need and that is not there."""
    missing = []
    torch, cuda = torch_facts()
    if version_of("lycoris-lora") is None:
        # From 4.1 on lycoris needs torch 2.4.
        missing.append(
            Requirement("lycoris", "lycoris-lora<4.1" if torch < (2, 4) else "lycoris-lora")
        )
    if version_of("dynamicprompts") is None:
        missing.append(Requirement("dynamicprompts", "dynamicprompts"))
    if all(version_of(name) is None for name in ONNX):
        missing.append(onnxruntime_for(cuda if cuda and gpu_is_there() else None, torch))
    # Pure Python, for torch of any version; without their dependencies, as torch (and numpy) is all
    # that they have.
    missing += [
        Requirement(module, name, ("--no-deps",))
        for name, module in OPTIMIZERS.items()
        if version_of(name) is None
    ]
    return missing


def onnxruntime_for(cuda: str | None, torch: tuple[int, int]) -> Requirement:
    """The build for the CUDA in use; the registry's GPU builds are for CUDA 11.8 up to 1.18, for
    CUDA 12 from 1.19 on.

    Releases after 1.19 are built for numpy 2 and no longer for the WebUI's Python 3.10 with numpy 1
    on all systems.
    Source: onnxruntime.ai/docs/execution-providers/CUDA-ExecutionProvider.html.
    """
    old = torch < (2, 4)
    if cuda is None:
        return Requirement("onnxruntime", "onnxruntime<1.20" if old else "onnxruntime")
    if cuda.startswith("11"):
        return Requirement("onnxruntime", "onnxruntime-gpu>=1.15,<1.19")
    return Requirement(
        "onnxruntime", "onnxruntime-gpu>=1.19,<1.20" if old else "onnxruntime-gpu>=1.19"
    )


def constraints() -> str:
    """Every installed distribution at its version: pip must not change one of them."""
    found = {}
    for distribution in importlib.metadata.distributions():
        name = distribution.metadata["Name"]
        version = distribution.version
        if name and version and "+" not in version:
            found[name.lower()] = f"{name}=={version}"
        elif name and version:
            found[name.lower()] = f"{name}=={version.split('+')[0]}"
    return "\n".join(sorted(found.values())) + "\n"


def add(
    missing: Sequence[Requirement], stamp: Path, say: Callable[[str], None]
) -> list[Requirement]:
    """Install what is missing, one by one; gives what is missing still.

    stamp: a file that remembers a failure for a day, so that a WebUI without a network starts as
        fast as ever.
    """
    mark = hashlib.sha256(json.dumps([need.pip for need in missing]).encode()).hexdigest()
    if _failed_lately(stamp, mark):
        tell(missing, say)
        return list(missing)
    left = []
    with tempfile.TemporaryDirectory(prefix="singlelora-") as folder:
        pins = Path(folder) / "constraints.txt"
        for need in missing:
            pins.write_text(constraints(), encoding="utf-8")
            say(f"Single LoRA: installing {need.pip}")
            if not _pip(need, pins):
                left.append(need)
    if left:
        tell(left, say)
        _remember(
            stamp, hashlib.sha256(json.dumps([need.pip for need in left]).encode()).hexdigest()
        )
    return left


def tell(missing: Sequence[Requirement], say: Callable[[str], None]) -> None:
    """What is missing and how to get it, a line each."""
    for need in missing:
        say(
            f"Single LoRA: {need.module} is missing and could not be added without changing what"
            f" the WebUI pinned, or without a network; to add it: {need.command}"
        )


def _pip(need: Requirement, pins: Path) -> bool:
    """Whether the package is there afterwards.

    First whole, then, where a pin forbids one of its own needs, alone.
    """
    base = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--disable-pip-version-check",
        "--no-input",
        "--quiet",
        "--retries",
        "1",
        "--timeout",
        "15",
        "--prefer-binary",
        *need.extra,
    ]
    for arguments in (["--constraint", str(pins), need.pip], ["--no-deps", need.pip]):
        if "--no-deps" in arguments and need.module != "lycoris":
            # Lycoris runs on the WebUI's own torch and einops; the others need what they ask for
            break
        try:
            done = subprocess.run(
                [*base, *arguments], capture_output=True, text=True, timeout=TIMEOUT, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return False
        if done.returncode == 0:
            importlib.invalidate_caches()
            return True
    return False


def _failed_lately(stamp: Path, mark: str) -> bool:
    try:
        found = json.loads(stamp.read_text(encoding="utf-8"))
        return bool(found["mark"] == mark and 0 <= time.time() - found["time"] < RETRY)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _remember(stamp: Path, mark: str) -> None:
    temporary = stamp.with_name(f"{stamp.name}.{os.getpid()}.tmp")
    try:  # whole or not at all: another WebUI may start at the same time
        with temporary.open("w", encoding="utf-8") as file:
            json.dump({"mark": mark, "time": time.time()}, file)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(stamp)
    except OSError:
        # A folder that cannot be written only costs the time of another try
        with contextlib.suppress(OSError):
            temporary.unlink()
