"""JobsApi: /internal/v1/jobs over httpx. It sorts answers into three kinds of refusal; what follows from them is the
machine's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec

from cloud_worker.forge.jobs.claim import Claim, Outcome, Told
from edgewise.wire.errors import EdgewiseError

TIMEOUT_S = 10.0
_PATH = "/internal/v1/jobs"
_HTTP = {"ws": "http", "wss": "https"}
_NEVER = {400, 413, 422}
_OVER = {404, 409}


class AwayError(EdgewiseError):
    """The control plane did not answer, or not as it should: the same call may succeed later."""

    number, code, retryable = 1750, "control_plane_away", True


class FencedError(EdgewiseError):
    """The claim is over: cancelled, or another process has the job."""

    number, code = 1751, "claim_over"


class RefusedError(EdgewiseError):
    """What was said will not be taken however often it is said."""

    number, code = 1752, "report_refused"


def http_address(url: str) -> str:
    """A node's address of its control plane (http, https, ws or wss) as one for HTTP, without a slash at its end."""
    parts = urlsplit(url)
    return parts._replace(scheme=_HTTP.get(parts.scheme, parts.scheme)).geturl().rstrip("/")


class JobsApi:
    """The calls of a process that works on jobs; each may raise AwayError. Close it."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        holder: str,
        offers: Sequence[str],
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._holder = holder
        self._offers = list(offers)
        self._client = httpx.AsyncClient(
            base_url=http_address(url) + _PATH,
            headers={"authorization": f"Bearer {key}"},
            timeout=TIMEOUT_S,
            transport=transport,
            trust_env=urlsplit(url).hostname not in {"127.0.0.1", "localhost", "::1"},
        )

    async def aclose(self) -> None:
        """Hang up."""
        await self._client.aclose()

    async def claim(self, kinds: Sequence[str]) -> Claim | None:
        """A job of these kinds; None when none waits."""
        wanted = {"kinds": list(kinds), "holder": self._holder, "offers": self._offers}
        response = await self._post("/claim", wanted)
        if response.status_code == httpx.codes.NO_CONTENT:
            return None
        if response.is_error:
            raise _away(response)
        return _decoded(response)

    async def heartbeat(self, claim: Claim, told: Told) -> None:
        """Renew the lease. Raises FencedError, RefusedError."""
        said = {"epoch": claim.epoch, "progress": told.fraction, "message": told.message}
        _check(await self._post(f"/{claim.id}/heartbeat", said))

    async def report(self, claim: Claim, outcome: Outcome) -> None:
        """Say how it ended. Raises FencedError, RefusedError."""
        if outcome.is_done:
            _check(await self._post(f"/{claim.id}/complete", {"epoch": claim.epoch, "result": outcome.result}))
        else:
            said = {"epoch": claim.epoch, "error": outcome.error, "retry": outcome.retry}
            _check(await self._post(f"/{claim.id}/fail", said))

    async def give_back(self, claim: Claim) -> None:
        """Let another process have it. Raises FencedError, RefusedError."""
        _check(await self._post(f"/{claim.id}/give-back", {"epoch": claim.epoch}))

    async def _post(self, path: str, body: Mapping[str, Any]) -> httpx.Response:
        try:
            return await self._client.post(path, json=body)
        except httpx.TransportError as error:
            raise AwayError(
                f"The control plane does not answer: {type(error).__name__}",
                where=str(self._client.base_url),
                remedy="nothing: it is asked again",
            ) from error


def _check(response: httpx.Response) -> None:
    if response.status_code in _OVER:
        raise FencedError("The claim is over", where=response.request.url.path, remedy="claim the next job")
    if response.status_code in _NEVER:
        raise RefusedError(f"status {response.status_code}: {_words(response)}", where=response.request.url.path)
    if response.is_error:
        raise _away(response)


def _away(response: httpx.Response) -> AwayError:
    return AwayError(
        f"The control plane answered with status {response.status_code}: {_words(response)}",
        where=str(response.request.url),
        remedy="correct the key if it is 401 or 403; it is asked again",
    )


def _words(response: httpx.Response) -> str:
    """The message of our own error body; nothing of other bodies."""
    try:
        found = msgspec.json.decode(response.content)
        return str(found["error"]["message"])[:300]
    except (msgspec.DecodeError, UnicodeDecodeError, KeyError, TypeError):
        return "no Edgewise error"


def _decoded(response: httpx.Response) -> Claim:
    try:
        return msgspec.json.decode(response.content, type=Claim)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise AwayError(
            "What answers is no Edgewise control plane, or an older one",
            where=str(response.request.url),
            remedy="give its address with --url",
        ) from error
