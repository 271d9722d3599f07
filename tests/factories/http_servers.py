"""HTTP servers that do exactly what a test writes down, byte by byte: real sockets, no HTTP library;
and the few ways in which tests ask them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

from control_plane.upstreams.http_client import HttpClient, HttpTarget

BODY_MAX_BYTES = 16 << 20


@dataclass
class Peer:
    """One connection from the server's side; `number` counts from 1."""

    number: int
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def request(self) -> tuple[str, bytes]:
        """The next request's head and body. Raises IncompleteReadError when the client has left."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        fields = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:-2])
        return head, await self.reader.readexactly(int(fields["content-length"]))

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def gone(self) -> None:
        """Until the client has left."""
        with suppress(ConnectionError):
            while await self.reader.read(65_536):
                pass


Script = Callable[[Peer], Awaitable[None]]


@dataclass
class Server:
    """A running server: where it listens, who connects and who has left."""

    port: int = 0
    connections: int = 0
    left: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    def url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.port}/v1"

    async def until_left(self, count: int) -> None:
        """Until so many connections have ended, by whichever side."""
        async with asyncio.timeout(10), self.changed:
            await self.changed.wait_for(lambda: self.left >= count)


@asynccontextmanager
async def http_server(
    script: Script, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
) -> AsyncIterator[Server]:
    """`script` runs once for each connection, which is closed when it returns; a client that leaves ends it quietly."""
    server = Server()
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await script(Peer(server.connections, reader, writer))
        finally:
            tasks.discard(task)
            writer.close()
            async with server.changed:
                server.left += 1
                server.changed.notify_all()

    listener = await asyncio.start_server(connected, host, 0, ssl=tls)
    server.port = listener.sockets[0].getsockname()[1]
    try:
        yield server
    finally:
        listener.close()
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


# Bytes ----------------------------------------------------------------------------------------------------------------


def response(body: bytes = b"{}", *headers: str, status: str = "200 OK", version: str = "1.1") -> bytes:
    """A response with a content-length."""
    lines = [f"HTTP/{version} {status}", f"content-length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def chunked(*blocks: bytes, headers: str = "") -> bytes:
    """A whole chunked response."""
    framed = b"".join(b"%x\r\n%b\r\n" % (len(block), block) for block in blocks)
    return b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n" + headers.encode() + b"\r\n" + framed + b"0\r\n\r\n"


# Scripts --------------------------------------------------------------------------------------------------------------


def always(wire: bytes) -> Script:
    """Answers every request with these bytes; hangs up after one that has no length."""

    async def script(peer: Peer) -> None:
        while True:
            await peer.request()
            await peer.send(wire)
            if b"content-length: " not in wire and b"\r\n0\r\n" not in wire:
                return

    return script


def once(wire: bytes) -> Script:
    """Answers one request with these bytes and hangs up."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(wire)

    return script


def hanging(wire: bytes) -> Script:
    """Answers with these bytes and then waits for the client to leave."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(wire)
        await peer.gone()

    return script


def stale(answer: bytes, *, fresh: bytes = response(b"fresh")) -> Script:
    """The first connection answers once and meets its second request with `answer` and the end; others say `fresh`."""

    async def script(peer: Peer) -> None:
        await peer.request()
        await peer.send(response() if peer.number == 1 else fresh)
        if peer.number == 1:
            await peer.request()
            await peer.send(answer)

    return script


# Asking ---------------------------------------------------------------------------------------------------------------


async def post(client: HttpClient, target: HttpTarget, body: bytes = b"hi") -> bytes:
    with await client.request(target, body) as answer:
        return await answer.read(BODY_MAX_BYTES)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():
            await asyncio.sleep(0.001)
