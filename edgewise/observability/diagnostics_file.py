"""The file of diagnostic lines: appended to, and begun anew when it is long (the one before is kept). One thread's."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

MAX_BYTES = 64 * 1024 * 1024


class DiagnosticsFile:
    """Opened at the first line. `write` raises OSError."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self.path = path
        self._max_bytes = max_bytes
        self._file: TextIO | None = None

    def write(self, line: str) -> None:
        """Append a line, flushed, so that it can be followed."""
        file = self._open()
        file.write(line + "\n")
        file.flush()
        if file.tell() >= self._max_bytes:
            file.close()
            self._file = None
            self.path.replace(self.path.with_suffix(".1" + self.path.suffix))

    def _open(self) -> TextIO:
        if self._file is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a", encoding="utf-8")
        return self._file
