"""Generated inputs for every reader, a few for CI and as many as there is time for."""

from __future__ import annotations

import logging
import sys
import time
import traceback
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings

from .http_bodies import HTTP
from .readers import READERS, Reader

EVERY: tuple[Reader, ...] = (*READERS, HTTP)


@dataclass
class Fuzzed:
    """inputs: tried, by reader.

    found: a line for each reader that let something else out than our errors.
    """

    inputs: dict[str, int] = field(default_factory=dict)
    found: dict[str, str] = field(default_factory=dict)
    minutes: float = 0.0


def feed(reader: Reader, examples: int, number: int | None = None) -> int:
    """Feed a reader; how many inputs it took.  number: of the random sequence, None for always the
    same one.

    Raises: the first error that is not ours, with the smallest input that gives it.
    """
    tried = 0

    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        derandomize=number is None,
        phases=(Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )
    @given(reader.fed())
    def taken(value: Any) -> None:
        nonlocal tried
        tried += 1
        reader.take(value)

    try:
        (taken if number is None else seed(number)(taken))()
    finally:
        COUNTS[reader.name] = COUNTS.get(reader.name, 0) + tried
    return tried


COUNTS: dict[str, int] = {}


def torture(minutes: float, number: int = 0, only: str = "") -> Fuzzed:
    """Feed all readers in turn, each time with another sequence."""
    found = Fuzzed()
    began = time.monotonic()
    COUNTS.clear()
    logging.disable(logging.CRITICAL)  # each bad file has its warning
    readers = [reader for reader in EVERY if only in reader.name]
    while time.monotonic() - began < minutes * 60:
        for reader in readers:
            if reader.name in found.found or time.monotonic() - began > minutes * 60:
                continue
            try:
                feed(reader, 100, number)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
                notes = "\n".join(getattr(error, "__notes__", ()))  # hypothesis' smallest input
                told = "".join(traceback.format_exception(error))[-3000:] + notes[:1500]
                found.found[reader.name] = told
                print(f"{reader.name}: {told}", file=sys.stderr, flush=True)
        number += 1
        print(
            f"{time.monotonic() - began:.0f} s: {sum(COUNTS.values())} inputs, {len(found.found)}"
            " found",
            file=sys.stderr,
            flush=True,
        )
        if len(found.found) == len(readers):
            break
    found.inputs = dict(COUNTS)
    found.minutes = round((time.monotonic() - began) / 60, 1)
    return found
