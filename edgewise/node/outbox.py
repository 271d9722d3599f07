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
        self._closed = False
        self._ready = asyncio.Event()
        self._room = asyncio.Event()

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
        while len(self._bulk) >= self._bulk_max and not self._closed:
            self._room.clear()
            await self._room.wait()
        if not self._closed:
            self._bulk.append(message)
            self._ready.set()

    def close(self, code: int = 1000, reason: str = "") -> None:
        """No more frames: urgent ones that wait are still read, bulk ones are dropped. The first call counts."""
        if self._closed:
            return
        self._closed = True
        self.close_code, self.close_reason = code, reason
        self._bulk.clear()
        self._ready.set()
        self._room.set()

    async def next(self) -> bytes | None:
        """The next message to write, or None when everything is written and the socket should close."""
        while True:
            if self._urgent:
                return self._urgent.popleft()
            if self._closed:
                return None
            if self._bulk:
                self._room.set()
                return self._bulk.popleft()
            self._ready.clear()
            await self._ready.wait()
