"""Where the request that is being answered came from, for the audit log: set by the operator check, read by AuditTrail.

A context variable, because each request runs in a context of its own and every change is to carry it, whoever makes it.
"""

from __future__ import annotations

from contextvars import ContextVar

from starlette.requests import HTTPConnection

ADDRESS_CHARS = 64
_address: ContextVar[str | None] = ContextVar("edgewise_request_address", default=None)


def note_origin(connection: HTTPConnection) -> None:
    """Remember the client's address for what this request changes."""
    _address.set(connection.client.host[:ADDRESS_CHARS] if connection.client else None)


def request_address() -> str | None:
    """The client's address; None outside a request."""
    return _address.get()
