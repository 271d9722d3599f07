"""A response as its reader sees it: status, headers, and the decoded body in blocks or in one piece."""

from __future__ import annotations

import zlib
from types import TracebackType

from control_plane.upstreams.errors import HttpCutError, HttpResponseError
from control_plane.upstreams.http_connection import HttpConnection
from control_plane.upstreams.http_pool import HttpPool

INFLATED_BLOCK_BYTES = 65_536
_GZIP_FRAME = 16 + zlib.MAX_WBITS  # zlib's manual, inflateInit2: a gzip header and trailer


class HttpResponse:
    """`async for block in response`, or `read`, inside `with`: leaving it gives the connection back when the body came
    to its end, and closes it otherwise, which is how an upstream is told to stop.

    `headers`: lower-case names; values of a repeated one are joined by ", ".
    `whole`: the reader sets it when it has all it needs; then the end may still come in a moment after leaving.
    Reading raises HttpCutError when the body broke off, HttpResponseError when it is malformed or oddly encoded.
    """

    __slots__ = ("_connection", "_gunzip", "_pool", "headers", "status", "whole")

    def __init__(self, connection: HttpConnection, pool: HttpPool) -> None:
        self._connection: HttpConnection | None = connection
        self._pool = pool
        self._gunzip: Gunzip | None = None
        self.status = connection.status
        self.headers = connection.headers
        self.whole = False
        encoding = self.headers.get(b"content-encoding")
        if encoding is not None and encoding.lower() in (b"gzip", b"x-gzip"):
            self._gunzip = Gunzip()

    def __enter__(self) -> HttpResponse:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """What leaving `with` does; nothing can be read afterwards."""
        connection, self._connection = self._connection, None
        if connection is not None:
            self._pool.give_back(connection, whole=self.whole)

    def __aiter__(self) -> HttpResponse:
        return self

    async def __anext__(self) -> bytes:
        connection = self._connection
        if connection is None:
            raise HttpResponseError("the response was closed before it was read")
        encoded = self.headers.get(b"content-encoding")
        block = await connection.block() if encoded is None else await self._decoded(connection, encoded)
        if not block:
            raise StopAsyncIteration
        return block

    async def read(self, limit: int) -> bytes:
        """The whole body; raises HttpResponseError when it has more than `limit` bytes."""
        body = await self.beginning(limit)
        if len(body) > limit:
            raise HttpResponseError(f"a body of more than {limit} bytes")
        return body

    async def beginning(self, limit: int) -> bytes:
        """The body as far as it was needed to see `limit` bytes; the last block is not cut."""
        blocks, size = [], 0
        async for block in self:
            blocks.append(block)
            size += len(block)
            if size > limit:
                break
        return b"".join(blocks)

    async def _decoded(self, connection: HttpConnection, encoding: bytes) -> bytes:
        if self._gunzip is None:
            if encoding.lower() != b"identity":
                raise HttpResponseError(f"the body is encoded as {encoding[:40]!r}, which was not asked for")
            return await connection.block()
        while not (block := self._gunzip.next()):
            encoded = await connection.block()
            if not encoded:
                self._gunzip.finish()
                return b""
            self._gunzip.feed(encoded)
        return block


class Gunzip:
    """gzip (RFC 1952), some members in a row too, given out in blocks of bounded size, however much they inflate to."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(_GZIP_FRAME)
        self._rest = b""
        self._begun = False

    def feed(self, data: bytes) -> None:
        """More encoded bytes, once `next` has nothing to give."""
        self._rest += data

    def next(self) -> bytes:
        """The next block, empty when more has to be fed. Raises HttpResponseError."""
        block = b""
        while self._rest and not block:
            if self._inflate.eof:
                self._inflate = zlib.decompressobj(_GZIP_FRAME)
            self._begun = True
            try:
                block = self._inflate.decompress(self._rest, INFLATED_BLOCK_BYTES)
            except zlib.error as error:
                raise HttpResponseError(f"the body is not the gzip that it says it is: {error}") from error
            self._rest = self._inflate.unused_data if self._inflate.eof else self._inflate.unconsumed_tail
        return block

    def finish(self) -> None:
        """Nothing more will be fed. Raises HttpCutError in the middle of a member."""
        if self._begun and not self._inflate.eof:
            raise HttpCutError("the connection ended in the middle of the gzip body")
