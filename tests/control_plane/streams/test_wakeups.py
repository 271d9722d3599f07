"""Wake-ups over a scripted connection: listening begins again after any failure."""

from __future__ import annotations

import asyncio

import pytest
from redis.exceptions import ConnectionError as Away

from control_plane.streams.wakeups import Wakeups
from tests.control_plane.streams.connections import ScriptedConnection


@pytest.mark.timeout(5)
@pytest.mark.parametrize("broken", [Away("gone"), RuntimeError("a bug"), 7], ids=["away", "a bug", "no message"])
async def test_listening_begins_again_after_any_failure(broken: object) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await asyncio.sleep(0)

    seen, connection = ScriptedConnection.of(broken, [b"message", b"c", b""])
    wakeups = Wakeups(connection, sleep=sleep)
    watch = wakeups.watch("c")
    await anext(watch)
    await anext(watch)
    assert seen.connections == 2 and len(slept) == 1 and slept[0] > 0
    await wakeups.aclose()
