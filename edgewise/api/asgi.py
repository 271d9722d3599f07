"""The few ASGI motions that the hot endpoints need: read a bounded body, send JSON, stream bytes, notice a hang-up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, MutableMapping
from contextlib import aclosing
from typing import Any
from urllib.parse import parse_qsl

from edgewise.dialects.openai_errors import error_headers, error_json, http_status
from edgewise.wire.errors import BodyTooLargeError, ErrorInfo
from edgewise.wire.limits import BODY_MAX_BYTES

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = Iterable[tuple[bytes, bytes]]

JSON = (b"content-type", b"application/json")
EVENT_STREAM = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


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
    """An error as OpenAI clients expect it, with its HTTP status and retry headers."""
    await send_body(send, http_status(info), error_json(info), [JSON, *error_headers(info), *headers])


async def send_stream(
    receive: Receive, send: Send, frames: AsyncGenerator[bytes, None], headers: Headers, first: bytes = b""
) -> None:
    """Stream `frames` as they come; stops quietly when the client hangs up (the answer itself goes on)."""
    await send({"type": "http.response.start", "status": 200, "headers": [*EVENT_STREAM, *headers]})
    pump = asyncio.create_task(_pump(send, frames, first))
    gone = asyncio.create_task(disconnected(receive))
    try:
        await asyncio.wait({pump, gone}, return_when=asyncio.FIRST_COMPLETED)
        if pump.done():
            pump.result()
    finally:
        for task in (pump, gone):
            task.cancel()
        await asyncio.gather(pump, gone, return_exceptions=True)


async def _pump(send: Send, frames: AsyncGenerator[bytes, None], first: bytes) -> None:
    if first:
        await send({"type": "http.response.body", "body": first, "more_body": True})
    async with aclosing(frames):
        async for block in frames:
            await send({"type": "http.response.body", "body": block, "more_body": True})
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def disconnected(receive: Receive) -> None:
    """Returns when the client has hung up."""
    while (await receive())["type"] != "http.disconnect":
        pass
