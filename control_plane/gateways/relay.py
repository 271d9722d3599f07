"""The asking end of a relay: RelayTier is another gateway's node as a Tier, RelayDesk holds its open attempts.

Messages may be lost, so those of an attempt are numbered and counted: the reader gets a gap-free prefix of what the
node said, then its end or a TierError, after which the runner goes on with another tier.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import msgspec

from control_plane.gateways.bus import Bus
from control_plane.gateways.errors import GatewayMessageError
from control_plane.gateways.messages import RelayAsk, RelayBeat, RelayCancel, RelayChunk, RelayEnded
from control_plane.gateways.view import RemoteNode
from control_plane.nodes.attempts import AttemptInbox
from control_plane.nodes.errors import tier_error
from control_plane.nodes.report import node_load
from control_plane.nodes.tier import node_capabilities
from edgewise.generation.state import GenerationState
from edgewise.observability.context import outgoing_traceparent
from edgewise.routing.tier import Chunk, Load, TierKind
from edgewise.wire.errors import LogUnavailableError, TierError, TierLostError

SILENT_PULSES: Final = 4
"""Own pulses (pulse.py) during which the other gateway may say nothing of an attempt: about a second."""

_encode_state = msgspec.msgpack.Encoder().encode


@dataclass
class _Asked:
    """An attempt at another gateway's node: who serves it, how many messages came, how long it has been silent."""

    gateway_id: str
    inbox: AttemptInbox
    expected: int = 0
    silent: int = 0


class RelayDesk:
    """Open attempts of this gateway at nodes of others, by attempt id."""

    def __init__(self, own_id: str, bus: Bus, *, silent_pulses: int = SILENT_PULSES) -> None:
        self._own_id = own_id
        self._bus = bus
        self._silent_pulses = silent_pulses
        self._open: dict[str, _Asked] = {}

    def __len__(self) -> int:
        return len(self._open)

    async def start(self, node: RemoteNode, state: GenerationState, attempt: str) -> AttemptInbox:
        """Ask for an attempt. Raises TierLostError when the node's gateway cannot be reached, TierError when the
        request does not fit or must not leave."""
        if state.local_only:
            raise TierError("This request may not leave its device", where=attempt)
        if attempt in self._open:
            raise TierError(f"Attempt {attempt} exists already", expected="a fresh attempt id")
        inbox = AttemptInbox(next_index=len(state.output_ids))
        self._open[attempt] = _Asked(node.gateway_id, inbox)
        ask = RelayAsk(
            sender=self._own_id,
            attempt=attempt,
            node_id=node.node_id,
            connection_epoch=node.epoch,
            state=msgspec.Raw(_encode_state(state)),
            trace=outgoing_traceparent(),
        )
        try:
            reached = await self._bus.send(node.gateway_id, ask)
        except (LogUnavailableError, GatewayMessageError) as error:
            self._open.pop(attempt, None)
            raise TierLostError(f"The gateway of this node cannot be asked: {error.message}", where=attempt) from error
        except BaseException:
            self.cancel(attempt)
            raise
        if not reached:
            self._fail(attempt, _lost(node.gateway_id, "is gone"))
        return inbox

    def cancel(self, attempt: str) -> None:
        """Stop an attempt; idempotent."""
        asked = self._open.pop(attempt, None)
        if asked is not None:
            self._bus.post(asked.gateway_id, RelayCancel(sender=self._own_id, attempt=attempt))

    def asked(self, gateway_id: str) -> tuple[str, ...]:
        """Attempts that a gateway serves for us."""
        return tuple(attempt for attempt, asked in self._open.items() if asked.gateway_id == gateway_id)

    def peers(self) -> set[str]:
        """Gateways that serve us."""
        return {asked.gateway_id for asked in self._open.values()}

    # What comes back ----------------------------------------------------------------------------------------------

    def on_chunk(self, message: RelayChunk) -> None:
        """More of an answer: taken when it is the next one, ignored when it came before, else messages were lost."""
        asked = self._of(message.attempt, message.sender)
        if asked is None or not self._is_next(message.attempt, asked, message.seq):
            return
        if message.ids or (message.text and message.finish is None):
            held = message.text if message.finish is None or message.ids else ""
            if not asked.inbox.deliver(Chunk(message.n0, message.ids, held)):
                self._give_up(message.attempt, TierError("The reader is too slow", where=message.attempt))
                return
        if message.finish is not None:
            del self._open[message.attempt]
            held = "" if message.ids else message.text
            asked.inbox.end(message.finish, message.usage, None, held, message.timings)

    def on_ended(self, message: RelayEnded) -> None:
        """The attempt ended badly; what was said before it stays valid, if all of it came."""
        asked = self._of(message.attempt, message.sender)
        if asked is None:
            return
        if message.unknown:
            self._fail(message.attempt, _lost(message.sender, "knows nothing of this attempt"))
        elif self._is_next(message.attempt, asked, message.seq):
            self._fail(message.attempt, tier_error(message.error))

    def on_beat(self, message: RelayBeat) -> None:
        """The serving gateway is alive, and says how much it has sent: more than came means that some is lost."""
        for attempt, sent in message.served.items():
            asked = self._of(attempt, message.sender)
            if asked is not None and sent > asked.expected:
                self._give_up(attempt, _lost(message.sender, f"sent {sent} messages, {asked.expected} came"))

    def on_gone(self, gateway_id: str) -> None:
        """A gateway vanished, and its attempts with it."""
        for attempt in self.asked(gateway_id):
            self._fail(attempt, _lost(gateway_id, "is gone"))

    def count_silence(self) -> None:
        """Called at each pulse: an attempt that its gateway does not even mention for too long is lost."""
        for attempt, asked in tuple(self._open.items()):
            asked.silent += 1
            if asked.silent > self._silent_pulses:
                self._give_up(attempt, _lost(asked.gateway_id, "is silent"))

    def _of(self, attempt: str, sender: str) -> _Asked | None:
        """The attempt, if this sender serves it; it has spoken."""
        asked = self._open.get(attempt)
        if asked is None or asked.gateway_id != sender:
            return None
        asked.silent = 0
        return asked

    def _is_next(self, attempt: str, asked: _Asked, seq: int) -> bool:
        if seq > asked.expected:
            self._give_up(attempt, _lost(asked.gateway_id, f"sent message {seq} before {asked.expected} came"))
        if seq != asked.expected:
            return False
        asked.expected += 1
        return True

    def _give_up(self, attempt: str, error: TierError) -> None:
        asked = self._open[attempt]
        self.cancel(attempt)
        asked.inbox.end(None, None, error)

    def _fail(self, attempt: str, error: TierError) -> None:
        if asked := self._open.pop(attempt, None):
            asked.inbox.end(None, None, error)


def _lost(gateway_id: str, what: str) -> TierLostError:
    return TierLostError(f"The gateway of this node {what}", where=f"gateway {gateway_id}")


class RelayTier:
    """A node of another gateway as a Tier; one object per connection epoch, `node` is what was last heard of it.

    Raises TierLostError when that gateway or its messages are lost, and otherwise what a NodeTier there raises.
    """

    def __init__(self, node: RemoteNode, desk: RelayDesk) -> None:
        hello = node.hello
        self.node = node
        self.node_id = hello.node_id
        self.tenant = node.admission.tenant
        self.labels = hello.labels
        self.name = f"{hello.kind}:{hello.node_id}"
        self.kind: TierKind = hello.kind
        self.capabilities = node_capabilities(hello)
        self._desk = desk
        self._running = 0

    async def generate(self, state: GenerationState, attempt: str) -> AsyncIterator[Chunk]:
        inbox = await self._desk.start(self.node, state, attempt)
        self._running += 1
        try:
            while (chunk := await inbox.next()) is not None:
                yield chunk
                if chunk.finish is not None:
                    return
        finally:
            self._running -= 1
            self._desk.cancel(attempt)

    async def cancel(self, attempt: str) -> None:
        self._desk.cancel(attempt)

    def load(self) -> Load:
        return node_load(self.node, max(self.node.open_attempts, self._running))
