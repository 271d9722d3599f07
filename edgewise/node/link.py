"""NodeLink: the thin socket around NodeSession. It dials, talks and dials again; it decides nothing.

The rules are in edgewise/node/session.py, what is done for the gateway in edgewise/node/work.py.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from edgewise.ids import new_id
from edgewise.node import actions as do
from edgewise.node.actions import Action, NodeIdentity, NodeReport
from edgewise.node.backoff import Backoff, BackoffConfig
from edgewise.node.outbox import Outbox
from edgewise.node.session import NodeSession, SessionConfig
from edgewise.node.telemetry import TelemetrySource
from edgewise.node.work import CommandHandler, NodeWork, PolicyHandler
from edgewise.observability.observer import Observer
from edgewise.routing.tier import Tier
from edgewise.wire.codec import decode_gateway_frame
from edgewise.wire.errors import (
    EdgewiseError,
    ErrorInfo,
    RemoteError,
    SessionError,
)
from edgewise.wire.frames import POLICY_BUNDLE, Frame, LoadReport, ModelOffer, NodeKind, Scalar
from edgewise.wire.limits import FRAME_MAX_BYTES
from edgewise.wire.manifest import Manifest

SESSION_PATH = "/node/v1/session"
_GOODBYE_S = 2.0
_LOOPBACK = ("127.0.0.1", "localhost", "::1")
log = logging.getLogger(__name__)
_socket_log = logging.getLogger(f"{__name__}.socket")
_socket_log.setLevel(logging.WARNING)
"""The socket library prints payloads at level DEBUG, and the first one holds the key."""


@dataclass(frozen=True)
class LinkConfig:
    """Where to dial and who to be. `url` is the gateway's, such as `ws://127.0.0.1:8080`, with or without the path."""

    url: str
    key: str = field(repr=False)
    node_id: str
    kind: NodeKind
    labels: dict[str, str] = field(default_factory=dict)
    agent_version: str = ""
    policy_digest: str = ""
    open_timeout_s: float = 10.0
    session: SessionConfig = field(default_factory=SessionConfig)
    backoff: BackoffConfig = field(default_factory=BackoffConfig)

    @property
    def session_url(self) -> str:
        """The whole WebSocket address; http and https are read as ws and wss."""
        url = self.url.rstrip("/")
        if url.startswith("http"):
            url = "ws" + url.removeprefix("http")
        return url if url.endswith(SESSION_PATH) else url + SESSION_PATH


class NodeLink:
    """Keeps one session with the gateway, for ever: `await run()`; `await stop()` from elsewhere ends it.

    `device` gives the facts of the device for each heartbeat, under their full dotted names (`device.battery_pct`).
    """

    def __init__(
        self,
        config: LinkConfig,
        tier: Tier,
        manifests: Sequence[Manifest],
        telemetry: TelemetrySource,
        on_policy: PolicyHandler | None = None,
        on_command: CommandHandler | None = None,
        clock: Callable[[], float] = time.monotonic,
        *,
        device: Callable[[], dict[str, Scalar]] = dict,
        rng: random.Random | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.connected = asyncio.Event()
        self.last_error: ErrorInfo | None = None
        self._config = config
        self._tier = tier
        self._telemetry = telemetry
        self._able = ("telemetry", *([POLICY_BUNDLE] if on_policy else []), *(["commands"] if on_command else []))
        self._clock = clock
        self._device = device
        self._session = NodeSession(
            self._identity(manifests), Backoff(rng or random.Random(), config.backoff), self._report, config.session
        )
        self._outbox = Outbox()
        self._work = NodeWork(
            tier, self._session, self._perform, self._put, on_policy, on_command, observer or Observer()
        )
        self._sooner = asyncio.Event()
        self._tick_at = 0.0
        self._retry_at = 0.0
        self._stopping = asyncio.Event()

    @property
    def rtt_ms(self) -> float | None:
        """Round trip to the gateway, or None while it is not known."""
        return self._session.rtt_ms

    @property
    def connection_epoch(self) -> int:
        """The epoch of the last welcome; 0 before the first."""
        return self._session.connection_epoch

    async def run(self) -> None:
        """Dial, talk, wait, dial again, until `stop`."""
        try:
            while not self._stopping.is_set():
                error = await self._until_stopped(self._connection())
                self.connected.clear()
                self._perform(self._session.on_closed(self._clock(), error))
                with suppress(TimeoutError):
                    async with asyncio.timeout(max(0.0, self._retry_at - self._clock())):
                        await self._stopping.wait()
        finally:
            await self._work.drop_all()

    def offer(self, manifests: Sequence[Manifest]) -> None:
        """Other models are loaded. The gateway is dialled anew to tell it, once the attempts that run have ended; until
        then it is refused new ones, since it takes them for answers of the old models."""
        self._perform(self._session.on_models(self._offers(manifests)))

    async def stop(self) -> None:
        """Say goodbye and let `run` return; attempts under way are dropped."""
        self._stopping.set()
        self._perform(self._session.on_leave())

    async def _until_stopped(self, connection: Coroutine[Any, Any, EdgewiseError | None]) -> EdgewiseError | None:
        """The connection's outcome; after `stop` it has a moment to say goodbye and is then cut."""
        task = asyncio.create_task(connection)
        stop = asyncio.create_task(self._stopping.wait())
        try:
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                await asyncio.wait((task,), timeout=_GOODBYE_S)
            return task.result() if task.done() else None
        finally:
            stop.cancel()
            task.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)

    # One connection -----------------------------------------------------------------------------------------------

    async def _connection(self) -> EdgewiseError | None:
        """Open a socket and talk until it ends. Returns why it ended, where the socket knows."""
        url = self._config.session_url
        try:
            async with connect(
                url,
                compression=None,
                max_size=FRAME_MAX_BYTES,
                open_timeout=self._config.open_timeout_s,
                ping_interval=None,
                logger=_socket_log,
                close_timeout=1.0,
                proxy=None if urlsplit(url).hostname in _LOOPBACK else True,
            ) as socket:
                return await self._talk(socket)
        except InvalidStatus as error:
            return _refused_upgrade(error, url)
        except (OSError, TimeoutError, WebSocketException) as error:
            return SessionError(
                f"The gateway cannot be reached: {error or type(error).__name__}",
                where=url,
                remedy="check the address, the network, and that the control plane runs",
            )

    async def _talk(self, socket: ClientConnection) -> EdgewiseError | None:
        self._outbox = Outbox()
        self._perform(self._session.on_connected(self._clock()))
        if self._stopping.is_set():
            return None
        talkers = [
            asyncio.create_task(talker)
            for talker in (self._read(socket), self._write(socket), self._tick(), self._wake(), self._overflow())
        ]
        try:
            done, _ = await asyncio.wait(talkers, return_when=asyncio.FIRST_COMPLETED)
            return _first_fault(done)
        finally:
            self._outbox.close()  # frees the attempts that wait for room; the session has forgotten those that ended
            for talker in talkers:
                talker.cancel()
            await asyncio.gather(*talkers, return_exceptions=True)

    async def _read(self, socket: ClientConnection) -> None:
        async for message in socket:
            try:
                frame = decode_gateway_frame(message)
            except SessionError as error:
                self._perform(self._session.on_fault(error))
            else:
                self._perform(self._session.on_frame(frame, self._clock()))

    async def _write(self, socket: ClientConnection) -> None:
        outbox = self._outbox
        while (message := await outbox.next()) is not None:
            await socket.send(message)
        await socket.close(outbox.close_code, outbox.close_reason)

    async def _tick(self) -> None:
        """Wakes for each deadline; a closed session has a moment to say goodbye, then the socket is cut. One that is
        drained has such a moment for every frame."""
        while (due := self._session.deadline()) is not None:
            self._tick_at = due
            self._sooner.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, due - self._clock())):
                    await self._sooner.wait()
            self._perform(self._session.on_tick(self._clock()))
        written = -1
        while self._outbox.draining and self._outbox.written != written:
            written = self._outbox.written
            await asyncio.sleep(_GOODBYE_S)
        await asyncio.sleep(_GOODBYE_S)

    async def _wake(self) -> None:
        while True:
            await self._telemetry.wake.wait()
            self._telemetry.wake.clear()
            self._perform(self._session.on_telemetry_waiting())

    async def _overflow(self) -> None:
        await self._outbox.broken.wait()

    # What the session asks for --------------------------------------------------------------------------------------

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self._do(action)
        due = self._session.deadline()
        if due is not None and due < self._tick_at:
            self._sooner.set()

    def _do(self, action: Action) -> None:
        match action:
            case do.Send(frame):
                self._outbox.push(frame)
            case do.StartAttempt(attempt, state, trace):
                self._work.start(attempt, state, trace)
            case do.CancelAttempt(attempt):
                self._work.cancel(attempt)
            case do.ReadTelemetry(after_seq, limit):
                self._perform(self._session.on_telemetry(self._telemetry.pending(after_seq, limit)))
            case do.TelemetryStored(seq):
                self._telemetry.ack(seq)
            case do.ApplyPolicy(offer, key):
                self._work.apply_policy(offer, key)
            case do.RunCommand(command):
                self._work.run_command(command)
            case do.Joined(welcome):
                self.last_error = None
                self.connected.set()
                log.info("joined %s as %s", self._config.session_url, self._config.node_id)
                for name, version in welcome.wanted_models.items():
                    log.warning(
                        "operators want version %s of the model %s here; install it, then kill -HUP", version, name
                    )
            case do.Close(code, reason, drained):
                self._outbox.close(code, reason, drained=drained)
            case do.ReconnectAt():
                self._plan_retry(action)

    def _plan_retry(self, action: do.ReconnectAt) -> None:
        self._retry_at = action.at
        wait_s = max(0.0, action.at - self._clock())
        if action.error is None:
            log.info("the session ended; dialling again in %.1f s", wait_s)
            return
        known, self.last_error = self.last_error == action.error, action.error
        level = logging.ERROR if action.final else logging.DEBUG if known else logging.WARNING
        log.log(level, "%s Dialling again in %.1f s.", RemoteError(action.error), wait_s)

    # Small things -------------------------------------------------------------------------------------------------

    def _offers(self, manifests: Sequence[Manifest]) -> tuple[ModelOffer, ...]:
        return tuple(model_offer(manifest, self._tier) for manifest in manifests)

    def _identity(self, manifests: Sequence[Manifest]) -> NodeIdentity:
        continues = ("continue",) if self._tier.capabilities.continues else ()
        grammars = ("grammar",) if self._tier.capabilities.grammars else ()
        return NodeIdentity(
            node_id=self._config.node_id,
            key=self._config.key,
            kind=self._config.kind,
            models=self._offers(manifests),
            agent_version=self._config.agent_version,
            capabilities=("generate", *continues, *grammars, *self._able),
            limits={"frame_max_bytes": FRAME_MAX_BYTES},
            labels=self._config.labels,
            telemetry_stream=self._telemetry.stream,
            telemetry_acked=self._telemetry.acked,
            policy_digest=self._config.policy_digest,
            run_id=new_id(),
        )

    async def _put(self, frame: Frame) -> None:
        await self._outbox.put(frame)

    def _report(self) -> NodeReport:
        load = self._tier.load()
        told = LoadReport(running=load.running, queued=load.queued, slots=load.slots, tokens_per_s=load.tokens_per_s)
        return NodeReport(told, self._device())


def model_offer(manifest: Manifest, tier: Tier) -> ModelOffer:
    """What Hello says of a loaded model: the manifest's digests, the runtime's numerics id and true context size."""
    return ModelOffer(
        name=manifest.name,
        version=manifest.id,
        weights_digest=manifest.weights_digest,
        tokenizer_digest=manifest.tokenizer_digest,
        template_digest=manifest.template_digest,
        numerics_id=tier.capabilities.numerics_id,
        context_tokens=tier.capabilities.context_tokens or manifest.context_tokens,
    )


def _first_fault(done: set[asyncio.Task[None]]) -> EdgewiseError | None:
    """Why the first talker ended; an orderly close is no fault, a bug is raised as it is."""
    for task in done:
        error = task.exception()
        if isinstance(error, ConnectionClosed | OSError):
            return SessionError(f"The link broke: {error}", where="node session")
        if error is not None and not isinstance(error, EdgewiseError):
            raise error
        if error is not None:
            return error
    return None


def _refused_upgrade(error: InvalidStatus, url: str) -> SessionError:
    """The gateway (or something before it) answered the upgrade with plain HTTP."""
    told = error.response.headers.get("Retry-After", "")
    return SessionError(
        f"The gateway answered HTTP {error.response.status_code} to the WebSocket upgrade",
        where=url,
        expected="HTTP 101",
        remedy="check that the address is that of an Edgewise control plane",
        retry_after_s=float(told) if told.isascii() and told.isdigit() else None,
    )
