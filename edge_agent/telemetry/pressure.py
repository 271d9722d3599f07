"""Want of memory: what is left for this process (its control groups included), and how much work waits for memory.

Linux only, control groups of version 2 only; elsewhere everything here is unknown.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

from edge_agent.telemetry.files import parse_int, read_int, read_text

_GROUPS: Final = "sys/fs/cgroup"


@dataclass(frozen=True, slots=True)
class Stalls:
    """Percent of the last ten seconds in which some, or all, work stood still for want of memory (PSI avg10)."""

    some_pct: float | None = None
    full_pct: float | None = None


@dataclass(frozen=True, slots=True)
class Room:
    """Bytes that control groups let this process have at most, and that are left of them."""

    limit_bytes: int
    left_bytes: int


def parse_stalls(text: str) -> Stalls:
    """Read /proc/pressure/memory; what it does not say, or says senselessly, is None."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        kind, _, rest = line.partition(" ")
        for word in rest.split():
            name, _, value = word.partition("=")
            if name == "avg10" and (share := _share(value)) is not None:
                found[kind] = share
    return Stalls(found.get("some"), found.get("full"))


def _share(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return value if 0.0 <= value <= 100.0 else None


def parse_group(text: str) -> PurePosixPath | None:
    """The path of a process's control group (version 2), from /proc/self/cgroup; None where it has none."""
    for line in text.splitlines():
        if line.startswith("0::/"):
            path = PurePosixPath(line[3:])
            return None if ".." in path.parts else path
    return None


def parse_reclaimable(text: str) -> int:
    """Bytes of memory.stat that the kernel takes back before it kills: file pages that nobody uses now."""
    for line in text.splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            return max(0, parse_int(value) or 0)
    return 0


class MemoryPressure:
    """Reads below `root`, which is `/` but for tests."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root

    def stalls(self) -> Stalls:
        text = read_text(self._root / "proc/pressure/memory")
        return Stalls() if text is None else parse_stalls(text)

    def room(self) -> Room | None:
        """The narrowest of the control groups around this process; None where none sets a limit."""
        rooms = [room for group in self._groups() if (room := _room(group)) is not None]
        return min(rooms, key=lambda room: room.left_bytes, default=None)

    def _groups(self) -> Iterator[Path]:
        text = read_text(self._root / "proc/self/cgroup")
        path = None if text is None else parse_group(text)
        if path is not None:
            yield from (self._root / _GROUPS / str(each).lstrip("/") for each in (path, *path.parents))


def _room(group: Path) -> Room | None:
    set_limits = (read_int(group / name) for name in ("memory.max", "memory.high"))  # above the second it is slowed
    limits = [limit for limit in set_limits if limit is not None and limit > 0]
    used = read_int(group / "memory.current")
    if not limits or used is None:
        return None
    limit = min(limits)
    reclaimable = parse_reclaimable(read_text(group / "memory.stat") or "")
    return Room(limit, max(0, min(limit, limit - used + reclaimable)))
