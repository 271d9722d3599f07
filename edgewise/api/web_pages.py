"""The guard of endpoints that are open to this machine without a key: no page from the internet may use them."""

from __future__ import annotations

from urllib.parse import urlsplit

from edgewise.api.asgi import Scope, header
from edgewise.wire.errors import ForbiddenError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


def refuse_web_pages(scope: Scope) -> None:
    """A page from the internet must not talk to this machine through its user's browser (DNS rebinding, form posts).

    Raises ForbiddenError unless Host, and Origin where there is one, name this machine.
    """
    origin = header(scope, b"origin")
    named = [_hostname(f"//{header(scope, b'host')}"), *([_hostname(origin)] if origin else [])]
    if not all(name in LOOPBACK for name in named):
        raise ForbiddenError(
            "This endpoint is for apps on this machine",
            where="headers host and origin",
            expected="127.0.0.1 or localhost",
            remedy="ask the control plane instead",
        )


def _hostname(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
