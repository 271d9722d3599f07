"""What waits to be written to one socket: urgent frames first and at once, bulk frames with backpressure.

Both ends of the session use it. One reader (the task that writes the socket), any number of writers.
"""

from __future__ import annotations

import asyncio
from collections import deque

from edgewise.wire.codec import encode_frame
from edgewise.wire.frames import Frame

BULK_MAX_FRAMES = 64
URGENT_MAX_FRAMES = 4096


class Outbox:
    """Two lanes. The bulk lane holds at most `bulk_max` frames: `put` waits, and so the tier slows down.

    The urgent lane never waits; a peer that does not read while urgent frames pile up is given up (`broken`).
    """

    def __init__(self, bulk_max: int = BULK_MAX_FRAMES, urgent_max: int = URGENT_MAX_FRAMES) -> None:
        self.broken = asyncio.Event()
        self.close_code = 1000
        self.close_reason = ""
        self._urgent: deque[bytes] = deque()
        self._bulk: deque[bytes] = deque()
        self._bulk_max = bulk_max
        self._urgent_max = urgent_max
        self._waiting = 0
        self.written = 0
        self._closed = self._draining = False
        self._ready = asyncio.Event()
        self._room = asyncio.Event()

    @property
    def _takes_bulk(self) -> bool:
        return not self._closed or self._draining

    @property
    def draining(self) -> bool:
        """Whether it is closed, and bulk frames are still to be written. `written` grows as they are."""
        return self._draining and bool(self._bulk or self._waiting)

    def __len__(self) -> int:
        """Messages that wait."""
        return len(self._urgent) + len(self._bulk)

    def push(self, frame: Frame) -> None:
        """Queue an urgent frame; after `close` it is dropped. Raises FrameTooLargeError."""
        if not self._closed:
            self.push_encoded(encode_frame(frame))

    def push_encoded(self, message: bytes) -> None:
        """The same for a frame that is encoded already."""
        if self._closed:
            return
        if len(self._urgent) >= self._urgent_max:
            self.broken.set()
            return
        self._urgent.append(message)
        self._ready.set()

    async def put(self, frame: Frame) -> None:
        """Queue a bulk frame when there is room; after `close` it is dropped. Raises FrameTooLargeError."""
        message = encode_frame(frame)
        self._waiting += 1
        try:
            while len(self._bulk) >= self._bulk_max and self._takes_bulk:
                self._room.clear()
                await self._room.wait()
            if self._takes_bulk:
                self._bulk.append(message)
        finally:
            self._waiting -= 1
            self._ready.set()

    def close(self, code: int = 1000, reason: str = "", *, drained: bool = False) -> None:
        """No more frames: urgent ones that wait are still read, bulk ones (and those that wait for room) are dropped
        unless it is to be `drained`.

        The first call counts; a later one that does not drain cuts the draining short.
        """
        if self._closed and (drained or not self._draining):
            return
        if not self._closed:
            self.close_code, self.close_reason = code, reason
        self._closed, self._draining = True, drained
        if not drained:
            self._bulk.clear()
        self._ready.set()
        self._room.set()

    async def next(self) -> bytes | None:
        """The next message to write, or None when everything is written and the socket should close."""
        while True:
            if self._urgent:
                self.written += 1
                return self._urgent.popleft()
            if self._closed and not self.draining:
                return None
            if self._bulk:
                self.written += 1
                self._room.set()
                return self._bulk.popleft()
            self._ready.clear()
            await self._ready.wait()
