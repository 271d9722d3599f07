"""What this process holds of the machine: resident memory and open files, read from /proc where there is one."""

from __future__ import annotations

import os
import resource
import sys
from pathlib import Path

_STATM = Path("/proc/self/statm")
_FILES = ("/proc/self/fd", "/dev/fd")


def resident_bytes() -> float:
    """Resident memory now; its highest mark where the system does not tell the present one (macOS)."""
    try:
        return float(_STATM.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        unit = 1 if sys.platform == "darwin" else 1024
        return float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit)


def open_files() -> float:
    """Open file descriptors; 0 where the system does not tell."""
    for directory in _FILES:
        try:
            return float(len(os.listdir(directory)))  # noqa: PTH208 (of a directory that changes while it is listed)
        except OSError:
            continue
    return 0.0
