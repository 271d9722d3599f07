"""How much sealing a gateway does beside its answers: a little. The job `seal_and_trim` does what is left."""

from __future__ import annotations

import time
from collections.abc import Callable

SEALS_PER_S = 2.0
BURST = 10.0


class SealShare:
    """Passes ended streams on to `seal_soon`, at most `per_s` of them; a token bucket, so that a quiet gateway seals at
    once and a busy one keeps its processor for tokens. What it drops stays in the log, where the job finds it."""

    def __init__(
        self,
        seal_soon: Callable[[str], None],
        *,
        per_s: float = SEALS_PER_S,
        burst: float = BURST,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._seal_soon = seal_soon
        self._per_s = per_s
        self._burst = burst
        self._clock = clock
        self._left = burst
        self._filled_at = clock()

    def ended(self, sid: str) -> None:
        """A stream has ended."""
        now = self._clock()
        self._left = min(self._burst, self._left + (now - self._filled_at) * self._per_s)
        self._filled_at = now
        if self._left >= 1.0:
            self._left -= 1.0
            self._seal_soon(sid)
