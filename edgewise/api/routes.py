"""Which endpoint of a small ASGI app a request is for; for processes that serve clients without a web framework."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from edgewise.api.asgi import Receive, Scope, Send
from edgewise.wire.errors import NotFoundError

STREAMS: Final = "/v1/streams/"
Endpoint = Callable[[Scope, Receive, Send], Awaitable[None]]


def find(scope: Scope, routes: Mapping[tuple[str, str], Endpoint], streams: Endpoint, place: str) -> Endpoint:
    """The endpoint by method and path; one stream is GET or DELETE of its id, told in `path_params`.

    Raises NotFoundError, with what there is on this `place`.
    """
    method, path = scope["method"], scope["path"]
    sid = path.removeprefix(STREAMS)
    if path.startswith(STREAMS) and sid and "/" not in sid and method in ("GET", "DELETE"):
        scope["path_params"] = {"sid": sid}
        return streams
    if endpoint := routes.get((method, path)):
        return endpoint
    known = ", ".join(" ".join(route) for route in routes)
    raise NotFoundError(
        f"There is no {method} {path[:120]} on this {place}",
        where="request",
        expected=f"{known}, GET or DELETE {STREAMS}<id>",
    )
