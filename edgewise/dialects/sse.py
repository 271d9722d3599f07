"""Server-sent events (WHATWG HTML §9.2): framing what we send, and an incremental parser for what peers send.

We never send a block without data: the OpenAI SDK takes any blank line after an `id:` for an event and dies on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

DONE = b"data: [DONE]\n\n"
PING = b": ping\n"
"""A comment with one newline and no blank line: the only ping that every client survives."""


def frame(data: bytes, event_id: str | None = None) -> bytes:
    """One event. `data` is a single line (compact JSON never holds a newline)."""
    if event_id is None:
        return b"data: " + data + b"\n\n"
    return b"id: " + event_id.encode() + b"\ndata: " + data + b"\n\n"


@dataclass(frozen=True)
class Event:
    """One dispatched event: its data lines joined by newlines, and the last id seen so far."""

    data: str
    id: str = ""


class SseParser:
    """Bytes in, events out; keeps partial lines and partial UTF-8 between calls."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[str] = []
        self._id = ""

    def feed(self, block: bytes) -> Iterator[Event]:
        """Yield every event that `block` completes; a stream cut inside an event yields nothing for it."""
        self._rest += block
        while (end := self._rest.find(b"\n")) >= 0:
            line, self._rest = self._rest[:end].rstrip(b"\r"), self._rest[end + 1 :]
            if line:
                self._field(line.decode("utf-8", errors="replace"))
            elif self._data:
                yield Event("\n".join(self._data), self._id)
                self._data = []

    def _field(self, line: str) -> None:
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self._data.append(value)
        elif name == "id" and "\0" not in value:
            self._id = value
