"""Who takes an orphan up: others first where there is somebody to ask, and this process when nobody came in time."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest

from edgewise.api.service import AnswerService
from edgewise.api.takeover import Takeover
from edgewise.streams.log import Head
from edgewise.streams.memory import MemoryStreamLog
from edgewise.wire.errors import ConflictError
from tests.edgewise.api.conftest import api_over
from tests.factories.clock import settle

SID = "0" * 26


class Service:
    """Notes what it resumes; the log holds one orphan."""

    def __init__(self) -> None:
        self.log = MemoryStreamLog()
        self.resumed: list[str] = []

    async def resume(self, sid: str) -> bool:
        self.resumed.append(sid)
        return True


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
async def service() -> Service:
    service = Service()
    await service.log.create(SID, owner="k", request=b"")
    await service.log.claim(SID, holder="dead", lease_s=0.0, seen_epoch=0)
    return service


async def test_with_nobody_to_ask_it_is_taken_up_at_once(service: Service) -> None:
    assert await Takeover(cast(AnswerService, service)).sweep() == [SID]


async def test_others_are_asked_once_and_it_is_taken_up_here_after_the_grace(service: Service) -> None:
    asked: list[tuple[str, int]] = []

    async def ask(sid: str, epoch: int) -> None:
        asked.append((sid, epoch))

    clock = Clock()
    takeover = Takeover(cast(AnswerService, service), ask=ask, grace_s=2.0, clock=clock)
    for _ in range(3):
        assert await takeover.sweep() == []
        await settle()
    assert asked == [(SID, 1)]
    clock.now += 2.0
    assert await takeover.sweep() == [SID]


async def test_who_cannot_be_asked_costs_no_more_than_the_grace(service: Service) -> None:
    async def ask(sid: str, epoch: int) -> None:
        raise ConflictError("no database")

    clock = Clock()
    takeover = Takeover(cast(AnswerService, service), ask=ask, grace_s=2.0, clock=clock)
    assert await takeover.sweep() == []
    await settle()
    clock.now += 2.0
    assert await takeover.sweep() == [SID]


async def test_an_orphan_that_was_claimed_and_lost_again_has_its_grace_again(service: Service) -> None:
    asked: list[int] = []

    async def ask(sid: str, epoch: int) -> None:
        asked.append(epoch)

    clock = Clock()
    takeover = Takeover(cast(AnswerService, service), ask=ask, grace_s=2.0, clock=clock)
    await takeover.sweep()
    await settle()
    await service.log.claim(SID, holder="other", lease_s=60.0, seen_epoch=1)
    assert await takeover.sweep() == []
    await service.log.claim(SID, holder="other", lease_s=0.0, seen_epoch=2)
    clock.now += 5.0
    assert await takeover.sweep() == []
    await settle()
    assert asked == [1, 3]
    assert service.resumed == []


async def test_two_who_ask_for_the_same_orphan_make_it_once() -> None:
    """The loop and a question of the job may come at once: the same holder could claim twice."""
    log = SlowLog()
    async with api_over(log) as first:
        first.host.scripted = [first.host.tier("edge:a", "edge", hangs_at=1)]
        header = await first.service.begin(first.host.authenticate("Bearer alice"), first.request())
        await first.runner.drain(0.0)
    async with api_over(log) as second:
        asked = [asyncio.create_task(second.service.resume(header.sid)) for _ in range(2)]
        await settle()
        assert await second.service.resume(header.sid) is False
        log.gate.set()
        assert sorted(await asyncio.gather(*asked)) == [False, True]
        async for _ in second.service.hub.follow(header.sid, -1):
            pass
        await second.runner.drain(5)
        assert [outcome.finish for outcome in second.host.outcomes] == ["stop"]
        assert (await log.head(header.sid)).epoch == 2


class SlowLog(MemoryStreamLog):
    """Gives requests only when its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = asyncio.Event()

    async def request(self, sid: str) -> bytes:
        await self.gate.wait()
        return await super().request(sid)


async def test_an_answer_that_went_to_another_process_is_not_kept_in_mind_here() -> None:
    log = MemoryStreamLog()
    async with api_over(log) as api:
        gate = api.gated()
        header = await api.service.begin(api.host.authenticate("Bearer alice"), api.request())
        await log.claim(header.sid, holder="test", lease_s=60, seen_epoch=1)
        gate.set()
        while api.runner.running:
            await asyncio.sleep(0)
        assert (api.host.outcomes, api.host.released) == ([], [header.sid])


async def test_an_answer_that_is_made_elsewhere_is_told_of_by_who_stops_it_and_by_its_maker_if_it_lives() -> None:
    log = MemoryStreamLog()
    async with api_over(log) as maker, api_over(log) as other:
        gate, alice = maker.gated(), maker.host.authenticate("Bearer alice")
        header = await maker.service.begin(alice, maker.request())
        assert (await other.service.cancel(alice, header.sid)).status == "cancelled"
        await other.service.cancel(alice, header.sid)
        gate.set()
        await maker.runner.drain(5)
        for told in (maker, other):
            assert [outcome.finish for outcome in told.host.outcomes] == ["cancelled"]


async def test_a_cancel_where_it_is_made_is_told_once() -> None:
    """Even when the writer notices first, while the cancel still asks the log how that went."""
    log = MemoryStreamLog()
    async with api_over(log) as api:
        gate, alice = api.gated(), api.host.authenticate("Bearer alice")
        header = await api.service.begin(alice, api.request())
        head, heads = log.head, list[str]()

        async def slow_head(sid: str) -> Head:
            heads.append(sid)
            if len(heads) == 2:
                gate.set()
                await settle()
            return await head(sid)

        log.head = slow_head  # type: ignore[method-assign]
        await api.service.cancel(alice, header.sid)
        await api.runner.drain(5)
        assert [outcome.finish for outcome in api.host.outcomes] == ["cancelled"]
