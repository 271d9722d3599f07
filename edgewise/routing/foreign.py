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
_FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _Error(msgspec.Struct):
    message: str = ""


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: _Error | str | None = None


_decoder = msgspec.json.Decoder(_Event)


def chat_body(state: GenerationState, model: str) -> dict[str, Any]:
    """The fields that every OpenAI-compatible server understands; penalties and stops only where they are set."""
    sampling = state.sampling
    body: dict[str, Any] = {
        "model": model,
        "messages": [{"role": message.role, "content": message.content} for message in state.messages],
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": state.budget,
        "temperature": sampling.temperature,
        "top_p": sampling.top_p,
        "seed": state.seed,
    }
    optional: dict[str, Any] = {
        "stop": list(state.stops),
        "frequency_penalty": sampling.frequency_penalty,
        "presence_penalty": sampling.presence_penalty,
    }
    return body | {name: value for name, value in optional.items() if value}


async def read_chunks(blocks: AsyncIterator[bytes], name: str, n0: int) -> AsyncGenerator[Chunk, None]:
    """Text chunks, then one with the finish and the usage: some servers send usage after the finish, some never.

    Raises UpstreamError for an event that is no chat chunk, an error in the stream, and a stream that breaks off.
    """
    finish: Finish | None = None
    usage: Usage | None = None
    try:
        async for data in _events(blocks):
            chunk = _decode(data, name)
            usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens) if chunk.usage else usage
            for choice in chunk.choices[:1]:
                if choice.delta.content:
                    yield Chunk(n0, (), choice.delta.content)
                if choice.finish_reason is not None:
                    finish = _FINISHES.get(choice.finish_reason, "stop")
    except Exception:  # whatever the transport raises: an answer whose finish is known is whole
        if finish is None:
            raise
    if finish is None:
        raise UpstreamError(f"{name} closed its stream without a finish reason", where=name)
    yield Chunk(n0, (), "", finish, usage)


async def _events(blocks: AsyncIterator[bytes]) -> AsyncGenerator[str, None]:
    """The data of each event up to `[DONE]`; what a server does after that is of no interest."""
    parser = SseParser()
    async for block in blocks:
        for event in parser.feed(block):
            if event.data == "[DONE]":
                return
            yield event.data


def error_message(body: bytes) -> str:
    """The server's own sentence if its error has OpenAI's shape, else the start of the body."""
    try:
        error = _decoder.decode(body).error
    except (msgspec.MsgspecError, UnicodeDecodeError):
        error = None
    said = error.message if isinstance(error, _Error) else error
    return (said or body.decode("utf-8", errors="replace"))[:ERROR_MAX_CHARS]


def _decode(data: str, name: str) -> _Event:
    try:
        event = _decoder.decode(data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise UpstreamError(f"{name} sent an event that is not a chat chunk: {error}", where=name) from error
    if event.error is not None:
        raise UpstreamError(f"{name} reported an error in its stream: {error_message(data.encode())}", where=name)
    return event
