"""GET /metrics: the process's metrics as Prometheus text. Open to this machine; others show a scrape token or an
operator's key. A request that a proxy passed on is not from this machine, wherever the proxy runs."""

from __future__ import annotations

import hmac
from collections.abc import Callable

from edgewise.api.asgi import Receive, Scope, Send, header, send_body, send_error
from edgewise.observability.context import adopt
from edgewise.observability.observer import Observer
from edgewise.observability.prometheus import CONTENT_TYPE, render
from edgewise.wire.errors import EdgewiseError, UnauthenticatedError

_LOOPBACK = ("127.", "::1", "::ffff:127.")
_PASSED_ON = (b"forwarded", b"x-forwarded-for", b"x-real-ip")


class Metrics:
    """The endpoint as an ASGI app. `check_operator` raises for an Authorization header that is no operator's; `more` is
    Prometheus text that is shown beside the process's own."""

    def __init__(
        self, observer: Observer, check_operator: Callable[[str], None], more: Callable[[], bytes] = bytes
    ) -> None:
        self._meter = observer.meter
        self._token = observer.scrape_token
        self._check_operator = check_operator
        self._more = more

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._check(scope)
        except EdgewiseError as error:
            adopt(header(scope, b"traceparent"))
            await send_error(send, error.info())
            return
        await send_body(send, 200, render(self._meter) + self._more(), [(b"content-type", CONTENT_TYPE.encode())])

    def _check(self, scope: Scope) -> None:
        """Raises UnauthenticatedError, ForbiddenError."""
        shown = header(scope, b"authorization")
        token = shown.removeprefix("Bearer ").strip()
        if self._token and hmac.compare_digest(token.encode(), self._token.encode()):
            return
        if not shown and is_local(scope):
            return
        if not shown:
            raise UnauthenticatedError(
                "Metrics are open to this machine only",
                where="header authorization",
                expected="the scrape token (EDGEWISE_METRICS_TOKEN) or an operator's key",
                remedy="set EDGEWISE_METRICS_TOKEN and let the scraper send it as a bearer token",
            )
        self._check_operator(shown)


def is_local(scope: Scope) -> bool:
    """Whether a request comes straight from this machine (a Unix socket has no address)."""
    if any(header(scope, name) for name in _PASSED_ON):
        return False
    client = scope.get("client")
    return client is None or not client[0] or str(client[0]).startswith(_LOOPBACK)
