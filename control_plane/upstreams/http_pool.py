"""The connections to one origin (scheme, host, port): new ones are made, idle ones are kept for a while.

How many are open at a time is not limited: the upstream says when it has enough.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl

from control_plane.upstreams.errors import HttpConnectError, HttpTimeoutError
from control_plane.upstreams.http_connection import HttpConnection

CONNECT_TIMEOUT_S = 5.0
IDLE_MAX = 256
IDLE_S = 15.0
LINGER_S = 1.0


class HttpPool:
    """At most `idle_max` connections wait for their next request, each at most `idle_s`. `tls` None: plain HTTP."""

    def __init__(
        self,
        host: str,
        port: int,
        tls: ssl.SSLContext | None,
        *,
        idle_max: int = IDLE_MAX,
        idle_s: float = IDLE_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        linger_s: float = LINGER_S,
    ) -> None:
        self._host, self._port, self._tls = host, port, tls
        self._idle_max, self._idle_s, self._connect_timeout_s = idle_max, idle_s, connect_timeout_s
        self._linger_s = linger_s
        self._idle: list[HttpConnection] = []  # the one that has waited longest first
        self._open: set[HttpConnection] = set()
        self._expiry: asyncio.TimerHandle | None = None
        self._closed = False

    @property
    def idle(self) -> int:
        """How many connections wait for a request."""
        return len(self._idle)

    @property
    def open(self) -> int:
        """How many connections exist."""
        return len(self._open)

    def take(self) -> HttpConnection | None:
        """The idle connection that was used last, or None."""
        return self._idle.pop() if self._idle else None

    async def connect(self) -> HttpConnection:
        """A fresh connection. Raises HttpTimeoutError, HttpConnectError."""
        loop = asyncio.get_running_loop()
        name = self._host if self._tls else None
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                _, connection = await loop.create_connection(
                    lambda: HttpConnection(self._lost), self._host, self._port, ssl=self._tls, server_hostname=name
                )
        except TimeoutError as error:
            raise HttpTimeoutError(f"no connection within {self._connect_timeout_s:g} s") from error
        except OSError as error:
            raise HttpConnectError(f"no connection: {_reason(error)}") from error
        if connection.usable:
            self._open.add(connection)
        if self._closed:
            connection.abort()
        return connection

    def give_back(self, connection: HttpConnection, *, whole: bool = False) -> None:
        """Keep it for the next request if it can carry one, else close it. `whole`: the reader has all it needs, and
        only the end of the response's framing is missing; it has `linger_s` to come."""
        if len(self._idle) >= self._idle_max:
            connection.abort()
        elif connection.settle():
            self._keep(connection)
        elif not (whole and self._linger(connection)):
            connection.abort()

    def _linger(self, connection: HttpConnection) -> bool:
        timer = asyncio.get_running_loop().call_later(self._linger_s, connection.abort)

        def ended(connection: HttpConnection) -> None:
            timer.cancel()
            self.give_back(connection)

        waits = connection.when_ended(ended)
        if not waits:
            timer.cancel()
        return waits

    def _keep(self, connection: HttpConnection) -> None:
        connection.idle_since = asyncio.get_running_loop().time()
        self._idle.append(connection)
        if self._expiry is None:
            self._expire_later()

    async def aclose(self) -> None:
        """Close every connection, those in use too."""
        self._closed = True
        if self._expiry is not None:
            self._expiry.cancel()
        connections = list(self._open)
        for connection in connections:
            connection.abort()
        await asyncio.gather(*(connection.closed for connection in connections))

    def _lost(self, connection: HttpConnection) -> None:
        self._open.discard(connection)
        with contextlib.suppress(ValueError):  # it was in use
            self._idle.remove(connection)

    def _expire_later(self) -> None:
        loop = asyncio.get_running_loop()
        self._expiry = loop.call_at(self._idle[0].idle_since + self._idle_s, self._expire)

    def _expire(self) -> None:
        self._expiry = None
        now = asyncio.get_running_loop().time()
        while self._idle and now >= self._idle[0].idle_since + self._idle_s:
            self._idle.pop(0).abort()
        if self._idle:
            self._expire_later()


def _reason(error: OSError) -> str:
    """The system's words; certificates say why they were refused."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate is refused ({error.verify_message})"
    return f"{type(error).__name__} ({error.strerror or error})"
