"""The few ASGI motions that the hot endpoints need: read a bounded body, send JSON, stream bytes, notice a hang-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import aclosing
from functools import partial
from typing import Any
from urllib.parse import parse_qsl

from edgewise.dialects.openai_errors import error_headers, error_json, http_status
from edgewise.dialects.sse import PING
from edgewise.observability.context import current_trace_id
from edgewise.wire.errors import BodyTooLargeError, ErrorInfo
from edgewise.wire.limits import BODY_MAX_BYTES

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]
Wait = Callable[[], Awaitable[object]]

JSON = (b"content-type", b"application/json")
EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


LOOK_EVERY_S = 7.5
"""How often a stream is looked at: a silent one is pinged within twice this. Many proxies cut one after a minute."""
WATCH_AFTER_S = 0.02
"""How long a request is served before anybody looks whether its client is still there."""


class ClientGoneError(Exception):
    """The client hung up before its request was complete; nobody is left to answer."""


def header(scope: Scope, name: bytes) -> str:
    """A request header by its lower-case name, or an empty string."""
    for key, value in scope["headers"]:
        if key == name:
            return str(value, "latin-1")
    return ""


def query(scope: Scope) -> dict[str, str]:
    """The query string; the last value of a repeated name wins."""
    return dict(parse_qsl(str(scope.get("query_string", b""), "latin-1"), keep_blank_values=True))


async def read_body(receive: Receive, limit_bytes: int = BODY_MAX_BYTES) -> bytes:
    """The whole request body. Raises BodyTooLargeError as soon as the limit is passed, ClientGoneError."""
    parts: list[bytes] = []
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientGoneError
        part = message.get("body", b"")
        size += len(part)
        if size > limit_bytes:
            raise BodyTooLargeError(
                "The request body is too large", where="request body", expected=f"at most {limit_bytes} bytes"
            )
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)


async def send_body(send: Send, status: int, body: bytes, headers: Headers = (JSON,)) -> None:
    """A whole response in one piece."""
    sized = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": sized})
    await send({"type": "http.response.body", "body": body})


async def send_error(send: Send, info: ErrorInfo, headers: Headers = ()) -> None:
    """An error as OpenAI clients expect it, with its HTTP status and retry headers. `headers` are those of the answer
    that failed, if there was one; they name its trace."""
    named = list(headers) or [(b"x-trace-id", current_trace_id().encode())]
    await send_body(send, http_status(info), error_json(info), [JSON, *error_headers(info), *named])


class Until:
    """`async with`: the block is left at once when one of `ends` returns before it is through (`ended` is that one).

    The ends are looked at only after `after_s`: most answers are over by then, and need no task to watch their client.
    """

    def __init__(self, *ends: Wait, after_s: float = WATCH_AFTER_S) -> None:
        self.ended: Wait | None = None
        self._ends = ends
        self._after_s = after_s
        self._through = False
        self._watches: list[asyncio.Task[object]] = []

    async def __aenter__(self) -> Until:
        task = asyncio.current_task()
        assert task is not None
        self._task, self._cancelling = task, task.cancelling()
        self._timer = asyncio.get_running_loop().call_later(self._after_s, self._watch)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> bool:
        """Swallows only our own cancellation, as asyncio.timeout does."""
        self._through = True
        self._timer.cancel()
        ours = self.ended is not None and self._task.uncancel() <= self._cancelling
        if self._watches:
            await self._end_watches()
        return ours and kind is asyncio.CancelledError

    async def _end_watches(self) -> None:
        for watch in self._watches:
            watch.cancel()
        await asyncio.gather(*self._watches, return_exceptions=True)

    def _watch(self) -> None:
        for end in self._ends:
            watch = asyncio.ensure_future(_returned(end))
            watch.add_done_callback(partial(self._leave, end))
            self._watches.append(watch)

    def _leave(self, end: Wait, watch: asyncio.Task[object]) -> None:
        if self.ended is None and not self._through and not watch.cancelled():
            self.ended = end
            self._task.cancel()


async def _returned(end: Wait) -> object:
    return await end()


class _Pings:
    """Sends a ping when nothing was sent for `every_s`. A client that still has to take what it was sent needs none."""

    def __init__(self, send: Send, every_s: float) -> None:
        self.sent = 0
        self.sending = False
        self._send = send
        self._every_s = every_s
        self._seen = 0
        self._ping: asyncio.Task[None] | None = None

    async def __aenter__(self) -> _Pings:
        self._arm()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._timer.cancel()
        if self._ping is not None:
            await asyncio.gather(self._ping, return_exceptions=True)

    async def block(self, block: bytes) -> None:
        """Send one block of the stream."""
        self.sending = True
        await self._send({"type": "http.response.body", "body": block, "more_body": True})
        self.sending = False
        self.sent += 1

    def _arm(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every_s, self._look)

    def _look(self) -> None:
        if self.sent == self._seen and not self.sending:
            self._ping = asyncio.create_task(self._send_ping())
        self._seen = self.sent
        self._arm()

    async def _send_ping(self) -> None:
        await self._send({"type": "http.response.body", "body": PING, "more_body": True})


async def send_stream(
    receive: Receive,
    send: Send,
    frames: AsyncGenerator[bytes, None],
    headers: Headers,
    first: bytes = b"",
    *,
    leave: Wait | None = None,
    goodbye: bytes = b"",
    look_every_s: float = LOOK_EVERY_S,
) -> bool:
    """Stream `frames` as they come, with pings in a long silence; whether the client was sent all of them.

    Stops quietly when the client hangs up (the answer itself goes on). When `leave` returns before the end, the client
    is sent `goodbye` after the last whole frame: a block is handed over whole or not at all, so leaving cuts none.
    """

    async def gone() -> None:
        await disconnected(receive)

    await send({"type": "http.response.start", "status": 200, "headers": [*EVENT_STREAM, *headers]})
    async with aclosing(frames), Until(gone, *([leave] if leave else [])) as until, _Pings(send, look_every_s) as pings:
        if first:
            await pings.block(first)
        async for block in frames:
            await pings.block(block)
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True
    if until.ended is leave:
        await send({"type": "http.response.body", "body": goodbye, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
    return False


async def disconnected(receive: Receive) -> None:
    """Returns when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass


def has_hung_up(receive: Receive) -> bool:
    """Whether the server knows by now that the client has hung up, asked without waiting; after the body was read."""
    asking = receive().__await__()
    try:
        next(asking)
    except StopIteration as told:
        return bool(told.value["type"] == "http.disconnect")
    asking.close()
    return False
