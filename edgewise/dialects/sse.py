"""Server-sent events (WHATWG HTML §9.2): framing what we send, and an incremental parser for what peers send.

We never send a block without data: the OpenAI SDK takes any blank line after an `id:` for an event and dies on it.
"""

from __future__ import annotations

from dataclasses import dataclass

from edgewise.wire.errors import FrameTooLargeError

DONE = b"data: [DONE]\n\n"
PING = b": ping\n"
"""A comment with one newline and no blank line: the only ping that every client survives."""
RETRY = b"retry: 500\n"
"""How soon an EventSource comes back, in milliseconds. It goes before a stream's first data line, never alone."""
EVENT_MAX_BYTES = 1 << 20
"""More of one event than that is no event of anybody we know."""


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
    """Bytes in, events out; keeps partial lines and partial UTF-8 between calls.

    Feeding raises FrameTooLargeError once more than EVENT_MAX_BYTES of an event are here and its end is not.
    """

    def __init__(self) -> None:
        self._rest: list[bytes] = []
        self._rest_bytes = self._data_bytes = 0
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
        dispatched = []
        for line in self._lines(block):
            if line.startswith(b"data: "):
                self._add(line[6:].rstrip(b"\r"))
            elif line := line.rstrip(b"\r"):
                self._field(line)
            elif self._data:
                dispatched.append((b"\n".join(self._data), self._id))
                self._data, self._data_bytes = [], 0
        if self._rest_bytes + self._data_bytes > EVENT_MAX_BYTES:
            raise FrameTooLargeError(
                "An event of a stream has no end",
                where="text/event-stream",
                expected=f"{EVENT_MAX_BYTES} bytes at most",
            )
        return dispatched

    def _lines(self, block: bytes) -> list[bytes]:
        """The lines that `block` completes; a block without an end of a line costs no more than itself."""
        if b"\n" not in block:
            self._rest.append(block)
            self._rest_bytes += len(block)
            return []
        *lines, rest = b"".join((*self._rest, block)).split(b"\n")
        self._rest, self._rest_bytes = [rest], len(rest)
        return lines

    def _add(self, data: bytes) -> None:
        self._data.append(data)
        self._data_bytes += len(data) + 1

    def _field(self, line: bytes) -> None:
        name, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if name == b"data":
            self._add(value)
        elif name == b"id" and b"\0" not in value:
            self._id = value.decode("utf-8", errors="replace")
