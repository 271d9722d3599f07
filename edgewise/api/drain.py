"""Leaving in order: readers that can come back are sent away after a whole frame, with a word on when and where to."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import msgspec

from edgewise.dialects.render import AnswerHeader
from edgewise.dialects.sse import frame

RECONNECT_AFTER_MS = 250


class Drain:
    """Whether this process is leaving; it cannot be taken back."""

    def __init__(self) -> None:
        self._begun = asyncio.Event()

    @property
    def begun(self) -> bool:
        """Whether it is leaving."""
        return self._begun.is_set()

    def begin(self) -> None:
        """From now on: nothing new, and readers that can resume elsewhere go."""
        self._begun.set()

    async def wait(self) -> None:
        """Returns when it begins."""
        await self._begun.wait()

    async def sleep(self, seconds: float) -> None:
        """Returns after so long, or when it begins."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._begun.wait()


def goodbye_frame(answer: AnswerHeader) -> bytes:
    """A chunk without choices, and so without text, that tells a reader of a stream to come back with its cursor.

    It has no id, so that the cursor stays where it is.
    """
    chunk = {
        "id": f"chatcmpl-{answer.sid}",
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
        "choices": [],
        "edgewise": {"stream": answer.sid, "reconnect_after_ms": RECONNECT_AFTER_MS},
    }
    return f"retry: {RECONNECT_AFTER_MS}\n".encode() + frame(msgspec.json.encode(chunk))
