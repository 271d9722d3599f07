"""Serving an ASGI app with uvicorn in a process that handles its own signals: bind first, serve until told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import signal
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn

from edgewise.wire.errors import PortInUseError
from edgewise.wire.limits import FRAME_MAX_BYTES

GRACE_S = 5
BACKLOG = 2048


class _Server(uvicorn.Server):
    """uvicorn without its signal handlers: the process decides when to stop, and drains first."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def bind(host: str, port: int) -> socket.socket:
    """A listening socket, taken before anything else starts. Raises PortInUseError."""
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        if error.errno not in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            raise
        raise PortInUseError(
            f"Port {port} on {host} cannot be used: {error.strerror}",
            where=f"{host}:{port}",
            remedy="stop what listens there, or choose another port",
        ) from error
    listener.listen(BACKLOG)
    listener.setblocking(False)
    return listener


@contextlib.asynccontextmanager
async def serving(app: Any, listener: socket.socket, *, http: str = "auto") -> AsyncIterator[asyncio.Task[None]]:
    """Serve `app` on `listener` while the block runs; yields the server's task, whose end means that it failed."""
    config = uvicorn.Config(
        app,
        http=http,
        ws="websockets-sansio",
        ws_max_size=FRAME_MAX_BYTES,
        ws_per_message_deflate=False,
        lifespan="off",
        access_log=False,
        log_config=None,
        timeout_graceful_shutdown=GRACE_S,
        server_header=False,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http-server")
    try:
        yield task
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)


@contextlib.contextmanager
def stop_signals() -> Iterator[asyncio.Event]:
    """An event that SIGINT or SIGTERM sets, for the duration of the block."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(signum, stop.set)
    try:
        yield stop
    finally:
        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(signum)


async def until_stopped(stop: asyncio.Event, *critical: asyncio.Task[Any]) -> None:
    """Wait for the stop event, or for a critical task to end; an error of that task is raised."""
    waiting = asyncio.create_task(stop.wait())
    try:
        done, _ = await asyncio.wait({waiting, *critical}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        waiting.cancel()
    for task in done - {waiting}:
        task.result()
