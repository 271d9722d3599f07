"""What is said when a model finds no memory while it is loaded. The libraries below tell it each in their own words."""

from __future__ import annotations

import errno
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

from edge_agent.runtime.admission import MIB, available_bytes
from edgewise.wire.errors import ModelTooLargeError
from edgewise.wire.manifest import Manifest

RETRY_AFTER_S: Final = 30.0
_SIGNS: Final = ("bad_alloc", "bad allocation", "allocate memory", "out of memory", "not enough memory", "mmap failed")


@contextmanager
def within_memory(manifest: Manifest, where: Path) -> Iterator[None]:
    """What the block raises for want of memory is raised as ModelTooLargeError, with what is needed and was free."""
    free = free_bytes()
    try:
        yield
    except Exception as error:
        if not out_of_memory(error):
            raise
        needed = sum(entry.bytes for entry in manifest.graph_files.values())
        raise ModelTooLargeError(
            f"There is not enough memory to load {manifest.name}: its weights alone have {needed / MIB:.1f} MiB, and "
            f"this process could take {free / MIB:.1f} MiB more",
            where=str(where),
            expected="the weights, and room for what is computed with them",
            remedy="close other programs, raise the process's memory limit, or use a smaller model",
            retry_after_s=RETRY_AFTER_S,
        ) from error


def out_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it was raised from, is for want of memory."""
    while error is not None:
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
            return True
        if any(sign in str(error).lower() for sign in _SIGNS):
            return True
        error = error.__cause__
    return False


def free_bytes() -> int:
    """What this process may still take: of the machine, of its control group, and of its address space."""
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    free = available_bytes()
    return free if limit == resource.RLIM_INFINITY else max(0, min(free, limit - psutil.Process().memory_info().vms))
