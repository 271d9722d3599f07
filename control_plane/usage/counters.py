"""The counters' protocol: what one atomic step over a key and its tenant may do, and what it answers.

Valkey (shared by gateways) and memory (one process, tests) implement it under one property suite.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

from control_plane.usage.limits import Limits

SHARDS = 8
WINDOW_S = 60
CHECK_MS = 10_000
"""How long a reservation is left alone between two looks of the sweep."""
LATE_MS = 10_000
"""How long a scope's second load may be late before its budgets are not asked any more: whoever owed it has died."""

ReservationState = Literal["open", "settled"]


def shard_of(tenant: str) -> int:
    """All keys of a tenant share a shard, so that one script sees them all."""
    return zlib.crc32(tenant.encode()) % SHARDS


class Scope(NamedTuple):
    """A key or a tenant with its limits; `revision` grows with each change of them."""

    name: str
    limits: Limits
    revision: int = 0


class Owner(NamedTuple):
    """Whose reservation it is, by scope names."""

    shard: int
    key: str
    tenant: str


class Ask(NamedTuple):
    """The worst case of one request, before its stream opens. `epoch` is the life of the counters that is known."""

    sid: str
    shard: int
    epoch: str
    tokens: int
    cost: int
    scopes: tuple[Scope, Scope]


class Rate(NamedTuple):
    """The last minute of a scope: limits (None: none), what counts now, and when nothing of it counts any more."""

    requests_limit: int | None
    requests: int
    tokens_limit: int | None
    tokens: int
    reset_ms: int


@dataclass(frozen=True, slots=True)
class Granted:
    """A reservation. `day` counts from 1970, `month` is yyyymm, `slot` is the second of its admission."""

    tokens: int
    cost: int
    slot: int
    day: int
    month: int
    rates: tuple[Rate, ...]


@dataclass(frozen=True, slots=True)
class Refused:
    """Why nothing was reserved. `scope` is 0 for the key, 1 for the tenant; `what` a field of Limits.

    `wait_ms` is exact for rates: a try after it is admitted unless somebody else was quicker; None: waiting is no use,
    or nobody knows how long.
    """

    kind: Literal["budget", "rate", "large", "busy"]
    scope: int
    what: str
    limit: int
    spent: int = 0
    reserved: int = 0
    day: int = 0
    wait_ms: int | None = None
    rates: tuple[Rate, ...] = ()


@dataclass(frozen=True, slots=True)
class NotReady:
    """The counters cannot judge yet. epoch: another life than was said (`epoch`, maybe empty); load: the scopes by
    index must be loaded from the ledger; wait: `wait_ms` until they may be."""

    why: Literal["epoch", "load", "wait"]
    epoch: str = ""
    scopes: tuple[int, ...] = ()
    wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class Survey:
    """A scope before it is loaded: the version to give back, the date, and the sids that the counters hold.

    `revision` is loaded already (-1: none); `again_ms` until it should be loaded once more (-1: need not be); nothing
    may be loaded before `wait_ms` are over.
    """

    version: int
    day: int
    month: int
    sids: tuple[str, ...]
    revision: int = -1
    again_ms: int = -1
    wait_ms: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """A reservation that the sweep should look at; a settled one carries its charge."""

    sid: str
    state: ReservationState
    owner: Owner
    age_ms: int
    charge: bytes
    day: int
    tokens: int
    cost: int


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a scope stands; `spent` and `reserved` by WINDOWS, empty before they were loaded."""

    requests: int
    tokens: int
    reset_ms: int
    open: int
    spent: dict[str, int]
    reserved: dict[str, int]


class Counters(Protocol):
    """Every method is atomic, safe to repeat, and may raise LimitsUnavailableError."""

    async def reserve(self, ask: Ask) -> Granted | Refused | NotReady:
        """Take the worst case from every limit, or nothing; the same sid again is the same reservation."""
        ...

    async def settle(self, sid: str, owner: Owner, tokens: int, cost: int, charge: bytes) -> None:
        """Turn a reservation into what was used, once. One that is not known is charged all the same."""
        ...

    async def forget(self, shard: int, sids: Sequence[str]) -> None:
        """The ledger holds the charges of these sids for good."""
        ...

    async def release(self, sid: str, shard: int) -> None:
        """Give back a reservation whose stream never opened."""
        ...

    async def restore(self, sid: str, owner: Owner, granted: Granted) -> None:
        """Take in again an open reservation after the counters were lost."""
        ...

    async def survey(self, shard: int, scope: str) -> Survey: ...

    async def load(
        self, shard: int, scope: str, revision: int, survey: Survey, sums: Sequence[int], *, again_ms: int
    ) -> bool:
        """Set what a scope has spent (`sums` by WINDOWS, without the surveyed sids); asks to be loaded once more after
        `again_ms`. False when something has changed since the survey."""
        ...

    async def due(self, shard: int, limit: int) -> list[Due]:
        """Reservations to look after now; another asker gets them again only after CHECK_MS."""
        ...

    async def epoch(self, shard: int, name: str = "", delay_ms: int = 0) -> str:
        """The name of this life of the counters; `name` begins one where there is none, whose budgets answer only
        after `delay_ms`."""
        ...

    async def standing(self, shard: int, scope: str) -> Standing: ...
