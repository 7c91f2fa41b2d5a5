"""Steps in a process of their own: python -m tools.bench.worker plain|ours NAME,…; each line that
it reads names a step to do.

`plain` is Python as it comes, for the limit and the peer; `ours` prepares the process as the
command line does.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
DONE = "done"


@contextmanager
def worker(manner: str, names: Sequence[str]) -> Iterator[dict[str, Callable[[], None]]]:
    """The steps by name, each done in the other process when it is called.

    Raises: RuntimeError, when the process ends early.
    """
    command = [sys.executable, "-m", "tools.bench.worker", manner, ",".join(names)]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        try:
            _answer(process)
            yield {name: _caller(process, name) for name in names}
        finally:
            process.stdin.close()


def _caller(process: subprocess.Popen[str], name: str) -> Callable[[], None]:
    def call() -> None:
        assert process.stdin is not None
        print(name, file=process.stdin, flush=True)
        _answer(process)

    return call


def _answer(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    if process.stdout.readline().strip() != DONE:
        raise RuntimeError(f"the benchmark's worker ended with {process.wait()}")


def prepare() -> None:
    """The process as the command line has it; before torch is loaded."""
    from lib_singlelora.ops.allocator import keep_freed_memory

    os.environ["MKL_CBWR"] = "AUTO"
    keep_freed_memory()


def main(manner: str, names: Sequence[str]) -> None:
    if manner == "ours":
        prepare()
    import torch

    from .full_size import full_size
    from .steps import KINDS, encode, limit, ours, peer, peer_encode

    networks = full_size()
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        makers: dict[str, Callable[[], Callable[[], None]]] = {
            "limit": lambda: limit(networks),
            "peer": lambda: peer(networks),
            "peer bf16": lambda: peer(networks, torch.bfloat16),
            "latents.peer": lambda: peer_encode(networks),
            "latents": lambda: encode(networks, stack),
        }
        for kind in (*KINDS, "full bf16"):
            makers[kind] = lambda kind=kind: ours(networks, kind, Path(folder), stack)  # type: ignore[misc]
        steps = {name: makers[name]() for name in names}
        print(DONE, flush=True)
        for line in sys.stdin:
            steps[line.strip()]()
            print(DONE, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2].split(","))
