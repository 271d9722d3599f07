"""A Trail: what one answer leaves behind while it is made, as plain numbers. Spans, metrics and the latency points are
made of it once, at the end, so that nothing but a few assignments stands on the token path.

Times are seconds of one monotonic clock; 0.0 means that it did not happen.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Protocol

from edgewise.observability.context import TraceContext, new_span_id, new_trace_id
from edgewise.wire.frames import AttemptTimings

Clock = Callable[[], float]
Appended = Callable[[float], None]


class Watch(Protocol):
    """Somebody who wants a line for every event of this answer (diagnostics.py)."""

    def moved(self, rtt_ms: float | None) -> None:
        """Another tier speaks from here on; `rtt_ms` is the round trip of its link, where one is known."""
        ...

    def said(self, ids: tuple[int, ...]) -> None:
        """Tokens were taken, or a text without ids."""
        ...

    def stored(self) -> None:
        """What was taken is in the log."""
        ...

    def note(self, action: str) -> None:
        """Something else happened, such as `warn` or `end`."""
        ...


class Leg:
    """One attempt of one tier, marked by the runner."""

    __slots__ = (
        "attempt",
        "clock",
        "context",
        "ended_at",
        "first_at",
        "kind",
        "outcome",
        "started_at",
        "tier",
        "timings",
        "tokens",
    )

    def __init__(self, attempt: str, tier: str, kind: str, context: TraceContext, clock: Clock) -> None:
        self.attempt = attempt
        self.tier = tier
        self.kind = kind
        self.context = context
        self.clock = clock
        self.started_at = clock()
        self.first_at = 0.0
        self.ended_at = 0.0
        self.outcome = ""
        self.tokens = 0
        self.timings: AttemptTimings | None = None

    def spoke(self) -> None:
        """The first chunk came."""
        self.first_at = self.clock()

    def end(self, outcome: str, tokens: int, timings: AttemptTimings | None = None) -> None:
        """It is over: a finish, `cancelled`, or the code of an error. What came first stands."""
        if not self.outcome:
            self.outcome, self.tokens, self.timings, self.ended_at = outcome, tokens, timings, self.clock()


class Trail:
    """The marks of one answer in this process. `context` is the span under which attempts stand: the answer's root, or
    the take-over's own; `parent_id` that of the client. After a take-over `root` is the root that another process
    began at `began_at` (of this process's clock).
    """

    __slots__ = (
        "append_s",
        "appended_from",
        "appended_to",
        "appends",
        "arrived_at",
        "began_at",
        "clock",
        "context",
        "decide_s",
        "decided_at",
        "encode_s",
        "encoded_at",
        "ended_at",
        "finish",
        "key_id",
        "legs",
        "mode",
        "model",
        "on_append",
        "opened_at",
        "parent_id",
        "policy",
        "read_at",
        "root",
        "rule",
        "sid",
        "watch",
    )

    def __init__(self, context: TraceContext, parent_id: str, clock: Clock, on_append: Appended) -> None:
        self.context = context
        self.parent_id = parent_id
        self.clock = clock
        self.on_append = on_append
        self.arrived_at = self.read_at = self.began_at = clock()
        self.root: TraceContext | None = None
        self.encoded_at = self.encode_s = self.decided_at = self.decide_s = self.opened_at = 0.0
        self.append_s = self.appended_from = self.appended_to = 0.0
        self.appends = 0
        self.ended_at = 0.0
        self.sid = self.key_id = self.mode = self.rule = self.model = self.policy = self.finish = ""
        self.legs: list[Leg] = []
        self.watch: Watch | None = None

    # Marks, in the order in which they are made -----------------------------------------------------------------------

    def read(self) -> None:
        """The request's body is here."""
        self.read_at = self.clock()

    def encoded(self, seconds: float) -> None:
        """The messages became token ids."""
        self.encode_s, self.encoded_at = seconds, self.clock()

    def decided(self, seconds: float) -> None:
        """The policy decided."""
        self.decide_s, self.decided_at = seconds, self.clock()

    def opened(self) -> None:
        """The stream is in the log, and ours."""
        self.opened_at = self.clock()

    def leg(self, attempt: str, tier: str, kind: str) -> Leg:
        """An attempt begins."""
        leg = Leg(attempt, tier, kind, self.context.child(), self.clock)
        self.legs.append(leg)
        return leg

    def appended(self, seconds: float) -> None:
        """An append to the log was confirmed after so long."""
        now = self.clock()
        self.appended_from = self.appended_from or now - seconds
        self.appended_to = now
        self.append_s += seconds
        self.appends += 1
        self.on_append(seconds)
        if self.watch is not None:
            self.watch.stored()

    # What they add up to ----------------------------------------------------------------------------------------------

    @property
    def taken_over(self) -> bool:
        """Whether another process began this answer."""
        return self.root is not None

    @property
    def total_s(self) -> float:
        """From arrival to end."""
        return self.ended_at - self.arrived_at

    def points(self) -> dict[str, float]:
        """Seconds at the five latency points.

        network: reading the request, and of each attempt what lies between asking and its first token, less what the
        node says it worked for it. queue: waiting at this process, and on the node. tokenization: encoding the
        messages. model: prefill and decoding; for an attempt without a report (a foreign engine, a lost node) all of
        it. postprocessing: detokenizing and appending.
        """
        network = self.read_at - self.arrived_at
        started_at = self.legs[0].started_at if self.legs else self.ended_at
        queue = max(0.0, started_at - self.read_at - self.encode_s)
        model, post = 0.0, self.append_s
        for leg in self.legs:
            told = leg.timings
            if told is None:
                model += max(0.0, leg.ended_at - leg.started_at)
                continue
            queue += told.queue_s
            model += told.prefill_s + told.decode_s
            post += told.text_s
            if leg.first_at:
                network += max(0.0, leg.first_at - leg.started_at - told.queue_s - told.prefill_s)
        return {
            "network": network,
            "queue": queue,
            "tokenization": self.encode_s,
            "model": model,
            "postprocessing": post,
        }


def unobserved() -> Trail:
    """The trail of an answer that nobody observes: fresh ids, and marks that nobody reads."""
    return Trail(TraceContext(new_trace_id(), new_span_id()), "", monotonic, lambda seconds: None)
