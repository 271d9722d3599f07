"""One gateway after another over the same counters and the same ledger, with a clock that the test turns."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from control_plane.accounts.keyring import Principal
from control_plane.audit.service import AuditTrail
from control_plane.database import Database
from control_plane.usage.counters import Counters, shard_of
from control_plane.usage.ledger import Ledger
from control_plane.usage.limit_book import LimitBook
from control_plane.usage.limits import Limits, Price, Prices, ScopeKind
from control_plane.usage.memory_counters import MemoryCounters
from control_plane.usage.rebuild import Rebuild
from control_plane.usage.repository import LedgerRepository, UsageFilter
from control_plane.usage.service import Meter
from control_plane.usage.sweep import Sweep, UsageReader
from control_plane.usage.valkey_counters import ValkeyCounters, connect_counters
from edgewise.api.host import Caller
from edgewise.ids import new_id
from edgewise.routing.runner import Outcome
from edgewise.routing.tier import Usage
from edgewise.streams.entries import Timings
from edgewise.streams.log import StreamLog
from edgewise.streams.memory import MemoryStreamLog
from tests.factories.database import open_database

PRICES = Prices(edge=Price(), cloud=Price(prompt_per_1k=1000, completion_per_1k=2000))
BY = Principal("operator", "ops", "standard", frozenset({"operator"}))
NOON_MS = 1_778_932_800_000
"""2026-05-16 12:00 UTC."""


@dataclass
class TestClock:
    """Milliseconds: a fixed moment and what the test added; or the real time and what the test added."""

    __test__ = False
    base_ms: Callable[[], int] = lambda: NOON_MS
    shift_ms: int = 0

    def ms(self) -> int:
        return self.base_ms() + self.shift_ms

    def moment(self) -> datetime:
        return datetime.fromtimestamp(self.ms() / 1000, UTC)

    def pass_(self, seconds: float) -> None:
        self.shift_ms += int(seconds * 1000)


async def others_turn(seconds: float) -> None:
    """Nobody sleeps; others have their turn."""
    await asyncio.sleep(0)


@dataclass
class World:
    """What gateways share, and the gateways."""

    database: Database
    directory: Path
    counters: Counters
    clock: TestClock
    log: StreamLog
    audit: AuditTrail
    lose: Callable[[], object]
    nap: Callable[[float], Awaitable[None]] = others_turn
    gateways: list[Gateway] = field(default_factory=list)

    async def gateway(self) -> Gateway:
        """Another gateway, knowing the limits as they are."""
        number = len(self.gateways)
        folder = self.directory / f"gateway-{number}"
        folder.mkdir()
        gateway = Gateway(self, folder)
        await gateway.book.load()
        self.gateways.append(gateway)
        return gateway

    async def spent(self, **wanted: str) -> tuple[int, int]:
        """Tokens and cost in the ledger."""
        async with self.database.reading() as session:
            return await LedgerRepository(session).total(UsageFilter(**wanted))  # type: ignore[arg-type]


class Gateway:
    """The usage side of one gateway. Its background tasks run only when the test says so."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.ledger = Ledger(world.database, folder / "usage.spill", on_written=self._written)
        self.rebuild = Rebuild(world.counters, world.database, self.ledger, now=world.clock.moment, sleep=world.nap)
        self.book = LimitBook(world.database, world.audit, self.rebuild, now=world.clock.moment)
        reader = UsageReader(world.log)
        self.meter = Meter(
            world.counters, self.book, self.ledger, self.rebuild, reader, prices=PRICES, now=world.clock.moment
        )
        self.sweep = Sweep(world.counters, self.meter, self.ledger, world.log)

    async def _written(self, charges: object) -> None:
        await self.meter.written(charges)  # type: ignore[arg-type]

    async def limit(self, kind: ScopeKind, name: str, **limits: int) -> None:
        await self.book.change(kind, name, Limits(**limits), BY)
        for other in self.world.gateways:
            await other.book.load()

    async def answer(self, caller: Caller, prompt: int, most: int, said: int, tier: str = "cloud:w") -> str:
        """A whole answer from reserve to settle; returns its sid."""
        sid = await self.begin(caller, prompt, most)
        await self.end(sid, prompt, said, tier)
        return sid

    async def begin(self, caller: Caller, prompt: int, most: int, sid: str = "") -> str:
        sid = sid or new_id()
        await self.meter.reserve(caller, sid, prompt, most)
        self.meter.admitted(sid, caller, "m")
        return sid

    async def end(self, sid: str, prompt: int, said: int, tier: str = "cloud:w") -> None:
        self.meter.finished(sid, Outcome("stop", [tier], Usage(prompt, said), Timings()))
        await self.settled()

    async def loaded(self) -> None:
        """What runs behind the requests' back: notice a loss, and load what is wanted, once its time has come."""
        await self.meter.restore_lost()
        await self.rebuild.catch_up()

    async def settled(self) -> None:
        """Wait until nothing is under way."""
        await self.meter.drain(5)
        await self.ledger.flush()

    async def tokens(self, kind: ScopeKind, name: str, tenant: str, window: str = "at") -> tuple[int, int]:
        """Spent and reserved in the counters."""
        standing = await self.world.counters.standing(shard_of(tenant), f"{kind}:{name}")
        return standing.spent[window], standing.reserved[window]


_spaces = itertools.count()


@asynccontextmanager
async def open_world(kind: str, directory: Path, url: str = "") -> AsyncIterator[World]:
    """A world over `memory` or `valkey` counters."""
    directory.mkdir(exist_ok=True)
    async with open_database(directory) as database:
        if kind == "memory":
            clock = TestClock()
            memory = MemoryCounters(now_ms=clock.ms)
            yield _world(database, directory, memory, clock, memory.lose)
            return
        clock = TestClock(lambda: int(time.time() * 1000))
        client = connect_counters(url)
        space = f"u-{new_id()}"
        counters = ValkeyCounters(client, shift_ms=lambda: clock.shift_ms, space=space)

        async def lose() -> None:
            keys = [key async for key in client.scan_iter(f"ew:*:{space}:*")]
            if keys:
                await client.delete(*keys)

        yield _world(database, directory, counters, clock, lose)
        await counters.aclose()


def _world(
    database: Database, directory: Path, counters: Counters, clock: TestClock, lose: Callable[[], object]
) -> World:
    audit = AuditTrail(database, now=clock.moment)
    return World(database, directory, counters, clock, MemoryStreamLog(), audit, lose)


async def lose(world: World) -> None:
    """The counters' server comes back with an empty disk."""
    lost = world.lose()
    if asyncio.iscoroutine(lost):
        await lost
