"""Real gateways in processes of their own on one server, killed in mid-work: no token too many, none lost."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from control_plane.usage.counters import SHARDS, shard_of
from edgewise.api.host import Caller
from edgewise.ids import new_id
from edgewise.local.valkey import ValkeyProcess
from edgewise.streams.entries import CancelEntry, encode_entry
from edgewise.wire.errors import LimitsUnavailableError, RateLimitedError, StreamNotFoundError
from tests.control_plane.usage.crowd import shared_world
from tests.control_plane.usage.worlds import Gateway, World
from tests.factories.database import open_database

REPOSITORY = Path(__file__).parents[3]
DEADLINE_S = 100.0
TELL_S = 10.0


async def start(url: str, folder: Path, space: str, seed: int, count: int) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.control_plane.usage.crowd",
        url, str(folder), space, str(seed), str(count), "0",
        cwd=REPOSITORY, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip


async def said(process: asyncio.subprocess.Process, deadline_s: float) -> bytes:
    """What a process printed by its end; where it waits, when there is none."""
    try:
        out, _ = await asyncio.wait_for(process.communicate(), deadline_s)
    except TimeoutError:
        process.send_signal(signal.SIGUSR1)  # it tells, and ends
        with suppress(TimeoutError):
            await asyncio.wait_for(process.wait(), TELL_S)
        raise
    return out


async def until(world: World, at_least: int, space: str, watch: int) -> None:
    """Wait until so much is spent or reserved; the limit holds at every look."""
    deadline = time.monotonic() + DEADLINE_S
    while await taken(world, space, watch) < at_least:
        assert time.monotonic() < deadline, "the processes do not get on"
        await asyncio.sleep(0.02)


async def taken(world: World, space: str, limit: int) -> int:
    standing = await world.counters.standing(shard_of(space), f"tenant:{space}")
    if not standing.spent:
        return 0
    total = standing.spent["at"] + standing.reserved["at"]
    assert total <= limit
    return total


async def crowd(url: str, folder: Path, processes: int, count: int, limit: int, kills: int) -> None:
    space = f"crowd-{new_id()}"
    async with open_database(folder):
        pass
    async with shared_world(url, folder, space, 0) as world:
        gateway = await world.gateway()
        given_up = processes * count // 8  # what the clients leave open stays so until the end
        await gateway.limit("tenant", space, tokens_total=limit, concurrent=processes * 64 + given_up)
        running = [await start(url, folder, space, seed, count) for seed in range(processes)]
        for number in range(kills):
            await until(world, limit * (number + 1) // (kills + 3), space, limit)
            with suppress(ProcessLookupError):  # it has ended, having asked all its questions
                running[number].kill()
            await running[number].wait()
            running.append(await start(url, folder, space, processes + number, count // 5))
        for process in running[kills:]:
            assert int(await said(process, DEADLINE_S + count / 20)) >= 0 and process.returncode == 0
        await taken(world, space, limit)
    await assert_exact(url, folder, space, limit)


async def assert_exact(url: str, folder: Path, space: str, limit: int) -> None:
    """A minute later, by its clock, one gateway sweeps: all is settled, and the ledger has it."""
    async with shared_world(url, folder, space, 60_000) as world:
        gateway = await world.gateway()
        await stop_open_streams(world)
        world.clock.pass_(20)
        await gateway.sweep.sweep()
        await gateway.settled()
        world.clock.pass_(20)
        await gateway.sweep.sweep()
        await gateway.settled()
        standing = await world.counters.standing(shard_of(space), f"tenant:{space}")
        spent, reserved = standing.spent["at"], standing.reserved["at"]
        assert (reserved, standing.open) == (0, 0), "something leaked"
        assert 0 < spent <= limit
        assert (await world.spent(tenant=space))[0] == spent
        await assert_the_rest_can_be_spent(gateway, space, limit - spent)


async def assert_the_rest_can_be_spent(gateway: Gateway, space: str, rest: int) -> None:
    """How much the crowd spent depends on who was quick; what it left does not: all of that, and not a token more."""
    caller = Caller(f"{space}-0", space, "free")
    with suppress(LimitsUnavailableError, RateLimitedError):  # unavailable: nobody has asked this gateway before
        await gateway.begin(caller, 0, 1)
        rest -= 1
    await gateway.loaded()
    if rest:
        await gateway.begin(caller, 0, rest)
    with pytest.raises(RateLimitedError):
        await gateway.begin(caller, 0, 1)


async def stop_open_streams(world: World) -> None:
    for shard in range(SHARDS):
        while due := await world.counters.due(shard, 500):
            for each in due:
                try:
                    await world.log.cancel(each.sid, payload=encode_entry(CancelEntry("test")))
                except StreamNotFoundError:
                    continue


@pytest.mark.system
@pytest.mark.timeout(300)
async def test_three_processes_and_a_kill(valkey_server: ValkeyProcess, tmp_path: Path) -> None:
    await crowd(valkey_server.url, tmp_path, processes=3, count=125, limit=2_000, kills=1)


@pytest.mark.soak
@pytest.mark.timeout(3000)
async def test_a_hundred_thousand(valkey_server: ValkeyProcess, tmp_path: Path) -> None:
    await crowd(valkey_server.url, tmp_path, processes=6, count=18_000, limit=3_000_000, kills=20)
