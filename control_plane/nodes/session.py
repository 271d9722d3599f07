"""The gateway's end of the session as a pure state machine: frames, ticks and local wishes in, actions out.

One machine per connection. No clock, no socket, no database: control_plane/nodes/connection.py is the shell, the
registry decides who is let in. The node's end is edgewise/node/session.py; docs/protocol.md draws both.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import msgspec

from control_plane.nodes.actions import (
    Action,
    Admit,
    AttemptEnded,
    Close,
    Deliver,
    Grant,
    Reported,
    Send,
    StoreTelemetry,
)
from control_plane.nodes.attempts import AttemptBook
from control_plane.nodes.errors import tier_error
from control_plane.nodes.offered import OfferAgain, OfferedPolicy
from edgewise.generation.state import GenerationState
from edgewise.routing.tier import Chunk, Usage
from edgewise.wire import frames
from edgewise.wire.errors import EdgewiseError, ProtocolTooOldError, SessionError, TierLostError, UnexpectedFrameError
from edgewise.wire.limits import PROTOCOL_MAX, PROTOCOL_MIN

Phase = Literal["waiting", "admitting", "live", "closed"]
CLOSE_NORMAL = 1000
CLOSE_BASE = 3000
_state_encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """Seconds. A node that is silent for `lost_after_s` is lost; any frame counts as a sign of life."""

    heartbeat_s: float = 2.0
    lost_after_s: float = 7.0
    hello_timeout_s: float = 5.0
    offer_again: OfferAgain = field(default_factory=OfferAgain)


class GatewaySession:
    """Feed it events with the time they happened at (any monotonic seconds); do what the returned actions say."""

    def __init__(self, now: float, config: GatewayConfig | None = None) -> None:
        self.phase: Phase = "waiting"
        self.hello: frames.Hello | None = None
        self.grant: Grant | None = None
        self.protocol = 0
        self._config = config or GatewayConfig()
        self._heard_at = now
        self._attempts = AttemptBook()
        self._policy = OfferedPolicy(self._config.offer_again)

    @property
    def open_attempts(self) -> int:
        """Attempts that have not ended."""
        return len(self._attempts)

    @property
    def name(self) -> str:
        """For messages: the node's id once it is known."""
        return f"node {self.hello.node_id}" if self.hello else "a node before its hello"

    # The socket ---------------------------------------------------------------------------------------------------

    def on_frame(self, frame: frames.NodeFrame, now: float) -> list[Action]:
        """A frame arrived."""
        if self.phase == "closed":
            return []
        self._heard_at = now
        match frame:
            case frames.Goodbye():
                return self._shut(CLOSE_NORMAL, "goodbye", TierLostError("The node said goodbye", where=self.name))
            case frames.Hello() if self.phase == "waiting":
                return self._on_hello(frame)
            case _ if self.phase == "live":
                return self._on_live(frame, now)
            case _:
                return self.on_fault(_unexpected(frame, "hello first, then silence until welcome"))

    def on_fault(self, error: EdgewiseError) -> list[Action]:
        """The node broke the protocol (a frame that does not decode, or out of turn): say so and close."""
        return self.dismiss(error)

    def on_closed(self) -> list[Action]:
        """The socket is gone: every open attempt ends, so that its reader can go to another tier."""
        self.phase = "closed"
        return self._end_all(TierLostError("The link to the node broke", where=self.name))

    # Admission ----------------------------------------------------------------------------------------------------

    def on_admitted(self, grant: Grant, now: float) -> list[Action]:
        """The registry let the node in."""
        if self.phase != "admitting" or self.hello is None:
            return []
        self.phase, self.grant, self._heard_at = "live", grant, now
        self._policy.digest = self.hello.policy_digest
        welcome = frames.Welcome(
            protocol=self.protocol,
            connection_epoch=grant.connection_epoch,
            heartbeat_s=self._config.heartbeat_s,
            lost_after_s=self._config.lost_after_s,
            server_time_s=grant.server_time_s,
            policy_digest=grant.policy.digest if grant.policy else "",
            policy_key=grant.policy_key,
            telemetry_acked=grant.telemetry_acked,
            wanted_models=grant.wanted_models,
        )
        offers = self.offer_policy(grant.policy) if grant.policy else []
        return [Send(welcome), *offers]

    def on_refused(self, error: EdgewiseError) -> list[Action]:
        """The registry did not let the node in."""
        if self.phase not in ("waiting", "admitting"):
            return []
        return [Send(frames.Reject(error=error.info())), *self._shut(CLOSE_BASE + error.number, error.code)]

    # Time ---------------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `on_tick` is due; None after the end."""
        lost_at = self._lost_at()
        return lost_at if lost_at is None or self._policy.again_at is None else min(lost_at, self._policy.again_at)

    def on_tick(self, now: float) -> list[Action]:
        """Time passed: a node that never said hello, one whose heartbeats stopped, or that refused a bundle a while
        ago."""
        lost_at = self._lost_at()
        if lost_at is None:
            return []
        if now < lost_at:
            offer = self._policy.again(now)
            return [Send(offer)] if offer is not None else []
        if self.phase != "live":
            return self.on_refused(
                SessionError("No hello came in time", expected=f"one within {self._config.hello_timeout_s:g} s")
            )
        return self.dismiss(SessionError(f"No frame came for {self._config.lost_after_s:g} s", where=self.name))

    def _lost_at(self) -> float | None:
        if self.phase == "closed":
            return None
        limit_s = self._config.lost_after_s
        return self._heard_at + (limit_s if self.phase == "live" else min(limit_s, self._config.hello_timeout_s))

    # What the gateway wants ---------------------------------------------------------------------------------------

    def start(
        self, attempt: str, state: GenerationState, deadline_s: float | None = None, trace: str = ""
    ) -> list[Action]:
        """Begin an attempt on the node, under this traceparent. Raises TierLostError when it is not connected,
        TierError for a used id."""
        if self.phase != "live":
            raise TierLostError("The node is not connected", where=self.name)
        self._attempts.open(attempt, state)
        raw = msgspec.Raw(_state_encoder.encode(state))
        return [Send(frames.Generate(attempt=attempt, state=raw, deadline_s=deadline_s, trace=trace))]

    def cancel(self, attempt: str) -> list[Action]:
        """Stop an attempt; an unknown or ended one is nothing to do."""
        if not self._attempts.end(attempt):
            return []
        return [Send(frames.Cancel(attempt=attempt)), AttemptEnded(attempt)]

    def give_up(self, attempt: str, error: EdgewiseError) -> list[Action]:
        """Stop an attempt and let its reader see `error`."""
        if not self._attempts.end(attempt):
            return []
        return [Send(frames.Cancel(attempt=attempt)), AttemptEnded(attempt, error=error)]

    def offer_policy(self, offer: frames.PolicyOffer) -> list[Action]:
        """Offer a bundle, unless it is the one offered last, or, before any was, the one that the node came with. A
        refused one is offered again by `on_tick`."""
        return [Send(offer)] if self.phase == "live" and self._policy.on_offer(offer) else []

    def command(self, command: frames.Command) -> list[Action]:
        """Ask for a command. Raises SessionError when the node is not connected."""
        if self.phase != "live":
            raise SessionError("The node is not connected", where=self.name, remedy="try again when it is back")
        return [Send(command)]

    def dismiss(
        self, error: EdgewiseError, *, reason: str = "", reconnect_after_s: float | None = None
    ) -> list[Action]:
        """Send the node away. Before its welcome this is a Reject."""
        if self.phase == "closed":
            return []
        if self.phase != "live":
            return self.on_refused(error)
        words = frames.Goodbye(reason=reason or error.code, reconnect_after_s=reconnect_after_s, error=error.info())
        lost = TierLostError(f"The node was disconnected: {error.message}", where=self.name)
        return [Send(words), *self._shut(CLOSE_BASE + error.number, error.code, lost)]

    def on_telemetry_stored(self, stream: str, seq: int) -> list[Action]:
        """Everything up to `seq` is stored."""
        return [Send(frames.TelemetryAck(stream=stream, seq=seq))] if self.phase == "live" else []

    # Frames -------------------------------------------------------------------------------------------------------

    def _on_hello(self, hello: frames.Hello) -> list[Action]:
        agreed = min(hello.protocol_max, PROTOCOL_MAX)
        if agreed < max(hello.protocol_min, PROTOCOL_MIN):
            return self.on_refused(_no_common_protocol(hello))
        self.phase, self.hello, self.protocol = "admitting", hello, agreed
        return [Admit(hello)]

    def _on_live(self, frame: frames.NodeFrame, now: float) -> list[Action]:
        match frame:
            case frames.Tokens():
                return self._on_tokens(frame)
            case frames.Finished(attempt=attempt, finish=finish):
                usage = frame.usage and Usage(frame.usage.prompt_tokens, frame.usage.completion_tokens)
                ended = AttemptEnded(
                    attempt, finish=finish, usage=usage or None, text=frame.text, timings=frame.timings
                )
                return [ended] if self._attempts.end(attempt) else []
            case frames.Failed(attempt=attempt, error=error):
                failed = AttemptEnded(attempt, error=tier_error(error))
                return [failed] if self._attempts.end(attempt) else []
            case frames.Heartbeat(seq=seq, sent_at=sent_at):
                return [Send(frames.HeartbeatAck(seq=seq, echo=sent_at)), Reported(frame)]
            case frames.Telemetry() if self.hello and frame.stream == self.hello.telemetry_stream:
                return [StoreTelemetry(frame)]
            case frames.PolicyStatus():
                self._policy.on_status(frame, now)
                return [Reported(frame)]
            case frames.CommandAck():
                return [Reported(frame)]
            case _:
                return self.on_fault(_unexpected(frame, "no second hello, no second telemetry stream"))

    def _on_tokens(self, frame: frames.Tokens) -> list[Action]:
        if self._attempts.is_stray(frame.attempt):
            self._attempts.note_ended(frame.attempt)
            return [Send(frames.Cancel(attempt=frame.attempt))]
        if frame.attempt not in self._attempts:
            return []
        fault = self._attempts.check(frame)
        if fault is not None:
            return self.give_up(frame.attempt, fault)
        return [Deliver(frame.attempt, Chunk(frame.n0, frame.ids, frame.text))]

    def _shut(self, code: int, reason: str, lost: TierLostError | None = None) -> list[Action]:
        self.phase = "closed"
        return [*self._end_all(lost or TierLostError("The session ended", where=self.name)), Close(code, reason)]

    def _end_all(self, error: TierLostError) -> list[Action]:
        return [AttemptEnded(attempt, error=error) for attempt in self._attempts.end_all()]


def _unexpected(frame: frames.Frame, expected: str) -> UnexpectedFrameError:
    return UnexpectedFrameError(f"A {type(frame).__name__} frame came out of turn", expected=expected)


def _no_common_protocol(hello: frames.Hello) -> ProtocolTooOldError:
    older = "node" if hello.protocol_max < PROTOCOL_MIN else "control plane"
    return ProtocolTooOldError(
        f"The node speaks protocol {hello.protocol_min} to {hello.protocol_max}",
        where=f"node {hello.node_id}",
        expected=f"protocol {PROTOCOL_MIN} to {PROTOCOL_MAX}",
        remedy=f"upgrade the {older}",
    )
