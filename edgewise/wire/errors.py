"""The numbered errors of Edgewise: one table, one exception class per fault, one shape on the wire.

A number is for machines and never changes its meaning; the sentences (what, where, expected, remedy) are for people.
"""

from __future__ import annotations

from typing import ClassVar

import msgspec


class RateState(msgspec.Struct, frozen=True, omit_defaults=True):
    """The last minute of a key or a tenant: what is allowed, what is left, and seconds until all of it is free again.
    None: no such limit."""

    limit_requests: int | None = None
    remaining_requests: int | None = None
    reset_requests_s: float = 0.0
    limit_tokens: int | None = None
    remaining_tokens: int | None = None
    reset_tokens_s: float = 0.0


class ErrorInfo(msgspec.Struct, frozen=True, omit_defaults=True):
    """An error as it travels: in a frame, in a log entry, inside an HTTP body."""

    number: int
    code: str
    message: str
    where: str = ""
    expected: str = ""
    remedy: str = ""
    retry_after_s: float | None = None
    retryable: bool = False
    rate: RateState | None = None


class EdgewiseError(Exception):
    """Base of every error that a user, an operator or a peer may see.

    Class attributes say what kind of fault it is: `number` and `code` on the wire, `http_status` on HTTP,
    `openai_type` in OpenAI's error object, `retryable` whether another tier or another try may succeed.
    """

    number: ClassVar[int] = 1000
    code: ClassVar[str] = "internal_error"
    http_status: ClassVar[int] = 500
    openai_type: ClassVar[str] = "server_error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        message: str,
        *,
        where: str = "",
        expected: str = "",
        remedy: str = "",
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.expected = expected
        self.remedy = remedy
        self.retry_after_s = retry_after_s

    def __str__(self) -> str:
        parts = [self.message]
        if self.where:
            parts.append(f"Where: {self.where}.")
        if self.expected:
            parts.append(f"Expected: {self.expected}.")
        if self.remedy:
            parts.append(f"To do: {self.remedy}.")
        return " ".join(parts)

    def info(self) -> ErrorInfo:
        """The wire form of this error."""
        return ErrorInfo(
            number=self.number,
            code=self.code,
            message=self.message,
            where=self.where,
            expected=self.expected,
            remedy=self.remedy,
            retry_after_s=self.retry_after_s,
            retryable=self.retryable,
        )


class RemoteError(EdgewiseError):
    """An error that a peer reported; it keeps the peer's number and code."""

    def __init__(self, info: ErrorInfo) -> None:
        super().__init__(
            info.message,
            where=info.where,
            expected=info.expected,
            remedy=info.remedy,
            retry_after_s=info.retry_after_s,
        )
        self.remote = info

    def info(self) -> ErrorInfo:
        return self.remote


# 11xx: the request of a client ------------------------------------------------------------------------------------


class BadRequestError(EdgewiseError):
    number, code, http_status, openai_type = 1100, "invalid_request", 400, "invalid_request_error"


class MalformedJsonError(BadRequestError):
    number, code = 1101, "malformed_json"


class UnknownModelError(BadRequestError):
    number, code, http_status = 1102, "model_not_found", 404


class MessageTooLongError(BadRequestError):
    number, code = 1103, "context_length_exceeded"


class BodyTooLargeError(BadRequestError):
    number, code, http_status = 1104, "body_too_large", 413


class UnsupportedParameterError(BadRequestError):
    number, code = 1105, "unsupported_parameter"


class RefusedByPolicyError(EdgewiseError):
    number, code, http_status, openai_type = 1106, "refused_by_policy", 403, "permission_error"


class NotFoundError(EdgewiseError):
    number, code, http_status, openai_type = 1107, "not_found", 404, "invalid_request_error"


class ConflictError(EdgewiseError):
    number, code, http_status, openai_type = 1108, "conflict", 409, "invalid_request_error"


class PolicyInvalidError(BadRequestError):
    number, code, http_status = 1109, "policy_invalid", 422


# 12xx: keys -------------------------------------------------------------------------------------------------------


class UnauthenticatedError(EdgewiseError):
    number, code, http_status, openai_type = 1200, "invalid_api_key", 401, "authentication_error"


class ForbiddenError(EdgewiseError):
    number, code, http_status, openai_type = 1201, "forbidden", 403, "permission_error"


class RateLimitedError(EdgewiseError):
    """A limit per minute is reached; `rate` tells how it stands, for the x-ratelimit-* headers."""

    number, code, http_status, openai_type, retryable = 1210, "rate_limit_exceeded", 429, "rate_limit_error", True

    def __init__(
        self,
        message: str,
        *,
        where: str = "",
        expected: str = "",
        remedy: str = "",
        retry_after_s: float | None = None,
        rate: RateState | None = None,
    ) -> None:
        super().__init__(message, where=where, expected=expected, remedy=remedy, retry_after_s=retry_after_s)
        self.rate = rate

    def info(self) -> ErrorInfo:
        return msgspec.structs.replace(super().info(), rate=self.rate)


class RequestOverLimitError(RateLimitedError):
    """One request alone is more than a minute's limit: no waiting helps."""

    number, code, retryable = 1211, "request_over_limit", False


class ConcurrencyLimitError(RateLimitedError):
    """As many answers run as may run at the same time."""

    number, code = 1212, "concurrency_limit_exceeded"


class BudgetExceededError(RateLimitedError):
    """A budget has no room for this request's worst case."""

    number, code, openai_type, retryable = 1213, "insufficient_quota", "insufficient_quota", False


class LimitsUnavailableError(EdgewiseError):
    """Limits exist and cannot be checked now; nothing is let through unchecked."""

    number, code, http_status, retryable = 1214, "limits_unavailable", 503, True


# 13xx: streams ----------------------------------------------------------------------------------------------------


class StreamNotFoundError(NotFoundError):
    number, code = 1300, "stream_not_found"


class CursorMalformedError(BadRequestError):
    number, code = 1301, "cursor_malformed"


class CursorTrimmedError(EdgewiseError):
    number, code, http_status, openai_type = 1302, "cursor_trimmed", 410, "invalid_request_error"


class CursorAheadError(EdgewiseError):
    number, code, http_status, openai_type = 1303, "cursor_ahead", 409, "invalid_request_error"


class LogUnavailableError(EdgewiseError):
    """The token log cannot be reached or written (down, disk full, out of memory)."""

    number, code, http_status, retryable = 1304, "log_unavailable", 503, True


class FencedError(EdgewiseError):
    """Another runner owns the stream now; this one must stop at once."""

    number, code = 1305, "fenced"


class LogGapError(EdgewiseError):
    """The log ends before the writer's next sequence number; `next_seq` is where it ends."""

    number, code, retryable = 1306, "log_gap", True

    def __init__(self, next_seq: int) -> None:
        super().__init__(f"The log ends at sequence number {next_seq}", expected="entries from there on")
        self.next_seq = next_seq


# 14xx: tiers and generation ---------------------------------------------------------------------------------------


class TierError(EdgewiseError):
    """A tier could not go on with an attempt; the runner may try another."""

    number, code, http_status, retryable = 1400, "tier_failed", 503, True


class NoTierError(TierError):
    number, code = 1401, "no_tier_available"


class TierRefusedError(TierError):
    number, code, openai_type = 1402, "tier_refused", "rate_limit_error"


class TierTimeoutError(TierError):
    number, code, http_status = 1403, "tier_timeout", 504


class TierLostError(TierError):
    """The link or the process of the tier is gone."""

    number, code = 1404, "tier_lost"


class ModelMissingError(EdgewiseError):
    number, code, http_status = 1405, "model_missing", 503


class ModelDigestError(EdgewiseError):
    number, code, http_status = 1406, "model_digest_mismatch", 409


class UpstreamError(TierError):
    number, code, http_status = 1407, "upstream_failed", 502


class TierRejectedError(TierError):
    """The tier says that the request itself is at fault; it keeps the number that says why, and no retry will help."""

    number, code, http_status, retryable = 1408, "tier_rejected", 400, False

    def __init__(self, cause: ErrorInfo) -> None:
        super().__init__(cause.message, where=cause.where, expected=cause.expected, remedy=cause.remedy)
        self.cause = cause

    def info(self) -> ErrorInfo:
        return self.cause


class ShuttingDownError(EdgewiseError):
    """This process takes no new answers; another one, or this one in a moment, does."""

    number, code, http_status, retryable = 1409, "shutting_down", 503, True


class TierLeavingError(TierError):
    """The tier can go on, but would rather not: the answer goes to another one behind the sentence that has ended."""

    number, code = 1411, "tier_leaving"


class ModelTooLargeError(EdgewiseError):
    """A model does not fit into the memory that is free; it may, later or with less beside it."""

    number, code, http_status, retryable = 1412, "model_too_large", 503, True


# 15xx: the node session -------------------------------------------------------------------------------------------


class SessionError(EdgewiseError):
    """A fault of the node session; the socket closes with its number in the reject or goodbye frame."""

    number, code, http_status, openai_type = 1500, "session_error", 400, "invalid_request_error"


class ProtocolTooOldError(SessionError):
    number, code = 1501, "protocol_too_old"


class FrameTooLargeError(SessionError):
    number, code = 1502, "frame_too_large"


class FrameMalformedError(SessionError):
    number, code = 1503, "frame_malformed"


class UnexpectedFrameError(SessionError):
    number, code = 1504, "unexpected_frame"


class NodeKeyError(SessionError):
    number, code, http_status = 1505, "node_key_invalid", 401


class SupersededError(SessionError):
    """A newer connection of the same node took over (a higher connection epoch)."""

    number, code = 1506, "superseded"


class PolicyBundleError(SessionError):
    """A node does not take a policy bundle. `refusal` names the rule that it broke, in the words of policies.bundle."""

    number, code = 1507, "policy_bundle_refused"

    def __init__(self, message: str, *, refusal: str, where: str = "", expected: str = "", remedy: str = "") -> None:
        super().__init__(message, where=where, expected=expected, remedy=remedy)
        self.refusal = refusal


# 16xx: this machine -----------------------------------------------------------------------------------------------


class ConfigError(EdgewiseError):
    number, code = 1600, "bad_configuration"


class PortInUseError(ConfigError):
    number, code = 1601, "port_in_use"


class DataDirError(ConfigError):
    number, code = 1602, "data_dir_unusable"


class ManifestError(ConfigError):
    number, code = 1603, "manifest_invalid"


def _all_errors(root: type[EdgewiseError]) -> list[type[EdgewiseError]]:
    found = [root]
    for child in root.__subclasses__():
        found.extend(_all_errors(child))
    return found


def error_table() -> dict[int, type[EdgewiseError]]:
    """Every error class by its number (RemoteError, which borrows a number, is left out)."""
    return {cls.number: cls for cls in reversed(_all_errors(EdgewiseError)) if cls is not RemoteError}
