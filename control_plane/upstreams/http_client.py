"""A small HTTP/1.1 client for upstreams: what does not change is prepared once, a request is one write.

It does what a gateway needs of one: keep-alive, TLS, chunked bodies block by block, bounded memory, hanging up. It
follows no redirects, knows no proxies, keeps no cookies and does not speak HTTP/2 (docs/adr/0017).
"""

from __future__ import annotations

import asyncio
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from urllib.parse import SplitResult, quote, urlsplit

from control_plane.upstreams.errors import HttpConnectError, HttpCutError
from control_plane.upstreams.http_connection import HttpConnection
from control_plane.upstreams.http_pool import CONNECT_TIMEOUT_S, IDLE_MAX, IDLE_S, LINGER_S, HttpPool
from control_plane.upstreams.http_response import HttpResponse
from edgewise import __version__
from edgewise.wire.errors import ConfigError

PORTS = {"http": 80, "https": 443}
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110 §5.6.2
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")  # RFC 9110 §5.5
_PATH_SAFE = "/%:@!$&'()*+,;=~-._"
_OURS = f"accept-encoding: identity\r\nuser-agent: edgewise/{__version__}\r\n"


@dataclass(frozen=True, eq=False)
class HttpTarget:
    """Where requests of one kind go: a pool, and all bytes of them that stay the same. It may hold a key."""

    pool: HttpPool
    head: bytes

    def __repr__(self) -> str:
        return "HttpTarget(...)"


class HttpClient:
    """For all upstreams together; `aclose` or `async with` at the end. `tls`: instead of the system's trust."""

    def __init__(
        self,
        *,
        tls: ssl.SSLContext | None = None,
        idle_max: int = IDLE_MAX,
        idle_s: float = IDLE_S,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        linger_s: float = LINGER_S,
    ) -> None:
        self._tls = tls
        self._idle_max, self._idle_s, self._connect_timeout_s = idle_max, idle_s, connect_timeout_s
        self._linger_s = linger_s
        self._pools: dict[tuple[str, str, int], HttpPool] = {}
        self._closed = False

    def target(self, method: str, url: str, headers: Mapping[str, str]) -> HttpTarget:
        """Prepare requests to `url`, once. Raises ConfigError for a URL or a header that cannot be sent."""
        parts, host, port = _address(url)
        path = quote(parts.path or "/", safe=_PATH_SAFE)
        query = f"?{quote(parts.query, safe=_PATH_SAFE + '?')}" if parts.query else ""
        shown = f"[{host}]" if ":" in host else host
        authority = shown if port == PORTS[parts.scheme] else f"{shown}:{port}"
        own = "".join(_header_line(name, value) for name, value in headers.items())
        head = f"{method} {path}{query} HTTP/1.1\r\nhost: {authority}\r\n{_OURS}{own}content-length: "
        return HttpTarget(self._pool(parts.scheme, host, port), head.encode("latin-1"))

    async def request(self, target: HttpTarget, body: bytes, headers: bytes = b"") -> HttpResponse:
        """Send `body` and wait for the response's head. `headers`: whole lines, each with its CR LF.

        A kept connection that the peer had closed, before a byte of a response came, is replaced by a fresh one, once.
        Raises HttpConnectError, HttpTimeoutError, HttpCutError, HttpResponseError.
        """
        if self._closed:
            raise HttpConnectError("the client is closed")
        message = b"%b%d\r\n%b\r\n%b" % (target.head, len(body), headers, body)
        kept = target.pool.take()
        if kept is not None:
            try:
                return await _exchange(kept, target.pool, message)
            except HttpCutError:
                if kept.heard:
                    raise
        return await _exchange(await target.pool.connect(), target.pool, message)

    async def aclose(self) -> None:
        """Close every connection, those in use too."""
        self._closed = True
        await asyncio.gather(*(pool.aclose() for pool in self._pools.values()))

    async def __aenter__(self) -> HttpClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _pool(self, scheme: str, host: str, port: int) -> HttpPool:
        origin = (scheme, host, port)
        if origin not in self._pools:
            self._pools[origin] = HttpPool(
                host,
                port,
                self._trust() if scheme == "https" else None,
                idle_max=self._idle_max,
                idle_s=self._idle_s,
                connect_timeout_s=self._connect_timeout_s,
                linger_s=self._linger_s,
            )
        return self._pools[origin]

    def _trust(self) -> ssl.SSLContext:
        if self._tls is None:
            self._tls = ssl.create_default_context()
            self._tls.set_alpn_protocols(["http/1.1"])
        return self._tls


async def _exchange(connection: HttpConnection, pool: HttpPool, message: bytes) -> HttpResponse:
    """Whatever ends it early, cancellation too, closes the connection."""
    try:
        connection.send(message)
        await connection.head()
    except BaseException:
        connection.abort()
        raise
    return HttpResponse(connection, pool)


def _address(url: str) -> tuple[SplitResult, str, int]:
    """The parts of an http(s) URL, its host as ASCII (an IPv6 address without brackets) and its port."""
    try:
        parts = urlsplit(url)
        port = parts.port or PORTS[parts.scheme]
        name = parts.hostname or ""
        host = name if ":" in name else name.encode("idna").decode("ascii")
    except (ValueError, KeyError) as error:
        raise _bad_url() from error
    if not host or parts.username is not None or re.search(r"[\x00-\x20\x7f]", host):
        raise _bad_url()
    return parts, host, port


def _bad_url() -> ConfigError:
    """Without the URL: somebody may have put a password into it."""
    return ConfigError(
        "The URL of an upstream cannot be used",
        where="EDGEWISE_UPSTREAMS, base_url",
        expected="http://host:port/path or https://…, without a user or a password",
        remedy="correct it; a key goes into the variable that api_key_env names",
    )


def _header_line(name: str, value: str) -> str:
    """Never shows the value: it may be a key."""
    if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(value):
        raise ConfigError(
            f"The header {name!r} for an upstream holds a character that a header cannot carry",
            where="the upstream's key or name",
            expected="printable characters, no line break",
            remedy="look for a line break or a quotation mark at the end of the key's variable",
        )
    return f"{name}: {value}\r\n"
