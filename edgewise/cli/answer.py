"""One streamed answer as a client sees it: a pure fold over SSE events, and a reader that survives broken connections.

After a break it goes on from the cursor of the last event (`GET /v1/streams/{id}`), so no text is lost or doubled. A
break before the stream's id was known repeats the question with its Idempotency-Key, which finds the same answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import msgspec

from edgewise.cli.connection import api_error, call, unreachable
from edgewise.dialects.sse import Event, SseParser
from edgewise.ids import new_id
from edgewise.wire.errors import LogUnavailableError, RemoteError, ShuttingDownError

if TYPE_CHECKING:
    import httpx

TRIES = 8
PAUSE_S = 0.2
PAUSE_MAX_S = 2.0
STREAM_HEADER = "x-edgewise-stream-id"
INTERRUPTIONS = {LogUnavailableError.number, ShuttingDownError.number}
"""Errors in a stream that end this reading of it, not the answer."""

BURST_MS = 50.0


@dataclass
class Answer:
    """What is known of an answer so far. `about` is the `edgewise` field, the latest value of each name."""

    sid: str = ""
    cursor: str = ""
    text: str = ""
    finish: str = ""
    done: bool = False
    tiers: list[str] = field(default_factory=list)
    about: dict[str, Any] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)

    def fold(self, event: Event) -> str:
        """Take one event in; returns the text that it adds. Raises RemoteError for an error in the stream."""
        if event.data == "[DONE]":
            self.done = True
            return ""
        chunk = msgspec.json.decode(event.data)
        if "error" in chunk:
            raise api_error(200, event.data.encode())
        self.cursor = event.id or self.cursor
        self._learn(chunk.get("edgewise") or {})
        added = ""
        for choice in chunk.get("choices") or []:
            added += choice.get("delta", {}).get("content") or ""
            self.finish = choice.get("finish_reason") or self.finish
        self.text += added
        return added

    def _learn(self, about: dict[str, Any]) -> None:
        self.sid = about.get("stream") or self.sid
        tier = about.get("tier")
        if tier and tier not in self.tiers[-1:]:
            self.tiers.append(tier)
        if warning := about.get("warning"):
            self.warnings.append(str(warning.get("message", "")))
        self.about |= {name: value for name, value in about.items() if name != "warning"}

    @property
    def tokens_per_s(self) -> float | None:
        """Tokens after the first over the time after the first, as the control plane timed them; over the whole time
        when the rest came in one burst, whose length would say nothing."""
        tokens, first, total = (self.about.get(name) for name in ("tokens", "first_token_ms", "total_ms"))
        if not tokens or tokens < 2 or first is None or total is None or total <= first:
            return None
        if total - first < BURST_MS:
            return float(tokens * 1000 / total)
        return float((tokens - 1) * 1000 / (total - first))


class AnswerReader:
    """Reads one answer to its end. `pause` waits between tries to come back, `on_break` hears why each is needed."""

    def __init__(
        self,
        client: httpx.Client,
        *,
        tries: int = TRIES,
        pause: Callable[[float], None] = time.sleep,
        on_break: Callable[[str], None] = lambda why: None,
        key: str = "",
    ) -> None:
        self._client, self._tries, self._pause, self._on_break = client, tries, pause, on_break
        self._key = key or new_id()
        self.answer = Answer()

    def read(self, body: dict[str, Any]) -> Iterator[str]:
        """Ask, and yield text as it comes. Raises RemoteError, UnreachableError."""
        return self._read(lambda: self._resume() if self.answer.sid else self._ask(body))

    def reread(self, sid: str, cursor: str = "") -> Iterator[str]:
        """Read a stream that is known, from beyond `cursor`. Raises RemoteError, UnreachableError."""
        self.answer.sid, self.answer.cursor = sid, cursor
        return self._read(self._resume)

    def _read(self, connect: Callable[[], AbstractContextManager[httpx.Response]]) -> Iterator[str]:
        failures = 0
        while not self.answer.done:
            before = self.answer.cursor
            why = yield from self._read_one(connect())
            if self.answer.done:
                return
            failures = 1 if self.answer.cursor != before else failures + 1
            if failures > self._tries:
                raise unreachable(str(self._client.base_url), why)
            self._on_break(why)
            self._pause(min(PAUSE_S * 2 ** (failures - 1), PAUSE_MAX_S))

    def _ask(self, body: dict[str, Any]) -> AbstractContextManager[httpx.Response]:
        headers = {"Idempotency-Key": self._key}
        return self._client.stream("POST", "/v1/chat/completions", json={**body, "stream": True}, headers=headers)

    def _resume(self) -> AbstractContextManager[httpx.Response]:
        headers = {"Last-Event-ID": self.answer.cursor} if self.answer.cursor else {}
        return self._client.stream("GET", f"/v1/streams/{quote(self.answer.sid, safe='')}", headers=headers)

    def _read_one(self, opened: AbstractContextManager[httpx.Response]) -> Generator[str, None, str]:
        """Read one connection to its end; returns why it ended early."""
        import httpx

        parser = SseParser()
        try:
            with opened as response:
                self.answer.sid = response.headers.get(STREAM_HEADER, self.answer.sid)
                if _try_again(response) and self.answer.cursor:
                    return f"status {response.status_code}"
                if response.is_error:
                    raise api_error(response.status_code, response.read())
                self.answer.done = response.status_code == httpx.codes.NO_CONTENT
                for block in response.iter_raw():
                    for event in parser.feed(block):
                        yield self.answer.fold(event)
        except RemoteError as error:
            if error.remote.number not in INTERRUPTIONS:
                raise
            return error.message
        except httpx.ConnectError as error:
            if not self.answer.sid:  # it was never there
                raise unreachable(str(self._client.base_url), str(error) or "no connection") from error
            return str(error) or "no connection"
        except httpx.ReadTimeout as error:  # it is there, but says nothing: coming back would only wait again
            raise unreachable(str(self._client.base_url), "the answer stands still") from error
        except httpx.TransportError as error:
            return str(error) or type(error).__name__
        return "the connection ended"


def _try_again(response: httpx.Response) -> bool:
    return response.status_code in {502, 503, 504}


def cancel(client: httpx.Client, sid: str) -> dict[str, Any]:
    """Stop an answer; what the API says of it. Raises RemoteError."""
    found: dict[str, Any] = call(client, "DELETE", f"/v1/streams/{quote(sid, safe='')}")
    return found
