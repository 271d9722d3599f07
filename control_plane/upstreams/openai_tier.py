"""An OpenAI-compatible upstream as a cloud tier. It speaks text, not our token ids; its peculiarities stay in here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec

from edgewise.dialects.sse import SseParser
from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Capabilities, Chunk, Finish, Load, TierKind, Usage
from edgewise.wire.errors import TierRefusedError, TierTimeoutError, UpstreamError

_FINISHES: dict[str, Finish] = {
    "stop": "stop",
    "length": "length",
    "content_filter": "content_filter",
    "tool_calls": "tool_calls",
    "function_call": "tool_calls",
}
CONNECT_TIMEOUT_S = 5.0
ERROR_BODY_MAX_BYTES = 4096


@dataclass(frozen=True)
class Upstream:
    """One foreign engine. `base_url` ends before `/chat/completions`; `continues`: it takes an open assistant turn."""

    name: str
    base_url: str
    model: str
    api_key: str = ""
    continues: bool = False

    def __repr__(self) -> str:
        return f"Upstream(name={self.name!r}, base_url={self.base_url!r}, model={self.model!r})"


class _Delta(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    delta: _Delta = msgspec.field(default_factory=_Delta)
    finish_reason: str | None = None


class _Usage(msgspec.Struct):
    prompt_tokens: int = 0
    completion_tokens: int = 0


class _UpstreamChunk(msgspec.Struct):
    choices: list[_Choice] = []
    usage: _Usage | None = None
    error: Any = None


_decoder = msgspec.json.Decoder(_UpstreamChunk)


class OpenAITier:
    """A Tier over one upstream and one shared HTTP session."""

    kind: TierKind = "cloud"

    def __init__(self, upstream: Upstream, http: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._http = http
        self._running = 0
        self.name = f"cloud:{upstream.name}"
        self.capabilities = Capabilities(models=(upstream.model,), continues=upstream.continues)

    def load(self) -> Load:
        return Load(running=self._running, slots=1_000)

    async def cancel(self, attempt: str) -> None:
        """Closing the iterator closes the connection, which is all that OpenAI's API offers."""

    async def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        """Stream one answer. Raises TierRefusedError (429, 5xx with retry), UpstreamError, TierTimeoutError."""
        self._running += 1
        try:
            async with self._http.post(
                f"{self._upstream.base_url.rstrip('/')}/chat/completions",
                json=_request_body(self._upstream, state),
                headers={"authorization": f"Bearer {self._upstream.api_key}"} if self._upstream.api_key else {},
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S),
            ) as response:
                await self._check_status(response)
                async for chunk in _chunks(response.content.iter_any(), self.name, len(state.output_ids)):
                    yield chunk
        except asyncio.TimeoutError as error:  # noqa: UP041 - aiohttp raises the asyncio name on every version
            raise TierTimeoutError(f"{self.name} did not answer in time", where=self._upstream.base_url) from error
        except aiohttp.ClientError as error:
            raise UpstreamError(
                f"{self.name} failed: {type(error).__name__}",
                where=self._upstream.base_url,
                remedy="check that the upstream runs and that its base URL is right",
            ) from error
        finally:
            self._running -= 1

    async def _check_status(self, response: aiohttp.ClientResponse) -> None:
        if response.status == 200:
            return
        body = (await response.content.read(ERROR_BODY_MAX_BYTES)).decode("utf-8", errors="replace")
        refused = response.status in (408, 429, 503)
        kind = TierRefusedError if refused else UpstreamError
        raise kind(
            f"{self.name} answered HTTP {response.status}: {_error_message(body)}", where=self._upstream.base_url
        )


def _request_body(upstream: Upstream, state: GenerationState) -> dict[str, Any]:
    messages = [{"role": message.role, "content": message.content} for message in state.messages]
    body: dict[str, Any] = {
        "model": upstream.model,
        "stream": True,
        "stream_options": {"include_usage": True},
        "max_tokens": state.budget,
        "temperature": state.sampling.temperature,
        "top_p": state.sampling.top_p,
        "seed": state.seed,
    }
    if state.output_text:
        messages.append({"role": "assistant", "content": state.output_text})
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    if state.stops:
        body["stop"] = list(state.stops)
    if state.sampling.frequency_penalty:
        body["frequency_penalty"] = state.sampling.frequency_penalty
    if state.sampling.presence_penalty:
        body["presence_penalty"] = state.sampling.presence_penalty
    return body | {"messages": messages}


async def _chunks(blocks: AsyncIterator[bytes], name: str, n0: int) -> AsyncIterator[Chunk]:
    """Text chunks, then one with the finish and the usage: some upstreams send usage after the finish, some never."""
    parser = SseParser()
    finish: Finish | None = None
    usage: Usage | None = None
    async for block in blocks:
        for event in parser.feed(block):
            if event.data == "[DONE]":
                continue
            chunk = _decode(event.data, name)
            usage = Usage(chunk.usage.prompt_tokens, chunk.usage.completion_tokens) if chunk.usage else usage
            for choice in chunk.choices[:1]:
                if choice.delta.content:
                    yield Chunk(n0, (), choice.delta.content)
                if choice.finish_reason is not None:
                    finish = _FINISHES.get(choice.finish_reason, "stop")
    if finish is None:
        raise UpstreamError(f"{name} closed its stream without a finish reason", where=name)
    yield Chunk(n0, (), "", finish, usage)


def _decode(data: str, name: str) -> _UpstreamChunk:
    try:
        chunk = _decoder.decode(data)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise UpstreamError(f"{name} sent an event that is not a chat chunk: {error}", where=name) from error
    if chunk.error is not None:
        raise UpstreamError(f"{name} reported an error in its stream: {_error_message(data)}", where=name)
    return chunk


def _error_message(body: str) -> str:
    """The upstream's own sentence if it has OpenAI's shape, else the start of the body."""
    try:
        return str(msgspec.json.decode(body)["error"]["message"])[:300]
    except (msgspec.DecodeError, KeyError, TypeError):
        return body[:300]
