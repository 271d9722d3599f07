"""A runner that is stopped, fenced or drained: what is told of its answers, and who goes on."""

import asyncio
from typing import Any

import pytest

from edgewise.routing.plan import Plan
from edgewise.routing.runner import Job, Outcome
from edgewise.streams.entries import (
    CancelEntry,
    EndEntry,
    Entry,
    ErrorEntry,
    decode_entry,
    encode_entry,
)
from edgewise.streams.log import Appended, Claim, Head
from edgewise.wire.errors import ShuttingDownError
from tests.edgewise.routing.bench import SID, STATE, Bench, edge


async def test_another_claim_is_seen_and_told_apart_from_a_cancel(bench: Bench) -> None:
    gate = asyncio.Event()
    ended = await bench.start(edge(gate=gate))
    await bench.log.claim(SID, holder="test", lease_s=60, seen_epoch=1)  # the same holder may claim again
    gate.set()
    assert (await ended).finish == "fenced"
    assert bench.tiers[0].cancelled


async def test_while_draining_nothing_is_begun_and_what_is_cut_off_is_interrupted(bench: Bench) -> None:
    ended = await bench.start(edge(hangs_at=1))
    await bench.runner.drain(0.01)
    assert (await ended).finish == "interrupted"
    with pytest.raises(ShuttingDownError):
        await bench.runner.open("1" * 26, owner="k", request=b"r")
    with pytest.raises(ShuttingDownError):
        await bench.runner.claim(SID, seen_epoch=1)


async def test_told_to_stop_again_and_again_it_is_cancelled_all_the_same(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a cancel here that the writer notices by itself, too."""
    head = bench.log.head

    async def slow_head(sid: str) -> Head:
        for _ in range(3):
            await asyncio.sleep(0)
        return await head(sid)

    monkeypatch.setattr(bench.log, "head", slow_head)
    ended = await bench.start(edge(hangs_at=2))
    while not bench.tiers[0].states:
        await asyncio.sleep(0)
    await bench.log.cancel(SID, payload=encode_entry(CancelEntry("client")))
    while not ended.done():
        bench.runner.stop_answer(SID)
        await asyncio.sleep(0)
    assert (await ended).finish == "cancelled"


async def test_an_end_that_was_on_its_way_when_the_answer_was_stopped_counts(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    stored, append = asyncio.Event(), bench.log.append

    async def slow_to_answer(sid: str, **entries: Any) -> Appended:
        appended = await append(sid, **entries)
        if entries["end"] and not stored.is_set():
            stored.set()
            await asyncio.Event().wait()
        return appended

    monkeypatch.setattr(bench.log, "append", slow_to_answer)
    ended = await bench.start(edge())
    await stored.wait()
    bench.runner.stop_answer(SID)
    outcome = await ended
    assert (outcome.finish, outcome.usage.completion_tokens) == ("stop", 12)


async def test_a_stream_that_was_being_opened_when_the_drain_began_is_left_to_others(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, opening = asyncio.Event(), bench.log.open

    async def slow_to_open(sid: str, **said: Any) -> Claim:
        claim = await opening(sid, **said)
        await gate.wait()
        return claim

    monkeypatch.setattr(bench.log, "open", slow_to_open)
    starting = asyncio.create_task(bench.start(edge(hangs_at=1)))
    await asyncio.sleep(0)
    await bench.runner.drain(0.01)
    gate.set()
    assert (await (await starting)).finish == "interrupted"
    assert await bench.log.expired() == [SID]
    assert await bench.entries() == []


async def test_an_error_is_never_in_the_log_without_the_end(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever resumed a stream with an error in it would go on speaking behind it."""
    append, steps = bench.log.append, list[list[type[Entry]]]()

    async def noted(sid: str, **entries: Any) -> Appended:
        steps.append([type(decode_entry(payload)) for payload in entries["payloads"]])
        return await append(sid, **entries)

    monkeypatch.setattr(bench.log, "append", noted)
    await bench.answer(edge(fails_at=2), kinds=("edge",))
    assert steps[-1][-2:] == [ErrorEntry, EndEntry]


async def test_a_job_that_was_fenced_leaves_the_next_one_of_its_stream_alone(bench: Bench) -> None:
    gate = asyncio.Event()
    first = await bench.start(edge(gate=gate))
    claim = await bench.runner.claim(SID, seen_epoch=1)
    plan = Plan(mode="prefer-edge", kinds=("edge",), tiers=bench.source)
    second: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
    bench.runner.start(Job(SID, claim, plan, STATE, 0.0, resumed=True), second.set_result)
    bench.tiers = [edge(hangs_at=3)]
    gate.set()
    assert (await first).finish == "fenced"
    await asyncio.sleep(0)
    assert bench.runner.is_making(SID)
    await bench.runner.drain(0.01)
    assert (await second).finish == "interrupted"
