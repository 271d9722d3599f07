"""CloudTier: the control plane as one more tier for answers that start on this device. It speaks text over HTTP.

A state that must stay local is refused here once more, before a byte is built, whatever was decided elsewhere.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from edgewise.dialects.chat import format_fields
from edgewise.generation.state import GenerationState
from edgewise.observability.context import outgoing_headers
from edgewise.routing.foreign import ERROR_MAX_CHARS, chat_body, error_message, read_chunks, told_wait_s
from edgewise.routing.tier import Capabilities, Chunk, Load, TierKind
from edgewise.wire.errors import (
    BadRequestError,
    ErrorInfo,
    TierLostError,
    TierRefusedError,
    TierRejectedError,
    UpstreamError,
)

logger = logging.getLogger(__name__)

FAMILY_MODEL = "edgewise"
CONNECT_TIMEOUT_S = 5.0
CANCEL_TIMEOUT_S = 5.0
_REFUSALS = frozenset({401, 403, 404, 413, 429, 503})


def http_base(url: str) -> str:
    """The control plane's HTTP address, whichever of its addresses was configured (`ws://host:8080/node/v1/session`)."""
    parts = urlsplit(url)
    scheme = {"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme)
    return f"{scheme}://{parts.netloc}"


class CloudTier:
    """A Tier over the control plane's own chat endpoint, asked for mode `cloud`. `key` is an app key."""

    kind: TierKind = "cloud"
    name = "cloud:control-plane"

    def __init__(self, url: str, key: str, http: httpx.AsyncClient, *, model: str = FAMILY_MODEL) -> None:
        self._base = http_base(url)
        self._headers = {"authorization": f"Bearer {key}"}
        self._http = http
        self._model = model
        self._running = 0
        self._streams: dict[str, str] = {}
        self._cancels: set[asyncio.Task[None]] = set()
        self.capabilities = Capabilities(models=(model,), continues=False, grammars=True, chooses=True)

    def load(self) -> Load:
        return Load(running=self._running, slots=64)

    def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        """Stream one answer. Raises TierRefusedError (also for a state that must stay here), TierRejectedError,
        TierLostError, UpstreamError."""
        return self._generate(state, attempt)

    async def cancel(self, attempt: str) -> None:
        """Stop the answer at the control plane; unknown attempts are ignored."""
        if sid := self._streams.pop(attempt, ""):
            task = asyncio.create_task(self._delete(sid), name=f"cancel-{sid}")
            self._cancels.add(task)
            task.add_done_callback(self._cancels.discard)

    async def settle(self) -> None:
        """Wait for cancellations that are under way."""
        await asyncio.gather(*self._cancels)

    async def _generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        if state.local_only:
            raise TierRefusedError(
                "This request may not leave the device", where=self.name, remedy="answer it on the device"
            )
        self._running += 1
        try:
            headers = self._headers | outgoing_headers()
            async with self._http.stream(
                "POST", f"{self._base}/v1/chat/completions", json=self._body(state), headers=headers
            ) as response:
                await self._check(response)
                self._streams[attempt] = response.headers.get("x-edgewise-stream-id", "")
                async for chunk in read_chunks(response.aiter_bytes(), self.name, len(state.output_ids)):
                    if chunk.finish:
                        self._streams.pop(attempt, None)
                    yield chunk
        except (httpx.HTTPError, httpx.StreamError) as error:
            raise TierLostError(
                f"The control plane cannot be reached: {type(error).__name__}",
                where=self._base,
                remedy="check the link; the device can answer by itself",
            ) from error
        finally:
            self._running -= 1
            await self.cancel(attempt)

    async def _delete(self, sid: str) -> None:
        try:
            await self._http.delete(f"{self._base}/v1/streams/{sid}", headers=self._headers, timeout=CANCEL_TIMEOUT_S)
        except httpx.HTTPError as error:
            logger.info("a cloud answer could not be cancelled: %s", type(error).__name__, extra={"stream": sid})

    async def _check(self, response: httpx.Response) -> None:
        if response.status_code == 200:
            return
        body = await response.aread()
        if response.status_code == HTTPStatus.BAD_REQUEST:
            raise TierRejectedError(_fault_of(body))
        told = error_message(body)
        kind = TierRefusedError if response.status_code in _REFUSALS else UpstreamError
        wait_s = told_wait_s(response.headers.get("retry-after", ""))
        raise kind(
            f"The control plane answered HTTP {response.status_code}: {told}", where=self._base, retry_after_s=wait_s
        )

    def _body(self, state: GenerationState) -> dict[str, Any]:
        sampling = state.sampling
        return chat_body(state, self._model) | {
            "top_k": sampling.top_k,
            "min_p": sampling.min_p,
            "logit_bias": {str(token): bias for token, bias in sampling.logit_bias.items()},
            **format_fields(state.grammar, {"mode": "cloud"}),
        }


class _ErrorBody(msgspec.Struct):
    error: ErrorInfo


def _fault_of(body: bytes) -> ErrorInfo:
    """What the control plane finds wrong with a request, in its own number; whatever else answers 400 has none."""
    try:
        told = msgspec.json.decode(body, type=_ErrorBody).error
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return BadRequestError(f"The control plane answered HTTP 400: {error_message(body)}").info()
    message = told.message.removesuffix(f". To do: {told.remedy}.")[:ERROR_MAX_CHARS]
    return msgspec.structs.replace(told, message=message, retryable=False)


def new_http_client(url: str, transport: Callable[[], httpx.AsyncBaseTransport] | None = None) -> httpx.AsyncClient:
    """A client for the control plane: proxies of the environment are used unless it runs on this machine."""
    local = urlsplit(url).hostname in {"127.0.0.1", "localhost", "::1"}
    timeout = httpx.Timeout(None, connect=CONNECT_TIMEOUT_S)
    return httpx.AsyncClient(timeout=timeout, trust_env=not local, transport=transport() if transport else None)
