"""When a node dials again: full jitter, so that a fleet that lost its gateway does not come back as one wave.

Pure: the clock and the random source are given. The figures behind the defaults are in docs/protocol.md.
"""

from __future__ import annotations

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class BackoffConfig:
    """Seconds. `stable_s` of an unbroken session resets the growth; `slow_s` spaces tries that need a person first."""

    first_s: float = 0.25
    base_s: float = 0.5
    cap_s: float = 30.0
    slow_s: float = 60.0
    stable_s: float = 30.0


class Backoff:
    """Delays between connections. The first retry comes at once (within `first_s`), then up to base·2ⁿ, capped."""

    def __init__(self, rng: random.Random, config: BackoffConfig | None = None) -> None:
        self._rng = rng
        self._config = config or BackoffConfig()
        self._failures = 0
        self._welcomed_at: float | None = None

    def welcomed(self, now: float) -> None:
        """A session began; it has to last before the growth is forgotten."""
        self._welcomed_at = now

    def lost(self, now: float) -> float:
        """Seconds to wait after a session or a try ended at `now`."""
        if self._welcomed_at is not None and now - self._welcomed_at >= self._config.stable_s:
            self._failures = 0
        self._welcomed_at = None
        self._failures += 1
        return self._rng.uniform(0.0, self._ceiling())

    def slow(self) -> float:
        """Seconds to wait when the gateway said no for a reason that time alone will not mend."""
        self._welcomed_at = None
        return self._rng.uniform(self._config.slow_s / 2, self._config.slow_s)

    def _ceiling(self) -> float:
        if self._failures == 1:
            return self._config.first_s
        doublings = min(self._failures - 2, 32)
        return min(self._config.cap_s, self._config.base_s * 2.0**doublings)
