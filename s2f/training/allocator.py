"""Memory of CPU training: keep what was freed instead of giving it back to the kernel."""

from __future__ import annotations

import ctypes

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # malloc.h of glibc
LARGEST = 2**31 - 1
TOP_PAD = 2**28


def keep_freed_memory() -> bool:
    """Let glibc serve large tensors from memory it already has.

    By default it maps every large block anew and unmaps it when it is freed, so every activation of every step is paid
    for with page faults (`benchmarks/train_step.py` shows how much that is). The process then holds on to its peak
    until it ends, so this is for training commands, not for a library call.

    Returns:
        Whether it was done; False where the C library is another one.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    wanted = {M_MMAP_THRESHOLD: LARGEST, M_TRIM_THRESHOLD: LARGEST, M_TOP_PAD: TOP_PAD}
    return all(mallopt(name, value) == 1 for name, value in wanted.items())
