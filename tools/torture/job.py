"""The small whole job that is attacked: every stage on a checkpoint of random weights, in some
seconds.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
PICTURE = ROOT / "tests" / "data" / "astronaut.png"
TRIGGER = "eileen"
CLASS = "woman"
QUICK = {
    "prepare.long_side": 512,
    "regularization.count": 3,
    "regularization.steps": 2,
    "training.epochs": 2,
    "training.repeats": 1,
    "training.rank": 2,
    "training.alpha": 2,
    "training.text_encoder_lr": 5e-5,
    "caption.tagger": "none",
    "regularization.filter": False,
    "plot.strengths": "0.5,1",
    "plot.steps": 2,
    "plot.presets": "ALL,OUTD",
    "inpaint.count": 2,
    "inpaint.steps": 3,
}
# One thread: the machine is not ours alone, and small tensors gain nothing by more.
ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_CBWR": "AUTO",
    "HF_HUB_OFFLINE": "1",
}


def checkpoint_in(folder: Path) -> Path:
    """The small checkpoint, made once."""
    path = folder / "checkpoint" / "small.safetensors"
    if not path.exists():
        subprocess.run(
            [sys.executable, "-m", "tests.small_checkpoint", str(path)],
            cwd=ROOT,
            check=True,
            stdout=subprocess.DEVNULL,
            env={**os.environ, **ENVIRONMENT},
        )
    return path


def whole_job(workspace: Path, checkpoint: Path) -> list[str]:
    """The words after `singlelora.py`."""
    sets = [word for name, value in QUICK.items() for word in ("--set", f"{name}={value}")]
    return [
        "run",
        str(PICTURE),
        "--workspace",
        str(workspace),
        "--trigger",
        TRIGGER,
        "--class-token",
        CLASS,
        "--checkpoint",
        str(checkpoint),
        "--json",
        *sets,
    ]


def fresh(folder: Path) -> Path:
    """An empty place for a workspace."""
    shutil.rmtree(folder, ignore_errors=True)
    return folder


def prepared_child(words: list[str], output: Path) -> int:
    """The number of a new process that runs the command line, with everything imported already.

    A fork of this process, which has computed nothing and so has no threads of torch.  Wants a
    POSIX system.
    """
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        with output.open("ab") as file:
            for number in (1, 2):
                os.dup2(file.fileno(), number)
        from lib_singlelora.cli.main import main

        status = main(words)
    except BaseException as error:  # noqa: BLE001 - told as status 99
        import traceback

        traceback.print_exception(error)
        status = 99
    finally:
        with contextlib.suppress(OSError, ValueError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def import_everything() -> None:
    """What the command line imports only when it needs it; a child that is forked afterwards has
    it.
    """
    import lib_singlelora.hosts.standalone.host
    import lib_singlelora.hosts.standalone.sampler
    import lib_singlelora.stages.pipeline
    import lib_singlelora.ui  # noqa: F401


def ended(child: int, until: Callable[[], bool], pause: float = 0.002) -> int | None:
    """The exit status of a child, or None when `until` came true first."""
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if until():
            return None
        time.sleep(pause)


@contextmanager
def lowest_priority() -> Iterator[None]:
    """Whatever else runs on this machine goes first."""
    with contextlib.suppress(OSError, AttributeError):
        os.nice(10)
    yield
