"""Two whole gateways on one token log and one database: both follow a rollout, and count for it together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest

from control_plane.plane import ControlPlane
from policies.rollout import Share
from tests.control_plane.policy_rollouts.worlds import NEW, OLD, document, ended, facts
from tests.factories.control import own_log_server, running_control

PATIENCE_S = 30.0


@pytest.fixture
async def gateways(tmp_path: Path) -> AsyncIterator[tuple[ControlPlane, ControlPlane]]:
    with own_log_server() as log_url:
        async with running_control(tmp_path, log_url) as control:
            config = replace(control.plane.config, gateway_name="other")
            async with ControlPlane.running(config) as other:
                yield control.plane, other


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():
            await asyncio.sleep(0.02)


def answered(plane: ControlPlane, sid: str, finish: str) -> str:
    """One request from its decision to its end, as the host tells the director; which policy decided."""
    decision = plane.answers.host.decide(facts())
    plane.rollouts.director.decided(sid, decision)
    plane.rollouts.director.finished(sid, ended(finish))
    return decision.policy_name


def enforcing(plane: ControlPlane) -> bool:
    staged = plane.rollouts.director.staged
    return staged is not None and staged.enforcing


async def test_a_gate_is_breached_by_what_both_saw(gateways: tuple[ControlPlane, ControlPlane]) -> None:
    here, there = gateways
    await here.policies.create_and_activate(OLD, actor="ada")
    await here.policies.create(NEW, actor="ada")
    await until(lambda: there.policies.current.version == 2)
    plan = document(stages=[{"mode": "enforce", "percent": 100, "for": "1h"}], gates={"errors": "<= 20%"})
    await here.rollouts.create(plan, actor="ada")
    await until(lambda: all(map(enforcing, gateways)))
    offers = [plane.bundles.offer(plane.rollouts.version_for("tablet-1")) for plane in gateways]
    assert offers[0] == offers[1] and offers[0] is not None and offers[0].policy_version == 3
    for plane in gateways:
        for number in range(20):  # neither gateway alone would have seen enough
            assert answered(plane, f"stream-{number}", "error" if number % 2 else "stop") == "new"
    await until(lambda: all(plane.rollouts.director.staged is None for plane in gateways))
    assert [answered(plane, "late", "stop") for plane in gateways] == ["old", "old"]
    found = (await there.rollouts.report(1)).known
    assert found is not None and found.measures.candidate.share("errors") == Share(20, 40)
    again = [plane.bundles.offer(plane.rollouts.version_for("tablet-1")) for plane in gateways]
    assert all(offer is not None and offer.policy_version == 2 and offer.version > offers[0].version for offer in again)
