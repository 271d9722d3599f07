"""A rollout is rolled back also where no bundle can be issued, as after the signing key was replaced elsewhere."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import update

from control_plane.policy_bundles.errors import SigningKeyError
from control_plane.policy_bundles.service import PolicyBundles
from control_plane.policy_bundles.signing_key import register
from control_plane.policy_rollouts.tables import PolicyRolloutRow
from edgewise.signing import Ed25519Signer
from policies.rollout import RollBackAsked
from tests.control_plane.policy_rollouts.worlds import KEYS, NOON, STAGES, Gateway, World, ended, running

AT_S = NOON.timestamp()
ENFORCED: dict[str, Any] = {"stages": STAGES[1:], "gates": {"errors": "<= 5%"}}


class Fleet:
    """A gateway with real bundles, whose key can be replaced while it runs."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.bundles = self._bundles(Ed25519Signer.new())

    def _bundles(self, signer: Ed25519Signer) -> PolicyBundles:
        self._signer = signer
        return PolicyBundles(self.world.database, signer, in_use=lambda: [2], now=self.world.clock)

    async def gateway(self) -> Gateway:
        await self._register()
        return await self.world.prepared(self.bundles.add)

    async def replace_key(self) -> PolicyBundles:
        """From now on another key signs; what a gateway that was started with it has."""
        bundles = self._bundles(Ed25519Signer.new())
        await self._register()
        return bundles

    async def _register(self) -> None:
        async with self.world.database.session() as session:
            await register(session, self.world.audit, self._signer, actor="ada", at=self.world.clock())


async def test_a_breached_gate_takes_the_candidate_back_without_a_bundle(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    fleet = Fleet(world)
    here = await fleet.gateway()
    number = await running(here, **ENFORCED)
    here.serve(4, keys=here.new_keys(), outcome=ended("error"))
    later = await fleet.replace_key()
    await here.rollouts.tick()
    assert here.new_keys() == set() and {here.rollouts.version_for(key) for key in KEYS} == {2}
    assert (await here.rollouts.report(number)).row.position == "rolled-back"
    assert "no bundle of policy version 2 was issued" in caplog.text and "the fleet with" in caplog.text
    candidate = fleet.bundles.offer(3)
    await later.refresh()
    old = later.offer(2)
    assert candidate is not None and old is not None and old.version > candidate.version


async def test_an_operator_takes_it_back_without_a_bundle(world: World) -> None:
    fleet = Fleet(world)
    here = await fleet.gateway()
    number = await running(here, stages=STAGES[1:])
    await fleet.replace_key()
    await here.rollouts.act(number, RollBackAsked("ada", AT_S))
    assert here.new_keys() == set()
    assert (await world.timeline())[-1][1:] == ("policy_rollout.rollback", "rolled-back: rolled back by ada")


async def test_a_damaged_one_is_taken_back_without_a_bundle(world: World) -> None:
    fleet = Fleet(world)
    here = await fleet.gateway()
    number = await running(here, stages=STAGES[1:])
    await fleet.replace_key()
    async with world.database.session() as session:
        await session.execute(update(PolicyRolloutRow).values(text="kind: 5", revision=PolicyRolloutRow.revision + 1))
    there = await world.gateway(fleet.bundles.add)
    await there.rollouts.act(number, RollBackAsked("ada", AT_S))
    assert there.rollouts.damage is None and (await there.rollouts.page())[0].position == "rolled-back"


async def test_it_goes_no_further_without_a_bundle(world: World) -> None:
    """The candidate is never in force where devices could not have it."""
    fleet = Fleet(world)
    here = await fleet.gateway()
    number = await running(here)
    await fleet.replace_key()
    world.clock.pass_by(hours=1)
    with pytest.raises(SigningKeyError):
        await here.rollouts.tick()
    assert not here.staged.enforcing and (await here.rollouts.report(number)).row.position == "running"
