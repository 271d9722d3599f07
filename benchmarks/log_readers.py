"""Many readers of one live stream over real HTTP: how many one gateway process on one core keeps up with."""

from __future__ import annotations

import asyncio
import re
import resource
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import cast
from urllib.parse import urlsplit

from benchmarks.gateway_load import Target
from benchmarks.gateway_peers import Subject

EVENTS_PER_S = 20
CONNECT_AT_ONCE = 100
_ID = re.compile(rb"id: \w+/(\d+)\n")
_END = b"data: [DONE]"


@dataclass
class Audience:
    """What the readers of one stream saw. `lags` are seconds behind the first of them that saw the same event."""

    readers: int
    complete: int = 0
    first_seen: dict[int, float] = field(default_factory=dict)
    lags: list[float] = field(default_factory=list)
    cpu_share: float = 0.0


class _Reader(asyncio.Protocol):
    """Counts events, without parsing more than their ids."""

    def __init__(self, audience: Audience, request: bytes) -> None:
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.began = asyncio.Event()
        self._audience = audience
        self._request = request
        self._rest = b""
        self._next_seq = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by class
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now, block = time.perf_counter(), self._rest + data
        self.began.set()
        last = 0
        for found in _ID.finditer(block):
            self._saw(int(found[1]), now)
            last = found.end()
        if _END in block:
            self._audience.complete += 1
            self._transport.close()
        self._rest = block[max(last, len(block) - 64) :]

    def _saw(self, seq: int, now: float) -> None:
        first = self._audience.first_seen.setdefault(seq, now)
        if seq != self._next_seq:
            self._transport.abort()  # a hole or a repetition: this reader will not be complete
        self._next_seq = seq + 1
        self._audience.lags.append(now - first)

    def connection_lost(self, error: Exception | None) -> None:
        self.began.set()
        if not self.done.done():
            self.done.set_result(None)


def allow_sockets(wanted: int) -> None:
    """Raise this process's limit of open files, as far as the system lets it."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with suppress(ValueError, OSError):
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else min(wanted, hard), hard)
        )


async def watch_one_stream(
    gateway: Subject, readers: int, warm_up_s: float, on_connected: Callable[[int], None] = lambda _: None
) -> Audience:
    """Ask for one slow answer, attach `readers` readers to its stream, and follow it to its end."""
    audience = Audience(readers)
    target = gateway.target
    asking, sid = await _ask(target)
    crowd = await _connect_all(target, sid, audience, on_connected)
    audience.lags.clear()  # catching up on what was said while others connected is no lag
    await asyncio.sleep(warm_up_s)
    audience.lags.clear()
    cpu_s, began_at = gateway.cpu_s, time.perf_counter()
    await asyncio.gather(*(reader.done for reader in crowd))
    audience.cpu_share = (gateway.cpu_s - cpu_s) / (time.perf_counter() - began_at)
    await asking()
    return audience


async def _ask(target: Target) -> tuple[Callable[[], Awaitable[None]], str]:
    """Start the answer; returns what waits for its end, and its stream id from the headers."""
    url = urlsplit(target.base_url)
    reader, writer = await asyncio.open_connection(url.hostname, url.port)
    writer.write(target.request(stream=True))
    head = await reader.readuntil(b"\r\n\r\n")
    found = re.search(rb"x-edgewise-stream-id: (\w+)\r\n", head)
    if found is None:
        raise RuntimeError(f"the gateway refused: {head[:300]!r}")

    async def rest() -> None:
        while await reader.read(65536):
            if reader.at_eof():
                break
        writer.close()

    task = asyncio.create_task(rest())

    async def end() -> None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        writer.close()

    return end, found[1].decode()


async def _connect_all(
    target: Target, sid: str, audience: Audience, on_connected: Callable[[int], None]
) -> list[_Reader]:
    url = urlsplit(target.base_url)
    host, port = url.hostname or "127.0.0.1", url.port or 80
    request = (
        f"GET /v1/streams/{sid} HTTP/1.1\r\nhost: {url.netloc}\r\nauthorization: Bearer {target.key}\r\n\r\n"
    ).encode()
    loop = asyncio.get_running_loop()
    crowd: list[_Reader] = []
    while len(crowd) < audience.readers:
        some = min(CONNECT_AT_ONCE, audience.readers - len(crowd))
        made = await asyncio.gather(
            *(loop.create_connection(lambda: _Reader(audience, request), host, port) for _ in range(some))
        )
        newcomers = [protocol for _, protocol in made]
        await asyncio.gather(*(reader.began.wait() for reader in newcomers))
        crowd += newcomers
        on_connected(len(crowd))
    return crowd
