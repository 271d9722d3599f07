"""What is remembered of requests: one suite for the memory and the Valkey, so that several gateways agree."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from control_plane.streams.repeats import ValkeyRepeats
from control_plane.streams.valkey_log import ValkeyStreamLog, connect
from edgewise.api.repeats import CANDIDATE_TTL_S, KEY_TTL_S, Candidate, Held, MemoryRepeats, Repeats
from edgewise.api.visits import body_digest
from edgewise.ids import new_id
from edgewise.local.valkey import ValkeyProcess

BODY, OTHER = body_digest(b"{}"), body_digest(b"[]")
KEYS_MAX = CANDIDATES_MAX = 3


@pytest.fixture(params=["memory", "valkey"])
async def gateways(request: pytest.FixtureRequest, valkey_server: ValkeyProcess) -> AsyncIterator[list[Repeats]]:
    """Two gateways' views of one memory."""
    if request.param == "memory":
        yield [MemoryRepeats(keys_max=KEYS_MAX, candidates_max=CANDIDATES_MAX)] * 2
        return
    logs = [ValkeyStreamLog(connect(valkey_server.url)) for _ in range(2)]
    yield [ValkeyRepeats(log.scripts, keys_max=KEYS_MAX, candidates_max=CANDIDATES_MAX) for log in logs]
    for log in logs:
        await log.aclose()


async def test_of_many_that_hold_a_key_at_once_one_is_the_first(gateways: list[Repeats]) -> None:
    owner = new_id()
    offers = [Held(new_id(), BODY) for _ in range(20)]
    held = await asyncio.gather(*(gateways[n % 2].hold(owner, "K", mine) for n, mine in enumerate(offers)))
    assert len(set(held)) == 1
    assert held[0] in offers


async def test_a_key_stands_for_its_first_body_until_it_is_released(gateways: list[Repeats]) -> None:
    one, two = gateways
    owner, first, second = new_id(), Held(new_id(), BODY), Held(new_id(), OTHER)
    assert await one.hold(owner, "ключ 键", first) == first
    assert await two.hold(owner, "ключ 键", second) == first
    await two.release(owner, "ключ 键", second.sid)  # not what it stands for
    assert await two.hold(owner, "ключ 键", second) == first
    await one.release(owner, "ключ 键", first.sid)
    assert await two.hold(owner, "ключ 键", second) == second


async def test_keys_of_two_owners_are_two_keys(gateways: list[Repeats]) -> None:
    mine, yours = Held(new_id(), BODY), Held(new_id(), BODY)
    assert await gateways[0].hold(new_id(), "K", mine) == mine
    assert await gateways[0].hold(new_id(), "K", yours) == yours


async def test_an_owner_holds_so_many_keys_and_the_oldest_goes(gateways: list[Repeats]) -> None:
    owner, first = new_id(), Held(new_id(), BODY)
    await gateways[0].hold(owner, "0", first)
    for number in range(1, KEYS_MAX + 1):
        await gateways[0].hold(owner, str(number), Held(new_id(), BODY))
        await asyncio.sleep(0.002)  # the server orders them by the millisecond
    fresh = Held(new_id(), BODY)
    assert await gateways[0].hold(owner, str(KEYS_MAX), fresh) != fresh
    assert await gateways[0].hold(owner, "0", fresh) == fresh


async def test_a_candidate_is_taken_once(gateways: list[Repeats]) -> None:
    owner, sid = new_id(), new_id()
    await gateways[0].offer(owner, BODY, sid, lost=False)
    assert await gateways[1].candidates(owner, BODY) == [Candidate(sid, False)]
    await gateways[0].offer(owner, BODY, sid, lost=True)
    assert await gateways[1].candidates(owner, BODY) == [Candidate(sid, True)]
    assert await gateways[1].candidates(owner, OTHER) == []
    assert await gateways[1].candidates(new_id(), BODY) == []
    taken = await asyncio.gather(*(gateways[n % 2].take(owner, BODY, sid) for n in range(10)))
    assert sorted(taken) == [False] * 9 + [True]
    assert await gateways[0].candidates(owner, BODY) == []


async def test_an_owner_has_so_many_candidates_and_the_oldest_goes(gateways: list[Repeats]) -> None:
    owner, sids = new_id(), [new_id() for _ in range(CANDIDATES_MAX + 1)]
    digests = [BODY, OTHER, BODY, OTHER]
    for sid, digest in zip(sids, digests, strict=True):
        await gateways[0].offer(owner, digest, sid, lost=False)
        await asyncio.sleep(0.002)
    assert [each.sid for each in await gateways[0].candidates(owner, BODY)] == [sids[2]]
    assert {each.sid for each in await gateways[0].candidates(owner, OTHER)} == {sids[1], sids[3]}


async def test_memory_forgets_by_its_clock() -> None:
    now = 0.0
    repeats = MemoryRepeats(clock=lambda: now)
    first, second = Held(new_id(), BODY), Held(new_id(), OTHER)
    await repeats.hold("o", "K", first)
    await repeats.offer("o", BODY, first.sid, lost=True)
    now = CANDIDATE_TTL_S - 1
    assert await repeats.candidates("o", BODY)
    now = CANDIDATE_TTL_S
    assert not await repeats.candidates("o", BODY)
    now = KEY_TTL_S - 1
    assert await repeats.hold("o", "K", second) == first
    now = KEY_TTL_S
    assert await repeats.hold("o", "K", second) == second


async def test_the_server_forgets_by_its_own(valkey_server: ValkeyProcess) -> None:
    log = ValkeyStreamLog(connect(valkey_server.url))
    repeats = ValkeyRepeats(log.scripts, key_ttl_s=0.05, candidate_ttl_s=0.05)
    owner, second = new_id(), Held(new_id(), OTHER)
    await repeats.hold(owner, "K", Held(new_id(), BODY))
    await repeats.offer(owner, BODY, new_id(), lost=True)
    while await repeats.hold(owner, "K", second) != second:
        await asyncio.sleep(0.01)
    while await repeats.candidates(owner, BODY):
        await asyncio.sleep(0.01)
    await log.aclose()
