"""The inbox of an attempt: nothing lost, nothing doubled, a slow reader gets longer chunks."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_plane.nodes.attempts import AttemptBook, AttemptInbox
from edgewise.routing.tier import Chunk, Usage
from edgewise.wire.errors import TierLostError
from tests.factories.states import make_state


async def test_a_waiting_reader_gets_each_chunk() -> None:
    inbox = AttemptInbox()
    reading = asyncio.create_task(inbox.next())
    await asyncio.sleep(0)
    inbox.deliver(Chunk(0, (1,), "a"))
    assert await reading == Chunk(0, (1,), "a")


async def test_a_slow_reader_gets_longer_chunks_and_then_the_end() -> None:
    inbox = AttemptInbox()
    for n in range(3):
        inbox.deliver(Chunk(n, (n,), f"{n} "))
    inbox.end("stop", Usage(1, 3), None)
    assert await inbox.next() == Chunk(0, (0, 1, 2), "0 1 2 ")
    assert await inbox.next() == Chunk(3, (), "", "stop", Usage(1, 3))
    assert await inbox.next() is None


async def test_text_that_was_held_back_is_in_one_chunk_with_the_finish() -> None:
    inbox = AttemptInbox(next_index=7)
    inbox.end("stop", None, None, "…")
    assert await inbox.next() == Chunk(7, (), "…", "stop")


async def test_what_came_before_an_error_is_read_first() -> None:
    inbox = AttemptInbox()
    inbox.deliver(Chunk(0, (1,), "a"))
    inbox.end(None, None, TierLostError("gone"))
    assert (await inbox.next()) == Chunk(0, (1,), "a")
    with pytest.raises(TierLostError):
        await inbox.next()


def test_a_reader_that_is_hopelessly_behind_is_noticed() -> None:
    inbox = AttemptInbox(max_chars=10)
    assert inbox.deliver(Chunk(0, (1, 2), "12345678"))
    assert not inbox.deliver(Chunk(2, (3,), ""))


@given(st.lists(st.integers(0, 3), max_size=30))
def test_whatever_the_pace_ids_and_text_are_the_same(pace: list[int]) -> None:
    async def read() -> tuple[tuple[int, ...], str]:
        inbox = AttemptInbox()
        ids: tuple[int, ...] = ()
        text = ""
        n0 = 0
        for size in pace:
            more = tuple(range(n0, n0 + size))
            inbox.deliver(Chunk(n0, more, "".join(chr(97 + n % 26) for n in more)))
            n0 += size
            if size == 1:
                chunk = await inbox.next()
                assert chunk is not None and chunk.n0 == len(ids)
                ids, text = ids + chunk.ids, text + chunk.text
        inbox.end("stop", None, None)
        while (chunk := await inbox.next()) is not None:
            assert chunk.n0 == len(ids)
            ids, text = ids + chunk.ids, text + chunk.text
        return ids, text

    expected = tuple(range(sum(pace)))
    assert asyncio.run(read()) == (expected, "".join(chr(97 + n % 26) for n in expected))


def test_an_attempt_leaves_the_book_once() -> None:
    book = AttemptBook()
    book.open("a", make_state())
    assert "a" in book and not book.is_stray("a")
    assert book.end("a") and not book.end("a")
    assert not book.is_stray("a") and book.is_stray("b")
    assert len(book) == 0
