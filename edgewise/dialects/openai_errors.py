"""OpenAI's error object, with our numbered facts beside it. The same body for HTTP and for an in-band SSE frame."""

from __future__ import annotations

from typing import Any

import msgspec

from edgewise.wire.errors import EdgewiseError, ErrorInfo, error_table


def error_body(info: ErrorInfo, param: str | None = None) -> dict[str, Any]:
    """`{"error": {...}}`: message, type, code and param for OpenAI clients; the rest for people."""
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
        headers.append((b"retry-after", str(max(1, round(info.retry_after_s))).encode()))
    return headers
