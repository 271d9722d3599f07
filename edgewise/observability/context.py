"""Trace context: W3C `traceparent` in and out, fresh ids, and the context of the task that runs now.

Ids are always made, with or without an exporter, so that every answer, error and log line can be found again.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, MutableMapping
from contextvars import ContextVar, Token
from typing import NamedTuple

TRACEPARENT_MAX_CHARS = 256
PAYLOAD_KEY = "traceparent"
SAMPLED = 0x01
_FORM = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?", re.DOTALL)
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16
_random = random.Random()

_current: ContextVar[TraceContext | None] = ContextVar("edgewise_trace", default=None)


class TraceContext(NamedTuple):
    """Where a span stands: ids in lower-case hex (32 and 16 digits), and whether the trace is recorded."""

    trace_id: str
    span_id: str
    sampled: bool = False

    @property
    def traceparent(self) -> str:
        """The W3C header (Trace Context, version 00)."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def child(self) -> TraceContext:
        """A fresh span of the same trace."""
        return TraceContext(self.trace_id, new_span_id(), self.sampled)


def new_trace_id() -> str:
    """32 hex digits; not a secret, so the fast generator will do."""
    return _random.randbytes(16).hex()


def new_span_id() -> str:
    """16 hex digits."""
    return _random.randbytes(8).hex()


def parse_traceparent(text: str) -> TraceContext | None:
    """The context in a header (W3C Trace Context §3.2), or None when it is absent or broken: then a trace begins."""
    if not text or len(text) > TRACEPARENT_MAX_CHARS:
        return None
    match = _FORM.fullmatch(text.strip())
    if match is None:
        return None
    version, trace_id, span_id, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or trace_id == _NO_TRACE or span_id == _NO_SPAN:
        return None
    return TraceContext(trace_id, span_id, bool(int(flags, 16) & SAMPLED))


# The task that runs now -----------------------------------------------------------------------------------------------


def enter(context: TraceContext) -> Token[TraceContext | None]:
    """Make `context` that of this task, and of the tasks that it starts."""
    return _current.set(context)


def leave(token: Token[TraceContext | None]) -> None:
    """Undo an `enter` in the same task."""
    _current.reset(token)


def adopt(traceparent: str) -> None:
    """Make a client's context that of this task, if it sent one and the task has none; errors then name its trace."""
    if traceparent and _current.get() is None and (context := parse_traceparent(traceparent)) is not None:
        enter(context)


def current() -> TraceContext | None:
    """The context of this task."""
    return _current.get()


def current_trace_id() -> str:
    """The trace id of this task; one begins where there is none, so that an error can always be found again."""
    context = _current.get()
    if context is None:
        context = TraceContext(new_trace_id(), new_span_id())
        _current.set(context)
    return context.trace_id


def outgoing_traceparent() -> str:
    """What a request to another process carries; empty outside of any trace."""
    context = _current.get()
    return "" if context is None else context.traceparent


def outgoing_headers() -> dict[str, str]:
    """The same as HTTP headers."""
    return {"traceparent": text} if (text := outgoing_traceparent()) else {}


# Work that outlives the request ---------------------------------------------------------------------------------------


def into_payload(payload: MutableMapping[str, object]) -> None:
    """Let a job's payload carry this task's context."""
    context = _current.get()
    if context is not None:
        payload[PAYLOAD_KEY] = context.traceparent


def from_payload(payload: Mapping[str, object]) -> TraceContext:
    """The context for a job's own span: a child of what the payload carries, or the beginning of a trace. Enter it."""
    carried = payload.get(PAYLOAD_KEY)
    parent = parse_traceparent(carried) if isinstance(carried, str) else None
    return parent.child() if parent else TraceContext(new_trace_id(), new_span_id())
