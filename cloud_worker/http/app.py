"""The worker's own endpoints as one ASGI app: routes, and a guard against web pages where there is no key."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import msgspec

from cloud_worker.http.choices import Choices
from cloud_worker.http.metrics import protocol_text
from cloud_worker.http.shown import ChatDialect, TextDialect
from cloud_worker.http.visits import WorkerVisits
from cloud_worker.http.wishes import Wish, chat_wish, completion_wish
from edgewise import __version__
from edgewise.api.asgi import ClientGoneError, Receive, Scope, Send, header, read_body, send_body, send_error
from edgewise.api.chat import ChatCompletions
from edgewise.api.drain import Drain
from edgewise.api.metrics import Metrics
from edgewise.api.models import Models
from edgewise.api.routes import Endpoint, find
from edgewise.api.service import AnswerService
from edgewise.api.streams import Streams
from edgewise.api.web_pages import refuse_web_pages
from edgewise.node.driver import EngineDriver
from edgewise.observability.context import adopt
from edgewise.wire.errors import EdgewiseError


class WorkerApi:
    """The ASGI app. `leaving` begins when the worker stops; `open_here` is a server without a key, for this machine.

    `logprobs` says whether the engine tells probabilities.
    """

    def __init__(
        self, service: AnswerService, driver: EngineDriver, *, open_here: bool, logprobs: bool = False
    ) -> None:
        self.leaving = Drain()
        self._driver, self._open_here = driver, open_here
        self._model = service.host.models()[0]
        self._streams: Endpoint = Streams(service, self.leaving)
        self._routes: dict[tuple[str, str], Endpoint] = {
            ("POST", "/v1/chat/completions"): _Chat(service, self.leaving, driver, logprobs=logprobs),
            ("POST", "/v1/completions"): Choices(
                service,
                self.leaving,
                TextDialect(),
                completion_wish,
                logprobs=logprobs,
                announce=driver.announce,
            ),
            ("GET", "/v1/models"): Models(service),
            ("GET", "/metrics"): Metrics(service.observer, _checking(service), self._protocol_text),
            ("GET", "/health"): self._health,
            ("GET", "/healthz"): self._health,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        adopt(header(scope, b"traceparent"))
        try:
            if self._open_here:
                refuse_web_pages(scope)
            endpoint = find(scope, self._routes, self._streams, "worker")
        except EdgewiseError as error:
            await send_error(send, error.info())
            return
        await endpoint(scope, receive, send)

    async def _health(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Ready or not, for probes and load balancers: 503 once it leaves, or its engine was given up."""
        status = "leaving" if self.leaving.begun else "ok" if self._driver.healthy else "failed"
        load = self._driver.load()
        told: dict[str, Any] = {"status": status, "version": __version__, "model": self._model}
        told |= {"running": load.running, "queued": load.queued, "slots": load.slots}
        await send_body(send, 200 if status == "ok" else 503, msgspec.json.encode(told))

    def _protocol_text(self) -> bytes:
        return protocol_text(self._model, self._driver.stats, self._driver.load(), time.time())


class _Chat:
    """POST /v1/chat/completions: the endpoint of every Edgewise process for a plain chat, Choices for those that ask
    for more than one answer, log-probabilities or token ids."""

    def __init__(self, service: AnswerService, drain: Drain, driver: EngineDriver, *, logprobs: bool) -> None:
        self._host, self._observer = service.host, service.observer
        self._plain: Endpoint = ChatCompletions(service, WorkerVisits(service, drain), drain)
        self._choices: Endpoint = Choices(
            service, drain, ChatDialect(), _more_than_plain, logprobs=logprobs, announce=driver.announce
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            self._host.authenticate(header(scope, b"authorization"))
            body = await read_body(receive)
        except ClientGoneError:
            return
        except EdgewiseError as error:
            self._observer.refused(error.info().code)
            await send_error(send, error.info())
            return
        endpoint = self._plain if _is_plain(body) else self._choices
        await endpoint(scope, _again(body, receive), send)


def _is_plain(body: bytes) -> bool:
    try:
        return chat_wish(body) is None
    except EdgewiseError:
        return False


def _more_than_plain(body: bytes) -> Wish:
    wish = chat_wish(body)
    assert wish is not None
    return wish


def _again(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives a body that was read already, then what comes."""
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def replay() -> Any:
        return first.pop() if first else await receive()

    return replay


def _checking(service: AnswerService) -> Callable[[str], None]:
    """Whoever may ask this worker may see its metrics."""

    def check(authorization: str) -> None:
        service.host.authenticate(authorization)

    return check
