"""Errors of the client API that no other part raises (1120–1129): repeated requests, and the stream socket."""

from __future__ import annotations

from edgewise.wire.errors import BadRequestError, ConflictError


class IdempotencyKeyInvalidError(BadRequestError):
    """The header Idempotency-Key holds something that cannot be a key."""

    number, code = 1120, "idempotency_key_invalid"


class IdempotencyKeyReusedError(BadRequestError):
    """The same Idempotency-Key came with another body (draft-ietf-httpapi-idempotency-key-header §2.7: 422)."""

    number, code, http_status = 1121, "idempotency_key_reused", 422


class OtherRequestError(ConflictError):
    """A request resumes a stream that answers another request."""

    number, code = 1122, "other_request"


class SocketMessageError(BadRequestError):
    """A message of the stream socket does not decode, or breaks a rule of it."""

    number, code = 1123, "socket_message_invalid"


class SocketLimitError(BadRequestError):
    """More streams, credits or bytes than one socket may have."""

    number, code, http_status = 1124, "socket_limit", 429


class TooManyFaultsError(BadRequestError):
    """A socket sent so many invalid messages that it is closed."""

    number, code = 1125, "too_many_faults"
