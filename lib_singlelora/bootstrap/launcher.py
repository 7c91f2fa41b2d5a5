"""The launcher behind `singlelora.py`: checks the word, has its packages installed, hands over.

Standard library only, because it runs before anything is installed.
"""

from __future__ import annotations

import contextlib
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from .environment import (
    TORCH_ARGS,
    UNPINNED,
    SetupError,
    install,
    is_current,
    is_running,
    only_installer,
    say,
    venv_python,
)

ROOT = Path(__file__).resolve().parent.parent.parent

WORDS = {
    "demo": (
        "install what is missing, then the whole job on the embedded checkpoint and the example"
        " picture"
    ),
    "test": "install what is missing, then the whole test suite; further words go to pytest",
    "ui": "the page, on 127.0.0.1",
    "run": "PICTURE --workspace DIR --trigger NAME --class-token girl …: the whole job",
    "prepare": "PICTURE --workspace DIR …: read the picture, enlarge it, find the character",
    "crop": "--workspace DIR …: cut the named views",
    "caption": "--workspace DIR …: a text beside each view",
    "regularize": "--workspace DIR …: pictures that keep the class what it was",
    "train": "--workspace DIR …: one LoRA file for each epoch",
    "plot": "--workspace DIR …: the sheet that compares them",
    "inpaint": "--workspace DIR …: draw the character into a picture",
    "exam": "--workspace DIR [--lora FILE]: parts redrawn and compared with the source",
    "accept": "PICTURE … --workspace DIR: keep what was drawn, with all that made it",
    "loopback": "PICTURE … --workspace DIR: add what was drawn to the next version of the dataset",
    "bake": "FILE --preset P --strength S --out FILE: block weights multiplied into a LoRA",
    "merge": "FILES … --out FILE: epochs merged into one LoRA",
    "resize": "FILE --rank N --out FILE: a LoRA of a smaller rank",
    "summary": "FILE: what a LoRA file is",
    "presets": "the block-weight presets, with a picture of each",
    "tags": "--workspace DIR [--add T] [--remove T] [--replace A=B] [--undo]: all captions at once",
    "trigger": "--workspace DIR [--trigger WORD]: is the word free, and which words are",
    "settings": (
        "--workspace DIR [--import FILE] [--export FILE] [--save-preset NAME]: see them, carry them"
        " over"
    ),
    "sweep": "--workspace DIR --set training.rank=4,8,16 …: several values tried and judged",
    "batch": "FOLDER|LIST.csv [--out DIR]: the whole job on many pictures, with an index page",
    "worker": "--storage URL [--device cuda:1]: do what sweeps and batches have queued",
    "vconfig": "FILE: the .yaml by which the WebUI knows an SDXL file's v-prediction",
    "budget": "[--family F] [--memory GB]: the memory that a training would need",
    "bench": "the benchmark: speed, memory and time to quality, beside diffusers and peft",
}
EXTRAS = {
    "test": ("standalone", "ui", "test"),
    "ui": ("standalone", "ui"),
    "bench": ("standalone", "ui", "test"),
    "sweep": ("standalone", "sweep"),
    "batch": ("standalone", "sweep"),
    "worker": ("standalone", "sweep"),
}

USAGE = """\
usage: python singlelora.py WORD …

{words}

The first call makes {venv} and installs into it; later calls start at once and need no network.
`WORD --help` tells a word's options once that is done.

PyTorch: with an NVIDIA driver the registry's build is taken, which on Linux is the one for CUDA;
without one, a build for the CPU if pip is set up to find one, else the registry's too (it computes
on the CPU as well, but takes 5 GB instead of 1.5). To choose yourself, put pip's further arguments
for PyTorch (what follows the packages' names in the command that PyTorch's site shows for your
machine) into {torch_args}. To have it chosen again, delete .venv.

The other packages are those versions that were tested together. {unpinned}=1 takes the newest ones
instead, now and in later calls; {unpinned}=0 goes back."""


def usage() -> str:
    """The help text."""
    words = "\n".join(f"  {word:<11} {text}" for word, text in WORDS.items())
    return USAGE.format(words=words, venv=ROOT / ".venv", torch_args=TORCH_ARGS, unpinned=UNPINNED)


def main(words: Sequence[str]) -> int:
    """Install what the first word needs and become its work; comes back only on failure, and on
    Windows.

    Returns: exit status: 0, 1 with one line on stderr, 2 for usage, 130 for Ctrl-C.
    """
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError):
            # A console may know no "…".
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage(), file=sys.stdout if words else sys.stderr)
        return 0 if words else 2
    if words[0] not in WORDS:
        say(f"unknown word {words[0]!r}; expected one of {', '.join(WORDS)}")
        return 2
    extras = EXTRAS.get(words[0], ("standalone",))
    try:
        if not is_current(ROOT, extras):
            # Nobody wants to wait for gigabytes to read this.
            if {"-h", "--help"} & set(words[1:]):
                print(usage())
                return 0
            with only_installer(ROOT):
                # Another call may have done it while this one waited.
                if not is_current(ROOT, extras):
                    install(ROOT, extras)
        if words[0] != "test" and is_running(ROOT):
            runpy.run_module("lib_singlelora", run_name="__main__", alter_sys=True)
            return 0
        return hand_over(command(words))
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("cancelled; the next call goes on")
        return 130


def command(words: Sequence[str]) -> list[str]:
    """The command line that does the words' work.

    Not `-m lib_singlelora`: that would import from the folder the user happens to be in, before
    anything else.
    """
    if words[0] == "test":
        os.chdir(ROOT)
        return [str(venv_python(ROOT)), "-m", "pytest", *(words[1:] or workers())]
    return [str(venv_python(ROOT)), str(ROOT / "singlelora.py"), *words]


def workers() -> list[str]:
    """pytest's options for the whole suite: a worker a core, each with the whole files it takes.

    Two workers of one thread each take half the time of one; a file's fixtures are made once.
    """
    count = min(4, os.cpu_count() or 1)  # of memory each takes about 2 GB
    return ["-n", str(count), "--dist", "loadfile"] if count > 1 else []


def hand_over(line: list[str]) -> int:
    """Become the command, or on Windows wait for it: there a shell does not wait for what replaces
    a process.

    Raises: SetupError, when it cannot be started.
    """
    try:
        if os.name != "nt":
            os.execv(line[0], line)
        child = subprocess.Popen(line)
    except OSError as error:
        raise SetupError(
            f"{line[0]}: cannot be started ({error.strerror}); delete .venv, call again"
        ) from None
    while True:
        with contextlib.suppress(KeyboardInterrupt):  # The child got it as well and decides.
            return child.wait()
