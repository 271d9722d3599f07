"""An OpenAI-compatible upstream as a cloud tier. It speaks text, not our token ids; its peculiarities stay in here."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import msgspec

from control_plane.upstreams.errors import HttpError, HttpTimeoutError
from control_plane.upstreams.http_client import HttpClient
from control_plane.upstreams.http_response import HttpResponse
from edgewise.generation.state import GenerationState
from edgewise.observability.context import outgoing_traceparent
from edgewise.routing.foreign import chat_body, error_message, read_chunks, read_whole, told_wait_s
from edgewise.routing.tier import Capabilities, Chunk, Load, TierKind
from edgewise.wire.errors import TierRefusedError, TierTimeoutError, UpstreamError

ERROR_BODY_MAX_BYTES = 4096
WHOLE_MAX_BYTES = 64 << 20
LOCATION_MAX_BYTES = 200


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


class OpenAITier:
    """A Tier over one upstream and the HTTP client of all. Raises ConfigError for a URL or key that cannot be sent."""

    kind: TierKind = "cloud"

    def __init__(self, upstream: Upstream, http: HttpClient) -> None:
        self._upstream = upstream
        self._http = http
        headers = {"content-type": "application/json"}
        if upstream.api_key:
            headers["authorization"] = f"Bearer {upstream.api_key}"
        self._target = http.target("POST", f"{upstream.base_url.rstrip('/')}/chat/completions", headers)
        self._running = 0
        self.name = f"cloud:{upstream.name}"
        self.capabilities = Capabilities(models=(upstream.model,), continues=upstream.continues, whole=True)

    def load(self) -> Load:
        return Load(running=self._running, slots=1_000)

    async def cancel(self, attempt: str) -> None:
        """Closing the iterator closes the connection, which is all that OpenAI's API offers."""

    async def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        """Stream one answer. Raises TierRefusedError (408, 429, 503), UpstreamError, TierTimeoutError."""
        with self._answering(), await self._ask(state, stream=True) as response:
            await self._check_status(response)
            async for chunk in read_chunks(response, self.name, len(state.output_ids)):
                response.whole = chunk.finish is not None
                yield chunk

    async def generate_whole(self, state: GenerationState, attempt: str) -> Chunk:
        """The whole answer as one chunk; raises as `generate` does."""
        with self._answering():
            with await self._ask(state, stream=False) as response:
                await self._check_status(response)
                body = await response.read(WHOLE_MAX_BYTES)
            return read_whole(body, self.name, len(state.output_ids))

    async def _ask(self, state: GenerationState, *, stream: bool) -> HttpResponse:
        traceparent = outgoing_traceparent()
        headers = b"traceparent: %b\r\n" % traceparent.encode("ascii") if traceparent else b""
        return await self._http.request(self._target, _request_body(self._upstream, state, stream=stream), headers)

    @contextmanager
    def _answering(self) -> Iterator[None]:
        """One more answer runs; faults of HTTP become typed errors."""
        self._running += 1
        try:
            yield
        except HttpTimeoutError as error:
            raise TierTimeoutError(
                f"{self.name} did not answer in time: {error}", where=self._upstream.base_url
            ) from error
        except HttpError as error:
            raise UpstreamError(
                f"{self.name} failed: {error}",
                where=self._upstream.base_url,
                remedy="check that the upstream runs and that its base URL is right",
            ) from error
        finally:
            self._running -= 1

    async def _check_status(self, response: HttpResponse) -> None:
        status = response.status
        if status == 200:
            return
        if 300 <= status < 400:
            raise UpstreamError(
                f"{self.name} answered HTTP {status}: a redirect, which is not followed",
                where=self._upstream.base_url,
                remedy=f"set its base URL to where it leads: {_printable(response.headers.get(b'location', b''))}",
            )
        kind = TierRefusedError if status in (408, 429, 503) else UpstreamError
        said = await _said(response)
        wait_s = told_wait_s(response.headers.get(b"retry-after", b"").decode("latin-1"))
        raise kind(f"{self.name} answered HTTP {status}: {said}", where=self._upstream.base_url, retry_after_s=wait_s)


async def _said(response: HttpResponse) -> str:
    """What an error response says; the status counts even when its body cannot be read."""
    try:
        return error_message((await response.beginning(ERROR_BODY_MAX_BYTES))[:ERROR_BODY_MAX_BYTES])
    except HttpError as error:
        return f"(its body cannot be read: {error})"


def _printable(location: bytes) -> str:
    return location[:LOCATION_MAX_BYTES].decode("ascii", errors="backslashreplace") or "(it does not say)"


def _request_body(upstream: Upstream, state: GenerationState, *, stream: bool) -> bytes:
    body: dict[str, Any] = chat_body(state, upstream.model, stream=stream)
    if state.output_text:
        body["messages"].append({"role": "assistant", "content": state.output_text})
        body |= {"continue_final_message": True, "add_generation_prompt": False}
    return msgspec.json.encode(body)
