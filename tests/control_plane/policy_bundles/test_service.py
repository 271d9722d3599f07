"""Issued bundles on a real database: one with each activation, counting up, renewed at half-life, known everywhere."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from datetime import timedelta

import pytest
from sqlalchemy import select

from control_plane.database import Database
from control_plane.policy_admin.repository import PolicyRepository
from control_plane.policy_admin.schemas import POLICY_MAX_BYTES
from control_plane.policy_admin.service import POLICIES
from control_plane.policy_admin.tables import PolicyVersionRow
from control_plane.policy_bundles.errors import NotIssuableError, SigningKeyError
from control_plane.policy_bundles.tables import PolicyBundleRow
from edgewise.wire.codec import encode_frame
from edgewise.wire.limits import FRAME_MAX_BYTES
from policies import Policy
from policies.bundle import MAX_BYTES
from tests.control_plane.policy_bundles.conftest import HALF, LIFETIME, NOON, OPERATOR, Gateway, in_charge, staged
from tests.factories.bundles import SIGNER, STRANGER, named, offered


async def test_the_first_start_issues_the_seed(gateway: Gateway) -> None:
    bundle = gateway.opened()
    assert (bundle.charter.name, bundle.digest, bundle.charter.version) == (
        "seed",
        gateway.offer.digest,
        gateway.offer.version,
    )
    assert bundle.charter.policy_digest == gateway.policies.current.digest
    assert bundle.charter.not_after_s - bundle.charter.issued_at_s == LIFETIME.total_seconds()


async def test_every_activation_and_roll_back_is_a_later_bundle(gateway: Gateway) -> None:
    bundle, names = gateway.opened(), []
    changes: list[Callable[[], object]] = [
        lambda: gateway.policies.create_and_activate(named("one"), actor=OPERATOR),
        lambda: gateway.policies.activate(1, actor=OPERATOR),
        lambda: gateway.policies.activate(1, actor=OPERATOR),
        lambda: gateway.policies.roll_back(actor=OPERATOR),
        lambda: gateway.policies.roll_back(actor=OPERATOR),
    ]
    for change in changes:
        await change()  # type: ignore[misc]
        bundle = gateway.opened(last=bundle)
        names.append(bundle.charter.name)
    assert names == ["one", "seed", "seed", "seed", "one"]


async def test_what_one_gateway_issued_another_offers(gateway: Gateway, database: Database) -> None:
    other = Gateway(database)
    await other.load()
    assert other.offer == gateway.offer
    heard: list[int] = []
    other.bundles.on_changed(lambda: heard.append(other.offer.version))
    await gateway.policies.create_and_activate(named("one"), actor=OPERATOR)
    await other.load()
    assert other.offer == gateway.offer and heard == [gateway.offer.version]
    await other.load()
    assert len(heard) == 1 and other.told == 0


async def test_a_bundle_is_renewed_at_half_life_by_whoever_notices_and_once(
    gateway: Gateway, database: Database
) -> None:
    other, before = Gateway(database), gateway.opened()
    await other.load()
    gateway.now = other.now = NOON + HALF - timedelta(seconds=1)
    await gateway.bundles.refresh()
    assert gateway.offer.version == before.charter.version
    gateway.now = other.now = NOON + HALF
    await asyncio.gather(other.bundles.refresh(), gateway.bundles.refresh())
    assert other.told + gateway.told == 1
    assert gateway.offer == other.offer
    assert gateway.opened(last=before).charter.policy_digest == before.charter.policy_digest


async def test_a_candidate_of_a_rollout_has_a_bundle_until_the_rollout_is_over(
    gateway: Gateway, database: Database
) -> None:
    candidate = await staged(gateway, database)
    await gateway.bundles.refresh()
    offer = gateway.bundles.offer(candidate)
    assert offer is not None and offer.version > gateway.offer.version
    gateway.also = set()
    await gateway.policies.activate(1, actor=OPERATOR)
    await gateway.bundles.refresh()
    assert gateway.bundles.offer(candidate) is None and gateway.offer.version > offer.version


async def test_no_bundle_is_held_of_a_policy_that_is_in_use_no_more(gateway: Gateway) -> None:
    for name in ("one", "two", "three"):
        await gateway.policies.create_and_activate(named(name), actor=OPERATOR)
        await gateway.bundles.refresh()
    assert [version for version in range(1, 9) if gateway.bundles.offer(version)] == [gateway.policies.current.version]


async def test_what_was_activated_this_moment_is_not_forgotten_by_a_refresh_before_it_is_in_use(
    gateway: Gateway, database: Database
) -> None:
    async with database.session(lock=POLICIES) as session:
        policy = await gateway.policies.compile(named("one"))
        row = PolicyVersionRow(
            name="one", digest=policy.digest, text=named("one"), note="", author=OPERATOR, created_at=NOON
        )
        await PolicyRepository(session).add(row)
        await gateway.bundles.add(session, row.version, policy)
    await gateway.bundles.refresh()
    assert gateway.bundles.offer(row.version) is not None


async def test_expired_bundles_are_forgotten_and_versions_still_count_up(gateway: Gateway, database: Database) -> None:
    first = gateway.offer.version
    gateway.now = NOON + LIFETIME + timedelta(days=1)
    await gateway.bundles.refresh()
    assert gateway.offer.version > first
    async with database.reading() as session:
        kept = list(await session.scalars(select(PolicyBundleRow.version)))
    assert kept == [gateway.offer.version]


async def test_a_bundle_that_cannot_be_made_leaves_everything_as_it_was(gateway: Gateway, database: Database) -> None:
    class Mute:
        """A signer whose signature fits into no bundle."""

        key_id, public = SIGNER.key_id, SIGNER.public

        def sign(self, message: bytes) -> bytes:
            return bytes(600)

    broken = Gateway(database, Mute())  # type: ignore[arg-type]
    await broken.load()
    before = broken.offer
    with pytest.raises(NotIssuableError) as raised:
        await broken.policies.create_and_activate(named("one"), actor=OPERATOR)
    assert raised.value.http_status == 422 and "nothing was changed" in raised.value.remedy
    assert (broken.policies.current.version, broken.offer) == (1, before)
    assert [row.version for row in await broken.policies.page()] == [1]


async def test_a_transaction_that_fails_later_offers_nothing(gateway: Gateway, database: Database) -> None:
    before, heard = gateway.offer, []
    gateway.bundles.on_changed(lambda: heard.append(gateway.offer.version))
    with pytest.raises(RuntimeError):
        async with database.session(lock=POLICIES) as session:
            await gateway.bundles.add(session, 1, gateway.policies.active)
            raise RuntimeError
    await gateway.bundles.refresh()
    assert gateway.offer == before and heard == []


def test_a_policy_of_the_largest_size_fits_into_a_frame() -> None:
    text = largest()
    assert POLICY_MAX_BYTES - 20_000 < len(text) <= POLICY_MAX_BYTES
    offer = offered(text)
    assert len(offer.bundle) < MAX_BYTES / 4 and len(encode_frame(offer)) < FRAME_MAX_BYTES / 4


def largest() -> str:
    """A document near the largest that the admin API takes, whose texts do not deflate."""
    rng = random.Random(1)
    head = (
        "apiVersion: edgewise/v1\nkind: RoutingPolicy\nmetadata: {name: large}\nspec:\n"
        "  default: {mode: edge, reason: r}\n  onError: {mode: edge, reason: r}\n  rules:\n"
    )
    rules = (
        f"    - {{id: r{at}, when: request.tenant == {rng.randbytes(92).hex()!r}, decide: {{mode: cloud}}}}\n"
        for at in range(1000)
    )
    text = head
    for rule in rules:
        if len(text) + len(rule) > POLICY_MAX_BYTES:
            break
        text += rule
    return text


async def test_a_gateway_with_the_old_key_issues_nothing_more_and_offers_what_the_new_one_issued(
    gateway: Gateway, database: Database
) -> None:
    await in_charge(database, STRANGER)
    with pytest.raises(SigningKeyError, match="start it again"):
        await gateway.policies.create_and_activate(named("one"), actor=OPERATOR)
    fresh, before = Gateway(database, STRANGER), gateway.opened()
    await fresh.load()
    assert fresh.opened(last=before).charter.name == "seed" and fresh.offer != gateway.offer
    await gateway.load()
    assert gateway.offer == fresh.offer


async def test_a_compiled_policy_and_its_bundle_decide_alike(gateway: Gateway) -> None:
    policy: Policy = gateway.policies.active
    facts = {"device.present": True, "request.complexity": 0.9}
    assert gateway.opened().decide(facts) == policy.decide(facts)
