"""How glibc manages this process's memory: settings for commands, not for library calls."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -2, -3, -8  # malloc.h of glibc
LARGEST = 2**31 - 1
TOP_PAD = 2**28


def keep_freed_memory() -> bool:
    """Serve large tensors from memory the process already has, instead of giving it back to the kernel: for training.

    By default glibc maps every large block anew and unmaps it when it is freed, so every activation of every step is
    paid for with page faults (`benchmarks/train_step.py` shows how much that is). The process then holds on to its peak
    until it ends.

    Returns:
        Whether it was done; False where the C library is another one.
    """
    return _set({M_MMAP_THRESHOLD: LARGEST, M_TRIM_THRESHOLD: LARGEST, M_TOP_PAD: TOP_PAD})


def share_arenas(count: int) -> bool:
    """Let threads share so many heaps: for servers, whose many threads would each keep what they once needed.

    Heaps that exist already stay.

    Args:
        count: of heaps, at least 1.

    Returns:
        Whether it was done; False where the C library is another one.
    """
    return _set({M_ARENA_MAX: count})


def _set(wanted: dict[int, int]) -> bool:
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and all(mallopt(name, value) == 1 for name, value in wanted.items())
