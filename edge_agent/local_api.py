"""The device's own OpenAI-compatible endpoint, for apps on this device: routes, and a guard against web pages.

What an answer is and how it is made lives in edgewise/api; here is only the way to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from edgewise import __version__
from edgewise.api.asgi import Receive, Scope, Send, header, send_body, send_error
from edgewise.api.chat import ChatCompletions
from edgewise.api.drain import Drain
from edgewise.api.metrics import Metrics
from edgewise.api.models import Models
from edgewise.api.repeats import MemoryRepeats
from edgewise.api.routes import Endpoint, find
from edgewise.api.service import AnswerService
from edgewise.api.stream_socket import StreamSocket, turn_away
from edgewise.api.streams import Streams
from edgewise.api.visits import Visits
from edgewise.api.web_pages import refuse_web_pages
from edgewise.observability.context import adopt
from edgewise.wire.errors import EdgewiseError, ForbiddenError, NotFoundError

Health = Callable[[], dict[str, Any]]

_SOCKET = "/v1/streams"


class LocalApi:
    """The ASGI app. `health` gives the body of GET /healthz; `leaving` begins when the agent stops."""

    def __init__(self, service: AnswerService, health: Health) -> None:
        self.leaving = Drain()
        self._health = health
        visits = Visits(service, MemoryRepeats())
        self._socket = StreamSocket(service, visits, self.leaving)
        self._streams: Endpoint = Streams(service, self.leaving)
        self._routes: dict[tuple[str, str], Endpoint] = {
            ("POST", "/v1/chat/completions"): ChatCompletions(service, visits, self.leaving),
            ("GET", "/v1/models"): Models(service),
            ("GET", "/metrics"): Metrics(service.observer, _no_operators),
            ("GET", "/healthz"): self._alive,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await self._upgrade(scope, receive, send)
            return
        if scope["type"] != "http":
            return
        adopt(header(scope, b"traceparent"))
        try:
            refuse_web_pages(scope)
            endpoint = find(scope, self._routes, self._streams, "device")
        except EdgewiseError as error:
            await send_error(send, error.info())
            return
        await endpoint(scope, receive, send)

    async def _upgrade(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            refuse_web_pages(scope)
            if scope["path"] != _SOCKET:
                raise NotFoundError("There is no such WebSocket on this device", where="request", expected=_SOCKET)
        except EdgewiseError as error:
            await receive()
            await turn_away(scope, send, error)
            return
        await self._socket(scope, receive, send)

    async def _alive(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_body(send, 200, msgspec.json.encode({"status": "ok", "version": __version__, **self._health()}))


def _no_operators(authorization: str) -> None:
    raise ForbiddenError("Metrics of this device are open without a key", where="header authorization")
