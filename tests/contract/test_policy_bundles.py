"""A real agent and a real gateway: a policy is offered, checked, kept, decides offline, and goes with a roll back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from control_plane.nodes.offered import OfferAgain
from control_plane.nodes.session import GatewayConfig
from control_plane.policy_bundles.signing_key import read_signing_key
from edge_agent.agent import EdgeAgent
from edge_agent.config import AgentConfig
from edge_agent.policy_store import PolicyStore
from edgewise.signing import PublicKey
from edgewise.wire.frames import PolicyOffer, PolicyStatus
from policies.facts import typical_facts
from policies.library import seed_text
from tests.control_plane.nodes.conftest import Gateway, quick_registry, running_gateway
from tests.edge_agent.tiny_model import write_tiny_model
from tests.factories.bundles import ISSUED_AT_S, KEY, STRANGER, named, offered
from tests.factories.control import Control, own_log_server, running_control
from tests.factories.tiers import GatedTier

FACTS = typical_facts({"device.present": True})


@pytest.fixture
async def control(tmp_path: Path) -> AsyncIterator[Control]:
    with own_log_server() as log_url:
        async with running_control(tmp_path / "control", log_url) as running:
            write_tiny_model(tmp_path / "model")
            await running.plane.catalog.register_directory(tmp_path / "model")
            yield running


def config_of(control: Control, folder: Path, **more: Any) -> AgentConfig:
    given: dict[str, Any] = {"model_dir": folder / "model", "data_dir": folder / "agent", "name": "phone-1"}
    return AgentConfig(**given, threads=1, local_port=0, url=control.url, key=control.keys.node, **more)


async def until(condition: Callable[[], bool]) -> None:
    """The test's time-out is the limit."""
    while not condition():
        await asyncio.sleep(0.01)


async def fleet(control: Control) -> Any:
    async with control.client() as client:
        return (await client.get("/admin/v1/nodes/phone-1")).json()


async def activate(control: Control, name: str) -> int:
    async with control.client() as client:
        told = await client.post("/admin/v1/policies", json={"text": named(name), "activate": True})
    assert told.status_code == 201, told.text
    version: int = told.json()["version"]
    return version


async def kept(control: Control, version: int) -> Any:
    """What the fleet shows as soon as the device has said that it decides by this policy, and keeps it."""
    while True:
        shown = (await fleet(control))["policy"]
        if shown["applied"] and shown["policy_version"] == version:
            return shown


async def test_a_policy_is_taken_kept_and_obeyed_offline_after_a_restart(control: Control, tmp_path: Path) -> None:
    config = config_of(control, tmp_path)
    async with EdgeAgent.running(config) as agent:
        await until(lambda: agent.policies.standing == "in-force")
        shown = await kept(control, await activate(control, "for-devices"))
        assert shown["digest"] == agent.policies.digest
        assert agent.policies.decide(FACTS).policy_name == "for-devices"
        async with control.client() as client:
            decides = (await client.post("/admin/v1/policies/rollback", json={})).json()
        await until(lambda: agent.policies.policy_digest == decides["digest"])
        await kept(control, await activate(control, "again"))
        assert agent.policies.decide(FACTS).policy_name == "again"
    async with EdgeAgent.running(replace(config, url="", key="")) as offline:
        assert (offline.policies.standing, offline.policies.decide(FACTS).policy_name) == ("in-force", "again")
    async with EdgeAgent.running(config) as back:
        assert back.link is not None
        await back.link.connected.wait()
        known = (await fleet(control))["policy"]
        assert (known["digest"], known["applied"]) == (back.policies.digest, True)
        assert known["policy_version"] == control.plane.policies.current.version


async def test_a_device_that_trusts_another_key_keeps_its_policy_and_the_fleet_sees_why(
    control: Control, tmp_path: Path
) -> None:
    async with EdgeAgent.running(config_of(control, tmp_path, policy_keys=(STRANGER.public,))) as agent:
        shown: Any = None
        while shown is None:
            await asyncio.sleep(0.01)
            listed = [node for node in control.plane.registry.snapshot() if node.policy is not None]
            shown = (await fleet(control))["policy"] if listed else None
        assert (shown["applied"], shown["refusal"]) == (False, "bad-signature")
        assert agent.policies.standing == "seed" and agent.link is not None and agent.link.connected.is_set()


async def test_a_device_that_has_a_later_bundle_than_the_database_gets_the_policy_issued_anew(
    control: Control, tmp_path: Path
) -> None:
    config, bundles = config_of(control, tmp_path), control.plane.bundles
    signer, seed = read_signing_key(control.plane.config.policy_key_file), bundles.offer(1)
    assert signer is not None and seed is not None
    store = PolicyStore(config.data_dir / "policy", seed_text())
    await store.take(offered(named("lost"), version=seed.version, signer=signer), bundles.public_key)
    async with EdgeAgent.running(config) as agent:
        assert agent.policies.decide(FACTS).policy_name == "lost"
        await until(lambda: [view.policy.refusal for view in control.plane.registry.snapshot() if view.policy] != [])
        await bundles.refresh()
        await until(lambda: agent.policies.decide(FACTS).policy_name == "seed")
        assert agent.policies.digest != seed.digest


async def test_a_device_whose_clock_was_wrong_is_offered_its_bundle_again_on_the_same_connection(
    tmp_path: Path,
) -> None:
    offer, year_s = offered(named("good"), not_after_s=ISSUED_AT_S + 1000), [3e9]
    store = PolicyStore(tmp_path / "policy", seed_text(), now=lambda: year_s[0])
    soon = GatewayConfig(heartbeat_s=0.1, lost_after_s=5.0, offer_again=OfferAgain(first_s=0.01))
    registry = quick_registry(offer_for=lambda node_id: offer, policy_key=KEY, session=soon)
    async with running_gateway(registry) as gateway:
        link = gateway.dial(GatedTier(), on_policy=store.take)
        await gateway.until(lambda: [view.policy.refusal for view in registry.snapshot() if view.policy] == ["expired"])
        year_s[0] = ISSUED_AT_S + 1.0
        await gateway.until(lambda: store.digest == offer.digest)
        assert link.connection_epoch == 1


async def test_no_bytes_as_an_offer_break_the_session(tmp_path: Path) -> None:
    store = PolicyStore(tmp_path / "policy", seed_text())
    rng, good = random.Random(1), offered(named("good"))
    offers = [PolicyOffer(digest=f"d{at}", version=1, bundle=raw) for at, raw in enumerate(bad_bytes(rng, good.bundle))]
    answers: list[PolicyStatus] = []
    async with running_gateway(quick_registry(offer_for=lambda node_id: offers[-1], policy_key=KEY)) as gateway:
        link = gateway.dial(GatedTier(), on_policy=store.take)
        while offers:
            await gateway.until(lambda: statuses(gateway) == [offers[-1].digest])
            answers += [view.policy for view in gateway.registry.snapshot() if view.policy]
            offers.pop()
            if offers:
                gateway.registry.offer_policies()
        assert {(answer.applied, bool(answer.refusal)) for answer in answers} == {(False, True)}
        offers.append(good)
        gateway.registry.offer_policies()
        await gateway.until(lambda: statuses(gateway) == [good.digest])
        assert (store.digest, link.connection_epoch) == (good.digest, 1)


def bad_bytes(rng: random.Random, good: bytes) -> Iterator[bytes]:
    """Noise, and a good bundle with pieces changed, cut or doubled."""
    for _ in range(10):
        at, length = rng.randrange(len(good)), rng.randrange(1, 60)
        yield rng.randbytes(length)
        yield good[:at] + rng.randbytes(length) + good[at + length :]
        yield good[:at]
        yield good[:at] + good[at : at + length] + good[at:]


def statuses(gateway: Gateway) -> list[str]:
    return [view.policy.digest for view in gateway.registry.snapshot() if view.policy]


async def test_the_public_key_is_shown_to_operators_alone(control: Control) -> None:
    async with control.client() as client, control.client(control.keys.app) as app:
        told = (await client.get("/admin/v1/policy-key")).json()
        assert (await app.get("/admin/v1/policy-key")).status_code == 403
    assert PublicKey.read(told["public_key"]).id == told["key_id"]
    assert [(each["policy_version"], len(each["digest"])) for each in told["bundles"]] == [(1, 64)]
