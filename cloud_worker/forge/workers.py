"""Processes that share work which falls into parts: spawned, and gone when the process that started them is."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Final

_PR_SET_PDEATHSIG: Final = 1


def worker_pool(processes: int) -> ProcessPoolExecutor:
    """A pool of `processes` workers for a `with` statement of the calling thread."""
    return ProcessPoolExecutor(processes, get_context("spawn"), _begin, (os.getpid(),))


def _begin(parent: int) -> None:
    """Have the kernel end this process with its parent: a worker alone waits for work for ever (Linux; see prctl)."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        raise SystemExit
