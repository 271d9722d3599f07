"""The busiest paths go straight to their endpoint; everything else goes through the framework's middleware and router,
which costs more than the whole of our own work for a short answer."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from edgewise.api.asgi import Receive, Scope, Send, send_error
from edgewise.wire.errors import EdgewiseError

logger = logging.getLogger(__name__)

STREAMS = "/v1/streams/"

App = Callable[[Scope, Receive, Send], Awaitable[None]]


class HotPaths:
    """An ASGI app: `hot` by exact method and path, `streams` by method for `/v1/streams/{sid}`, `rest` for all other
    requests, sockets and lifespan events."""

    def __init__(self, hot: Mapping[tuple[str, str], App], streams: Mapping[str, App], rest: App) -> None:
        self._hot = hot
        self._streams = streams
        self._rest = rest

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        endpoint = self._endpoint(scope) if scope["type"] == "http" else None
        if endpoint is None:
            await self._rest(scope, receive, send)
        else:
            await _guarded(endpoint, scope, receive, send)

    def _endpoint(self, scope: Scope) -> App | None:
        method, path = scope["method"], scope["path"]
        sid = path.removeprefix(STREAMS)
        if sid == path or not sid or "/" in sid:
            return self._hot.get((method, path))
        scope["path_params"] = {"sid": sid}
        return self._streams.get(method)


async def _guarded(endpoint: App, scope: Scope, receive: Receive, send: Send) -> None:
    """A fault of ours becomes an error of the usual shape; in mid-response the server cuts the connection instead."""
    started = False

    async def noting(message: Scope) -> None:
        nonlocal started
        started = True
        await send(message)

    try:
        await endpoint(scope, receive, noting)
    except Exception:
        logger.exception("an endpoint met a fault of ours", extra={"path": scope["path"]})
        if started:
            raise
        await send_error(send, EdgewiseError("The request met an internal error", remedy="try again").info())
