"""The command line: reads the words, runs what they ask for, prints the result."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ..errors import JobCancelled, SingleLoraError
from ..files.fileio import disk_error
from ..jobs import Job, cancel_on_interrupt
from ..ops.allocator import keep_freed_memory
from . import (
    bench,
    budget,
    captions,
    exam,
    loopback,
    lora_files,
    page,
    settings,
    stages,
    sweeps,
    vconfig,
)
from .output import CANCELLED, DONE, ProgressPrinter, fail, use_plain_streams

# Each has `add_parsers(words)` and gives every subcommand either `run` (options, job) -> result
# with `render` (result) -> text, or `command` (options) -> exit status.
FAMILIES = (
    stages,
    bench,
    budget,
    lora_files,
    settings,
    captions,
    exam,
    loopback,
    sweeps,
    vconfig,
    page,
)


def parser() -> argparse.ArgumentParser:
    """The words and options of the contract."""
    main = argparse.ArgumentParser(
        prog="singlelora.py",
        description="From one picture of a character to a LoRA that draws the character.",
    )
    words = main.add_subparsers(dest="word", required=True, metavar="WORD")
    for family in FAMILIES:
        family.add_parsers(words)
    return main


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status (0 done, 1 failed, 2 usage, 130 cancelled)."""
    # Without it MKL's sums depend on where arrays happen to lie in memory, and a resumed training
    # would not be exact.
    os.environ.setdefault("MKL_CBWR", "AUTO")
    keep_freed_memory()
    use_plain_streams()
    options = parser().parse_args(arguments)
    logging.basicConfig(
        level=logging.WARNING, format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    if "command" in options:
        return int(options.command(options))
    job = Job(options.word, ProgressPrinter(sys.stderr))
    try:
        with cancel_on_interrupt(job):
            result = job.run(lambda running: options.run(options, running))
    except (JobCancelled, KeyboardInterrupt):
        return fail("cancelled; the same command goes on where it stopped", CANCELLED)
    except SingleLoraError as error:
        return fail(str(error))
    except FileNotFoundError as error:
        return fail(f"{error.filename}: found no such file, expected one; check the path")
    except OSError as error:
        return fail(str(disk_error(error, Path(error.filename or "."))))
    except MemoryError:
        return fail(
            "out of memory; close other programs or lower training.batch_size and "
            "training.resolution"
        )
    if options.json:
        print(json.dumps(result, ensure_ascii=False), flush=True)
    else:
        print(options.render(result), flush=True)
    return DONE
