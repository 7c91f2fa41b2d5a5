"""Peak resident memory of two steps, in a process of its own: python -m tools.bench.memory KIND;
prints MB.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from .worker import prepare

ROOT = Path(__file__).parents[2]


def peak_of(kind: str) -> float:
    """MB, of the weights and everything that two steps need; the building of the weights is not
    counted.
    """
    command = [sys.executable, "-m", "tools.bench.memory", kind]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def _peak() -> float:
    """High-water mark since it was last reset, MB.  Source: proc(5), VmHWM and clear_refs."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return (
        next(float(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM"))
        / 1024
    )


def main(kind: str) -> None:
    if kind != "peer":
        prepare()
    from .full_size import full_size
    from .steps import ours, peer

    networks = full_size()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        step = peer(networks) if kind == "peer" else ours(networks, kind, Path(folder), stack)
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")
        for _ in range(2):
            step()
        print(_peak())


if __name__ == "__main__":
    main(sys.argv[1])
