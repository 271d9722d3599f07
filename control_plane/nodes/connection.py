"""NodeConnection: one connected node in memory. It performs what its GatewaySession asks, without touching a socket.

The socket (socket.py) reads frames into it and writes its outbox; the registry decides; a NodeTier reads attempts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Protocol

from control_plane.nodes import actions as do
from control_plane.nodes.actions import Action, Grant
from control_plane.nodes.admission import Admission
from control_plane.nodes.attempts import AttemptInbox
from control_plane.nodes.session import GatewayConfig, GatewaySession
from edgewise.generation.state import GenerationState
from edgewise.node.outbox import Outbox
from edgewise.wire import frames
from edgewise.wire.codec import decode_node_frame, encode_frame
from edgewise.wire.errors import EdgewiseError, FrameTooLargeError, RemoteError, SessionError, TierError

log = logging.getLogger(__name__)


class Registrar(Protocol):
    """What a connection needs of the registry."""

    async def join(self, connection: NodeConnection, hello: frames.Hello) -> None: ...

    async def store(self, connection: NodeConnection, frame: frames.Telemetry) -> int: ...

    def policy_refused(self, status: frames.PolicyStatus) -> None: ...

    def leave(self, connection: NodeConnection) -> None: ...


class NodeConnection:
    """The shell of one GatewaySession. All methods run on the event loop."""

    gateway_id = ""

    def __init__(self, registrar: Registrar, clock: Callable[[], float], config: GatewayConfig) -> None:
        self.outbox = Outbox()
        self.gone = asyncio.Event()
        self.admission = Admission()
        self.heartbeat: frames.Heartbeat | None = None
        self.policy_status: frames.PolicyStatus | None = None
        self.joined_at = self.heartbeat_at = clock()
        self._registrar = registrar
        self._clock = clock
        self._session = GatewaySession(clock(), config)
        self._inboxes: dict[str, AttemptInbox] = {}
        self._commands: dict[str, asyncio.Future[frames.CommandAck]] = {}
        self._joining: asyncio.Task[None] | None = None
        self._storing: set[asyncio.Task[None]] = set()

    @property
    def live(self) -> bool:
        """Whether the node was welcomed and may be asked for work."""
        return self._session.phase == "live"

    @property
    def node_id(self) -> str:
        """Who it is; empty before hello."""
        return self._session.hello.node_id if self._session.hello else ""

    @property
    def hello(self) -> frames.Hello:
        """What the node said of itself. Raises SessionError before that."""
        if self._session.hello is None:
            raise SessionError("The node has not said hello yet")
        return self._session.hello

    @property
    def epoch(self) -> int:
        """The connection epoch; 0 before the welcome."""
        return self._session.grant.connection_epoch if self._session.grant else 0

    @property
    def open_attempts(self) -> int:
        """Attempts that this gateway has under way on the node."""
        return self._session.open_attempts

    @property
    def connected_s(self) -> float:
        """Seconds since the welcome."""
        return self._clock() - self.joined_at

    @property
    def heartbeat_age_s(self) -> float:
        """Seconds since the node last told about itself."""
        return self._clock() - self.heartbeat_at

    # From the socket ----------------------------------------------------------------------------------------------

    def received(self, data: bytes | str) -> None:
        """A WebSocket message arrived."""
        try:
            frame = decode_node_frame(data)
        except SessionError as error:
            self._perform(self._session.on_fault(error))
        else:
            self._perform(self._session.on_frame(frame, self._clock()))

    def deadline(self) -> float | None:
        """When `ticked` is due."""
        return self._session.deadline()

    def ticked(self) -> None:
        """Time passed."""
        self._perform(self._session.on_tick(self._clock()))

    def closed(self) -> None:
        """The socket is gone: attempts and commands end, the registry forgets this connection (and no newer one)."""
        self._perform(self._session.on_closed())
        self.outbox.close()
        self._registrar.leave(self)
        for answer in self._commands.values():
            if not answer.done():
                answer.set_exception(_link_broke())
        if self._joining is not None:
            self._joining.cancel()
        self.gone.set()

    # From the registry --------------------------------------------------------------------------------------------

    def admit(self, admission: Admission, grant: Grant) -> None:
        """Welcome the node."""
        self.admission = admission
        self.joined_at = self.heartbeat_at = self._clock()
        self.policy_status = _brought(self.hello, grant.policy)
        self._perform(self._session.on_admitted(grant, self._clock()))

    def offer_policy(self, offer: frames.PolicyOffer) -> None:
        """Offer the bundle that the node should decide by, unless it was offered already; a refused one again later."""
        self._perform(self._session.offer_policy(offer))

    def dismiss(self, error: EdgewiseError, *, reason: str = "", reconnect_after_s: float | None = None) -> None:
        """Send the node away."""
        self._perform(self._session.dismiss(error, reason=reason, reconnect_after_s=reconnect_after_s))

    async def command(self, command: frames.Command, timeout_s: float | None) -> frames.CommandAck:
        """Have a command run; returns its last ack. Raises SessionError (lost), RemoteError (failed), TimeoutError."""
        answer: asyncio.Future[frames.CommandAck] = asyncio.get_running_loop().create_future()
        self._perform(self._session.command(command))
        self._commands[command.id] = answer
        try:
            async with asyncio.timeout(timeout_s):
                ack = await answer
        finally:
            del self._commands[command.id]
        if ack.error is not None:
            raise RemoteError(ack.error)
        return ack

    # From a tier --------------------------------------------------------------------------------------------------

    def start(self, attempt: str, state: GenerationState, deadline_s: float | None, trace: str = "") -> AttemptInbox:
        """Begin an attempt. Raises TierLostError when the node is gone, TierError when the request does not fit."""
        actions = self._session.start(attempt, state, deadline_s, trace)
        inbox = self._inboxes[attempt] = AttemptInbox(next_index=len(state.output_ids))
        try:
            self._perform(actions)
        except FrameTooLargeError as error:
            self.cancel(attempt)
            raise TierError(error.message, where=attempt, expected=error.expected) from error
        return inbox

    def cancel(self, attempt: str) -> None:
        """Stop an attempt; idempotent."""
        self._perform(self._session.cancel(attempt))

    # What the session asks for ------------------------------------------------------------------------------------

    def _perform(self, actions: Sequence[Action]) -> None:
        for action in actions:
            self._do(action)

    def _do(self, action: Action) -> None:
        match action:
            case do.Send(frames.PolicyOffer() as offer):
                self.outbox.push_encoded(_encoded(offer))
            case do.Send(frame):
                self.outbox.push(frame)
            case do.Deliver(attempt, chunk):
                if not self._inboxes[attempt].deliver(chunk):
                    self._perform(self._session.give_up(attempt, TierError("The reader is too slow", where=attempt)))
            case do.AttemptEnded(attempt, finish, usage, error, text, timings):
                if inbox := self._inboxes.pop(attempt, None):
                    inbox.end(finish, usage, error, text, timings)
            case do.Admit(hello):
                self._joining = asyncio.create_task(self._join(hello))
            case do.StoreTelemetry(frame):
                task = asyncio.create_task(self._store(frame))
                self._storing.add(task)
                task.add_done_callback(self._storing.discard)
            case do.Reported(frame):
                self._note(frame)
            case do.Close(code, reason):
                self.outbox.close(code, reason)
                self._registrar.leave(self)

    def _note(self, frame: frames.Heartbeat | frames.PolicyStatus | frames.CommandAck) -> None:
        match frame:
            case frames.Heartbeat():
                self.heartbeat, self.heartbeat_at = frame, self._clock()
            case frames.PolicyStatus():
                self.policy_status = frame
                if not frame.applied:
                    self._registrar.policy_refused(frame)
            case frames.CommandAck(id=command_id, stage="done" | "failed"):
                answer = self._commands.get(command_id)
                if answer is not None and not answer.done():
                    answer.set_result(frame)

    async def _join(self, hello: frames.Hello) -> None:
        try:
            await self._registrar.join(self, hello)
        except EdgewiseError as error:
            log.warning("node %s was refused: %s", hello.node_id, error)
            self._perform(self._session.on_refused(error))
        except Exception:
            log.exception("admission of node %s broke", hello.node_id)
            broken = EdgewiseError("The control plane met an internal error", remedy="see its log")
            self._perform(self._session.on_refused(broken))

    async def _store(self, frame: frames.Telemetry) -> None:
        """Outlives the socket: what is being stored must also be counted as stored."""
        seq = await self._registrar.store(self, frame)
        self._perform(self._session.on_telemetry_stored(frame.stream, seq))


@lru_cache(maxsize=4)
def _encoded(offer: frames.PolicyOffer) -> bytes:
    """A bundle goes to a whole fleet at once: it is packed and deflated once."""
    return encode_frame(offer)


def _brought(hello: frames.Hello, offer: frames.PolicyOffer | None) -> frames.PolicyStatus | None:
    """What is known of a node that comes with the very bundle it should have: it is not asked again."""
    if offer is None or hello.policy_digest != offer.digest:
        return None
    return frames.PolicyStatus(
        digest=offer.digest, applied=True, version=offer.version, policy_version=offer.policy_version
    )


def _link_broke() -> SessionError:
    return SessionError("The link to the node broke", remedy="ask again with the same idempotency key")
