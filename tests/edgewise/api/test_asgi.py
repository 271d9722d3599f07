"""Streaming a response: pings in a silence, a whole last frame when leaving, and whether the client got everything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, MutableMapping
from typing import Any

from edgewise.api.asgi import Until, disconnected, has_hung_up, send_stream
from edgewise.dialects.sse import PING


class Exchange:
    """One request: what was sent, and a client that hangs up when told to."""

    def __init__(self) -> None:
        self.bodies: list[bytes] = []
        self.open = True
        self.gone = asyncio.Event()
        self.writable = asyncio.Event()
        self.writable.set()

    async def receive(self) -> MutableMapping[str, Any]:
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        assert self.open
        await self.writable.wait()
        if message["type"] == "http.response.body":
            self.bodies.append(message["body"])
            self.open = message["more_body"]

    async def until(self, count: int) -> None:
        while len(self.bodies) < count:
            await asyncio.sleep(0)


async def frames(*blocks: bytes | asyncio.Event) -> AsyncGenerator[bytes, None]:
    for block in blocks:
        if isinstance(block, bytes):
            yield block
        else:
            await block.wait()


async def test_all_of_it_was_sent() -> None:
    exchange = Exchange()
    assert await send_stream(exchange.receive, exchange.send, frames(b"1", b"2"), [], b"0")
    assert exchange.bodies == [b"0", b"1", b"2", b""]
    assert not exchange.open


async def test_a_silent_stream_is_pinged_and_a_talking_one_is_not() -> None:
    exchange, gate = Exchange(), asyncio.Event()
    sending = asyncio.create_task(
        send_stream(exchange.receive, exchange.send, frames(b"1", gate, b"2"), [], look_every_s=0.001)
    )
    await exchange.until(4)
    gate.set()
    assert await sending
    first, *pings, second, end = exchange.bodies
    assert (first, set(pings), second, end) == (b"1", {PING}, b"2", b"")
    assert b"\n\n" not in PING  # a blank line would be an event without data, which kills OpenAI's client


async def test_a_client_that_has_not_taken_what_it_was_sent_gets_no_ping() -> None:
    exchange = Exchange()
    sending = asyncio.create_task(
        send_stream(exchange.receive, exchange.send, frames(b"1", b"2"), [], look_every_s=0.001)
    )
    await asyncio.sleep(0)
    exchange.writable.clear()
    for _ in range(100):
        await asyncio.sleep(0.0002)
    exchange.writable.set()
    assert await sending
    assert PING not in exchange.bodies


async def test_a_client_that_hung_up_did_not_get_all() -> None:
    exchange, never = Exchange(), asyncio.Event()
    sending = asyncio.create_task(send_stream(exchange.receive, exchange.send, frames(b"1", never), []))
    await exchange.until(1)
    exchange.gone.set()
    assert not await sending
    assert exchange.bodies == [b"1"]


async def test_leaving_ends_the_response_in_order_after_a_whole_block() -> None:
    exchange, never, leaving = Exchange(), asyncio.Event(), asyncio.Event()
    sending = asyncio.create_task(
        send_stream(exchange.receive, exchange.send, frames(b"1", never), [], leave=leaving.wait, goodbye=b"come back")
    )
    await exchange.until(1)
    leaving.set()
    assert not await sending
    assert exchange.bodies == [b"1", b"come back", b""]
    assert not exchange.open


async def test_an_answer_that_ends_as_we_leave_needs_no_goodbye() -> None:
    exchange, leaving = Exchange(), asyncio.Event()
    leaving.set()
    sent = await send_stream(exchange.receive, exchange.send, frames(), [], leave=leaving.wait, goodbye=b"come back")
    assert sent == (b"come back" not in exchange.bodies)
    assert not exchange.open


async def test_a_block_is_left_when_an_end_comes_first() -> None:
    exchange = Exchange()
    asyncio.get_running_loop().call_soon(exchange.gone.set)
    async with Until(lambda: disconnected(exchange.receive), after_s=0) as until:
        await asyncio.Event().wait()
    assert until.ended is not None


async def test_a_block_that_is_through_first_leaves_no_watch_behind() -> None:
    exchange = Exchange()
    async with Until(lambda: disconnected(exchange.receive), after_s=0) as until:
        await asyncio.sleep(0.01)
    assert until.ended is None
    assert len(asyncio.all_tasks()) == 1


async def test_a_cancellation_from_elsewhere_goes_through() -> None:
    async def work() -> None:
        async with Until(asyncio.Event().wait, after_s=0):
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await asyncio.sleep(0.01)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert task.cancelled()


async def test_a_hang_up_is_known_without_waiting() -> None:
    exchange = Exchange()
    assert not has_hung_up(exchange.receive)
    exchange.gone.set()
    assert has_hung_up(exchange.receive)


async def test_a_client_that_goes_just_when_all_is_done_cancels_nobody() -> None:
    loop = asyncio.get_running_loop()
    gone, done = loop.create_future(), loop.create_future()

    async def end() -> None:
        await gone

    def both() -> None:
        gone.set_result(None)
        done.set_result(None)

    async with Until(end, after_s=0.0) as until:
        await asyncio.sleep(0.001)
        loop.call_soon(both)
        await done
    assert until.ended is None
    await asyncio.sleep(0)
