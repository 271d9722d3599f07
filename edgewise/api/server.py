"""Serving an ASGI app with uvicorn in a process that handles its own signals: bind first, serve while a block runs."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn

from edgewise.wire.errors import PortInUseError
from edgewise.wire.limits import FRAME_MAX_BYTES

GRACE_S = 5
YOUNG_MAX = 20_000
"""Objects before the collector looks at the young ones: an answer makes a few hundred, and frees them by itself."""
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
        proxy_headers=False,
    )
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[listener]), name="http-server")
    try:
        yield task
    finally:
        server.should_exit = True
        await asyncio.gather(task, return_exceptions=True)


def settle_garbage() -> None:
    """Call when a process is ready: what it holds by now stays, so the collector need not look at it again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_MAX, 20, 20)
