"""From log entries to OpenAI chat chunks and completions: a pure function, so every gateway replays the same bytes."""

from __future__ import annotations

from typing import Any

import msgspec

from edgewise.dialects import sse
from edgewise.dialects.openai_errors import error_body
from edgewise.streams.entries import (
    CancelEntry,
    EndEntry,
    Entry,
    ErrorEntry,
    ProbabilitiesEntry,
    RetractEntry,
    RevisionEntry,
    TierEntry,
    TokensEntry,
    WarnEntry,
    decode_entry,
)
from edgewise.streams.log import Record
from edgewise.wire.errors import ErrorInfo

_encode = msgspec.json.Encoder().encode
_CONTENT = b'"content":'
_EMPTY = _CONTENT + b'""'
"""Found nowhere else in a chunk: within a JSON string its quotes would be escaped."""


class AnswerHeader(msgspec.Struct, frozen=True, kw_only=True):
    """What every frame of one answer repeats; part of the stream's request snapshot."""

    sid: str
    created: int
    model: str
    include_usage: bool
    mode: str
    rule: str
    reason: str
    policy: str
    trace: str = ""
    """The W3C traceparent of the answer's root span; clients are shown its trace id."""
    tokens_per_s: float | None = None
    """The pace at which the answer is shown, at most; None is as fast as it comes."""

    @property
    def trace_id(self) -> str:
        return self.trace[3:35]


class ChatRenderer:
    """Feeds on one stream's records from the first on and gives the SSE bytes of each.

    It must see every record from sequence 0 (it tracks which model speaks); a resumed reader drops the bytes it has.
    """

    def __init__(self, header: AnswerHeader) -> None:
        self._header = header
        self._model = header.model
        self._tier = ""
        self._spoke = False
        self._around_text: tuple[bytes, bytes] | None = None

    def render(self, record: Record) -> bytes:
        """The SSE frames of one record. The record's id stands on its last frame, so a cursor never splits a record."""
        frames = self.data(record)
        event_id = f"{self._header.sid}/{record.seq}"
        blocks = b"".join(
            sse.frame(frame, event_id if index == len(frames) - 1 else None) for index, frame in enumerate(frames)
        )
        return blocks if record.seq else sse.RETRY + blocks

    def data(self, record: Record) -> list[bytes]:
        """What the frames of one record say, each one line of JSON; `[DONE]` is the last one of the stream."""
        return self._frames(decode_entry(record.payload))

    def _frames(self, entry: Entry) -> list[bytes]:
        match entry:
            case TokensEntry():
                return [self._text_chunk(entry.text)]
            case TierEntry():
                return [self._tier_chunk(entry)]
            case ProbabilitiesEntry():  # told by those that were asked for them
                return []
            case EndEntry():
                return self._end(entry)
            case CancelEntry():
                return [self._chunk({}, finish="stop", edgewise={"cancelled_by": entry.by}), b"[DONE]"]
            case ErrorEntry():
                return [_encode(error_body(entry.error, trace_id=self._header.trace_id))]
            case WarnEntry():
                return [self._chunk({}, edgewise={"warning": {"code": entry.code, "message": entry.message}})]
            case RevisionEntry():
                return [self._chunk({}, edgewise={"revision": {"text": entry.text, "tier": entry.tier}})]
            case RetractEntry():
                return [self._chunk({}, edgewise={"retract": {"start": entry.start, "why": entry.why}})]

    def _text_chunk(self, text: str) -> bytes:
        """A chunk of text alone: while one tier speaks, only the text differs, so only the text is encoded."""
        if not self._around_text:
            before, _, after = self._chunk({"content": ""}).partition(_EMPTY)
            self._around_text = before + _CONTENT, after
        before, after = self._around_text
        return before + _encode(text) + after

    def _tier_chunk(self, entry: TierEntry) -> bytes:
        self._model, self._tier, self._around_text = entry.model, entry.tier, None
        delta = {"content": ""} if self._spoke else {"role": "assistant", "content": ""}
        self._spoke = True
        return self._chunk(delta, edgewise=self._meta() | {"why": entry.why, "model_version": entry.model_version})

    def _end(self, entry: EndEntry) -> list[bytes]:
        if entry.finish == "error":  # the error frame before it is the end; a finish reason would look like success
            return [b"[DONE]"]
        timings = entry.timings
        meta = self._meta() | {
            "first_token_ms": round(timings.first_token_s * 1000, 1),
            "total_ms": round(timings.total_s * 1000, 1),
            "tokens": entry.completion_tokens,
            "waste_tokens": timings.waste_tokens,
        }
        delta = {"content": entry.text} if entry.text else {}
        frames = [self._chunk(delta, finish=_openai_finish(entry.finish), edgewise=meta)]
        if self._header.include_usage:
            frames.append(self._chunk(None, usage=usage_object(entry)))
        return [*frames, b"[DONE]"]

    def _meta(self) -> dict[str, Any]:
        header = self._header
        return {
            "stream": header.sid,
            "tier": self._tier,
            "mode": header.mode,
            "rule": header.rule,
            "reason": header.reason,
            "policy": header.policy,
            "trace": header.trace_id,
        }

    def _chunk(
        self,
        delta: dict[str, Any] | None,
        *,
        finish: str | None = None,
        usage: dict[str, int] | None = None,
        edgewise: dict[str, Any] | None = None,
    ) -> bytes:
        choices = [] if delta is None else [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}]
        chunk: dict[str, Any] = {
            "id": f"chatcmpl-{self._header.sid}",
            "object": "chat.completion.chunk",
            "created": self._header.created,
            "model": self._model,
            "choices": choices,
        }
        if self._header.include_usage:
            chunk["usage"] = usage
        if edgewise is not None:
            chunk["edgewise"] = edgewise
        return _encode(chunk)


def usage_object(entry: EndEntry) -> dict[str, int]:
    """OpenAI's usage object."""
    return {
        "prompt_tokens": entry.prompt_tokens,
        "completion_tokens": entry.completion_tokens,
        "total_tokens": entry.prompt_tokens + entry.completion_tokens,
    }


def _openai_finish(finish: str) -> str:
    return finish if finish in {"stop", "length", "tool_calls", "content_filter"} else "stop"


class CompletionBuilder:
    """Folds one stream's records into a whole `chat.completion` object, or into the error that ended it."""

    def __init__(self, header: AnswerHeader) -> None:
        self._header = header
        self._text: list[str] = []
        self._model = header.model
        self._tier = ""
        self._end: EndEntry | CancelEntry | None = None
        self._warnings: list[dict[str, str]] = []
        self.error: ErrorInfo | None = None

    def add(self, record: Record) -> None:
        match entry := decode_entry(record.payload):
            case TokensEntry():
                self._text.append(entry.text)
            case TierEntry():
                self._model, self._tier = entry.model, entry.tier
            case ErrorEntry():
                self.error = entry.error
            case EndEntry():
                self._end = entry
                self._text.append(entry.text)
            case CancelEntry():
                self._end = entry
            case WarnEntry():
                self._warnings.append({"code": entry.code, "message": entry.message})
            case _:
                pass

    def body(self) -> bytes:
        """JSON of the completion. Call after the terminal record and only when `error` is None."""
        end = self._end if isinstance(self._end, EndEntry) else EndEntry("stop", 0, 0)
        header = self._header
        return _encode(
            {
                "id": f"chatcmpl-{header.sid}",
                "object": "chat.completion",
                "created": header.created,
                "model": self._model,
                "choices": [
                    {
                        "index": 0,
                        "message": {"role": "assistant", "content": "".join(self._text), "refusal": None},
                        "logprobs": None,
                        "finish_reason": _openai_finish(end.finish),
                    }
                ],
                "usage": usage_object(end),
                "edgewise": {
                    "stream": header.sid,
                    "tier": self._tier,
                    "mode": header.mode,
                    "rule": header.rule,
                    "reason": header.reason,
                    "policy": header.policy,
                    "trace": header.trace_id,
                    "cancelled": isinstance(self._end, CancelEntry),
                    "first_token_ms": round(end.timings.first_token_s * 1000, 1),
                    "total_ms": round(end.timings.total_s * 1000, 1),
                    "waste_tokens": end.timings.waste_tokens,
                    **({"warnings": self._warnings} if self._warnings else {}),
                },
            }
        )
