"""Closed-loop load on an OpenAI-compatible endpoint over raw sockets: cheap enough to keep a gateway busy from Python.

Every answer is kept until it is whole and then checked to the letter; a wrong one is counted and its fault named.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

import msgspec

from benchmarks.mock_upstream import STREAM_TOKENS, WHOLE_TOKENS, WORD
from edgewise.dialects.sse import SseParser

PROMPT = "Say hello to the device in the hall."
ANSWER_WITHIN_S = 60.0

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"


@dataclass(frozen=True)
class Target:
    """Where to ask. `base_url` ends before `/chat/completions`."""

    base_url: str
    model: str
    key: str

    def request(self, *, stream: bool) -> bytes:
        """The bytes of one HTTP request."""
        url = urlsplit(self.base_url)
        body = msgspec.json.encode(
            {"model": self.model, "stream": stream, "messages": [{"role": "user", "content": PROMPT}]}
        )
        head = (
            f"POST {url.path}/chat/completions HTTP/1.1\r\nhost: {url.netloc}\r\nauthorization: Bearer {self.key}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass
class Load:
    """What one run of load saw. `first_s` and `whole_s`: seconds to the first token and to the end, per answer."""

    answers: int = 0
    wrong: int = 0
    fault: str = ""
    elapsed_s: float = 0.0
    first_s: list[float] = field(default_factory=list)
    whole_s: list[float] = field(default_factory=list)

    @property
    def per_s(self) -> float:
        """Right answers per second."""
        return (self.answers - self.wrong) / self.elapsed_s if self.elapsed_s else 0.0

    def add(self, other: Load) -> None:
        """Take in another run of the same kind."""
        self.answers += other.answers
        self.wrong += other.wrong
        self.fault = self.fault or other.fault
        self.elapsed_s += other.elapsed_s
        self.first_s += other.first_s
        self.whole_s += other.whole_s


async def run_load(
    target: Target, *, stream: bool, connections: int, seconds: float | None = None, answers: int | None = None
) -> Load:
    """Ask over `connections` at once, each again as soon as it has its answer, for `seconds` or `answers`, whichever
    is given. Raises OSError when nobody listens, TimeoutError when an answer takes a minute."""
    load = Load()
    started = time.perf_counter()
    deadline = started + seconds if seconds is not None else float("inf")
    left = answers if answers is not None else 2**63

    def another() -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and time.perf_counter() < deadline

    url = urlsplit(target.base_url)
    host, port = url.hostname or "", url.port or 80
    made = [_Connection(target.request(stream=stream), load, another, stream=stream) for _ in range(connections)]
    loop = asyncio.get_running_loop()
    for connection in made:
        await loop.create_connection(lambda each=connection: each, host, port)  # type: ignore[misc]
    try:
        async with asyncio.timeout(ANSWER_WITHIN_S + (seconds or 3600.0)):
            await asyncio.gather(*(connection.done for connection in made))
    finally:
        for connection in made:
            connection.close()
    load.elapsed_s = time.perf_counter() - started
    return load


class _Connection(asyncio.Protocol):
    """One keep-alive connection that asks again and again; `done` is resolved when `another` says no."""

    def __init__(self, request: bytes, load: Load, another: Callable[[], bool], *, stream: bool) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._request = request
        self._load = load
        self._another = another
        self._stream = stream
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._asked_at = 0.0
        self._first_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is one without being a subclass
        self._ask()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(error or ConnectionResetError("the gateway closed the connection in mid-answer"))

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
        if not self.done.done():
            self.done.cancel()

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._first_s and WORD.encode() in self._buffer:
            self._first_s = time.perf_counter() - self._asked_at
        if is_whole(self._buffer):
            self._take(bytes(self._buffer), time.perf_counter() - self._asked_at)

    def _take(self, answer: bytes, whole_s: float) -> None:
        first_s = self._first_s
        self._ask()
        fault = fault_of(answer, stream=self._stream)
        self._load.answers += 1
        self._load.wrong += bool(fault)
        self._load.fault = self._load.fault or fault
        self._load.first_s.append(first_s)
        self._load.whole_s.append(whole_s)

    def _ask(self) -> None:
        self._buffer.clear()
        if not self._another():
            if not self.done.done():
                self.done.set_result(None)
            return
        assert self._transport is not None
        self._first_s, self._asked_at = 0.0, time.perf_counter()
        self._transport.write(self._request)


def is_whole(answer: bytes | bytearray) -> bool:
    """Whether a complete HTTP response with a length or in chunks stands in `answer`."""
    end = answer.find(b"\r\n\r\n")
    if end < 0:
        return False
    head = answer[: end + 2]
    if length := _LENGTH.search(head):
        return len(answer) >= end + 4 + int(length[1])
    return answer.endswith(_LAST_CHUNK)


def fault_of(answer: bytes, *, stream: bool) -> str:
    """What is wrong with one whole HTTP response; empty when status, every token and the end are as they should be."""
    head, _, body = answer.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        return f"{head[:40]!r} {body[:200]!r}"
    if _CHUNKED.search(head + b"\r\n"):
        body = _dechunk(body)
    return _stream_fault(body) if stream else _whole_fault(body)


def _dechunk(body: bytes) -> bytes:
    parts, at = [], 0
    while size := int(body[at : (line := body.index(b"\r\n", at))], 16):
        parts.append(body[line + 2 : line + 2 + size])
        at = line + size + 4
    return b"".join(parts)


class _Text(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Text | None = None
    message: _Text | None = None
    finish_reason: str | None = None


class _Chat(msgspec.Struct):
    choices: list[_Choice] = []


_chat = msgspec.json.Decoder(_Chat)


def _whole_fault(body: bytes) -> str:
    try:
        (choice,) = _chat.decode(body).choices
    except (msgspec.MsgspecError, ValueError) as error:
        return f"not a chat completion: {error}"
    text = choice.message.content if choice.message else None
    return _fault(text or "", choice.finish_reason, WHOLE_TOKENS)


def _stream_fault(body: bytes) -> str:
    events = [event.data for event in SseParser().feed(body)]
    if not events or events[-1] != "[DONE]":
        return "the stream has no [DONE] at its end"
    text, finish = "", None
    try:
        for event in events[:-1]:
            for choice in _chat.decode(event).choices:
                text += (choice.delta.content if choice.delta else "") or ""
                finish = choice.finish_reason or finish
    except msgspec.MsgspecError as error:
        return f"an event is not a chat chunk: {error}"
    return _fault(text, finish, STREAM_TOKENS)


def _fault(text: str, finish: str | None, tokens: int) -> str:
    """LiteLLM trims the blank at the end of a whole answer, which is no fault of interest here."""
    if text.rstrip() != (WORD * tokens).rstrip():
        return f"{text.count(WORD.strip())} of {tokens} tokens arrived, {len(text)} characters"
    return "" if finish == "stop" else f"the finish reason is {finish}"
