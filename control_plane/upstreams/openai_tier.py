"""A foreign engine as a cloud tier, over its OpenAI routes. How one engine differs from another is in kinds.py."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager

import msgspec

from control_plane.upstreams.errors import HttpConnectError, HttpError, HttpTimeoutError
from control_plane.upstreams.http_client import HttpClient
from control_plane.upstreams.http_response import HttpResponse
from control_plane.upstreams.refusals import refusal
from control_plane.upstreams.speech import Upstream, speech_for
from control_plane.upstreams.watch import Watch
from edgewise.generation.state import GenerationState
from edgewise.observability.context import outgoing_traceparent
from edgewise.routing.foreign import read_spoken, read_whole, told_wait_s
from edgewise.routing.tier import Chunk, Load, TierKind
from edgewise.wire.errors import EdgewiseError, TierRefusedError, TierTimeoutError, UpstreamError

logger = logging.getLogger(__name__)
ERROR_BODY_MAX_BYTES = 4096
WHOLE_MAX_BYTES = 64 << 20
LOCATION_MAX_BYTES = 200
ABORT_TIMEOUT_S = 5.0


class OpenAITier:
    """A Tier over one upstream and the HTTP client of all; `watch` tells how the upstream is.

    Raises ConfigError for a URL or key that cannot be sent, and for token ids that its kind does not take.
    """

    kind: TierKind = "cloud"

    def __init__(self, upstream: Upstream, http: HttpClient) -> None:
        self._upstream = upstream
        self._http = http
        self._speech = speech_for(upstream)
        headers = {"content-type": "application/json"}
        if upstream.api_key:
            headers["authorization"] = f"Bearer {upstream.api_key}"
        base = upstream.base_url.rstrip("/")
        self._target = http.target("POST", base + self._speech.path, headers)
        abort = upstream.kind.abort
        self._abort_target = http.target("POST", base.removesuffix("/v1") + abort, headers) if abort else None
        self._aborts: set[asyncio.Task[None]] = set()
        self._open: set[str] = set()
        self.name = f"cloud:{upstream.name}"
        self.capabilities = self._speech.capabilities
        root = base.removesuffix("/v1")
        self.watch = Watch(upstream.name, root, upstream.kind, http, headers, ours=lambda: len(self._open))

    def load(self) -> Load:
        """What the engine tells of itself, where it does; its answers for us, in any case."""
        return self.watch.load()

    async def cancel(self, attempt: str) -> None:
        """Closing the iterator closes the connection, which stops every known engine; those that can be told are told,
        too, since some look for a closed connection now and then only. Either way does both."""
        self._give_up(attempt)

    async def settle(self) -> None:
        """Wait until every engine was told what it had to be told."""
        await asyncio.gather(*self._aborts)

    async def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        """Stream one answer. Raises TierRefusedError (also for a state that must not leave), MessageTooLongError,
        UpstreamError, TierTimeoutError."""
        speaker = self._speech.speaker(state)
        if speaker.over:
            yield speaker.ended("stop", None)
            return
        with self._answering(attempt), await self._ask(state, attempt, stream=True) as response:
            await self._check_status(response, attempt)
            async for chunk in read_spoken(response, self.name, speaker, self._fault):
                if chunk.finish is not None and not chunk.ids:  # an end with ids is ours, not the engine's
                    response.whole = True
                    self._open.discard(attempt)
                yield chunk

    async def generate_whole(self, state: GenerationState, attempt: str) -> Chunk:
        """The whole answer as one chunk; raises as `generate` does."""
        speaker = self._speech.speaker(state)
        with self._answering(attempt):
            with await self._ask(state, attempt, stream=False) as response:
                await self._check_status(response, attempt)
                body = await response.read(WHOLE_MAX_BYTES)
            self._open.discard(attempt)
            chunk = read_whole(body, self.name, len(state.output_ids), self._fault)
            said = speaker.said(chunk.text, []) if chunk.text else None
            return msgspec.structs.replace(chunk, text=said.text if said else "")

    async def _ask(self, state: GenerationState, attempt: str, *, stream: bool) -> HttpResponse:
        """Refuses before a byte is built what must not leave, whatever was decided elsewhere, and what nobody hears."""
        if state.local_only or not self.watch.ready:
            self._open.discard(attempt)
            raise self._stays() if state.local_only else self._ill()
        traceparent = outgoing_traceparent()
        headers = b"traceparent: %b\r\n" % traceparent.encode("ascii") if traceparent else b""
        body = msgspec.json.encode(self._speech.body(state, attempt, stream=stream))
        return await self._http.request(self._target, body, headers)

    def _stays(self) -> TierRefusedError:
        return TierRefusedError(
            "This request may not leave its device", where=self.name, remedy="answer it on the device"
        )

    def _ill(self) -> TierRefusedError:
        return TierRefusedError(
            f"{self.name} is passed over: it does not answer when it is asked how it is, or is not well",
            where=self.name,
            remedy="look at that engine; it is asked again every few seconds",
        )

    @contextmanager
    def _answering(self, attempt: str) -> Iterator[None]:
        """One more answer runs until the engine is known to have ended it; an engine that was left before is told so.
        Faults of HTTP become typed errors, which name no address: whoever asked reads them."""
        self._open.add(attempt)
        try:
            yield
        except HttpConnectError as error:
            self._open.discard(attempt)  # it heard nothing
            logger.warning("%s at %s failed: %s", self.name, self._upstream.base_url, error)
            if isinstance(error, HttpTimeoutError):
                raise TierTimeoutError(f"{self.name} did not answer in time: {error}", where=self.name) from error
            raise self._failed("nothing listens there, or it cannot be reached") from error
        except HttpError as error:
            raise self._failed(str(error)) from error
        finally:
            self._give_up(attempt)

    def _failed(self, why: str) -> UpstreamError:
        return UpstreamError(
            f"{self.name} failed: {why}",
            where=self.name,
            remedy="check that the upstream runs and that its base URL is right",
        )

    async def _check_status(self, response: HttpResponse, attempt: str) -> None:
        status = response.status
        if status == 200:
            return
        self._open.discard(attempt)
        if 300 <= status < 400:
            location = _printable(response.headers.get(b"location", b""))
            logger.warning("%s at %s redirects to %s", self.name, self._upstream.base_url, location)
            raise UpstreamError(
                f"{self.name} answered HTTP {status}: a redirect, which is not followed",
                where=self.name,
                remedy="set its base URL to where it leads, which the gateway's log tells",
            )
        wait_s = told_wait_s(response.headers.get(b"retry-after", b"").decode("latin-1"))
        raise refusal(self.name, await _said(response), status=status, retry_after_s=wait_s)

    def _fault(self, data: bytes) -> EdgewiseError:
        return refusal(self.name, data)

    def _give_up(self, attempt: str) -> None:
        """Tell the engine, once, where it may still be at work on the attempt and can be told."""
        if attempt not in self._open:
            return
        self._open.discard(attempt)
        if self._abort_target is not None:
            task = asyncio.create_task(self._tell_abort(attempt), name=f"abort-{attempt}")
            self._aborts.add(task)
            task.add_done_callback(self._aborts.discard)

    async def _tell_abort(self, attempt: str) -> None:
        assert self._abort_target is not None
        try:
            async with asyncio.timeout(ABORT_TIMEOUT_S):
                with await self._http.request(self._abort_target, msgspec.json.encode({"rid": attempt})) as response:
                    await response.read(ERROR_BODY_MAX_BYTES)
        except (HttpError, TimeoutError) as error:
            logger.info("%s could not be told to stop: %s", self.name, error)


async def _said(response: HttpResponse) -> bytes:
    """What an error response says; the status counts even when its body cannot be read."""
    try:
        return (await response.beginning(ERROR_BODY_MAX_BYTES))[:ERROR_BODY_MAX_BYTES]
    except HttpError as error:
        return f"(its body cannot be read: {error})".encode()


def _printable(location: bytes) -> str:
    return location[:LOCATION_MAX_BYTES].decode("ascii", errors="backslashreplace") or "(it does not say)"
