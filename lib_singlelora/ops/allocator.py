"""Freed memory stays with the process, on huge pages, for the next step; glibc on Linux only.

Every large tensor is otherwise fresh memory: its pages are cleared and mapped again at every step,
and small pages make the processor look up their addresses more often.  No value changes.

Source: mallopt(3), madvise(2), malloc_trim(3).
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

# glibc's malloc.h
M_TRIM_THRESHOLD = -1
M_MMAP_MAX = -4
M_ARENA_MAX = -8
MMAP_MAX_DEFAULT = 65536
MADV_HUGEPAGE = 14  # Linux' mman.h
HUGE_PAGE = 2 * 1024**2
HEAP_SHARE = 0.75  # of the machine's memory: how far the prepared range of addresses reaches


def keep_freed_memory() -> bool:
    """Prepare the heap; to be called before torch is loaded.

    Gives False where this cannot be done; nothing is changed then.
    """
    libc = _glibc()
    if libc is None or _overcommit_is_off():
        return False
    libc.mallopt(M_MMAP_MAX, 0)  # large pieces come from the heap too
    size = int(physical_memory() * HEAP_SHARE)
    start = libc.malloc(size)  # addresses only: memory is taken where it is written to
    if not start:
        libc.mallopt(M_MMAP_MAX, MMAP_MAX_DEFAULT)
        return False
    libc.mallopt(M_TRIM_THRESHOLD, -1)  # what is freed stays
    libc.mallopt(M_ARENA_MAX, 1)  # in other threads too
    first = -(-start // HUGE_PAGE) * HUGE_PAGE
    libc.madvise(first, (start + size - first) // HUGE_PAGE * HUGE_PAGE, MADV_HUGEPAGE)
    libc.free(start)
    return True


def physical_memory() -> int:
    """The machine's memory, bytes; 0 where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):  # Windows has no sysconf
        return 0


def give_back() -> None:
    """Return freed memory to the system."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.malloc.argtypes = [ctypes.c_size_t]
        libc.malloc.restype = ctypes.c_void_p
        libc.free.argtypes = [ctypes.c_void_p]
        libc.free.restype = None
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        libc.mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
        libc.malloc_trim.argtypes = [ctypes.c_size_t]
    except (OSError, AttributeError):  # another C library, without these
        return None
    return libc


def _overcommit_is_off() -> bool:
    """True if Linux counts reserved addresses as memory: a prepared heap would take it from others.

    Also where it cannot be read.
    """
    try:
        return Path("/proc/sys/vm/overcommit_memory").read_text(encoding="utf-8").strip() == "2"
    except OSError:
        return True
