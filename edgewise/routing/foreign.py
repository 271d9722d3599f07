"""What every tier that is reached over OpenAI's chat API shares: a state as a request, and the stream read back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Protocol

import msgspec

from edgewise.dialects.sse import SseParser
from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Chunk, Finish, Usage
from edgewise.wire.errors import EdgewiseError, FrameTooLargeError, UpstreamError

ERROR_MAX_CHARS = 500
RETRY_MAX_S = 3600.0
_FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
_CUT_OFF = frozenset({"abort", "aborted", "cancelled", "canceled", "error", "timeout", "not_finished"})
"""Finishes of answers that the engine gave up (vLLM, SGLang, TensorRT-LLM): somebody else goes on with them."""

Fault = Callable[[bytes], EdgewiseError]
"""Makes an error of the data of an event that tells one."""


class _Text(msgspec.Struct, frozen=True, gc=False):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    """`delta` in a stream, `message` in a whole answer; `text` and `token_ids` in completions."""

    delta: _Text = _Text()
    message: _Text = _Text()
    text: str | None = None
    token_ids: list[int] | None = None
    finish_reason: str | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


class ErrorDetail(msgspec.Struct):
    """The error of OpenAI, vLLM, llama.cpp and Edgewise; TGI says its status as `http_status_code`."""

    message: str = ""
    type: str | None = None
    code: int | str | None = None
    http_status_code: int | None = None


class _ErrorBody(msgspec.Struct):
    """`error` is an object, or TGI's sentence with `error_type`; SGLang and TensorRT-LLM put its fields on top."""

    error: ErrorDetail | str | None = None
    error_type: str = ""
    message: str = ""
    type: str | None = None
    code: int | str | None = None


_events = msgspec.json.Decoder(_Event)
_errors = msgspec.json.Decoder(_ErrorBody)


def chat_body(state: GenerationState, model: str, *, stream: bool = True) -> dict[str, Any]:
    """The fields that every OpenAI-compatible server understands; penalties and stops only where they are set."""
    sampling = state.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in state.messages],
        "stream": stream,
        "max_tokens": state.budget,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": state.seed,
    }
    optional: dict[str, Any] = {
        "stream_options": {"include_usage": True} if stream else None,
        "stop": list(state.stops),
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
        "repetition_penalty": sampling.repetition_penalty if sampling.repetition_penalty != 1 else None,
    }
    return body | {name: value for name, value in optional.items() if value}


class Speaker(Protocol):
    """Makes chunks of what a stream says. `ids` wants token ids beside every text; `over`: the answer is at its end,
    whatever else may come."""

    @property
    def ids(self) -> bool: ...

    @property
    def over(self) -> bool: ...

    def said(self, text: str, ids: list[int]) -> Chunk | None:
        """The chunk of what came together; one with a finish ends the reading. Raises EdgewiseError for what cannot
        be."""
        ...

    def ended(self, finish: Finish, usage: Usage | None) -> Chunk:
        """The last chunk. Raises EdgewiseError for an end that cannot be."""
        ...


class TextSpeaker:
    """Says the text as it comes."""

    ids = False
    over = False

    def __init__(self, n0: int) -> None:
        self._n0 = n0

    def said(self, text: str, ids: list[int]) -> Chunk | None:
        return Chunk(self._n0, (), text) if text else None

    def ended(self, finish: Finish, usage: Usage | None) -> Chunk:
        return Chunk(self._n0, (), "", finish, usage)


async def read_chunks(blocks: AsyncIterator[bytes], name: str, n0: int) -> AsyncGenerator[Chunk, None]:
    """Text chunks, then one with the finish and the usage, as `read_spoken` reads them."""
    async for chunk in read_spoken(blocks, name, TextSpeaker(n0)):
        yield chunk


async def read_spoken(
    blocks: AsyncIterator[bytes], name: str, speaker: Speaker, fault: Fault | None = None
) -> AsyncGenerator[Chunk, None]:
    """Chunks, the last with the finish and the usage: some servers send usage after the finish, some never.

    Events that arrived together become one chunk. Raises UpstreamError for an event that is neither a chat chunk nor a
    completion, a stream that breaks off and an answer that was cut off; for an error in the stream what `fault` makes
    of it. What was said before is yielded first.
    """
    reading = _Reading(name, ids=speaker.ids, fault=fault or (lambda data: _reported(data, name)))
    speaking = False
    try:
        async for block in blocks:
            text, ids, error = reading.take(block)
            speaking = True
            chunk = speaker.said(text, ids) if text or ids else None
            speaking = False
            if chunk is not None:
                yield chunk
                if chunk.finish is not None:
                    return
            if speaker.over:
                break
            if error is not None:
                raise error
            if reading.done:
                break
    except Exception:  # whatever the transport raises: an answer whose finish is known is whole
        if reading.finish is None or speaking:
            raise
    yield speaker.ended("stop" if speaker.over else _finish(reading.finish, name), reading.usage)


class _Reading:
    """One stream of events as far as it was read; `done` at `[DONE]`, after which nothing is of interest."""

    def __init__(self, name: str, *, ids: bool, fault: Fault) -> None:
        self.finish: str | None = None
        self.usage: Usage | None = None
        self.done = False
        self._name, self._ids, self._fault = name, ids, fault
        self._parser = SseParser()

    def take(self, block: bytes) -> tuple[str, list[int], EdgewiseError | None]:
        """Text and ids of the events that `block` completes, and the fault of the first that is not as it should be."""
        texts: list[str] = []
        ids: list[int] = []
        try:
            events = self._parser.feed_data(block)
        except FrameTooLargeError as error:
            return "", [], UpstreamError(f"{self._name} sent a stream that is none: {error.message}", where=self._name)
        for data in events:
            if data == b"[DONE]":
                self.done = True
                break
            try:
                event = _decode(data, self._name, self._fault)
            except EdgewiseError as error:
                return "".join(texts), ids, error
            if event.usage is not None:
                self.usage = Usage(event.usage.prompt_tokens, event.usage.completion_tokens)
            if event.choices:
                choice = event.choices[0]
                if said := choice.delta.content or choice.text:
                    texts.append(said)
                if self._ids:
                    if choice.token_ids is None and said:
                        return "".join(texts), ids, _without_ids(self._name)
                    ids += choice.token_ids or ()
                self.finish = choice.finish_reason or self.finish
        return "".join(texts), ids, None


def read_whole(body: bytes, name: str, n0: int, fault: Fault | None = None) -> Chunk:
    """A whole answer as one chunk. Raises UpstreamError when it is none, has no finish reason or was cut off; for an
    error what `fault` makes of it."""
    event = _decode(body, name, fault or (lambda data: _reported(data, name)))
    choice = event.choices[0] if event.choices else _Choice()
    usage = Usage(event.usage.prompt_tokens, event.usage.completion_tokens) if event.usage else None
    return Chunk(n0, (), choice.message.content or "", _finish(choice.finish_reason, name), usage)


def _finish(reason: str | None, name: str) -> Finish:
    if reason is None:
        raise UpstreamError(f"{name} ended its answer without a finish reason", where=name)
    if reason in _CUT_OFF:
        raise UpstreamError(f"{name} cut its answer off: {reason}", where=name)
    return _FINISHES.get(reason, "stop")


def told_wait_s(retry_after: str) -> float | None:
    """Seconds of a Retry-After header (RFC 9110 §10.2.3) that is a number of them, an hour at most; None for others."""
    text = retry_after.strip()
    return min(float(text), RETRY_MAX_S) if text.isascii() and text.isdigit() else None


def error_message(body: bytes) -> str:
    """The server's own sentence if its error has a shape that is known, else the start of the body."""
    return error_detail(body).message


def error_detail(body: bytes) -> ErrorDetail:
    """The error in whatever shape it came, its sentence at most ERROR_MAX_CHARS long; the beginning of the body where
    it has none of them."""
    try:
        told = _errors.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        told = _ErrorBody()
    found = told.error if isinstance(told.error, ErrorDetail) else None
    if found is None or not found.message:
        said = told.error if isinstance(told.error, str) else told.message
        found = ErrorDetail(said, told.type or told.error_type, told.code) if said else ErrorDetail()
    sentence = found.message or body[: 4 * ERROR_MAX_CHARS].decode("utf-8", errors="replace")
    return msgspec.structs.replace(found, message=sentence[:ERROR_MAX_CHARS])


def _decode(data: bytes, name: str, fault: Fault) -> _Event:
    try:
        event = _events.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UpstreamError(f"{name} sent something that is not a chat completion: {error}", where=name) from error
    if event.error is not None:
        raise fault(data)
    return event


def _reported(data: bytes, name: str) -> UpstreamError:
    return UpstreamError(f"{name} reported an error in its answer: {error_message(data)}", where=name)


def _without_ids(name: str) -> UpstreamError:
    return UpstreamError(
        f"{name} gave text without its token ids",
        where=name,
        expected="token_ids beside every text",
        remedy="update the engine, or take token_ids out of the upstream's settings",
    )
