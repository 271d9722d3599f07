"""What people may ask of a rollout, and what is refused while one is open."""

from __future__ import annotations

import pytest

from control_plane.policy_admin.errors import PolicyNotFoundError, PolicyRejectedError
from control_plane.policy_rollouts.errors import (
    CandidateError,
    OwnApprovalError,
    RolloutNotFoundError,
    RolloutOpenError,
    RolloutRefusedError,
    RolloutRejectedError,
)
from policies.rollout import Approved, HoldAsked, Resumed, RollBackAsked
from tests.control_plane.policy_rollouts.worlds import NEW, NOON, STAGES, World, document, running

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
AT_S = NOON.timestamp()


async def test_approvals_come_from_different_people_and_not_from_its_author(world: World) -> None:
    here = await world.prepared()
    row = await here.rollouts.create(document(approvals={"count": 2}), actor="ada")
    with pytest.raises(OwnApprovalError, match="Ada asked for it"):
        await here.rollouts.act(row.id, Approved("ada", AT_S))
    await here.rollouts.act(row.id, Approved("bob", AT_S))
    with pytest.raises(RolloutRefusedError, match="has approved it already"):
        await here.rollouts.act(row.id, Approved("bob", AT_S))
    await here.rollouts.tick()
    assert here.staged.state.position.word == "waiting" and here.staged.state.approvals == ("bob",)
    await here.rollouts.act(row.id, Approved("cy", AT_S))
    await here.rollouts.tick()
    assert here.staged.state.position.word == "running"


async def test_an_author_may_approve_where_the_plan_says_so(world: World) -> None:
    here = await world.prepared()
    row = await here.rollouts.create(document(approvals={"count": 1, "selfApprove": True}), actor="ada")
    await here.rollouts.act(row.id, Approved("ada", AT_S))
    assert here.staged.state.position.word == "scheduled"


async def test_rolling_back_by_hand_ends_it_at_once_and_for_good(world: World) -> None:
    here = await world.prepared()
    number = await running(here, stages=STAGES[1:])
    assert here.new_keys()
    await here.rollouts.act(number, RollBackAsked("ada", AT_S, "cold feet"))
    assert here.new_keys() == set() and here.issued[-1] == 2
    assert (await world.timeline())[-1] == (
        "ada", "policy_rollout.rollback", "rolled-back: rolled back by ada: cold feet",
    )  # fmt: skip
    for wish in (Resumed("ada", AT_S), RollBackAsked("ada", AT_S), HoldAsked("ada", AT_S), Approved("bob", AT_S)):
        with pytest.raises(RolloutRefusedError, match="rolled-back"):
            await here.rollouts.act(number, wish)
    await running(here)
    with pytest.raises(RolloutNotFoundError, match="no policy rollout 7"):
        await here.rollouts.act(7, RollBackAsked("ada", AT_S))


async def test_while_it_is_open_nothing_else_changes_what_is_in_force(world: World) -> None:
    here = await world.prepared()
    number = await running(here)
    for change in (
        here.policies.activate(1, actor="bob"),
        here.policies.roll_back(actor="bob"),
        here.policies.create_and_activate(NEW.replace("name: new", "name: other"), actor="bob"),
        here.rollouts.create(document(), actor="bob"),
    ):
        with pytest.raises(RolloutOpenError, match="r1") as caught:
            await change
        assert "roll-back 1" in caught.value.remedy
    assert here.policies.current.version == 2 and len(await here.policies.page()) == 3
    await here.policies.create(NEW.replace("name: new", "name: other"), actor="bob")
    await here.rollouts.act(number, RollBackAsked("ada", AT_S))
    await here.policies.activate(1, actor="bob")
    assert here.policies.current.version == 1


@pytest.mark.parametrize(
    ("text", "error", "told"),
    [
        ("kind: PolicyRollout", RolloutRejectedError, "The rollout has"),
        (document(stages=[]), RolloutRejectedError, "stages"),
        (document(9), PolicyNotFoundError, "no policy version 9"),
        (document(policy="new@2"), CandidateError, "a policy named old"),
        (document(policy="old@2"), CandidateError, "in force already"),
        (document(policy="wrong@4"), PolicyRejectedError, "The policy has 1 error"),
    ],
)
async def test_what_cannot_be_rolled_out(world: World, text: str, error: type[Exception], told: str) -> None:
    here = await world.prepared()
    test = "\n  tests:\n    - {name: t, given: {request.complexity: 0.1}, expect: {mode: cloud}}\n"
    await here.policies.create(NEW.replace("name: new", "name: wrong") + test, actor="ada")
    with pytest.raises(error, match=told):
        await here.rollouts.create(text, actor="ada")
    assert await here.rollouts.page() == []
