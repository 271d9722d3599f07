"""Two lanes to one socket: urgent frames overtake, bulk frames wait for room, a close still lets the last words out."""

from __future__ import annotations

import asyncio
import os

import pytest

from edgewise.node.outbox import Outbox
from edgewise.wire.codec import decode_node_frame, encode_frame
from edgewise.wire.errors import FrameTooLargeError
from edgewise.wire.frames import Goodbye, Tokens
from edgewise.wire.limits import FRAME_MAX_BYTES


def word(number: int) -> Tokens:
    return Tokens(attempt="a", n0=number)


def bye(reason: str) -> Goodbye:
    return Goodbye(reason=reason)


async def read_all(outbox: Outbox) -> list[object]:
    found: list[object] = []
    while len(outbox):
        data = await outbox.next()
        assert data is not None
        found.append(decode_node_frame(data))
    return found


async def test_urgent_frames_overtake_bulk_ones() -> None:
    outbox = Outbox()
    await outbox.put(word(0))
    await outbox.put(word(1))
    outbox.push(bye("x"))
    assert await read_all(outbox) == [bye("x"), word(0), word(1)]


async def test_a_full_bulk_lane_makes_the_writer_wait() -> None:
    outbox = Outbox(bulk_max=1)
    await outbox.put(word(0))
    waiting = asyncio.create_task(outbox.put(word(1)))
    await asyncio.sleep(0)
    assert not waiting.done() and len(outbox) == 1
    assert await outbox.next() == encode_frame(word(0))
    await waiting
    assert await outbox.next() == encode_frame(word(1))


async def test_a_reader_waits_for_the_next_frame() -> None:
    outbox = Outbox()
    reading = asyncio.create_task(outbox.next())
    await asyncio.sleep(0)
    assert not reading.done()
    outbox.push(bye("x"))
    assert await reading == encode_frame(bye("x"))


async def test_close_keeps_urgent_words_drops_bulk_and_frees_writers() -> None:
    outbox = Outbox(bulk_max=1)
    await outbox.put(word(0))
    waiting = asyncio.create_task(outbox.put(word(1)))
    await asyncio.sleep(0)
    outbox.push(bye("last"))
    outbox.close(4501, "why")
    outbox.close(1000, "too late")
    outbox.push(bye("too late"))
    await waiting
    assert await read_all(outbox) == [bye("last")]
    assert await outbox.next() is None
    assert (outbox.close_code, outbox.close_reason) == (4501, "why")


async def test_a_peer_that_never_reads_is_given_up() -> None:
    outbox = Outbox(urgent_max=2)
    for _ in range(3):
        outbox.push(bye("x"))
    assert outbox.broken.is_set() and len(outbox) == 2


async def test_a_frame_that_is_too_large_is_the_writers_error() -> None:
    outbox = Outbox()
    with pytest.raises(FrameTooLargeError):
        await outbox.put(Tokens(attempt="a", n0=0, text=os.urandom(FRAME_MAX_BYTES).hex() * 2))
    assert len(outbox) == 0


async def test_a_drained_close_writes_what_waits_and_what_waits_for_room() -> None:
    outbox = Outbox(bulk_max=1)
    await outbox.put(word(0))
    late = asyncio.create_task(outbox.put(word(1)))
    await asyncio.sleep(0)
    outbox.close(1000, "models changed", drained=True)
    outbox.close(1000, "again", drained=True)
    outbox.push(bye("too late"))
    seen = [await outbox.next()]
    await late
    seen += [await outbox.next(), await outbox.next()]
    assert seen == [encode_frame(word(0)), encode_frame(word(1)), None]
    assert (outbox.close_code, outbox.close_reason) == (1000, "models changed")


@pytest.mark.parametrize("yields", [True, False])
async def test_a_drained_close_waits_for_every_writer_however_fast_the_reader_is(yields: bool) -> None:
    outbox = Outbox(bulk_max=2)
    await outbox.put(word(0))
    await outbox.put(word(1))
    late = [asyncio.create_task(outbox.put(word(number))) for number in (2, 3, 4)]
    await asyncio.sleep(0)
    outbox.close(1000, "models changed", drained=True)
    seen = []
    while (message := await outbox.next()) is not None:
        seen.append(message)
        assert outbox.written == len(seen)
        await asyncio.sleep(0) if yields else None
    assert sorted(seen) == sorted(encode_frame(word(number)) for number in range(5))
    await asyncio.gather(*late)
    assert not outbox.draining and not len(outbox)


async def test_a_writer_that_is_cancelled_holds_up_no_drained_close() -> None:
    outbox = Outbox(bulk_max=1)
    await outbox.put(word(0))
    late = asyncio.create_task(outbox.put(word(1)))
    await asyncio.sleep(0)
    outbox.close(1000, "models changed", drained=True)
    late.cancel()
    assert await outbox.next() == encode_frame(word(0)) and await outbox.next() is None


async def test_a_plain_close_cuts_a_drained_one_short() -> None:
    outbox = Outbox()
    await outbox.put(word(0))
    outbox.close(1000, "models changed", drained=True)
    outbox.close(3000, "gone")
    assert await outbox.next() is None and outbox.close_code == 1000
