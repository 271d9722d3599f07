"""Is there disk and memory enough for an export? Estimated from the number of parameters, and said before the work."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import psutil  # type: ignore[import-untyped]

from cloud_worker.forge.export.errors import NotEnoughRoomError

DISK_BYTES_PER_PARAMETER: Final = 14
"""The float graph with its data apart (4), the same folded or copied (4), and the quantized one; with a third spare."""
MEMORY_BYTES_PER_PARAMETER: Final = 16
"""Weights in torch (4), as initializers (4), serialized (4), and the quantizer's copy of the largest ones."""
BASE_BYTES: Final = 700 * 2**20
"""Torch, transformers and onnx imported."""

Free = Callable[[Path], int]


def disk_free(place: Path) -> int:
    """Free bytes where `place` is, or will be."""
    while not place.exists():
        place = place.parent
    return shutil.disk_usage(place).free


def memory_free(_: Path) -> int:
    """Bytes that the system can give without swapping."""
    return int(psutil.virtual_memory().available)


def with_own(disk: Free, *folders: Path) -> Free:
    """Free space, counting what an earlier attempt of the same work takes up in these folders."""
    files = [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    own = sum(path.stat().st_size for path in files)
    return lambda place: disk(place) + own


def check_room(parameters: int, out: Path, disk: Free = disk_free, memory: Free = memory_free) -> None:
    """Raises NotEnoughRoomError, saying how much is missing, when disk under `out` or memory will not do."""
    _check("disk", parameters * DISK_BYTES_PER_PARAMETER, disk(out), out, "free space there, or choose another --out")
    needed = BASE_BYTES + parameters * MEMORY_BYTES_PER_PARAMETER
    _check("memory", needed, memory(out), out, "end other programs, or export on a larger machine")


def _check(what: str, needed: int, free: int, out: Path, remedy: str) -> None:
    if free < needed:
        raise NotEnoughRoomError(
            f"There is too little {what}: {free / 2**20:,.0f} MiB are free",
            where=str(out),
            expected=f"about {needed / 2**20:,.0f} MiB for this model",
            remedy=remedy,
        )
