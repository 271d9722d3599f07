"""What is remembered of requests so that a repeated one finds its answer: the Repeats protocol, and one in memory.

Nothing of a request's text is kept, only digests. What is done with it is in visits.py.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Generic, NamedTuple, Protocol, TypeVar

KEY_TTL_S = 24 * 3600.0
CANDIDATE_TTL_S = 60.0
KEYS_MAX = 10_000
CANDIDATES_MAX = 2_000

K = TypeVar("K")
V = TypeVar("V")


class Held(NamedTuple):
    """What an idempotency key stands for: a stream, which may not have been opened yet, and the digest of the body."""

    sid: str
    digest: str


class Candidate(NamedTuple):
    """An answer that a retry may take up: `lost` when the client that was reading it hung up before its end."""

    sid: str
    lost: bool


class Repeats(Protocol):
    """Each method is one atomic step, also between gateways. `owner` is an API key's id; `digest` is a body's sha256.

    Keys are forgotten after KEY_TTL_S, candidates after CANDIDATE_TTL_S, and an owner's oldest when there are more than
    KEYS_MAX or CANDIDATES_MAX. Every method may raise LogUnavailableError.
    """

    async def hold(self, owner: str, key: str, mine: Held) -> Held:
        """What the key stands for; that is `mine` from now on if it stood for nothing."""
        ...

    async def release(self, owner: str, key: str, sid: str) -> None:
        """Free the key if it still stands for `sid`."""
        ...

    async def offer(self, owner: str, digest: str, sid: str, *, lost: bool) -> None:
        """Make an answer a candidate, or say anew whether its reader is lost."""
        ...

    async def candidates(self, owner: str, digest: str) -> list[Candidate]:
        """The candidates for one body."""
        ...

    async def take(self, owner: str, digest: str, sid: str) -> bool:
        """Take a candidate away; of all who try, exactly one is told True."""
        ...


class MemoryRepeats:
    """Repeats for one process. `clock` counts seconds."""

    def __init__(
        self,
        *,
        clock: Callable[[], float] = time.monotonic,
        keys_max: int = KEYS_MAX,
        candidates_max: int = CANDIDATES_MAX,
    ) -> None:
        self._clock = clock
        self._keys_max = keys_max
        self._candidates_max = candidates_max
        self._keys: dict[str, _Aging[str, Held]] = {}
        self._candidates: dict[str, _Aging[tuple[str, str], bool]] = {}

    async def hold(self, owner: str, key: str, mine: Held) -> Held:
        keys = self._of(self._keys, owner, KEY_TTL_S, self._keys_max)
        if (found := keys.get(key)) is not None:
            return found
        keys.put(key, mine)
        return mine

    async def release(self, owner: str, key: str, sid: str) -> None:
        keys = self._of(self._keys, owner, KEY_TTL_S, self._keys_max)
        found = keys.get(key)
        if found is not None and found.sid == sid:
            keys.pop(key)

    async def offer(self, owner: str, digest: str, sid: str, *, lost: bool) -> None:
        self._offered(owner).put((digest, sid), lost)

    async def candidates(self, owner: str, digest: str) -> list[Candidate]:
        offered = self._offered(owner)
        return [Candidate(sid, lost) for (of, sid), lost in offered.items() if of == digest]

    async def take(self, owner: str, digest: str, sid: str) -> bool:
        return self._offered(owner).pop((digest, sid))

    def _offered(self, owner: str) -> _Aging[tuple[str, str], bool]:
        return self._of(self._candidates, owner, CANDIDATE_TTL_S, self._candidates_max)

    def _of(self, table: dict[str, _Aging[K, V]], owner: str, ttl_s: float, most: int) -> _Aging[K, V]:
        """One owner's entries, the old ones forgotten; owners without any are forgotten with them."""
        now = self._clock()
        for known in [known for known, entries in table.items() if known != owner and entries.is_over(now)]:
            del table[known]
        entries = table.setdefault(owner, _Aging(ttl_s, most))
        entries.forget_old(now)
        return entries


class _Aging(Generic[K, V]):
    """Values in the order in which they were put, each with the time of that; `most` of them, for `ttl_s`."""

    def __init__(self, ttl_s: float, most: int) -> None:
        self._ttl_s = ttl_s
        self._most = most
        self._now = 0.0
        self._values: OrderedDict[K, tuple[float, V]] = OrderedDict()

    def is_over(self, now: float) -> bool:
        """Whether everything in here is too old."""
        return not self._values or next(reversed(self._values.values()))[0] <= now - self._ttl_s

    def forget_old(self, now: float) -> None:
        """Turn the clock to `now` and drop what is too old."""
        self._now = now
        while self._values and next(iter(self._values.values()))[0] <= now - self._ttl_s:
            self._values.popitem(last=False)

    def get(self, key: K) -> V | None:
        found = self._values.get(key)
        return None if found is None else found[1]

    def put(self, key: K, value: V) -> None:
        self._values[key] = self._now, value
        self._values.move_to_end(key)
        if len(self._values) > self._most:
            self._values.popitem(last=False)

    def pop(self, key: K) -> bool:
        return self._values.pop(key, None) is not None

    def items(self) -> list[tuple[K, V]]:
        return [(key, value) for key, (_, value) in self._values.items()]
