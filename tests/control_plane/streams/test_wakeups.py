"""Wake-ups over a scripted connection: listening begins again after any failure."""

from __future__ import annotations

import asyncio
from contextlib import suppress

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


@pytest.mark.timeout(5)
async def test_who_leaves_while_it_subscribes_is_gone_even_when_the_library_swallows_that() -> None:
    """As asyncio.wait_for does in Python 3.11 when what it waits for is just done."""
    subscribing = asyncio.Event()

    async def swallow(verb: str, name: bytes, **_: object) -> None:
        if name == b"c" and verb == "SUBSCRIBE":
            subscribing.set()
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)

    _, connection = ScriptedConnection.of([b"message", b"other", b""])
    wakeups = Wakeups(connection)
    other = wakeups.watch("other")
    await anext(other)
    await anext(other)
    connection.send_command = swallow  # type: ignore[method-assign]

    async def watch() -> None:
        async for _ in wakeups.watch("c"):
            pass

    watching = asyncio.create_task(watch())
    await subscribing.wait()
    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert set(wakeups._events) == {b"other"}
    await wakeups.aclose()
