"""Rollouts on real databases, by a clock that is moved by hand: their course, gates, gateways, damage."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import update

from control_plane.policy_rollouts.errors import (
    RolloutDamagedError,
    RolloutOpenError,
)
from control_plane.policy_rollouts.repository import PolicyRolloutRepository
from control_plane.policy_rollouts.schemas import RolloutView
from control_plane.policy_rollouts.tables import PolicyRolloutCountsRow, PolicyRolloutRow
from policies.rollout import NOTHING_MEASURED, HoldAsked, Resumed, RollBackAsked
from policies.rollout.applying import in_share
from tests.control_plane.policy_rollouts.worlds import (
    KEYS,
    NOON,
    STAGES,
    Gateway,
    World,
    ended,
    facts,
    running,
)

AT_S = NOON.timestamp()
ENFORCED: dict[str, Any] = {"stages": STAGES[1:], "gates": {"errors": "<= 5%"}}


# its course -------------------------------------------------------------------------------------------------------


async def test_from_shadow_over_a_tenth_to_everybody(world: World) -> None:
    here = await world.prepared()
    await running(here, gates={"decisionErrors": "== 0"})
    assert here.new_keys() == set() and here.staged.meter.totals().tally.decided == len(KEYS)
    assert [here.rollouts.version_for(key) for key in KEYS[:3]] == [2, 2, 2]

    await _later(world, here, hours=1)
    tenth = {key for key in KEYS if in_share("r1", key, 10.0)}
    assert here.new_keys() == tenth and 0 < len(tenth) < 50
    assert {key for key in KEYS if here.rollouts.version_for(key) == 3} == tenth

    await _later(world, here, hours=1)
    assert here.new_keys() == set(KEYS)
    assert here.decide(facts(None)).policy_name == "old"  # a request without a key waits for the end
    assert here.policies.current.version == 2

    await here.rollouts.tick()
    assert here.rollouts.director.staged is None and here.policies.current.version == 3
    assert here.decide(facts(None)).policy_name == "new"
    assert here.issued == [3, 3, 3]  # when it was asked for, and for each stage in which devices may get it
    assert [entry[1:] for entry in await world.timeline()] == [
        ("policy_rollout.create", "scheduled: nobody has to approve it"),
        ("policy_rollout.move", "running 1/3: stage 1 of 3: shadow for 100 %"),
        ("policy_rollout.move", "running 2/3: stage 2 of 3: enforce for 10 %"),
        ("policy_rollout.move", "running 3/3: stage 3 of 3: enforce for 100 %"),
        ("policy_rollout.move", "done: all stages are over"),
    ]
    (newest, *_) = await world.audit.page(action="policy.rollout")
    assert (newest.target, newest.actor) == ("policy/3", "system")
    await here.policies.roll_back(actor="ada")
    assert here.policies.current.version == 2


async def test_a_failing_gate_gives_every_key_the_old_policy_back(world: World) -> None:
    here = await world.prepared()
    moved: list[int] = []
    here.rollouts.on_moved(lambda: moved.append(here.rollouts.version_for(KEYS[0])))
    await running(here, **ENFORCED)
    shared = here.new_keys()
    assert shared
    here.serve(1, keys=KEYS, outcome=ended())
    await here.rollouts.tick()
    assert here.new_keys() == shared
    here.serve(4, keys=shared, outcome=ended("error"))
    before = len(moved)
    await here.rollouts.tick()
    assert here.new_keys() == set() and {here.rollouts.version_for(key) for key in KEYS} == {2}
    assert here.rollouts.director.staged is None and here.policies.current.version == 2
    assert here.issued[-1] == 2 and len(moved) > before
    known = (await here.rollouts.report(1)).known
    assert known is not None and known.standings[0].breached
    assert (await world.timeline())[-1][2].startswith("rolled-back: errors: ")


async def test_a_gate_may_also_hold_and_a_person_takes_it_back(world: World) -> None:
    here = await world.prepared()
    number = await running(here, **ENFORCED, onBreach="hold")
    shared = here.new_keys()
    here.serve(4, keys=shared, outcome=ended("error"))
    await here.rollouts.tick()
    assert here.staged.state.position.word == "on-hold" and here.new_keys() == shared
    breached = (await here.rollouts.report(number)).known
    here.serve(1, keys=shared)
    await here.rollouts.tick()
    found = (await here.rollouts.report(number)).known  # shown is what breached it, not what came afterwards
    assert found is not None and breached is not None and found.measures == breached.measures
    first = here.staged.meter
    await here.rollouts.act(number, Resumed("ada", AT_S))
    assert here.staged.run == 2 and here.staged.meter is not first
    here.serve(1, keys=shared)
    await here.rollouts.tick()
    assert here.staged.state.position.word == "running"


async def test_what_was_counted_before_a_hold_counts_after_it(world: World) -> None:
    here = await world.prepared()
    number = await running(here, gates={"decisionChange": "<= 99%"})
    here.serve(1)
    await here.rollouts.tick()
    await here.rollouts.act(number, HoldAsked("ada", AT_S))
    await here.rollouts.act(number, Resumed("ada", AT_S))
    here.serve(1)
    await here.rollouts.tick()
    found = (await here.rollouts.report(number)).known
    assert found is not None and found.measures.candidate.share("decisionChange").of == 2 * len(KEYS)
    await _later(world, here, hours=1)
    found = (await here.rollouts.report(number)).known  # a new stage measures anew; the tally is of all shadow stages
    assert found is not None and found.measures == NOTHING_MEASURED and found.tally.decided == 2 * len(KEYS)


async def test_time_stands_still_on_hold(world: World) -> None:
    here = await world.prepared()
    number = await running(here)
    world.clock.pass_by(minutes=40)
    await here.rollouts.act(number, HoldAsked("ada", world.clock().timestamp(), "lunch"))
    await _later(world, here, hours=5)
    assert here.staged.state.position.word == "on-hold" and await _elapsed_s(world, here) == 40 * 60
    await here.rollouts.act(number, Resumed("bob", world.clock().timestamp()))
    await _later(world, here, minutes=19)
    assert here.staged.state.position.word == "running" and not here.staged.enforcing
    assert await _elapsed_s(world, here) == 59 * 60
    await _later(world, here, minutes=2)
    assert here.staged.enforcing
    assert [entry[:2] for entry in await world.timeline()][2:4] == [
        ("ada", "policy_rollout.hold"),
        ("bob", "policy_rollout.resume"),
    ]


async def test_a_stage_waits_for_measures(world: World) -> None:
    here = await world.prepared()
    await running(here, gates={"decisionChange": "<= 99%"}, atLeast=10)
    here.serve(1, keys=KEYS[:9])
    await _later(world, here, hours=2)
    assert not here.staged.enforcing
    found = (await here.rollouts.report(1)).known
    assert found is not None and found.waits_for.endswith("decisionChange has 9 of 10")
    here.serve(1, keys=KEYS[9:10])
    await here.rollouts.tick()
    assert here.staged.enforcing
    found = (await here.rollouts.report(1)).known
    assert found is not None
    assert found.tally.to_dict() | {"modes": []} == {
        "decided": 10, "changed": 10, "old_errors": 0, "candidate_errors": 0, "newly_leaving": 10, "modes": [],
    }  # fmt: skip


# several gateways -------------------------------------------------------------------------------------------------


async def test_gateways_share_what_they_count_and_one_may_die(world: World) -> None:
    here, number = await world.prepared(), 1
    await running(here, **ENFORCED)
    there = await world.gateway()
    shared = here.new_keys()
    assert there.new_keys() == shared
    for gateway in (here, there):
        gateway.serve(1, keys=shared)
    there.serve(1, keys=sorted(shared)[:4], outcome=ended("error"))
    await there.rollouts.tick()  # and then it dies
    await here.rollouts.tick()
    found = (await here.rollouts.report(number)).known
    assert found is not None and str(found.measures.candidate.share("errors")).startswith(f"4 of {2 * len(shared) + 4}")
    assert here.staged.state.position.word == "running"
    here.serve(1, keys=sorted(shared)[:8], outcome=ended("error"))
    await here.rollouts.tick()
    assert (await here.rollouts.report(number)).row.position == "rolled-back"


async def test_another_gateway_hears_of_every_move(world: World) -> None:
    here = await world.prepared()
    there = await world.gateway()
    number = await running(here, stages=STAGES[1:])
    assert here.told == ["rollouts", "rollouts"]
    await there.rollouts.reload()
    assert there.new_keys() == here.new_keys() != set()
    await there.rollouts.act(number, RollBackAsked("bob", AT_S))
    assert there.told == ["rollouts"] and here.new_keys()
    await here.rollouts.tick()  # it would notice by itself, too
    assert here.new_keys() == set()


async def test_bundles_are_refreshed_before_another_gateways_move_is_taken_in(world: World) -> None:
    """The old policy comes back as a bundle that only SQL has so far; an earlier one is refused by devices."""
    here = await world.prepared()
    there = await world.gateway()
    number = await running(here, stages=[{"mode": "enforce", "percent": 100, "for": "1h"}])
    await there.rollouts.reload()
    await there.rollouts.act(number, RollBackAsked("bob", AT_S))
    assert here.rollouts.version_for(KEYS[0]) == 3
    here.refreshed.clear()
    await here.rollouts.tick()
    assert here.refreshed == [3] and here.rollouts.version_for(KEYS[0]) == 2


async def test_two_gateways_at_once_make_one_move(world: World) -> None:
    here = await world.prepared()
    await running(here)
    there = await world.gateway()
    world.clock.pass_by(hours=1)
    await asyncio.gather(*(gateway.rollouts.tick() for gateway in (here, there, here, there)))
    moves = [entry for entry in await world.timeline() if "running 2/3" in entry[2]]
    assert len(moves) == 1 and here.staged.enforcing and there.staged.enforcing


async def test_the_end_is_an_activation_for_all_gateways(world: World) -> None:
    here = await world.prepared()
    await running(here, stages=STAGES[2:])
    there = await world.gateway()
    await here.rollouts.tick()
    assert there.decide(facts(None)).policy_name == "old"
    await there.policies.reload()
    assert there.decide(facts(None)).policy_name == "old"  # until the rollout's end is known, its own two decide
    await there.rollouts.reload()
    assert there.decide(facts(None)).policy_name == "new"


async def test_a_restart_goes_on_where_it_was(world: World) -> None:
    before = await world.prepared()
    await running(before, **ENFORCED)
    shared = before.new_keys()
    before.serve(1, keys=shared)
    before.serve(1, keys=sorted(shared)[:4], outcome=ended("error"))
    await before.rollouts.tick()
    after = await world.gateway()
    assert after.new_keys() == shared and after.staged.run == 1
    after.serve(1, keys=sorted(shared)[:4], outcome=ended("error"))
    await after.rollouts.tick()
    assert after.new_keys() == set()
    assert (await world.gateway()).rollouts.director.staged is None


async def test_a_change_of_another_revision_changes_nothing(world: World) -> None:
    here = await world.prepared()
    number = await running(here)
    async with world.database.session() as session:
        rollouts = PolicyRolloutRepository(session)
        assert not await rollouts.change(number, here.staged.revision - 1, {"position": "done"})
        assert not await rollouts.change(number, here.staged.revision + 1, {"position": "done"})
    assert (await here.rollouts.page())[0].position == "running"


# damage -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage", [{"state": {"plan": "x"}}, {"state": None}, {"text": "kind: 5"}, {"plan_digest": "0" * 64}]
)
async def test_a_damaged_rollout_is_held_and_the_old_policy_decides(world: World, damage: dict[str, Any]) -> None:
    here = await world.prepared()
    number = await running(here, stages=STAGES[1:])
    async with world.database.session() as session:
        await session.execute(update(PolicyRolloutRow).values(**damage, revision=PolicyRolloutRow.revision + 1))
    there = await world.gateway()
    assert there.new_keys() == set() and isinstance(there.rollouts.damage, RolloutDamagedError)
    await there.rollouts.tick()
    with pytest.raises(RolloutDamagedError, match="cannot be used") as caught:
        await there.rollouts.act(number, Resumed("ada", AT_S))
    assert f"roll-back {number}" in caught.value.remedy
    with pytest.raises(RolloutOpenError):
        await there.policies.activate(3, actor="ada")
    assert (await there.rollouts.report(number)).damage
    await there.rollouts.act(number, RollBackAsked("ada", AT_S))
    assert there.rollouts.damage is None
    await there.policies.activate(3, actor="ada")


async def test_damaged_counts_hold_it_too(world: World) -> None:
    here = await world.prepared()
    number = await running(here, stages=STAGES[1:])
    here.serve(1)
    await here.rollouts.tick()
    async with world.database.session() as session:
        await session.execute(update(PolicyRolloutCountsRow).values(totals={"old": 1}))
    await here.rollouts.tick()
    assert here.new_keys() == set() and here.rollouts.damage is not None
    assert "totals" in (await here.rollouts.report(number)).damage
    for gateway in (here, await world.gateway()):
        await gateway.rollouts.reload()
        assert gateway.new_keys() == set() and gateway.rollouts.damage is not None
    await here.rollouts.act(number, RollBackAsked("ada", AT_S))
    assert here.rollouts.damage is None and (await here.rollouts.report(number)).row.position == "rolled-back"


async def _elapsed_s(world: World, gateway: Gateway) -> float:
    """How long the first stage has lasted, as operators see it."""
    return RolloutView.of_report(await gateway.rollouts.report(1), world.clock()).stages[0].elapsed_s


async def _later(world: World, gateway: Gateway, **time: float) -> None:
    world.clock.pass_by(**time)
    await gateway.rollouts.tick()
