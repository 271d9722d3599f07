"""The meter over both kinds of counters: what is let in, what is given back, and what survives which loss."""

from __future__ import annotations

import asyncio

import pytest

from control_plane.usage.charges import Used
from control_plane.usage.counters import Ask, Granted, NotReady, Refused, shard_of
from edgewise.api.host import Caller
from edgewise.ids import new_id
from edgewise.routing.runner import Outcome
from edgewise.routing.tier import Usage
from edgewise.streams.entries import CancelEntry, EndEntry, Entry, TierEntry, TokensEntry, encode_entry
from edgewise.wire.errors import (
    BudgetExceededError,
    ConcurrencyLimitError,
    ConflictError,
    LimitsUnavailableError,
    RateLimitedError,
    RequestOverLimitError,
)
from tests.control_plane.usage.snapshots import snapshot
from tests.control_plane.usage.worlds import Gateway, World, lose

ANN = Caller("ann", "acme", "free")
BOB = Caller("bob", "acme", "free")


async def limit_tenant(world: World, **limits: int) -> None:
    await world.gateways[0].limit("tenant", "acme", **limits)


async def test_without_limits_nothing_is_asked_and_the_ledger_knows_all(world: World) -> None:
    gateway = await world.gateway()
    await gateway.answer(ANN, 10, 100, 5)
    assert await world.counters.epoch(shard_of("acme")) == ""
    assert await world.spent(key_id="ann") == (15, 20)


async def test_a_budget_is_reserved_in_full_and_settled_exactly(world: World) -> None:
    gateway = await world.gateway()
    await limit_tenant(world, tokens_per_day=200)
    sid = await gateway.begin(ANN, 10, 100)
    assert await gateway.tokens("tenant", "acme", "acme", "dt") == (0, 110)
    with pytest.raises(BudgetExceededError, match="110 reserved") as refused:
        await gateway.begin(BOB, 10, 100)
    assert refused.value.info().retryable is False
    await gateway.end(sid, 10, 5)
    assert await gateway.tokens("tenant", "acme", "acme", "dt") == (15, 0)
    await gateway.begin(BOB, 10, 100)


async def test_the_same_reserve_and_the_same_end_again_change_nothing(world: World) -> None:
    gateway, other = await world.gateway(), await world.gateway()
    await limit_tenant(world, tokens_total=1000)
    sid = await gateway.begin(ANN, 10, 100)
    await other.begin(ANN, 10, 100, sid)
    assert await gateway.tokens("tenant", "acme", "acme") == (0, 110)
    await gateway.end(sid, 10, 5)
    await other.end(sid, 10, 5)
    await gateway.begin(ANN, 10, 100, sid)
    assert await gateway.tokens("tenant", "acme", "acme") == (15, 0)
    assert await world.spent(tenant="acme") == (15, 20)


async def test_what_was_refused_takes_nothing_and_is_counted(world: World) -> None:
    gateway = await world.gateway()
    await limit_tenant(world, cost_total=100)
    with pytest.raises(BudgetExceededError, match="cost"):
        await gateway.begin(ANN, 10, 100)
    await gateway.ledger.flush()
    assert await gateway.tokens("tenant", "acme", "acme", "ax") == (0, 0)
    sid = await gateway.begin(ANN, 10, 40)
    await gateway.end(sid, 10, 4, "edge:phone")
    assert await gateway.tokens("tenant", "acme", "acme", "ax") == (0, 0), "the edge costs nothing"


async def test_a_stream_that_could_not_open_gives_all_back(world: World) -> None:
    gateway = await world.gateway()
    await limit_tenant(world, tokens_total=110, concurrent=1, requests_per_minute=1, tokens_per_minute=110)
    await gateway.meter.reserve(ANN, sid := new_id(), 10, 100)
    gateway.meter.release(sid)
    await gateway.settled()
    await gateway.begin(ANN, 10, 100)


async def test_answers_at_the_same_time(world: World) -> None:
    gateway = await world.gateway()
    await limit_tenant(world, concurrent=2)
    first = await gateway.begin(ANN, 1, 1)
    await gateway.begin(BOB, 1, 1)
    with pytest.raises(ConcurrencyLimitError):
        await gateway.begin(ANN, 1, 1)
    await gateway.end(first, 1, 1)
    await gateway.begin(ANN, 1, 1)


async def test_retry_after_is_exact_and_no_minute_holds_more(world: World) -> None:
    gateway = await world.gateway()
    await limit_tenant(world, requests_per_minute=2, tokens_per_minute=1000)
    await gateway.answer(ANN, 1, 9, 1)
    world.clock.pass_(30)
    await gateway.answer(ANN, 1, 9, 1)
    with pytest.raises(RateLimitedError) as refused:
        await gateway.begin(ANN, 1, 9)
    wait_s = refused.value.retry_after_s
    assert wait_s is not None and 29 < wait_s <= 31
    rate = refused.value.rate
    assert rate is not None and (rate.limit_requests, rate.remaining_requests) == (2, 0)
    assert (rate.limit_tokens, rate.remaining_tokens) == (1000, 996)
    world.clock.pass_(wait_s - 1.5)
    with pytest.raises(RateLimitedError):
        await gateway.begin(ANN, 1, 9)
    world.clock.pass_(1.5)
    await gateway.answer(ANN, 1, 9, 1)
    with pytest.raises(RateLimitedError):
        await gateway.begin(ANN, 1, 9)


async def test_a_request_beyond_the_minute_is_told_so(world: World) -> None:
    gateway = await world.gateway()
    await limit_tenant(world, tokens_per_minute=100)
    with pytest.raises(RequestOverLimitError, match="smaller max_tokens") as refused:
        await gateway.begin(ANN, 1, 100)
    assert refused.value.retry_after_s is None


async def test_windows_roll_over_and_a_reservation_stays_in_its_own(world: World) -> None:
    gateway = await world.gateway()
    await limit_tenant(world, tokens_per_day=110, tokens_per_month=330)
    world.clock.pass_(4)
    await gateway.loaded()
    sid = await gateway.begin(ANN, 10, 100)
    world.clock.pass_(86_400)
    assert await gateway.tokens("tenant", "acme", "acme", "dt") == (0, 0)
    await gateway.begin(ANN, 10, 100)
    await gateway.end(sid, 10, 50)
    assert await gateway.tokens("tenant", "acme", "acme", "dt") == (0, 110)
    assert await gateway.tokens("tenant", "acme", "acme", "mt") == (60, 110)
    world.clock.pass_(31 * 86_400)
    assert await gateway.tokens("tenant", "acme", "acme", "mt") == (0, 0)


async def test_a_lowered_limit_holds_for_the_next_request_everywhere(world: World) -> None:
    gateway, other = await world.gateway(), await world.gateway()
    await limit_tenant(world, tokens_total=1000)
    await gateway.answer(ANN, 10, 100, 60)
    await gateway.limit("tenant", "acme", tokens_total=80)
    for each in (gateway, other):
        with pytest.raises(BudgetExceededError):
            await each.begin(ANN, 1, 10)
    await gateway.limit("tenant", "acme")
    await other.begin(ANN, 10, 100)


async def test_what_was_used_without_limits_counts_once_there_are_some(world: World) -> None:
    gateway, other = await world.gateway(), await world.gateway()
    await gateway.answer(ANN, 10, 100, 60)
    running = await other.begin(BOB, 5, 10)
    await limit_tenant(world, tokens_per_day=150)
    with pytest.raises(BudgetExceededError):
        await gateway.begin(ANN, 10, 100)
    await other.end(running, 5, 6)
    assert await gateway.tokens("tenant", "acme", "acme", "dt") == (81, 0)
    await gateway.limit("tenant", "acme")
    await gateway.answer(ANN, 10, 100, 50)
    await limit_tenant(world, tokens_per_day=150)
    with pytest.raises(BudgetExceededError):
        await gateway.begin(ANN, 1, 9)


async def test_no_request_waits_for_sql(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the first one under a new budget, nor the first after its second load is due or after a loss."""
    gateway, other = await world.gateway(), await world.gateway()
    await limit_tenant(world, tokens_total=1000)
    asked: list[str] = []

    async def begin(each: Gateway) -> None:
        with monkeypatch.context() as patched:
            patched.setattr(world.database, "reading", lambda: asked.append("reading"))
            patched.setattr(world.database, "session", lambda: asked.append("session"))
            await each.begin(ANN, 1, 1)

    await begin(other)
    await begin(gateway)
    world.clock.pass_(4)
    await begin(other)
    await lose(world)
    with pytest.raises(LimitsUnavailableError):
        await begin(gateway)
    await gateway.loaded()
    world.clock.pass_(4)
    with pytest.raises(LimitsUnavailableError, match="read from the ledger"):
        await begin(other)
    await other.loaded()
    await begin(gateway)
    assert asked == []


async def told_elsewhere(gateway: Gateway, tokens: int) -> None:
    """An answer of ANN reaches the ledger that the counters never heard of."""
    used = Used(tokens, 0, 0, "edge:e")
    gateway.ledger.add(gateway.meter.charge(new_id(), ANN, "m", gateway.world.clock.ms() // 86_400_000, used))
    await gateway.ledger.flush()


async def test_the_second_load_comes_by_itself(world: World) -> None:
    gateway, unaware = await world.gateway(), await world.gateway()
    await limit_tenant(world, tokens_total=100)
    await told_elsewhere(unaware, 80)
    await gateway.begin(ANN, 1, 39)
    world.clock.pass_(4)
    await gateway.rebuild.catch_up()
    with pytest.raises(BudgetExceededError, match="80 are spent and 40 reserved"):
        await gateway.begin(ANN, 1, 1)


async def test_a_budget_whose_second_load_never_came_is_loaded_before_it_is_asked(world: World) -> None:
    _, alive = await world.gateway(), await world.gateway()
    await limit_tenant(world, tokens_total=100)
    await told_elsewhere(alive, 80)
    world.clock.pass_(12)
    await alive.begin(ANN, 1, 49)
    world.clock.pass_(2)
    alive.rebuild._wanted.clear()
    with pytest.raises(LimitsUnavailableError, match="read from the ledger"):
        await alive.begin(ANN, 1, 1)
    await alive.rebuild.catch_up()
    with pytest.raises(BudgetExceededError, match="80 are spent"):
        await alive.begin(ANN, 1, 1)


async def test_after_a_loss_budgets_are_loaded_before_anybody_asks(world: World) -> None:
    gateway = await world.gateway()
    await limit_tenant(world, tokens_total=100)
    await gateway.answer(ANN, 10, 40, 40)
    world.clock.pass_(4)
    await gateway.loaded()
    gateway.rebuild._wanted.clear()
    await lose(world)
    await gateway.loaded()
    world.clock.pass_(4)
    await gateway.loaded()
    with pytest.raises(BudgetExceededError, match="50 are spent"):
        await gateway.begin(ANN, 1, 50)


async def test_a_client_that_hangs_up_while_it_is_judged_takes_nothing(world: World) -> None:
    gateway = await world.gateway()
    await limit_tenant(world, tokens_total=110, concurrent=1)
    reserve, granted = world.counters.reserve, asyncio.Event()

    async def slow(ask: Ask) -> Granted | Refused | NotReady:
        verdict = await reserve(ask)
        if isinstance(verdict, Granted):
            granted.set()
            await asyncio.Event().wait()
        return verdict

    world.counters.reserve = slow  # type: ignore[method-assign]
    request = asyncio.create_task(gateway.begin(ANN, 10, 100))
    await granted.wait()
    request.cancel()
    await asyncio.gather(request, return_exceptions=True)
    await gateway.settled()
    world.counters.reserve = reserve  # type: ignore[method-assign]
    await gateway.begin(ANN, 10, 100)


async def test_the_ledger_builds_lost_counters_and_nobody_is_let_in_before(world: World) -> None:
    gateway, other = await world.gateway(), await world.gateway()
    await limit_tenant(world, tokens_total=300)
    await gateway.answer(ANN, 10, 100, 90)
    running = await other.begin(BOB, 10, 90)
    await lose(world)
    with pytest.raises(LimitsUnavailableError) as refused:
        await gateway.begin(ANN, 1, 1)
    assert refused.value.http_status == 503
    await other.loaded()
    world.clock.pass_(4)
    await gateway.loaded()
    with pytest.raises(BudgetExceededError, match="100 are spent and 100 reserved"):
        await gateway.begin(ANN, 1, 100)
    await other.end(running, 10, 20)
    assert await gateway.tokens("tenant", "acme", "acme") == (130, 0)
    await gateway.begin(ANN, 1, 100)


async def test_a_loss_between_the_settle_and_the_ledger_charges_once(world: World) -> None:
    gateway, other = await world.gateway(), await world.gateway()
    await limit_tenant(world, tokens_total=300)
    sid = await gateway.begin(ANN, 10, 100)
    gateway.meter.finished(sid, Outcome("stop", ["cloud:w"], Usage(10, 20)))
    await gateway.meter.drain(5)
    await lose(world)
    with pytest.raises(LimitsUnavailableError):
        await other.begin(BOB, 1, 1)
    await other.loaded()
    await gateway.ledger.flush()
    world.clock.pass_(4)
    await other.loaded()
    await other.begin(BOB, 1, 1)
    assert await other.tokens("tenant", "acme", "acme") == (30, 2)


async def test_the_sweep_settles_what_a_dead_gateway_began(world: World) -> None:
    dead, alive = await world.gateway(), await world.gateway()
    await limit_tenant(world, tokens_total=500, concurrent=4)
    ended, cancelled, running, unopened = [await dead.begin(ANN, 10, 100) for _ in range(4)]
    for sid in (ended, cancelled, running):
        await world.log.create(sid, owner="ann", request=snapshot(sid, ANN, prompt=10, most=100))
        claim = await world.log.claim(sid, holder="h", lease_s=5, seen_epoch=0)
        entries: list[Entry] = [TierEntry("cloud:w", "cloud", "m", "", "chosen"), TokensEntry(0, (1, 2, 3), "abc")]
        if sid == ended:
            entries.append(EndEntry("stop", 10, 3))
        for seq, entry in enumerate(entries):
            end = isinstance(entry, EndEntry)
            await world.log.append(sid, epoch=claim.epoch, seq=seq, payloads=[encode_entry(entry)], end=end)
    await world.log.cancel(cancelled, payload=encode_entry(CancelEntry("client")))
    assert await alive.sweep.sweep() == 0, "nothing is due yet"
    world.clock.pass_(11)
    assert await alive.sweep.sweep() == 4
    await alive.settled()
    assert await alive.tokens("tenant", "acme", "acme") == (26, 220)
    assert await world.spent(tenant="acme") == (26, 32)
    world.clock.pass_(30)
    await alive.sweep.sweep()
    assert await alive.tokens("tenant", "acme", "acme") == (26, 110)
    with pytest.raises(ConflictError):
        await world.log.create(unopened, owner="ann", request=b"late")


async def test_a_charge_whose_gateway_died_before_the_ledger_is_written_by_the_sweep(world: World) -> None:
    dead, alive = await world.gateway(), await world.gateway()
    await limit_tenant(world, tokens_total=500)
    sid = await dead.begin(ANN, 10, 100)
    dead.meter.finished(sid, Outcome("stop", ["cloud:w"], Usage(10, 20)))
    await dead.meter.drain(5)
    assert await world.spent(tenant="acme") == (0, 0)
    world.clock.pass_(11)
    await alive.sweep.sweep()
    await alive.settled()
    await dead.ledger.flush()
    assert await world.spent(tenant="acme") == (30, 50)
    world.clock.pass_(11)
    assert await alive.sweep.sweep() == 0, "nothing is left over"


async def test_a_charge_that_is_not_written_yet_outlives_a_reload(world: World) -> None:
    dead, alive = await world.gateway(), await world.gateway()
    await limit_tenant(world, tokens_total=500)
    sid = await dead.begin(ANN, 10, 100)
    dead.meter.finished(sid, Outcome("stop", ["cloud:w"], Usage(10, 20)))
    await dead.meter.drain(5)
    await limit_tenant(world, tokens_total=400)
    await alive.begin(BOB, 1, 1)
    assert await alive.tokens("tenant", "acme", "acme") == (30, 2)


async def test_an_answer_that_no_tier_spoke_costs_nothing(world: World) -> None:
    gateway = await world.gateway()
    await limit_tenant(world, tokens_total=500)
    sid = await gateway.begin(ANN, 10, 100)
    gateway.meter.finished(sid, Outcome("error", [], Usage(10, 0)))
    await gateway.settled()
    assert await gateway.tokens("tenant", "acme", "acme") == (0, 0)


async def test_a_stopped_answer_is_charged_by_its_log(world: World) -> None:
    gateway = await world.gateway()
    await limit_tenant(world, tokens_total=500)
    sid = await gateway.begin(ANN, 10, 100)
    await world.log.create(sid, owner="ann", request=snapshot(sid, ANN, prompt=10, most=100))
    claim = await world.log.claim(sid, holder="h", lease_s=5, seen_epoch=0)
    entry = TokensEntry(0, (1, 2), "ab")
    await world.log.append(sid, epoch=claim.epoch, seq=0, payloads=[encode_entry(entry)])
    await world.log.cancel(sid, payload=encode_entry(CancelEntry("client")))
    gateway.meter.finished(sid, Outcome("cancelled"))
    await gateway.settled()
    assert await gateway.tokens("tenant", "acme", "acme") == (12, 0)
