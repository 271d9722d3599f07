"""Tenants that ask an engine for answers, at random, on a clock of the tokens that the model reads and says."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from cloud_worker.engine.blocks import BlockPool
from cloud_worker.engine.requests import Request
from cloud_worker.engine.scheduler import Limits, Scheduler
from edgewise.wire.errors import TierRefusedError
from tests.simulators.token_engine import TokenEngine

LIMITS = Limits(slots=8, step_tokens=96, queue_tokens=1 << 16)
MEAN_TOKENS = 360.0
"""Of a request of `arrivals`: prompt and answer."""


@dataclass(frozen=True)
class Arrival:
    at: float
    request: Request
    length: int


def arrivals(
    tenant: str, load: float, until: float, seed: int, *, tier: int = 0, long: float = 1.0
) -> Iterator[Arrival]:
    """Poisson arrivals that ask for `load` of all tokens that the engine can do, each `long` times the usual length."""
    rng, at, number = random.Random(f"{tenant} {seed}"), 0.0, 0
    while (at := at + rng.expovariate(load / (MEAN_TOKENS * long))) < until:
        length = round(long * rng.randint(16, 128))
        prompt = tuple(rng.randrange(30_000) for _ in range(round(long * rng.randint(64, 512))))
        yield Arrival(at, Request(f"{tenant}{number}", prompt, 2 * length, tenant=tenant.encode(), tier=tier), length)
        number += 1


@dataclass
class Day:
    """Arrivals, served one after the other; a step takes as long as it has tokens."""

    until: float
    engine: TokenEngine = field(default_factory=lambda: TokenEngine(Scheduler(BlockPool(600), LIMITS), check=False))
    arrived: dict[str, float] = field(default_factory=dict)
    first_token: dict[str, float] = field(default_factory=dict)
    """Request → tokens between its arrival and its first token."""
    refused: int = 0
    now: float = 0.0
    _prompt_read: dict[str, int] = field(default_factory=dict)

    def spend(self, streams: Iterable[Arrival]) -> Day:
        """Until the end of the day, or of all work."""
        coming = sorted(streams, key=lambda each: each.at, reverse=True)
        while self.now < self.until and (coming or self.engine.requests):
            if not self.engine.requests:
                self.now = max(self.now, coming[-1].at)
            while coming and coming[-1].at <= self.now:
                self._arrive(coming.pop())
            self._step()
        return self

    def _arrive(self, arrival: Arrival) -> None:
        self.engine.lengths[arrival.request.id] = arrival.length
        try:
            self.engine.submit(arrival.request)
        except TierRefusedError:
            self.refused += 1
        else:
            self.arrived[arrival.request.id] = arrival.at

    def _step(self) -> None:
        before = self.engine.work_tokens
        plan = self.engine.step()
        self.now += self.engine.work_tokens - before
        for segment in plan.segments:
            if segment.prompt:
                self._prompt_read[segment.request] = max(segment.stop, self._prompt_read.get(segment.request, 0))
            if segment.request not in self.first_token and segment.request in self.engine.first_token_at:
                self.first_token[segment.request] = self.now - self.arrived[segment.request]

    def first_tokens(self, tenant: str, after: float = 0.0) -> list[float]:
        """What those of a tenant waited that came after a moment."""
        return [
            wait for name, wait in self.first_token.items() if name.startswith(tenant) and self.arrived[name] > after
        ]

    def given(self, tenant: str) -> float:
        """What a tenant was given: prompt tokens, those that were read again counted once, and twice what was said."""
        names = [name for name in self.arrived if name.startswith(tenant)]
        return sum(self._prompt_read.get(name, 0) + 2.0 * len(self.engine.said[name]) for name in names)


def jain(shares: Sequence[float]) -> float:
    """Jain's index (Jain et al., 1984): 1 when all have the same, 1/n when one has everything."""
    return sum(shares) ** 2 / (len(shares) * sum(each**2 for each in shares))
