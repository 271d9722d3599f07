"""The stream socket as a pure state machine: messages in, actions out. It counts credits and knows who is subscribed.

It owns the promise that a stream never has more frames sent than credits given, none out of order, none after its end.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from edgewise.api.errors import SocketLimitError, SocketMessageError, TooManyFaultsError
from edgewise.api.socket_messages import (
    Ask,
    Asked,
    Cancel,
    End,
    Error,
    Frame,
    FromServer,
    Goodbye,
    Grant,
    Hello,
    Limits,
    Ping,
    Pong,
    Subscribe,
    Unsubscribe,
    Unsubscribed,
    decode_message,
)
from edgewise.dialects.openai_errors import error_body
from edgewise.streams.log import Record
from edgewise.wire.errors import EdgewiseError, ErrorInfo


@dataclass(eq=False)
class Subscription:
    """One stream of one socket. `seq` is the last record that was sent whole."""

    sid: str
    credit: int
    seq: int = -1
    over: bool = False


@dataclass(frozen=True)
class Say:
    """Send this message."""

    message: FromServer


@dataclass(frozen=True)
class Follow:
    """Begin to read a stream for this subscription, from beyond `after`."""

    subscription: Subscription
    after: int | str


@dataclass(frozen=True)
class Leave:
    """Stop reading for this subscription, then say so."""

    subscription: Subscription
    message: FromServer


@dataclass(frozen=True)
class Resume:
    """There are credits again for this subscription."""

    subscription: Subscription


@dataclass(frozen=True)
class Open:
    """Open an answer; tell the session by `asked` or `not_asked`."""

    ask: Ask


@dataclass(frozen=True)
class Stop:
    """Cancel an answer, and say how that went."""

    sid: str


@dataclass(frozen=True)
class HangUp:
    """Close the socket because of this error."""

    error: EdgewiseError


Action = Say | Follow | Leave | Resume | Open | Stop | HangUp


@dataclass
class SocketSession:
    """One socket's state."""

    limits: Limits = field(default_factory=Limits)
    subscriptions: dict[str, Subscription] = field(default_factory=dict)
    asking: set[str] = field(default_factory=set)
    faults: int = 0

    def hello(self) -> Hello:
        """The first message."""
        return Hello(self.limits)

    def goodbye(self, reconnect_after_ms: int) -> Goodbye:
        """The last message; no frame follows it."""
        for subscription in self.subscriptions.values():
            subscription.over = True
        self.subscriptions.clear()
        return Goodbye(reconnect_after_ms)

    def received(self, text: str | bytes) -> list[Action]:
        """What one message of the client leads to. It never raises: a faulty message is answered with an error."""
        try:
            return self._actions(self._decoded(text))
        except EdgewiseError as error:
            return self._fault(Error(error_body(error.info())["error"]))

    def _decoded(self, text: str | bytes) -> Subscribe | Grant | Unsubscribe | Cancel | Ask | Ping:
        if not isinstance(text, str):
            raise SocketMessageError("Binary messages are not understood", expected="JSON in a text message")
        if len(text) > self.limits.message_bytes or len(text.encode(errors="replace")) > self.limits.message_bytes:
            raise SocketLimitError("The message is too long", expected=f"at most {self.limits.message_bytes} bytes")
        return decode_message(text)

    def _actions(self, message: Subscribe | Grant | Unsubscribe | Cancel | Ask | Ping) -> list[Action]:
        match message:
            case Subscribe():
                return self._subscribe(message)
            case Grant():
                return self._grant(message)
            case Unsubscribe():
                return self._unsubscribe(message)
            case Cancel():
                return [Stop(message.id)]
            case Ask():
                return self._ask(message)
            case Ping():
                return [Say(Pong(message.nonce))]

    def _subscribe(self, message: Subscribe) -> list[Action]:
        if message.id in self.subscriptions:
            return self._fault(_refused(_twice(message.id)))
        if refusal := self._is_full():
            return self._fault(_refused(refusal, sid=message.id))
        subscription = self.subscriptions[message.id] = Subscription(message.id, message.credit)
        return [Follow(subscription, message.after)]

    def _grant(self, message: Grant) -> list[Action]:
        """Credit for a stream that is over is late, not wrong: its end and the credit may have crossed."""
        subscription = self.subscriptions.get(message.id)
        if subscription is None:
            return []
        if subscription.credit + message.n > self.limits.credit:
            return self._fault(_refused(self._too_much_credit(message.id)))
        subscription.credit += message.n
        return [Resume(subscription)]

    def _unsubscribe(self, message: Unsubscribe) -> list[Action]:
        subscription = self.subscriptions.pop(message.id, None)
        if subscription is None:
            return [Say(Unsubscribed(message.id))]
        subscription.over = True
        return [Leave(subscription, Unsubscribed(message.id))]

    def _ask(self, message: Ask) -> list[Action]:
        if message.ref in self.asking:
            return self._fault(_refused(_twice(message.ref)))
        if refusal := self._is_full():
            return self._fault(_refused(refusal, ref=message.ref))
        self.asking.add(message.ref)
        return [Open(message)]

    # What the reader of a stream tells and asks -----------------------------------------------------------------------

    def asked(self, ask: Ask, sid: str, *, replayed: bool) -> list[Action]:
        """The answer to a question was opened."""
        self.asking.discard(ask.ref)
        if sid in self.subscriptions:
            return self._fault(_refused(_twice(sid), ref=ask.ref))
        subscription = self.subscriptions[sid] = Subscription(sid, ask.credit)
        return [Say(Asked(ask.ref, sid, replayed)), Follow(subscription, -1)]

    def not_asked(self, ask: Ask, error: ErrorInfo) -> Error:
        """No answer was opened."""
        self.asking.discard(ask.ref)
        return Error(error_body(error)["error"], ref=ask.ref)

    def frame(self, subscription: Subscription, record: Record, data: bytes, *, last: bool) -> Frame | None:
        """One frame for one credit; None when there is no credit, or nobody to read it. `last` of its record."""
        if subscription.over or not subscription.credit:
            return None
        subscription.credit -= 1
        if not last:
            return Frame(subscription.sid, msgspec.Raw(data))
        subscription.seq = record.seq
        return Frame(subscription.sid, msgspec.Raw(data), record.seq)

    def end(self, subscription: Subscription) -> End | None:
        """All was sent; None when nobody reads it any more."""
        return End(subscription.sid) if self._close(subscription) else None

    def fail(self, subscription: Subscription, error: ErrorInfo) -> Error | None:
        """A stream cannot be read on; None when nobody reads it any more."""
        return Error(error_body(error)["error"], id=subscription.sid) if self._close(subscription) else None

    def _close(self, subscription: Subscription) -> bool:
        if subscription.over:
            return False
        subscription.over = True
        del self.subscriptions[subscription.sid]
        return True

    def not_stopped(self, sid: str, error: ErrorInfo) -> Error:
        """A stream could not be cancelled; whoever reads it reads on."""
        return Error(error_body(error)["error"], id="" if sid in self.subscriptions else sid)

    # Faults -----------------------------------------------------------------------------------------------------------

    def _fault(self, told: Error) -> list[Action]:
        self.faults += 1
        if self.faults < self.limits.faults:
            return [Say(told)]
        return [
            Say(told),
            HangUp(TooManyFaultsError(f"This socket sent {self.faults} messages that broke the rules")),
        ]

    def _is_full(self) -> SocketLimitError | None:
        if len(self.subscriptions) + len(self.asking) < self.limits.streams:
            return None
        return SocketLimitError(
            f"This socket reads {self.limits.streams} streams", remedy="unsubscribe from one, or open another socket"
        )

    def _too_much_credit(self, sid: str) -> SocketLimitError:
        return SocketLimitError(
            "The stream has too much credit",
            where=f"stream {sid}",
            expected=f"at most {self.limits.credit} at a time",
            remedy="give credit for what you have taken",
        )


def _twice(name: str) -> SocketMessageError:
    return SocketMessageError(f"{name[:40]!r} is in use on this socket", remedy="unsubscribe first, or use another ref")


def _refused(error: EdgewiseError, *, sid: str = "", ref: str = "") -> Error:
    return Error(error_body(error.info())["error"], id=sid, ref=ref)
