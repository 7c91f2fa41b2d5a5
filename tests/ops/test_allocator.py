"""Freed memory is used again without the system's help, and goes back when asked."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc on Linux only")
SCRIPT = """
import json, resource, sys
from pathlib import Path
from lib_singlelora.ops.allocator import give_back, keep_freed_memory
prepared = keep_freed_memory() if sys.argv[1] == "prepared" else None
import numpy as np

def faults():
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt

def resident():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20

before = resident()
first = np.ones(64 * 2**20, np.uint8)
del first
kept, start = resident() - before, faults()
again = np.ones(64 * 2**20, np.uint8)
second = faults() - start
total = int(again.sum())
del again
give_back()
after = resident() - before
figures = {"prepared": prepared, "kept": kept, "second": second, "after": after, "total": total}
print(json.dumps(figures))
"""


def measure(heap: str) -> dict[str, float]:
    """heap: prepared or plain.  Memory in MB, `second` in page faults of the second array."""
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, heap], check=True, capture_output=True, text=True
    )
    figures: dict[str, float] = json.loads(process.stdout)
    return figures


def test_freed_memory_is_used_again_and_given_back_when_asked() -> None:
    figures = measure("prepared")
    if not figures["prepared"]:
        pytest.skip("another C library, or a system that counts addresses as memory")
    assert figures["kept"] > 50 and figures["second"] < 100  # MB; 64 MB are 16,384 small pages
    assert figures["after"] < 16 and figures["total"] == 64 * 2**20


def test_in_a_plain_heap_every_large_array_is_new_memory() -> None:
    figures = measure("plain")
    assert figures["kept"] < 16 and figures["second"] > 20  # large pages or small ones


def test_the_command_line_prepares_the_heap_before_torch_is_loaded() -> None:
    code = (
        "import sys\nimport lib_singlelora.cli.main as cli\ncli.keep_freed_memory = lambda:"
        " print('torch' in sys.modules) or True\ncli.main(['settings'])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True)
    assert done.stdout.splitlines()[0] == "False", done.stderr
