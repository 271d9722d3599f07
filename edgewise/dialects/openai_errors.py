"""OpenAI's error object, with our numbered facts beside it. The same body for HTTP and for an in-band SSE frame."""

from __future__ import annotations

import math
from typing import Any

import msgspec

from edgewise.observability.context import current_trace_id
from edgewise.wire.errors import EdgewiseError, ErrorInfo, RateState, error_table


def error_body(info: ErrorInfo, param: str | None = None, *, trace_id: str = "") -> dict[str, Any]:
    """`{"error": {...}}`: message, type, code and param for OpenAI clients; the rest for people.

    `trace_id` is that of this task's request when it is left out.
    """
    message = info.message
    if info.remedy:
        message = f"{message.rstrip('.')}. To do: {info.remedy}."
    kind = _kind(info.number)
    return {
        "error": {
            "message": message,
            "type": kind.openai_type,
            "code": info.code,
            "param": param,
            "number": info.number,
            "where": info.where,
            "expected": info.expected,
            "remedy": info.remedy,
            "retry_after_s": info.retry_after_s,
            "trace": trace_id or current_trace_id(),
        }
    }


def http_status(info: ErrorInfo) -> int:
    """The HTTP status of an error that arrived by number (from a log entry or a peer)."""
    return _kind(info.number).http_status


def _kind(number: int) -> type[EdgewiseError]:
    """The class of a number; built anew each time, because every package may add its own errors."""
    return error_table().get(number, EdgewiseError)


def error_json(info: ErrorInfo, param: str | None = None) -> bytes:
    """`error_body` as UTF-8 JSON."""
    return msgspec.json.encode(error_body(info, param))


def error_headers(info: ErrorInfo) -> list[tuple[bytes, bytes]]:
    """Retry headers that the OpenAI SDK obeys."""
    headers = [(b"x-should-retry", b"true" if info.retryable else b"false")]
    if info.retry_after_s is not None:
        headers.append((b"retry-after-ms", str(int(info.retry_after_s * 1000)).encode()))
        headers.append((b"retry-after", str(max(1, math.ceil(info.retry_after_s))).encode()))
    return headers + (rate_headers(info.rate) if info.rate is not None else [])


def rate_headers(rate: RateState) -> list[tuple[bytes, bytes]]:
    """OpenAI's x-ratelimit-* headers, for those limits that exist."""
    headers: list[tuple[bytes, bytes]] = []
    for what, limit, remaining, reset_s in (
        ("requests", rate.limit_requests, rate.remaining_requests, rate.reset_requests_s),
        ("tokens", rate.limit_tokens, rate.remaining_tokens, rate.reset_tokens_s),
    ):
        if limit is not None:
            values = (("limit", limit), ("remaining", remaining or 0), ("reset", _duration(reset_s)))
            headers += [(f"x-ratelimit-{name}-{what}".encode(), str(value).encode()) for name, value in values]
    return headers


def _duration(seconds: float) -> str:
    """As OpenAI writes it: `120ms`, `6.5s`, `1m0s`."""
    if seconds < 1:
        return f"{math.ceil(seconds * 1000)}ms"
    minutes, rest = divmod(seconds, 60)
    return f"{minutes:.0f}m{rest:.0f}s" if minutes else f"{rest:g}s"
