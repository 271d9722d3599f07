"""What every admin endpoint shares: the operator check, bounded bodies, pages, and the error shape for OpenAPI."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.routing import APIRoute
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import AfterValidator, AwareDatetime, BaseModel
from starlette.types import Message, Receive

from control_plane.accounts.keyring import KeyRing, Principal
from control_plane.audit.origin import note_origin
from edgewise.ids import is_id
from edgewise.wire.errors import BodyTooLargeError, CursorMalformedError
from edgewise.wire.limits import BODY_MAX_BYTES

PAGE_MAX = 200
AUDIT_ACTION = "x-audit"
NUMBER_MAX = 2**31 - 1

Handler = Callable[[Request], Coroutine[Any, Any, Response]]
T = TypeVar("T")
C = TypeVar("C")

_bearer = HTTPBearer(auto_error=False, description="An API key: `Authorization: Bearer ek_…`")


class ErrorView(BaseModel):
    """OpenAI's error object with our facts beside it."""

    message: str
    type: str
    code: str
    param: str | None = None
    number: int
    where: str
    expected: str
    remedy: str


class ErrorBody(BaseModel):
    """The body of every error answer."""

    error: ErrorView


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses: those named, and the ones that any admin endpoint may give."""
    return {status: {"model": ErrorBody} for status in sorted({400, 401, 403, 422, 503, *statuses})}


def audited(action: str) -> dict[str, Any]:
    """For `openapi_extra` of every route that is no GET: the action under which its change is in the audit log."""
    return {AUDIT_ACTION: action}


UNAUDITED: dict[str, Any] = {AUDIT_ACTION: "none"}
"""For `openapi_extra` of a route that is no GET and yet changes nothing, such as a dry run."""


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError as error:
        raise ValueError("a moment that no calendar holds in UTC") from error


UtcMoment = Annotated[AwareDatetime, AfterValidator(_in_utc)]
Limit = Annotated[int, Query(ge=1, le=PAGE_MAX, description="Items per page")]
NumberCursor = Annotated[int | None, Query(ge=1, le=NUMBER_MAX, description="`next` of the page before")]
Word = Annotated[str | None, Query(max_length=160, pattern=r"^[^\x00]*$")]
IdCursor = Annotated[str | None, Query(max_length=64, description="`next` of the page before")]


def operator_only(keyring: KeyRing) -> Callable[..., Awaitable[Principal]]:
    """A dependency that lets only operators through and notes the client's address for the audit log.

    It raises UnauthenticatedError or ForbiddenError.
    """

    async def principal(
        request: Request, credentials: HTTPAuthorizationCredentials | None = Depends(_bearer)
    ) -> Principal:
        note_origin(request)
        found = keyring.authenticate(credentials.credentials if credentials else None)
        found.require("operator")
        return found

    return principal


def id_cursor(text: str | None) -> str | None:
    """A page cursor that is an id. Raises CursorMalformedError."""
    if text is not None and not is_id(text):
        raise CursorMalformedError(
            "This page cursor is malformed",
            where="the query parameter `after`",
            expected="the `next` of the page before, as it stands",
            remedy="leave `after` out to start at the newest",
        )
    return text


def next_cursor(rows: Sequence[T], limit: int, cursor: Callable[[T], C]) -> C | None:
    """The cursor of the next page; None when this one was not full."""
    return cursor(rows[-1]) if len(rows) == limit else None


class AdminRoute(APIRoute):
    """A route with a bounded body: FastAPI reads bodies whole, and before it looks at the key.

    FastAPI's own limit answers in plain text; this one raises BodyTooLargeError, which is told like any other error.
    """

    def get_route_handler(self) -> Handler:
        handle = super().get_route_handler()

        async def handle_bounded(request: Request) -> Response:
            body = await bounded_body(request, BODY_MAX_BYTES)
            return await handle(Request(request.scope, _replayed(body, request.receive)))

        return handle_bounded


def admin_router(feature: str, route_class: type[AdminRoute] = AdminRoute) -> APIRouter:
    """A router for /admin/v1/<feature>."""
    return APIRouter(prefix=f"/admin/v1/{feature}", tags=[feature], route_class=route_class)


def _replayed(body: bytes, receive: Receive) -> Receive:
    """`body` once more, then whatever comes after it (a disconnect)."""
    pending = [body]

    async def receive_again() -> Message:
        if pending:
            return {"type": "http.request", "body": pending.pop(), "more_body": False}
        return await receive()

    return receive_again


async def bounded_body(request: Request, max_bytes: int) -> bytes:
    """The request's body. Raises BodyTooLargeError as soon as it is longer than `max_bytes`."""
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > max_bytes:
            raise BodyTooLargeError(f"The body is longer than {max_bytes} bytes", expected=f"at most {max_bytes} bytes")
    return bytes(body)
