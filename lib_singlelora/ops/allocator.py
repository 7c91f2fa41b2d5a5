"""Memory that a training frees and takes again stays with the process, on large pages; for glibc on
Linux.

Every large tensor is otherwise fresh memory: its pages are cleared and mapped again at every step,
and small pages make the processor look up their addresses more often.  Numbers are what they were.
Source: mallopt(3), madvise(2), malloc_trim(3).
"""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

M_TRIM_THRESHOLD, M_MMAP_MAX, M_ARENA_MAX = -1, -4, -8
MADV_HUGEPAGE = 14
LARGE_PAGE = 2 * 1024**2
SHARE = 0.75  # of the machine's memory: how far the prepared stretch of addresses reaches


def keep_freed_memory() -> bool:
    """Prepare the heap; call it before torch is loaded.

    False where this cannot be done, and nothing is changed then.
    """
    libc = _glibc()
    if libc is None or _strict():
        return False
    libc.mallopt(M_MMAP_MAX, 0)  # large pieces come from the heap too
    size = int(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") * SHARE)
    start = libc.malloc(size)  # addresses only: memory is taken where it is written to
    if not start:
        libc.mallopt(M_MMAP_MAX, 65536)  # glibc's own
        return False
    libc.mallopt(M_TRIM_THRESHOLD, -1)  # what is freed stays
    libc.mallopt(M_ARENA_MAX, 1)  # in other threads too
    first = -(-start // LARGE_PAGE) * LARGE_PAGE
    libc.madvise(first, (start + size - first) // LARGE_PAGE * LARGE_PAGE, MADV_HUGEPAGE)
    libc.free(start)
    return True


def give_back() -> None:
    """What was freed goes back to the system."""
    libc = _glibc()
    if libc is not None:
        libc.malloc_trim(0)


def _glibc() -> Any:
    if not sys.platform.startswith("linux"):
        return None
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
        libc.free.restype, libc.free.argtypes = None, [ctypes.c_void_p]
        libc.madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        libc.mallopt.argtypes = [ctypes.c_int, ctypes.c_int]
        libc.malloc_trim.argtypes = [ctypes.c_size_t]
    except (OSError, AttributeError):  # another C library, without these
        return None
    return libc


def _strict() -> bool:
    """Whether the system counts addresses as memory, so that a prepared stretch would take it from
    others.
    """
    try:
        return Path("/proc/sys/vm/overcommit_memory").read_text(encoding="utf-8").strip() == "2"
    except OSError:
        return True
