"""Small files of the system (/proc, /sys), read as text or a number. What is absent, closed or senseless is None."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Final

MAX_CHARS: Final = 65_536
_DIGITS_MAX: Final = 20


def read_text(path: Path) -> str | None:
    """The file's text without the spaces around it; None where it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_CHARS).decode("ascii", "replace").strip()
    except (OSError, ValueError):
        return None


def read_int(path: Path, *, base: int = 10) -> int | None:
    """The whole number that the file holds; None where there is none."""
    text = read_text(path)
    return None if text is None else parse_int(text, base=base)


def parse_int(text: str, *, base: int = 10) -> int | None:
    """A whole number of at most 20 digits; None for anything else."""
    if len(text) > _DIGITS_MAX:
        return None
    try:
        return int(text, base)
    except ValueError:
        return None


def entries(folder: Path, pattern: str) -> Iterable[Path]:
    """The folder's entries that match, in order; none where it cannot be listed."""
    try:
        return sorted(folder.glob(pattern))
    except OSError:
        return ()
