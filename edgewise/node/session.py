"""The node's end of the session as a pure state machine: frames, ticks and local events in, actions out.

One machine lives as long as its node and sees many connections. No clock, no socket, no tier: edgewise/node/link.py
is the shell. The gateway's end is control_plane/nodes/session.py; docs/protocol.md draws both.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from statistics import median
from typing import Literal

from edgewise.node.actions import (
    Action,
    ApplyPolicy,
    CancelAttempt,
    Close,
    Joined,
    NodeIdentity,
    NodeReport,
    ReadTelemetry,
    ReconnectAt,
    RunCommand,
    Send,
    StartAttempt,
    TelemetryStored,
)
from edgewise.node.backoff import Backoff
from edgewise.node.commands import CommandLedger, CommandResult
from edgewise.node.open_attempts import OpenAttempts
from edgewise.node.telemetry import TelemetryBatch, TelemetrySender
from edgewise.routing.tier import Chunk
from edgewise.wire import frames
from edgewise.wire.errors import (
    EdgewiseError,
    ErrorInfo,
    ForbiddenError,
    FrameMalformedError,
    ModelDigestError,
    NodeKeyError,
    PolicyBundleError,
    ProtocolTooOldError,
    SessionError,
    SupersededError,
    TierRefusedError,
    TierTimeoutError,
    UnauthenticatedError,
    UnexpectedFrameError,
    UnknownModelError,
)
from edgewise.wire.limits import PROTOCOL_MAX, PROTOCOL_MIN, TELEMETRY_BATCH_MAX

Phase = Literal["idle", "greeting", "live", "closing"]
CLOSE_NORMAL = 1000
CLOSE_BASE = 3000
"""A socket that closes for a numbered error closes with 3000 + that number."""
_RTT_SAMPLES = 3
_SLOT_MAX_S = 3600.0
_FINAL = (
    ProtocolTooOldError,
    NodeKeyError,
    ModelDigestError,
    SupersededError,
    UnauthenticatedError,
    ForbiddenError,
    UnknownModelError,
)
FINAL_NUMBERS = frozenset(error.number for error in _FINAL)
"""Errors that a person has to mend: the node goes on trying, but slowly."""


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """Seconds and counts that the node decides for itself."""

    welcome_timeout_s: float = 10.0
    telemetry_limit: int = TELEMETRY_BATCH_MAX


class NodeSession:
    """Feed it events with the time they happened at (any monotonic seconds); do what the returned actions say.

    `report` is asked for the load and the device's facts at every heartbeat.
    """

    def __init__(
        self,
        identity: NodeIdentity,
        backoff: Backoff,
        report: Callable[[], NodeReport],
        config: SessionConfig | None = None,
    ) -> None:
        self.phase: Phase = "idle"
        self.connection_epoch = 0
        self._identity = identity
        self._backoff = backoff
        self._report = report
        self._config = config or SessionConfig()
        self._commands = CommandLedger()
        self._telemetry = TelemetrySender(identity.telemetry_stream, identity.telemetry_acked)
        self._attempts = OpenAttempts()
        self._rtts: deque[float] = deque(maxlen=_RTT_SAMPLES)
        self._stop = False
        self._opened_at = self._heard_at = self._beat_at = 0.0
        self._beat_seq = self._dial = 0
        self._heartbeat_s = self._lost_after_s = 0.0
        self._policy_key = ""
        self._error: ErrorInfo | None = None
        self._slot_s: float | None = None
        self._said: tuple[frames.ModelOffer, ...] = ()

    @property
    def rtt_ms(self) -> float | None:
        """Round trip of the last heartbeats (median of three), measured on this connection."""
        return median(self._rtts) if self._rtts else None

    # The socket ---------------------------------------------------------------------------------------------------

    def on_connected(self, now: float) -> list[Action]:
        """The socket is open: say hello."""
        self.phase = "greeting"
        self._dial += 1
        self._opened_at = self._heard_at = now
        self._error, self._slot_s = None, None
        self._said = self._identity.models
        self._rtts.clear()
        self._telemetry.reconnected()
        return [Send(self._hello())]

    def on_frame(self, frame: frames.GatewayFrame, now: float) -> list[Action]:
        """A frame arrived. Any frame shows that the gateway lives."""
        if self.phase not in ("greeting", "live"):
            return []
        self._heard_at = now
        if isinstance(frame, frames.Goodbye):
            return self._on_goodbye(frame)
        if self.phase == "greeting":
            return self._on_greeting(frame, now)
        return self._on_live(frame, now)

    def on_fault(self, error: EdgewiseError) -> list[Action]:
        """The peer broke the protocol (a frame that does not decode): say so and close."""
        if self.phase not in ("greeting", "live"):
            return []
        self._error = error.info()
        words = Send(frames.Goodbye(reason=error.code, error=self._error))
        return [words, *self._close(CLOSE_BASE + error.number, error.code)]

    def on_closed(self, now: float, error: EdgewiseError | None = None) -> list[Action]:
        """The socket is gone, or could not be opened: drop what ran for it, and say when to try again."""
        self.phase = "idle"
        dropped: list[Action] = [CancelAttempt(attempt) for attempt in self._attempts.forget_all()]
        self._rtts.clear()
        if self._stop:
            return dropped
        why = self._error or (error.info() if error else None)
        slot_s = self._slot_s if self._slot_s is not None or why is None else why.retry_after_s
        final = why is not None and why.number in FINAL_NUMBERS and slot_s is None
        delay_s = self._backoff.slow() if final else self._backoff.lost(now)
        if slot_s is not None:
            delay_s = min(max(slot_s, 0.0), _SLOT_MAX_S)
        return [*dropped, ReconnectAt(now + delay_s, why, final)]

    def on_leave(self) -> list[Action]:
        """The node is stopping; no reconnection follows."""
        self._stop = True
        if self.phase != "live":
            return self._close(CLOSE_NORMAL, "leaving")
        return [Send(frames.Goodbye(reason="leaving")), *self._close(CLOSE_NORMAL, "leaving")]

    # Time ---------------------------------------------------------------------------------------------------------

    def deadline(self) -> float | None:
        """When `on_tick` is due; None while no connection is open."""
        if self.phase == "greeting":
            return self._opened_at + self._config.welcome_timeout_s
        if self.phase != "live":
            return None
        due = min(self._beat_at, self._heard_at + self._lost_after_s)
        limit = self._attempts.next_deadline()
        return due if limit is None else min(due, limit)

    def on_tick(self, now: float) -> list[Action]:
        """Time passed: heartbeats, attempts out of time, a gateway that went silent."""
        due = self.deadline()
        if due is None or now < due:
            return []
        if self.phase == "greeting":
            return self.on_fault(SessionError("The gateway did not answer hello", where="node session"))
        if now >= self._heard_at + self._lost_after_s:
            silence = f"The gateway was silent for {now - self._heard_at:.1f} s"
            return self.on_fault(SessionError(silence, where="node session"))
        return [*self._overdue(now), *(self._beat(now) if now >= self._beat_at else [])]

    # What happens on the node -------------------------------------------------------------------------------------

    def on_chunk(self, attempt: str, chunk: Chunk) -> list[Action]:
        """The tier spoke. Chunks of attempts that were cancelled or lost are dropped."""
        return [*(Send(frame) for frame in self._attempts.spoke(attempt, chunk)), *self._redial()]

    def on_failed(self, attempt: str, error: EdgewiseError) -> list[Action]:
        """The tier gave up on an attempt."""
        return [*(Send(frame) for frame in self._attempts.failed(attempt, error)), *self._redial()]

    def on_models(self, models: tuple[frames.ModelOffer, ...]) -> list[Action]:
        """Other models are loaded: a new hello offers them. Where one was said already, that is a new connection, once
        the open attempts have ended."""
        if models == self._identity.models:
            return []
        self._identity = replace(self._identity, models=models)
        return self._redial()

    def on_telemetry_waiting(self) -> list[Action]:
        """There are new records. At most one batch is under way at any time."""
        if self.phase != "live" or not self._telemetry.ready:
            return []
        return [ReadTelemetry(self._telemetry.acked, self._config.telemetry_limit)]

    def on_telemetry(self, batch: TelemetryBatch | None) -> list[Action]:
        """What ReadTelemetry found."""
        if self.phase != "live" or batch is None or not self._telemetry.ready:
            return []
        return [Send(self._telemetry.frame(batch))]

    def on_command_result(self, key: str, result: CommandResult) -> list[Action]:
        """A command got on or ended. What cannot be told now is told when the command comes again."""
        ack = self._commands.report(key, result)
        return [Send(ack)] if ack and self.phase == "live" else []

    def on_policy_result(self, offer: frames.PolicyOffer, error: EdgewiseError | None = None) -> list[Action]:
        """An offered bundle was taken, or refused with `error`."""
        if error is None:
            self._identity = replace(self._identity, policy_digest=offer.digest)
        if self.phase != "live":
            return []
        status = frames.PolicyStatus(
            digest=offer.digest,
            applied=error is None,
            version=offer.version,
            policy_version=offer.policy_version,
            refusal=error.refusal if isinstance(error, PolicyBundleError) else "",
            error=error.info() if error else None,
        )
        return [Send(status)]

    # Frames -------------------------------------------------------------------------------------------------------

    def _hello(self) -> frames.Hello:
        known = self._identity
        return frames.Hello(
            protocol_min=PROTOCOL_MIN,
            protocol_max=PROTOCOL_MAX,
            node_id=known.node_id,
            key=known.key,
            kind=known.kind,
            agent_version=known.agent_version,
            capabilities=known.capabilities,
            limits=known.limits,
            models=known.models,
            labels=known.labels,
            last_connection_epoch=self.connection_epoch,
            telemetry_stream=known.telemetry_stream,
            telemetry_acked=self._telemetry.acked,
            policy_digest=known.policy_digest,
            run_id=known.run_id,
            dial=self._dial,
        )

    def _on_greeting(self, frame: frames.GatewayFrame, now: float) -> list[Action]:
        match frame:
            case frames.Welcome():
                return self._on_welcome(frame, now)
            case frames.Reject(error=error):
                self._error = error
                return self._close(CLOSE_NORMAL, "rejected")
            case _:
                return self.on_fault(_unexpected(frame, "welcome or reject"))

    def _on_welcome(self, frame: frames.Welcome, now: float) -> list[Action]:
        if not PROTOCOL_MIN <= frame.protocol <= PROTOCOL_MAX:
            return self.on_fault(_unexpected(frame, f"protocol {PROTOCOL_MIN} to {PROTOCOL_MAX}"))
        self.phase = "live"
        self.connection_epoch = frame.connection_epoch
        self._heartbeat_s, self._lost_after_s = frame.heartbeat_s, frame.lost_after_s
        self._policy_key = frame.policy_key
        self._backoff.welcomed(now)
        return [Joined(frame), *self._stored(frame.telemetry_acked), *self._beat(now)]

    def _on_live(self, frame: frames.GatewayFrame, now: float) -> list[Action]:
        match frame:
            case frames.Generate():
                return self._on_generate(frame, now)
            case frames.Cancel(attempt=attempt):
                return [CancelAttempt(attempt), *self._redial()] if self._attempts.forget(attempt) else []
            case frames.HeartbeatAck(seq=seq, echo=echo):
                if seq == self._beat_seq and 0 <= now - echo <= self._lost_after_s:
                    self._rtts.append((now - echo) * 1000.0)
                return []
            case frames.TelemetryAck():
                return self._on_telemetry_ack(frame)
            case frames.Command():
                return self._on_command(frame)
            case frames.PolicyOffer(digest=digest):
                known = digest == self._identity.policy_digest
                return self.on_policy_result(frame) if known else [ApplyPolicy(frame, self._policy_key)]
            case _:
                return self.on_fault(_unexpected(frame, "no second greeting"))

    def _on_generate(self, frame: frames.Generate, now: float) -> list[Action]:
        if frame.attempt in self._attempts:
            return []
        if self._stale:
            return [Send(frames.Failed(attempt=frame.attempt, error=_changing().info()))]
        try:
            state = self._attempts.begin(frame, now)
        except FrameMalformedError as error:
            return [Send(frames.Failed(attempt=frame.attempt, error=error.info()))]
        return [StartAttempt(frame.attempt, state, frame.trace)]

    def _on_telemetry_ack(self, frame: frames.TelemetryAck) -> list[Action]:
        if not self._telemetry.answered(frame):
            return []
        return [TelemetryStored(self._telemetry.acked), *self.on_telemetry_waiting()]

    def _stored(self, seq: int) -> list[Action]:
        return [TelemetryStored(seq)] if self._telemetry.stored(seq) else []

    def _on_command(self, frame: frames.Command) -> list[Action]:
        answer = self._commands.begin(frame)
        if answer is not None:
            return [Send(answer)]
        return [Send(frames.CommandAck(id=frame.id, stage="received")), RunCommand(frame)]

    def _on_goodbye(self, frame: frames.Goodbye) -> list[Action]:
        self._error, self._slot_s = frame.error, frame.reconnect_after_s
        return self._close(CLOSE_NORMAL, "goodbye")

    # Small things -------------------------------------------------------------------------------------------------

    def _beat(self, now: float) -> list[Action]:
        """A heartbeat; with it goes a new try for telemetry whose last batch made no progress."""
        self._beat_seq += 1
        self._beat_at = now + self._heartbeat_s
        report = self._report()
        beat = frames.Heartbeat(
            seq=self._beat_seq, sent_at=now, load=report.load, device=report.device, rtt_ms=self.rtt_ms
        )
        return [Send(beat), *self.on_telemetry_waiting()]

    def _overdue(self, now: float) -> list[Action]:
        actions: list[Action] = []
        for attempt in self._attempts.overdue(now):
            error = TierTimeoutError("The attempt's deadline passed on the node", where=f"attempt {attempt}")
            actions += [CancelAttempt(attempt), *self.on_failed(attempt, error)]
        return actions

    @property
    def _stale(self) -> bool:
        """Whether what this connection's hello said of models is no longer true."""
        return self._identity.models != self._said

    def _redial(self) -> list[Action]:
        """Leave, and be back at once, where the last hello is no longer true and nothing is under way."""
        if not self._stale or len(self._attempts) or self.phase not in ("greeting", "live"):
            return []
        self.phase, self._slot_s = "closing", 0.0
        return [Close(CLOSE_NORMAL, "models changed", drained=True)]

    def _close(self, code: int, reason: str) -> list[Action]:
        if self.phase in ("idle", "closing"):
            return []
        self.phase = "closing"
        return [Close(code, reason)]


def _changing() -> TierRefusedError:
    return TierRefusedError(
        "The node changes its model and is back in a moment", where="node session", retry_after_s=1.0
    )


def _unexpected(frame: frames.Frame, expected: str) -> UnexpectedFrameError:
    return UnexpectedFrameError(f"A {type(frame).__name__} frame came out of turn", expected=expected)
