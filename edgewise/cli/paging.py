"""Lists of the admin API, page by page to their end, with a count on the terminal while that takes a while."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from edgewise.cli.connection import api_error, call
from edgewise.wire.errors import BadRequestError

if TYPE_CHECKING:
    import httpx

PAGE = 200
SHOWN = 50
_SPAN = re.compile(r"(\d{1,9})([smhdw])\Z")
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days", "w": "weeks"}

Every = Annotated[bool, typer.Option("--all", help="Everything, not only the newest.")]
Since = Annotated[
    str | None, typer.Option("--since", metavar="TIME", help="From here on: 90s, 15m, 2h, 7d, or 2026-05-04T12:00Z.")
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Before this; forms as of --since.")]


def fetch(
    client: httpx.Client,
    path: str,
    params: Mapping[str, Any] | None = None,
    *,
    limit: int | None = None,
    cursor: str = "after",
) -> list[dict[str, Any]]:
    """The items of a list, the newest `limit` or all. Raises RemoteError."""
    given = {name: value for name, value in (params or {}).items() if value is not None}
    items: list[dict[str, Any]] = []
    while limit is None or len(items) < limit:
        wanted = PAGE if limit is None else min(PAGE, limit - len(items))
        page = call(client, "GET", path, params={**given, "limit": wanted})
        items += page["items"]
        if page.get("next") is None:
            break
        given[cursor] = page["next"]
        _tell(len(items))
    _tell(0)
    return items


def download(client: httpx.Client, path: str, params: Mapping[str, Any], file: Path | None) -> int:
    """Stream an export to a file, or to standard output; returns its bytes. Raises RemoteError, OSError."""
    given = {name: value for name, value in params.items() if value is not None}
    size = 0
    with client.stream("GET", path, params=given) as response:
        if response.is_error:
            raise api_error(response.status_code, response.read())
        with file.open("wb") if file else _standard_output() as out:
            for block in response.iter_bytes():
                size += len(block)
                out.write(block)
                if file:
                    _tell(size, "bytes")
    _tell(0)
    return size


def moment(text: str | None, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> str | None:
    """A point in time as the API reads it; `2h` is two hours ago. Raises BadRequestError."""
    if text is None:
        return None
    try:
        if found := _SPAN.match(text):
            return (now() - timedelta(**{_UNITS[found[2]]: int(found[1])})).isoformat()
        parsed = datetime.fromisoformat(text)
    except (ValueError, OverflowError) as error:
        raise BadRequestError(
            f"{text!r} is no time", where="--since or --until", expected="90s, 15m, 2h, 7d, or 2026-05-04T12:00Z"
        ) from error
    return (parsed if parsed.tzinfo else parsed.astimezone()).isoformat()


def seconds(text: str) -> float:
    """A span such as 90s, 15m, 2h or 7d; 0 is none. Raises BadRequestError."""
    if text == "0":
        return 0.0
    found = _SPAN.match(text)
    if found is None:
        raise BadRequestError(f"{text!r} is no span of time", expected="a number and a unit: 90s, 15m, 2h, 7d")
    return timedelta(**{_UNITS[found[2]]: int(found[1])}).total_seconds()


class _StandardOutput:
    """Standard output as a binary file that stays open."""

    def __enter__(self) -> Any:
        return sys.stdout.buffer

    def __exit__(self, *_: object) -> None:
        sys.stdout.buffer.flush()


def _standard_output() -> Any:
    return _StandardOutput()


def _tell(count: int, what: str = "so far") -> None:
    """A running count on the terminal; 0 wipes it away."""
    if sys.stderr.isatty():
        sys.stderr.write(f"\r{count} {what} …" if count else "\r\x1b[K")
        sys.stderr.flush()
