"""Reading a streamed answer event by event, so that a test can do harm in between."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from edgewise.dialects.sse import SseParser

ENDLESS: dict[str, Any] = {"logit_bias": {"1": -100}}
"""Forbids the end token, so that an answer lasts until max_tokens whatever the model would say."""


PLAIN: dict[str, Any] = {"verify": False, "timeout": 60}
"""For httpx: nothing here is encrypted, and to read the certificates takes longer than most questions."""


class Asked(Protocol):
    """A gateway to talk to: where it is, and the first keys by role."""

    @property
    def base_url(self) -> str: ...
    @property
    def keys(self) -> dict[str, str]: ...


@dataclass
class Reading:
    """What a client has seen: chunks in order, the cursor of each, and how it ended."""

    chunks: list[dict[str, Any]] = field(default_factory=list)
    cursors: list[str] = field(default_factory=list)
    done: int = 0
    sid: str = ""

    @property
    def text(self) -> str:
        return "".join(
            choice["delta"].get("content") or "" for chunk in self.chunks for choice in chunk.get("choices", ())
        )

    @property
    def tiers(self) -> list[str]:
        """Who spoke, in order: the chunks that say why a tier begins."""
        return [chunk["edgewise"]["tier"] for chunk in self.chunks if "why" in chunk.get("edgewise", {})]

    @property
    def finishes(self) -> list[str]:
        return [
            choice["finish_reason"]
            for chunk in self.chunks
            for choice in chunk.get("choices", ())
            if choice["finish_reason"]
        ]

    @property
    def errors(self) -> list[dict[str, Any]]:
        return [chunk["error"] for chunk in self.chunks if "error" in chunk]


def ask(stack: Asked, on_chunk: Callable[[Reading], None] = lambda _: None, **fields: Any) -> Reading:
    """Ask the control plane with the app key and read to the end, calling `on_chunk` after every event."""
    body = {"model": "edgewise", "messages": [{"role": "user", "content": "Count from 1 to 30."}], "stream": True}
    headers = {"authorization": f"Bearer {stack.keys['app']}"}
    url = f"{stack.base_url}/v1/chat/completions"
    with httpx.stream("POST", url, json=body | fields, headers=headers, **PLAIN) as response:
        response.raise_for_status()
        return read_events(response, on_chunk)


def replay(stack: Asked, sid: str, after: str = "") -> Reading:
    """Read a stream again."""
    headers = {"authorization": f"Bearer {stack.keys['app']}"} | ({"last-event-id": after} if after else {})
    with httpx.stream("GET", f"{stack.base_url}/v1/streams/{sid}", headers=headers, **PLAIN) as response:
        response.raise_for_status()
        return read_events(response, lambda _: None)


def read_events(response: httpx.Response, on_chunk: Callable[[Reading], None]) -> Reading:
    """Everything that a response streams."""
    reading = Reading(sid=response.headers.get("x-edgewise-stream-id", ""))
    parser = SseParser()
    for block in response.iter_bytes():
        for event in parser.feed(block):
            reading.cursors.append(event.id)
            if event.data == "[DONE]":
                reading.done += 1
            else:
                reading.chunks.append(json.loads(event.data))
            on_chunk(reading)
    return reading
