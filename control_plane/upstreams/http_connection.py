"""One HTTP/1.1 connection as an asyncio protocol: bytes in, a head and blocks of a body out, one exchange at a time.

It knows no pool, no URL and no content encoding. httptools (llhttp) reads the framing, strictly; what it does not tell
(the end of a body that has no length, sizes, bytes that nobody asked for) is decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import cast

from httptools import HttpParserError, HttpParserUpgrade, HttpResponseParser

from control_plane.upstreams.errors import HttpCutError, HttpError, HttpResponseError

HEAD_MAX_BYTES = 65_536
BUFFERED_MAX_BYTES = 262_144
SWITCHING_PROTOCOLS = 101
WITHOUT_BODY = (204, 304)


class HttpConnection(asyncio.Protocol):
    """`send` a request, `await head()`, `await block()` until it is empty, then `settle()`.

    `heard`: a byte of the present response came. `on_lost` is told once, when the peer is gone.
    Memory: at most BUFFERED_MAX_BYTES of body and one read of the transport more.
    """

    def __init__(self, on_lost: Callable[[HttpConnection], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_lost = on_lost
        self._on_end: Callable[[HttpConnection], None] | None = None
        self._parser = HttpResponseParser(self)
        self._waiter: asyncio.Future[None] | None = None
        self._alive = False
        self._paused = False
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self.idle_since = 0.0
        self._forget()
        self._asked = False

    def _forget(self) -> None:
        """Everything about one response, as before its first byte."""
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.heard = False
        self._head_done = self._ended = self._keep = self._until_close = False
        self._head_bytes = self._bodiless = self._buffered = 0
        self._blocks: list[bytes] = []
        self._error: HttpError | None = None

    # What the client does ---------------------------------------------------------------------------------------------

    def send(self, request: bytes) -> None:
        """One whole request; the last response must have been settled. If the peer is gone, `head` says so."""
        self._asked = True
        if self.usable:
            self._transport.write(request)

    async def head(self) -> None:
        """Until `status` and `headers` are there. Raises HttpCutError, HttpResponseError."""
        while not self._head_done:
            if self._error is not None:
                raise self._error
            await self._news()

    async def block(self) -> bytes:
        """All of the body that came since the last call, empty at its end. Raises HttpCutError, HttpResponseError,
        after what came before the fault was given out."""
        while not self._blocks:
            if self._ended:
                return b""
            if self._error is not None:
                raise self._error
            await self._news()
        blocks, self._blocks, self._buffered = self._blocks, [], 0
        if self._paused:
            self._resume()
        return blocks[0] if len(blocks) == 1 else b"".join(blocks)

    def settle(self) -> bool:
        """Whether the next request may go over this connection: the response came to its end, both sides want to go on
        and nothing is under way. Forgets the response."""
        free = self._ended and self._keep and self.usable and not self._transport.get_write_buffer_size()
        if free:
            self._asked = False
            self._forget()
            if self._paused:
                self._resume()
        return free

    def when_ended(self, tell: Callable[[HttpConnection], None]) -> bool:
        """Tell once when the response has come to its end; False if it never will, or has already."""
        if self._ended or self._error is not None or not self.usable:
            return False
        self._on_end = tell
        return True

    @property
    def usable(self) -> bool:
        """Whether neither side has closed."""
        return self._alive and not self._transport.is_closing()

    def abort(self) -> None:
        """Close at once; who still waits for the response gets HttpCutError."""
        self._fail(HttpCutError("the connection was closed by this side"))

    def _fail(self, error: HttpError) -> None:
        if self._error is None and not self._ended:
            self._error = error
        self._keep = False
        if self._alive:
            self._transport.abort()
        self._wake()

    def _resume(self) -> None:
        self._paused = False
        if self.usable:
            self._transport.resume_reading()

    async def _news(self) -> None:
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # What the transport says ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._alive = True

    def data_received(self, data: bytes) -> None:
        if self._ended or not self._asked:
            self.abort()  # bytes that nobody asked for must never become the answer to the next request
            return
        self.heard = True
        self._bodiless += len(data)
        try:
            self._parser.feed_data(data)
        except (HttpParserError, HttpParserUpgrade) as error:
            self._fail(HttpResponseError(f"malformed HTTP: {error}"))
            return
        if self._error is not None:
            self._transport.abort()
        elif self._bodiless > HEAD_MAX_BYTES:
            self._fail(_too_large())
        elif self._buffered > BUFFERED_MAX_BYTES and not self._paused:
            self._paused = True
            self._transport.pause_reading()
        self._wake()
        if self._ended and self._on_end is not None:
            tell, self._on_end = self._on_end, None
            tell(self)

    def eof_received(self) -> None:
        self._lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lost(exc)
        if not self.closed.done():
            self.closed.set_result(None)

    def _lost(self, cause: Exception | None) -> None:
        if not self._alive:
            return
        self._alive = False
        if self._until_close and cause is None and self._error is None:
            self._ended = True
        elif self._error is None and not self._ended:
            why = f": {type(cause).__name__}" if cause else ""
            self._error = HttpCutError(f"the connection ended {self._place()}{why}")
        self._wake()
        self._on_lost(self)

    def _place(self) -> str:
        if not self.heard:
            return "before the response"
        return "in the middle of the body" if self._head_done else "in the middle of the headers"

    # What the parser says ---------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self._ended:
            self._keep = False  # a second response to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._head_done:
            return  # a trailer
        self._head_bytes += len(name) + len(value)
        name = name.lower()
        self.headers[name] = self.headers[name] + b", " + value if name in self.headers else value

    def on_headers_complete(self) -> None:
        if self._ended or self._error is not None:
            return
        status, headers = self._parser.get_status_code(), self.headers
        if self._head_bytes > HEAD_MAX_BYTES:
            self._error = _too_large()
        elif status == SWITCHING_PROTOCOLS:
            self._error = HttpResponseError("it switches to another protocol, which nobody asked for")
        elif status < 200:
            self.headers = {}
        elif headers.get(b"transfer-encoding", b"chunked").lower() != b"chunked":
            self._error = HttpResponseError(f"unknown transfer-encoding {headers[b'transfer-encoding'][:40]!r}")
        else:
            self.status, self._head_done = status, True
            self._keep = self._parser.should_keep_alive()
            framed = b"content-length" in headers or b"transfer-encoding" in headers
            self._until_close = not framed and status not in WITHOUT_BODY

    def on_body(self, body: bytes) -> None:
        if self._ended:
            return
        self._blocks.append(body)
        self._buffered += len(body)
        self._bodiless = 0

    def on_message_complete(self) -> None:
        self._ended = self._ended or self._head_done


def _too_large() -> HttpResponseError:
    return HttpResponseError(f"headers of more than {HEAD_MAX_BYTES} bytes")
