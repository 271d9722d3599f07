"""Where events wait on disk when the database cannot keep up or is gone: JSON lines, read back later, never dropped."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import msgspec

from control_plane.decisions.records import Event

SPILL_FILE = "decisions.spill"
_READING = ".reading"


class SpillFile:
    """An append-only file of events in `directory` (mode 0600).

    `take` hands everything over, `done` forgets what was taken. What was taken and not yet done survives a crash: the
    next `take` gives it again, and writing is repeatable.
    """

    def __init__(self, directory: Path, *, seat: int = 0) -> None:
        """`seat` is the gateway's number in the directory, so that two of them never write into one file."""
        name = f"{SPILL_FILE}-{seat}" if seat else SPILL_FILE
        self._path = directory / name
        self._taken = directory / f"{name}{_READING}"
        self._decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)

    def append(self, events: Sequence[Event]) -> int:
        """Add events; returns how many were written: one that would not be read back (not a number, a number of
        thousands of digits, half a surrogate pair) is left out.

        Raises OSError (disk full, no such directory).
        """
        lines = [line for event in events if (line := self._line(event))]
        descriptor = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with os.fdopen(descriptor, "ab") as file:
            file.write(b"".join(lines))
        return len(lines)

    def __bool__(self) -> bool:
        """Whether anything waits."""
        return self._taken.exists() or self._path.exists()

    def take(self) -> list[Event]:
        """Everything that waits, oldest first. A line that a crash cut short is left out."""
        if not self._taken.exists():
            if not self._path.exists():
                return []
            self._path.replace(self._taken)
        return [event for line in self._taken.read_bytes().splitlines() if (event := self._event(line)) is not None]

    def done(self) -> None:
        """What `take` gave is safe elsewhere."""
        self._taken.unlink(missing_ok=True)

    def _event(self, line: bytes) -> Event | None:
        try:
            return self._decoder.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return None

    def _line(self, event: Event) -> bytes:
        """The event as one line; nothing when it would not be read back."""
        try:
            line = msgspec.json.encode(event) + b"\n"
        except (OverflowError, TypeError, ValueError):
            return b""
        return line if self._event(line) is not None else b""
