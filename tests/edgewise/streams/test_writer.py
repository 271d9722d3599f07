"""The writer: when it flushes, what it sends again, and that it stops when fenced. Time is turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgewise.streams.entries import EndEntry, Entry, ErrorEntry, TokensEntry, WarnEntry, decode_entry
from edgewise.streams.log import Appended, Claim
from edgewise.streams.memory import MemoryStreamLog
from edgewise.streams.writer import StreamWriter
from edgewise.wire.errors import ErrorInfo, FencedError, LogGapError, LogUnavailableError
from tests.factories.clock import ManualClock, settle

SID = "stream"
END = EndEntry("stop", 1, 1)
LEASE_S = 3.0


class FaultyLog(MemoryStreamLog):
    """A MemoryStreamLog whose next calls of `append` can be made to fail, to hang, or to lose their answer."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__(clock)
        self.before: list[Callable[[], Awaitable[None]]] = []
        self.after: list[Callable[[], Awaitable[None]]] = []
        self.renewals = 0

    async def append(self, sid: str, *, epoch: int, seq: int, payloads: Sequence[bytes], end: bool = False) -> Appended:
        if self.before:
            await self.before.pop(0)()
        appended = await super().append(sid, epoch=epoch, seq=seq, payloads=payloads, end=end)
        if self.after:
            await self.after.pop(0)()
        return appended

    async def renew(self, sid: str, *, epoch: int) -> None:
        await super().renew(sid, epoch=epoch)
        self.renewals += 1

    def lose_tail(self, records: int) -> None:
        """What a log does that was not synced before a power cut."""
        del self._streams[SID].records[-records:]

    @property
    def entries(self) -> list[Entry]:
        return [decode_entry(record.payload) for record in self._streams[SID].records]


class Desk:
    """A writer with its log and clock."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log = FaultyLog(self.clock)

    async def writer(self) -> StreamWriter:
        await self.log.create(SID, owner="k", request=b"")
        return self.writer_for(await self.log.claim(SID, holder="a", lease_s=LEASE_S, seen_epoch=0))

    def writer_for(self, claim: Claim) -> StreamWriter:
        return StreamWriter(self.log, SID, claim, lease_s=LEASE_S, clock=self.clock, call_later=self.clock.call_later)

    async def take_over(self) -> Claim:
        return await self.log.claim(SID, holder="a", lease_s=LEASE_S, seen_epoch=(await self.log.head(SID)).epoch)


@pytest.fixture
def desk() -> Desk:
    return Desk()


def tok(n0: int, text: str) -> TokensEntry:
    return TokensEntry(n0, tuple(range(n0, n0 + len(text))), text)


async def say(writer: StreamWriter, n0: int, text: str) -> None:
    await writer.tokens(n0, tuple(range(n0, n0 + len(text))), text)


async def unavailable() -> None:
    raise LogUnavailableError("away")


# When it flushes ------------------------------------------------------------------------------------------------


async def test_the_first_token_is_stored_at_once(desk: Desk) -> None:
    writer = await desk.writer()
    await say(writer, 0, "a")
    assert desk.log.entries == [tok(0, "a")]


async def test_tokens_wait_for_company_at_most_ten_milliseconds(desk: Desk) -> None:
    writer = await desk.writer()
    await say(writer, 0, "a")
    await desk.clock.advance(0.004)
    await say(writer, 1, "b")
    await say(writer, 2, "c")
    await desk.clock.advance(0.005)
    assert desk.log.entries == [tok(0, "a")]
    await desk.clock.advance(0.001)
    assert desk.log.entries == [tok(0, "a"), tok(1, "bc")]


async def test_five_tokens_do_not_wait(desk: Desk) -> None:
    writer = await desk.writer()
    for n0, text in enumerate("abcdef"):
        await say(writer, n0, text)
    assert desk.log.entries == [tok(0, "a"), tok(1, "bcdef")]


async def test_a_token_after_a_pause_does_not_wait(desk: Desk) -> None:
    writer = await desk.writer()
    await say(writer, 0, "a")
    await desk.clock.advance(0.02)
    await say(writer, 1, "b")
    assert desk.log.entries == [tok(0, "a"), tok(1, "b")]


async def test_an_entry_comes_after_the_tokens_before_it(desk: Desk) -> None:
    writer = await desk.writer()
    await say(writer, 0, "a")
    await say(writer, 1, "b")
    await writer.entry(WarnEntry("slow", ""))
    await say(writer, 2, "c")
    await writer.end(END)
    assert desk.log.entries == [tok(0, "a"), tok(1, "b"), WarnEntry("slow", ""), tok(2, "c"), END]


async def test_a_held_entry_is_stored_with_what_comes_next(desk: Desk) -> None:
    writer = await desk.writer()
    await say(writer, 0, "a")
    await say(writer, 1, "b")
    writer.hold(WarnEntry("slow", ""))
    assert desk.log.entries == [tok(0, "a")]
    await writer.entry(WarnEntry("next", ""))
    assert desk.log.entries == [tok(0, "a"), tok(1, "b"), WarnEntry("slow", ""), WarnEntry("next", "")]


async def test_a_held_entry_does_not_wait_for_ever(desk: Desk) -> None:
    writer = await desk.writer()
    writer.hold(WarnEntry("slow", ""))
    await desk.clock.advance(0.01)
    assert desk.log.entries == [WarnEntry("slow", "")]


async def test_of_entries_sent_at_once_those_behind_a_failure_are_sent_again(desk: Desk) -> None:
    writer = await desk.writer()
    desk.log.before = [unavailable]
    writer.hold(WarnEntry("first", ""))
    with pytest.raises(LogUnavailableError):
        await writer.entry(WarnEntry("second", ""))
    await writer.end(END)
    assert desk.log.entries == [WarnEntry("first", ""), WarnEntry("second", ""), END]


async def test_a_jump_in_token_indices_starts_a_new_entry(desk: Desk) -> None:
    writer = await desk.writer()
    await say(writer, 0, "a")
    await say(writer, 1, "b")
    await say(writer, 5, "f")
    await writer.tokens(0, (), "text only")
    await writer.end(END)
    assert desk.log.entries == [tok(0, "a"), tok(1, "b"), tok(5, "f"), TokensEntry(0, (), "text only"), END]


@given(chunks=st.lists(st.tuples(st.text(min_size=1, max_size=4), st.sampled_from([0.0, 0.004, 0.011])), max_size=30))
async def test_whatever_the_timing_the_text_is_whole_and_in_order(chunks: list[tuple[str, float]]) -> None:
    desk = Desk()
    async with await desk.writer() as writer:
        n0 = 0
        for text, pause_s in chunks:
            await say(writer, n0, text)
            n0 += len(text)
            await desk.clock.advance(pause_s)
        await writer.end(END)
    *tokens, end = desk.log.entries
    assert end == END
    assert "".join(entry.text for entry in tokens if isinstance(entry, TokensEntry)) == "".join(t for t, _ in chunks)
    assert [id for entry in tokens if isinstance(entry, TokensEntry) for id in entry.ids] == list(range(n0))


async def test_leaving_stores_what_was_accepted(desk: Desk) -> None:
    async with await desk.writer() as writer:
        await say(writer, 0, "a")
        await say(writer, 1, "b")
    assert desk.log.entries == [tok(0, "a"), tok(1, "b")]


# When the log fails ---------------------------------------------------------------------------------------------


async def test_a_lost_tail_is_sent_again(desk: Desk) -> None:
    writer = await desk.writer()
    for n0, text in enumerate("abc"):
        await say(writer, n0, text)
        await desk.clock.advance(0.02)
    desk.log.lose_tail(2)
    await say(writer, 3, "d")
    assert desk.log.entries == [tok(0, "a"), tok(1, "b"), tok(2, "c"), tok(3, "d")]
    assert writer.next_seq == 4


async def test_a_tail_from_before_the_claim_cannot_be_sent_again(desk: Desk) -> None:
    writer = await desk.writer()
    await say(writer, 0, "a")
    heir = desk.writer_for(await desk.take_over())
    desk.log.lose_tail(1)
    with pytest.raises(LogUnavailableError) as refused:
        await say(heir, 1, "b")
    assert isinstance(refused.value.__cause__, LogGapError)


async def test_an_outage_is_told_and_the_entry_kept_for_the_next_call(desk: Desk) -> None:
    writer = await desk.writer()
    desk.log.before = [unavailable]
    with pytest.raises(LogUnavailableError):
        await say(writer, 0, "a")
    await writer.entry(WarnEntry("slow", ""))
    assert desk.log.entries == [tok(0, "a"), WarnEntry("slow", "")]


async def test_an_append_whose_answer_was_lost_is_not_stored_twice(desk: Desk) -> None:
    writer = await desk.writer()
    desk.log.after = [unavailable]
    with pytest.raises(LogUnavailableError):
        await say(writer, 0, "a")
    await writer.end(END)
    assert desk.log.entries == [tok(0, "a"), END]


async def test_what_the_log_confirmed_is_told_once_and_in_order(desk: Desk) -> None:
    await desk.writer()
    told: list[int] = []
    claim = await desk.take_over()
    writer = StreamWriter(
        desk.log,
        SID,
        claim,
        clock=desk.clock,
        call_later=desk.clock.call_later,
        on_stored=lambda records: told.extend(record.seq for record in records),
    )
    desk.log.after.append(unavailable)
    with pytest.raises(LogUnavailableError):
        await say(writer, 0, "a")
    assert told == []
    await writer.entry(tok(1, "b"))
    assert told == [0, 1]


async def test_a_cancelled_append_keeps_its_place(desk: Desk) -> None:
    writer = await desk.writer()
    desk.log.after = [asyncio.Event().wait]  # type: ignore[list-item]  # stored, but never answered
    telling = asyncio.create_task(say(writer, 0, "a"))
    await settle()
    telling.cancel()
    await asyncio.gather(telling, return_exceptions=True)
    await writer.entry(ErrorEntry(ErrorInfo(1, "x", "y")))
    await writer.end(END)
    assert desk.log.entries == [tok(0, "a"), ErrorEntry(ErrorInfo(1, "x", "y")), END]


async def test_an_end_whose_answer_was_lost_is_stored_once_by_the_second_call(desk: Desk) -> None:
    writer = await desk.writer()
    desk.log.after = [unavailable]
    with pytest.raises(LogUnavailableError):
        await writer.end(END)
    await writer.end(END)
    assert desk.log.entries == [END]
    with pytest.raises(FencedError):
        await writer.entry(WarnEntry("late", ""))


# Who owns the stream --------------------------------------------------------------------------------------------


async def test_a_fenced_writer_stops_at_once_and_stays_stopped(desk: Desk) -> None:
    writer = await desk.writer()
    await desk.take_over()
    with pytest.raises(FencedError):
        await say(writer, 0, "a")
    assert writer.fenced.is_set()
    for late in (say(writer, 1, "b"), writer.entry(WarnEntry("", "")), writer.end(END)):
        with pytest.raises(FencedError):
            await late
    assert desk.log.entries == []


async def test_a_fence_met_in_the_background_is_seen_at_once(desk: Desk) -> None:
    async with await desk.writer() as writer:
        await desk.take_over()
        await desk.clock.advance(LEASE_S / 3)
        assert writer.fenced.is_set()


async def test_a_fence_is_told_on_leaving_unless_something_worse_is(desk: Desk) -> None:
    async def leave_with(error: Exception | None) -> None:
        async with desk.writer_for(await desk.take_over()) as writer:
            await say(writer, 0, "a")
            await say(writer, 1, "b")
            await desk.take_over()
            if error:
                raise error

    await desk.writer()
    with pytest.raises(FencedError):
        await leave_with(None)
    with pytest.raises(ZeroDivisionError):
        await leave_with(ZeroDivisionError())


async def test_an_idle_writer_renews_every_third_of_its_lease(desk: Desk) -> None:
    async with await desk.writer():
        await desk.clock.advance(LEASE_S * 5)
        assert desk.log.renewals == 15
        assert (await desk.log.head(SID)).lease_left_s > 0


async def test_a_busy_writer_does_not_renew(desk: Desk) -> None:
    async with await desk.writer() as writer:
        for n0 in range(100):
            await say(writer, n0, "a")
            await desk.clock.advance(0.1)
        assert desk.log.renewals == 0


async def test_an_ended_writer_does_not_renew(desk: Desk) -> None:
    async with await desk.writer() as writer:
        await writer.end(END)
        await desk.clock.advance(LEASE_S * 5)
    assert desk.log.renewals == 0
    assert not writer.fenced.is_set()


async def test_a_renewal_does_not_overtake_the_end(desk: Desk) -> None:
    async with await desk.writer() as writer:
        desk.log.after = [unavailable]
        desk.clock.jump(LEASE_S / 3)
        with pytest.raises(LogUnavailableError):
            await writer.end(END)
        await settle()
        assert not writer.fenced.is_set()
        await writer.end(END)
    assert desk.log.entries == [END]


async def test_a_writer_that_slept_over_its_lease_renews_before_it_writes(desk: Desk) -> None:
    writer = await desk.writer()
    desk.clock.now += LEASE_S * 0.95
    await say(writer, 0, "a")
    assert (desk.log.renewals, len(desk.log.entries)) == (1, 1)


async def test_a_renewal_that_fails_is_tried_again(desk: Desk) -> None:
    class Flaky(FaultyLog):
        async def renew(self, sid: str, *, epoch: int) -> None:
            self.renewals += 1
            if self.renewals == 1:
                await unavailable()
            await MemoryStreamLog.renew(self, sid, epoch=epoch)

    desk.log = Flaky(desk.clock)
    async with await desk.writer() as writer:
        await desk.clock.advance(LEASE_S * 0.9)
        assert desk.log.renewals == 2
        assert not writer.fenced.is_set()
