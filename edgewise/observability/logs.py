"""How every process writes its log: text or JSON lines, with trace and stream where they are known.

Whatever a caller logs, keys are masked, and the words of foreign exceptions are left out: they may quote what was said.
"""

from __future__ import annotations

import json
import logging
import re
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import IO, Any, Literal

from edgewise.observability.context import current
from edgewise.wire.errors import EdgewiseError

LogFormat = Literal["json", "text"]
CHATTY = ("httpx", "uvicorn.error", "opentelemetry", "urllib3")
EXTRAS = ("stream", "epoch", "from_seq", "node", "job")
"""Attributes that a caller may pass in `extra`, and that are shown."""
_KEY = re.compile(r"\bek_[A-Za-z0-9_-]{4,}")


def configure(form: LogFormat = "text", *, stream: IO[str] | None = None, level: int = logging.INFO) -> None:
    """Set up the root logger of this process."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(formatter(form))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in CHATTY:
        logging.getLogger(name).setLevel(logging.WARNING)


@contextmanager
def silenced(level: int) -> Iterator[None]:
    """While the block runs nobody in this process logs anything up to `level`; afterwards all is as before."""
    before = logging.root.manager.disable
    logging.disable(max(level, before))
    try:
        yield
    finally:
        logging.disable(before)


def formatter(form: LogFormat) -> logging.Formatter:
    """The formatter of that form."""
    return JsonFormatter() if form == "json" else TextFormatter()


def clean(text: str) -> str:
    """`text` without API keys."""
    return _KEY.sub("ek_…", text) if "ek_" in text else text


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time` (UTC), `level`, `logger`, `message`, then what is known."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": moment.replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        line.update(_known(record))
        if error := _error(record):
            line["error"], line["frames"] = error
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """A line for people; what is known stands behind the message."""

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created).astimezone().isoformat(" ", timespec="milliseconds")
        known = "".join(f" {name}={value}" for name, value in _known(record))
        line = f"{moment[:23]} {record.levelname} {record.name} {_message(record)}{known}"
        if error := _error(record):
            line += "".join(f"\n    {frame}" for frame in error[1]) + f"\n  {error[0]}"
        return line


def _message(record: logging.LogRecord) -> str:
    return clean(record.getMessage())


def _known(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    for name in EXTRAS:
        if (value := record.__dict__.get(name)) is not None:
            yield name, clean(value) if isinstance(value, str) else value
    if (context := current()) is not None:
        yield "trace_id", context.trace_id
        yield "span_id", context.span_id


def _error(record: logging.LogRecord) -> tuple[str, list[str]] | None:
    """The kind of a logged exception and where it came from; its words only where they are ours."""
    error = record.exc_info[1] if record.exc_info else None
    if error is None:
        return None
    words = f": {clean(error.message)}" if isinstance(error, EdgewiseError) else ""
    frames = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__}{words}", [f"{frame.filename}:{frame.lineno} in {frame.name}" for frame in frames]
