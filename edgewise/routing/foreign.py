"""What every tier that is reached over OpenAI's chat API shares: a state as a request, and the stream read back."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

import msgspec

from edgewise.dialects.sse import SseParser
from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Chunk, Finish, Usage
from edgewise.wire.errors import UpstreamError

ERROR_MAX_CHARS = 500
RETRY_MAX_S = 3600.0
_FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


class _Text(msgspec.Struct, frozen=True, gc=False):
    content: str | None = None


class _Choice(msgspec.Struct, frozen=True):
    """`delta` in a stream, `message` in a whole answer."""

    delta: _Text = _Text()
    message: _Text = _Text()
    finish_reason: str | None = None


class _Usage(msgspec.Struct, gc=False):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Error(msgspec.Struct, gc=False):
    message: str = ""


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: _Error | str | None = None


_decoder = msgspec.json.Decoder(_Event)


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


async def read_chunks(blocks: AsyncIterator[bytes], name: str, n0: int) -> AsyncGenerator[Chunk, None]:
    """Text chunks, then one with the finish and the usage: some servers send usage after the finish, some never.

    Events that arrived together become one chunk. Raises UpstreamError for an event that is no chat chunk, an error in
    the stream, and a stream that breaks off; what was said before it is yielded first.
    """
    reading = _Reading(name)
    try:
        async for block in blocks:
            text, error = reading.take(block)
            if text:
                yield Chunk(n0, (), text)
            if error is not None:
                raise error
            if reading.done:
                break
    except Exception:  # whatever the transport raises: an answer whose finish is known is whole
        if reading.finish is None:
            raise
    yield Chunk(n0, (), "", _finish(reading.finish, name), reading.usage)


class _Reading:
    """One stream of chat chunks as far as it was read; `done` at `[DONE]`, after which nothing is of interest."""

    def __init__(self, name: str) -> None:
        self.finish: str | None = None
        self.usage: Usage | None = None
        self.done = False
        self._name = name
        self._parser = SseParser()

    def take(self, block: bytes) -> tuple[str, UpstreamError | None]:
        """The text of the events that `block` completes, and the fault of the first one that is not as it should be."""
        texts: list[str] = []
        for data in self._parser.feed_data(block):
            if data == b"[DONE]":
                self.done = True
                break
            try:
                event = _decode(data, self._name)
            except UpstreamError as error:
                return "".join(texts), error
            if event.usage is not None:
                self.usage = Usage(event.usage.prompt_tokens, event.usage.completion_tokens)
            if event.choices:
                choice = event.choices[0]
                if choice.delta.content:
                    texts.append(choice.delta.content)
                self.finish = choice.finish_reason or self.finish
        return "".join(texts), None


def read_whole(body: bytes, name: str, n0: int) -> Chunk:
    """A whole answer as one chunk. Raises UpstreamError when it is none, or has no finish reason."""
    event = _decode(body, name)
    choice = event.choices[0] if event.choices else _Choice()
    usage = Usage(event.usage.prompt_tokens, event.usage.completion_tokens) if event.usage else None
    return Chunk(n0, (), choice.message.content or "", _finish(choice.finish_reason, name), usage)


def _finish(reason: str | None, name: str) -> Finish:
    if reason is None:
        raise UpstreamError(f"{name} ended its answer without a finish reason", where=name)
    return _FINISHES.get(reason, "stop")


def told_wait_s(retry_after: str) -> float | None:
    """Seconds of a Retry-After header (RFC 9110 §10.2.3) that is a number of them, an hour at most; None for others."""
    text = retry_after.strip()
    return min(float(text), RETRY_MAX_S) if text.isascii() and text.isdigit() else None


def error_message(body: bytes) -> str:
    """The server's own sentence if its error has OpenAI's shape, else the start of the body."""
    try:
        error = _decoder.decode(body).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        error = None
    said = error.message if isinstance(error, _Error) else error
    return (said or body.decode("utf-8", errors="replace"))[:ERROR_MAX_CHARS]


def _decode(data: bytes, name: str) -> _Event:
    try:
        event = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UpstreamError(f"{name} sent something that is not a chat completion: {error}", where=name) from error
    if event.error is not None:
        raise UpstreamError(f"{name} reported an error in its answer: {error_message(data)}", where=name)
    return event
