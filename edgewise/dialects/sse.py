"""Server-sent events (WHATWG HTML §9.2): framing what we send, and an incremental parser for what peers send.

We never send a block without data: the OpenAI SDK takes any blank line after an `id:` for an event and dies on it.
"""

from __future__ import annotations

from dataclasses import dataclass

DONE = b"data: [DONE]\n\n"
PING = b": ping\n"
"""A comment with one newline and no blank line: the only ping that every client survives."""
RETRY = b"retry: 500\n"
"""How soon an EventSource comes back, in milliseconds. It goes before a stream's first data line, never alone."""


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
        self._data: list[bytes] = []
        self._id = ""

    def feed(self, block: bytes) -> list[Event]:
        """Every event that `block` completes; a stream cut inside an event yields nothing for it."""
        return [Event(data.decode("utf-8", errors="replace"), last_id) for data, last_id in self._dispatched(block)]

    def feed_data(self, block: bytes) -> list[bytes]:
        """Only the data of each event that `block` completes, as it came: for peers that send nothing else."""
        return [data for data, _ in self._dispatched(block)]

    def _dispatched(self, block: bytes) -> list[tuple[bytes, str]]:
        """Split once for the whole block: engines that are quicker than their reader send many events at a time."""
        *lines, self._rest = (self._rest + block).split(b"\n")
        dispatched = []
        for line in lines:
            if line.startswith(b"data: "):
                self._data.append(line[6:].rstrip(b"\r"))
            elif line := line.rstrip(b"\r"):
                self._field(line)
            elif self._data:
                dispatched.append((b"\n".join(self._data), self._id))
                self._data = []
        return dispatched

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._data.append(value)
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", errors="replace")
