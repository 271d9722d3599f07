"""An OpenAI-compatible upstream as a cloud tier. It speaks text, not our token ids; its peculiarities stay in here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import msgspec
from yarl import URL

from edgewise.generation.state import GenerationState
from edgewise.observability.context import outgoing_headers
from edgewise.routing.foreign import chat_body, error_message, read_chunks, read_whole
from edgewise.routing.tier import Capabilities, Chunk, Load, TierKind
from edgewise.wire.errors import TierRefusedError, TierTimeoutError, UpstreamError

CONNECT_TIMEOUT_S = 5.0
ERROR_BODY_MAX_BYTES = 4096
_TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_TIMEOUT_S)


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


def new_http_session() -> aiohttp.ClientSession:
    """For all upstreams together: connections are kept and not counted (the upstream says when it has enough), and
    nobody's cookies reach the next request."""
    connector = aiohttp.TCPConnector(limit=0)
    return aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar(), auto_decompress=True)


class OpenAITier:
    """A Tier over one upstream and one shared HTTP session."""

    kind: TierKind = "cloud"

    def __init__(self, upstream: Upstream, http: aiohttp.ClientSession) -> None:
        self._upstream = upstream
        self._http = http
        self._url = URL(f"{upstream.base_url.rstrip('/')}/chat/completions")
        self._headers = {"content-type": "application/json"}
        if upstream.api_key:
            self._headers["authorization"] = f"Bearer {upstream.api_key}"
        self._running = 0
        self.name = f"cloud:{upstream.name}"
        self.capabilities = Capabilities(models=(upstream.model,), continues=upstream.continues, whole=True)

    def load(self) -> Load:
        return Load(running=self._running, slots=1_000)

    async def cancel(self, attempt: str) -> None:
        """Closing the iterator closes the connection, which is all that OpenAI's API offers."""

    async def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        """Stream one answer. Raises TierRefusedError (429, 5xx with retry), UpstreamError, TierTimeoutError."""
        async with self._answering(state, stream=True) as response:
            async for chunk in read_chunks(response.content.iter_any(), self.name, len(state.output_ids)):
                yield chunk

    async def generate_whole(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        """The whole answer as one chunk; raises as `generate` does."""
        async with self._answering(state, stream=False) as response:
            yield read_whole(await response.read(), self.name, len(state.output_ids))

    @asynccontextmanager
    async def _answering(self, state: GenerationState, *, stream: bool) -> AsyncIterator[aiohttp.ClientResponse]:
        """The upstream's response, once its status is good; its faults become typed errors while it is read, too."""
        self._running += 1
        try:
            async with self._http.post(
                self._url,
                data=_request_body(self._upstream, state, stream=stream),
                headers=self._headers | outgoing_headers(),
                timeout=_TIMEOUT,
            ) as response:
                await self._check_status(response)
                yield response
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
        body = await response.content.read(ERROR_BODY_MAX_BYTES)
        refused = response.status in (408, 429, 503)
        kind = TierRefusedError if refused else UpstreamError
        raise kind(f"{self.name} answered HTTP {response.status}: {error_message(body)}", where=self._upstream.base_url)


def _request_body(upstream: Upstream, state: GenerationState, *, stream: bool) -> bytes:
    body: dict[str, Any] = chat_body(state, upstream.model, stream=stream)
    if state.output_text:
        body["messages"].append({"role": "assistant", "content": state.output_text})
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return msgspec.json.encode(body)
