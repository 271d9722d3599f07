"""Answers that were made by hand: an observer with a clock that steps, and everything that it would export."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from edgewise.observability.names import PINNED, Convention
from edgewise.observability.observer import Build, Observer
from edgewise.observability.spans import Served, SpanRecord
from edgewise.observability.trail import Trail
from edgewise.wire.frames import AttemptTimings

TIMINGS = AttemptTimings(queue_s=1.0, prefill_s=2.0, decode_s=4.0, text_s=0.5, kv_bytes=1 << 20)


class Sink:
    """Builds at once; `room` is how many it takes."""

    def __init__(self, room: int = 1000) -> None:
        self.spans: list[SpanRecord] = []
        self.room = room

    def put(self, build: Build) -> bool:
        if not self.room:
            return False
        self.room -= 1
        self.spans += build()
        return True


def seconds() -> Iterator[float]:
    """1.0, 2.0, 3.0, …"""
    now = 0.0
    while True:
        now += 1.0
        yield now


def observer(*, ratio: float = 1.0, convention: Convention = PINNED, **more: Any) -> tuple[Observer, Sink]:
    """An observer whose clock steps a second at each look, and its sink."""
    sink, clock = Sink(), seconds()
    made = Observer(
        sink=sink, sample_ratio=ratio, slow_s=1000.0, clock=lambda: next(clock), convention=convention, **more
    )
    return made, sink


def begun(seen: Observer, traceparent: str = "", *, sid: str = "s1") -> Trail:
    """A request that became a stream."""
    trail = seen.arrive(traceparent)
    trail.read()
    trail.encoded(0.25)
    trail.decided(0.000_002)
    trail.opened()
    seen.begin(trail, sid=sid, key_id="k1", mode="race", rule="default", model="edgewise", policy="abc")
    return trail


def spoken(trail: Trail, *, tier: str = "edge:a", kind: str = "edge", outcome: str = "stop") -> None:
    """An attempt that spoke, as the node measured it."""
    leg = trail.leg(f"attempt-{len(trail.legs)}", tier, kind)
    leg.spoke()
    trail.appended(0.125)
    leg.end(outcome, 3, TIMINGS)


def everything(seen: Observer) -> None:
    """One of each: a good answer after a fallback and a race, a broken one, a cancelled one, a take-over, a node's."""
    trail = begun(seen)
    trail.leg("lost", "cloud:b", "cloud").end("tier_lost", 0)
    spoken(trail)
    spoken(trail, tier="cloud:c", kind="cloud")
    seen.ended(trail, finish="stop", tokens_in=5, tokens_out=6, first_token_s=1.5, waste_tokens=2, tiers=2)
    trail = begun(seen, sid="s2")
    spoken(trail, outcome="tier_lost")
    seen.ended(trail, finish="error", error_code="tier_lost", tokens_in=5, tokens_out=1, first_token_s=1.0)
    seen.ended(begun(seen, sid="s3"), finish="cancelled")
    seen.ended(begun(seen, sid="s4"), finish="interrupted", error_code="log_unavailable")
    taken = seen.resume(trail.context.traceparent, 0.0)
    seen.begin(taken, sid="s2", key_id="k1", mode="race", rule="default", model="edgewise", policy="abc")
    spoken(taken)
    seen.ended(taken, finish="length", tokens_in=5, tokens_out=9, first_token_s=1.0, tiers=1)
    seen.refused("rate_limited")
    seen.served(Served(trail.context, "a", "edgewise", 1.0, 9.0, "stop", 3, TIMINGS))
    seen.served(Served(trail.context, "b", "edgewise", 1.0, 9.0, "tier_lost"))
