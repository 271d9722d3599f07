"""What can go wrong between us and an upstream's HTTP server. None leaves this room: tiers say it as a TierError."""

from __future__ import annotations


class HttpError(Exception):
    """Base of every fault of an exchange; its text says what happened, and never what was sent."""


class HttpConnectError(HttpError):
    """No connection: the name, the address, the port or TLS."""


class HttpTimeoutError(HttpConnectError):
    """No connection in time."""


class HttpResponseError(HttpError):
    """What came is no HTTP/1.1 response that we understand, or is larger than we take."""


class HttpCutError(HttpError):
    """The connection ended before the response did."""
