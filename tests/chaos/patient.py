"""A client that does not give up: when its connection dies it comes back, with its cursor, to any gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from typing import Any

import httpx

from edgewise.dialects.sse import SseParser
from edgewise.ids import new_id
from tests.system.reading import ENDLESS, PLAIN, Asked, Reading

PATIENCE_S = 60.0
SILENCE_S = 20.0
PAUSE_S = 0.1


class Patient:
    """Asks at the first of its gateways, and reads on at the next one whenever it must."""

    def __init__(self, gateways: Sequence[Asked]) -> None:
        self._gateways = list(gateways)
        self.connections = 0

    def ask(self, on_chunk: Callable[[Reading], None] = lambda _: None, **fields: Any) -> Reading:
        """One whole answer. Raises AssertionError when it does not come to its end in time."""
        body = {"model": "edgewise", "messages": [{"role": "user", "content": "Count from 1 to 30."}], "stream": True}
        body |= {"max_tokens": 90, "temperature": 0} | ENDLESS | fields
        reading, key, give_up_at = Reading(), new_id(), time.monotonic() + PATIENCE_S
        while not reading.done:
            assert time.monotonic() < give_up_at, f"no end after {PATIENCE_S:g} s: {reading.chunks[-3:]}"
            try:
                self._connect(reading, body, key, on_chunk)
            except (httpx.TransportError, httpx.HTTPStatusError):
                time.sleep(PAUSE_S)
        return reading

    def _connect(self, reading: Reading, body: dict[str, Any], key: str, on_chunk: Callable[[Reading], None]) -> None:
        """Read until the connection ends. Before the stream's id is known, the same request is repeated by its key."""
        gateway = self._gateways[self.connections % len(self._gateways)]
        self.connections += 1
        headers = {"authorization": f"Bearer {gateway.keys['app']}"}
        if reading.sid:
            cursor = reading.cursors[-1] if reading.cursors else f"{reading.sid}/-1"
            request = {
                "method": "GET",
                "url": f"{gateway.base_url}/v1/streams/{reading.sid}",
                "params": {"after": cursor},
            }
        else:
            headers["idempotency-key"] = key
            request = {"method": "POST", "url": f"{gateway.base_url}/v1/chat/completions", "json": body}
        with httpx.stream(**request, headers=headers, **(PLAIN | {"timeout": SILENCE_S})) as response:  # type: ignore[arg-type]
            response.raise_for_status()
            reading.sid = reading.sid or response.headers["x-edgewise-stream-id"]
            self._read(response, reading, on_chunk)

    def _read(self, response: httpx.Response, reading: Reading, on_chunk: Callable[[Reading], None]) -> None:
        """A record is taken when its last frame is here, the one with the id: a record that was cut comes again. What
        has no id of its own is the gateway's word, not the answer's, and is dropped."""
        parser, record = SseParser(), list[str]()
        for block in response.iter_bytes():
            for event in parser.feed(block):
                record.append(event.data)
                if event.id != (reading.cursors[-1] if reading.cursors else ""):
                    _take(reading, record, event.id)
                    record.clear()
                    on_chunk(reading)


def _take(reading: Reading, record: list[str], cursor: str) -> None:
    reading.cursors.append(cursor)
    reading.done += record.count("[DONE]")
    reading.chunks += [json.loads(data) for data in record if data != "[DONE]"]
