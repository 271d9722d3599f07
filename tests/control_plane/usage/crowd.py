"""`python -m tests.control_plane.usage.crowd URL FOLDER SPACE SEED COUNT SHIFT_MS`: one gateway of a stress test, in a
process of its own that may be killed at any moment. It prints how many of its requests were let in."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from control_plane.audit.service import AuditTrail
from control_plane.database import Database, sqlite_url
from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from control_plane.usage.valkey_counters import ValkeyCounters, connect_counters
from edgewise.api.host import Caller
from edgewise.ids import new_id
from edgewise.routing.runner import Outcome
from edgewise.routing.tier import Usage
from edgewise.streams.entries import EndEntry, Entry, TierEntry, encode_entry
from edgewise.wire.errors import EdgewiseError, LimitsUnavailableError, RateLimitedError
from tests.control_plane.usage.snapshots import snapshot
from tests.control_plane.usage.worlds import Gateway, TestClock, World
from tests.factories.database import FILE

AT_ONCE = 8
SETTLE_S = 20.0
PATIENCE_S = 0.05


@asynccontextmanager
async def shared_world(url: str, folder: Path, space: str, shift_ms: int) -> AsyncIterator[World]:
    """The world of all processes: one database file, one server for counters and streams."""
    database = Database(sqlite_url(folder / FILE), busy_timeout_ms=20_000)
    clock = TestClock(lambda: int(time.time() * 1000), shift_ms)
    counters = ValkeyCounters(connect_counters(url), shift_ms=lambda: clock.shift_ms, space=space)
    log = ValkeyStreamLog(connect(url))
    private = folder / new_id()
    private.mkdir()
    try:
        yield World(database, private, counters, clock, log, AuditTrail(database), lambda: None, asyncio.sleep)
    finally:
        await log.aclose()
        await counters.aclose()
        await database.close()


class Client:
    """Asks again and again, with random sizes and answers; now and then it gives up between two steps."""

    def __init__(self, gateway: Gateway, space: str, chance: random.Random) -> None:
        self._gateway = gateway
        self._tenant = space
        self._chance = chance
        self.admitted = 0

    async def ask(self) -> None:
        chance, log = self._chance, self._gateway.world.log
        prompt, most, sid = chance.randrange(40), chance.randrange(1, 80), new_id()
        caller = Caller(f"{self._tenant}-{chance.randrange(3)}", self._tenant, "free")
        try:
            await self._begin(caller, prompt, most, sid)
        except RateLimitedError:
            return
        self.admitted += 1
        fate = chance.random()
        if fate < 0.02:
            return  # never opened, and never told
        await log.create(sid, owner=caller.key_id, request=snapshot(sid, caller, prompt=prompt, most=most))
        claim = await log.claim(sid, holder="h", lease_s=5, seen_epoch=0)
        if fate < 0.04:
            return  # opened, and nobody goes on
        said = chance.randrange(most + 1)
        entries: list[Entry] = [TierEntry("edge:e", "edge", "m", "", "chosen"), EndEntry("stop", prompt, said)]
        await log.append(sid, epoch=claim.epoch, seq=0, payloads=[encode_entry(each) for each in entries], end=True)
        if fate >= 0.1:
            self._gateway.meter.finished(sid, Outcome("stop", ["edge:e"], Usage(prompt, said)))

    async def _begin(self, caller: Caller, prompt: int, most: int, sid: str) -> None:
        """As clients do: while it cannot be judged, ask again."""
        while True:
            try:
                await self._gateway.begin(caller, prompt, most, sid)
            except LimitsUnavailableError:
                await asyncio.sleep(PATIENCE_S)
            else:
                return


def tell_tasks() -> None:
    """Where every task waits, on standard error, and then the end: asked for by SIGUSR1 when a process does not end."""
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
    sys.stderr.flush()
    os._exit(1)


async def run(url: str, folder: Path, space: str, seed: int, count: int, shift_ms: int) -> int:
    """Ask `count` times, AT_ONCE at a time; returns how many were let in."""
    async with shared_world(url, folder, space, shift_ms) as world:
        gateway = await world.gateway()
        asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, tell_tasks)
        await gateway.ledger.start()
        loading = asyncio.create_task(gateway.rebuild.run())
        client = Client(gateway, space, random.Random(seed))
        numbers = iter(range(count))

        async def ask_on() -> None:
            for _ in numbers:
                await client.ask()

        await asyncio.gather(*(ask_on() for _ in range(AT_ONCE)))
        loading.cancel()
        await gateway.meter.drain(SETTLE_S)
        try:
            await gateway.ledger.stop()
        except EdgewiseError as error:
            sys.stderr.write(f"{error}\n")
        return client.admitted


if __name__ == "__main__":
    where, folder, space, seed, count, shift_ms = sys.argv[1:]
    print(asyncio.run(run(where, Path(folder), space, int(seed), int(count), int(shift_ms))))
